package record

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/ledger"
	"github.com/waybill-dev/waybill/gateway/queue"
	"github.com/waybill-dev/waybill/gateway/registry"
	"github.com/waybill-dev/waybill/gateway/wait"
)

// recordSegment is the transaction that records a segment.
const recordSegment = "record:Segment"

var (
	_ Queue    = (*queue.Queue)(nil)
	_ Ledger   = (*ledger.Client)(nil)
	_ Registry = (*registry.Client)(nil)
)

// Recorder is the loop between the queue and the ledger, one goroutine per
// lane. It writes nothing but the queue and the ledger: what it submitted is
// believed, and indexed, only when it comes back in a block.
type Recorder struct {
	Queue  Queue
	Ledger Ledger
	// Readers finds the client of a configured registry. A nil reader with true
	// means that the registry is not read back, and facts stay empty.
	Readers func(host provenance.Host) (Registry, bool)
	Log     *slog.Logger
	// OnRecorded, where set, hears of every recorded segment: its events and the
	// time from sealing (zero for a segment that an earlier run sealed).
	OnRecorded func(events int, took time.Duration)
	// OnHidden, where set, hears that a segment was recorded; it may hide something.
	OnHidden func()
	// OnUnproven, where set, hears of pushes that a segment carries without their
	// manifests although their registry is read back; read has those it carries.
	OnUnproven func(ctx context.Context, host provenance.Host, events []provenance.Event, read map[provenance.Digest][]byte)
	// OnContradicted, where set, hears of the deletion of a tag that was set aside
	// because the tag names an image.
	OnContradicted func(ctx context.Context, it queue.Item, named provenance.Digest)
	// OwnerElsewhere, where set, returns who records a repository where that is another
	// organisation, as the ledger has it; "" where it is ours, nobody's, or not known.
	OwnerElsewhere func(ctx context.Context, host provenance.Host, repo provenance.Repository) string
	Limits         Limits
	Waits          wait.Reasons
	flight         *semaphore.Weighted // of limits.flight; made by run
	places         *semaphore.Weighted // of limits.places; made by run

	mu     sync.Mutex
	shares map[string]*semaphore.Weighted // of the places, by connector
}

// Limits are the numbers of the loop.
type Limits struct {
	Events       int           // most of a segment
	Linger, Wait time.Duration // how long a batch waits for company: per look, and in all
	Poll         time.Duration // how often a lane looks for items whose hold ran out
	Lease        time.Duration
	Reads        int           // manifests read at once, per lane
	Places       int           // the same, of all lanes together
	Look         time.Duration // how long a lane reads for one batch, and then records what it has read
	Patience     time.Duration // how long a deletion waits for a registry that does not answer
	Again        time.Duration // for reading the manifests of a sealed segment once more
	ReadAttempts int           // before an image that is gone or malformed is set aside
	Status       time.Duration // how long a transaction may stay unknown before it is sent again
	Lost         time.Duration // the same, where sending it failed
	Recover      time.Duration // the same, where an earlier run may have sent it or not
	Backoff      time.Duration // first pause after a failure; doubles
	BackoffMax   time.Duration
	Flight       int64 // bytes of envelopes between being sent and being final, of all lanes together
}

// DefaultLimits are the numbers of a gateway.
//
// A segment holds up to 5,000 events (provenance.MaxSegmentEvents). At 500,
// most processor time went into what every transaction costs whatever it holds:
// three endorsements, a block, its validation by four peers. In runs of one
// build, 500, 2,000 and 5,000 pushes a segment gave 1.0, 2.0 and 3.2 thousand
// pushes a second. Few events still travel at once: nothing waits for company.
//
// An envelope of 5,000 pushes has some 2 MiB, one of 5,000 pulls a tenth of it.
// Eight of the large ones at once made SmartBFT's followers on two cores miss
// their leader's time and change views, for minutes; three do not.
//
// What manifests take of memory is bounded by places, of provenance.MaxManifest
// each while they are read, and by what a lane carries: provenance.MaxManifests,
// and the same once more while it is sent. With 8 lanes that is 384 MiB if all
// manifests are as large as they may be; ordinary ones have a thousandth of it.
func DefaultLimits() Limits {
	return Limits{
		Events: provenance.MaxSegmentEvents, Linger: 20 * time.Millisecond, Wait: 200 * time.Millisecond, Poll: 250 * time.Millisecond,
		Lease: 2 * time.Minute, Reads: 8, Places: 64, Look: 2 * time.Second, Patience: 24 * time.Hour, Again: 15 * time.Second, ReadAttempts: 3, Status: 15 * time.Second, Lost: time.Second, Recover: 5 * time.Second,
		Backoff: 200 * time.Millisecond, BackoffMax: 5 * time.Second, Flight: 6 << 20,
	}
}

// State tells why writes wait, and since when; zero when they do not.
func (s *Recorder) State() wait.State { return s.Waits.Longest() }

// Run submits until ctx ends. It returns an error only when the queue itself
// fails (then accepted events are safe where they are, and a restart repairs);
// an unreachable ledger or registry is waited for.
func (s *Recorder) Run(ctx context.Context) error {
	s.start()
	group, laneCtx := errgroup.WithContext(ctx)
	for n := range s.Queue.Lanes() {
		l := &lane{Recorder: s, number: n, name: s.Queue.LaneName(n)}
		group.Go(func() error { return l.run(laneCtx) })
	}
	err := group.Wait()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// start fills in what the lanes share.
func (s *Recorder) start() {
	if s.Limits == (Limits{}) {
		s.Limits = DefaultLimits()
	}
	s.flight = semaphore.NewWeighted(max(1, s.Limits.Flight))
	s.places = semaphore.NewWeighted(int64(max(1, s.Limits.Places)))
	s.shares = map[string]*semaphore.Weighted{}
}

// shareOf is what one connector may hold of the places; "" stands for ourselves.
func (s *Recorder) shareOf(connector string) *semaphore.Weighted {
	s.mu.Lock()
	defer s.mu.Unlock()
	share := s.shares[connector]
	if share == nil {
		share = semaphore.NewWeighted(int64(max(1, readingShare*s.Limits.Places/4)))
		s.shares[connector] = share
	}
	return share
}

// lane is one order of recording. Everything in it happens one after the
// other, so that the tags of a repository move in the order of their events.
type lane struct {
	*Recorder
	number int
	name   string
	// refused are the items of this turn whose repositories the contract does not take.
	refused  []queue.Item
	refusals time.Duration // what it took to be refused, in this turn
	pushes   pushes        // recorded last
}

func (l *lane) run(ctx context.Context) error {
	source := "queue of " + l.name
	for pause := l.Limits.pause(); ; {
		err := l.turn(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil:
			l.Waits.End(source)
			pause.Reset()
			continue
		case errors.Is(err, queue.ErrLaneLost):
			// Another replica goes on from what is stored, as after a crash here.
			l.Log.InfoContext(ctx, "lane lost", slog.String("lane", l.name))
		case provenance.CodeOf(err) == provenance.Unavailable:
			// The queue's server is away. What it has is safe; what it was told last, Sealed tells.
			if l.Waits.Begin(source, err) {
				l.Log.WarnContext(ctx, "recording waits", slog.String("lane", l.name), slog.Any("error", err))
			}
		default:
			return err
		}
		if err := wait.For(ctx, pause.NextBackOff()); err != nil {
			return err
		}
	}
}

// turn brings one segment to its end. A turn that fails may be begun again.
func (l *lane) turn(ctx context.Context) error {
	// The open segment first: until its fate is known, nothing later may pass it.
	segment, err := l.Queue.Sealed(ctx, l.number)
	if err != nil {
		return err
	}
	if segment != nil {
		leave, err := l.reserve(ctx, segment.Tx)
		if err != nil {
			return err
		}
		defer leave()
		_, err = l.finish(ctx, *segment, ownSeal{}, l.Limits.Recover)
		return err
	}
	items, err := l.gather(ctx)
	if err != nil {
		return err
	}
	l.refusals = 0
	defer l.postponeRefused()
	// What is not settled when a call fails is handed back: it is tried again
	// at once, by this replica or another, and not when the lease ends.
	read := newManifests()
	ready, repeated, err := l.readBack(ctx, items, read)
	if err == nil {
		_, err = l.record(ctx, ready, read)
	}
	if err == nil {
		err = l.discardRepeated(ctx, repeated)
	}
	if err != nil {
		l.Queue.Return(items)
	}
	return err
}

// record brings items onto the ledger as one segment, or as several where the
// whole is too large or holds an event that the contract refuses. settled is
// false when items went back to waiting: then later ones must not pass them.
func (l *lane) record(ctx context.Context, items []queue.Item, read *manifests) (settled bool, err error) {
	if len(items) == 0 {
		return true, nil
	}
	events := make([]provenance.Event, len(items))
	for i, it := range items {
		events[i] = it.Event
	}
	// From here on no event shows a client that is to be hidden.
	events, clients, err := hide(events)
	if err != nil {
		return l.split(ctx, items, read, err)
	}
	bytes, err := provenance.EncodeSegment(events)
	if err != nil {
		return l.split(ctx, items, read, err)
	}
	seq, err := l.Queue.NextSeq(ctx, l.number)
	if err != nil {
		return false, err
	}
	segment := queue.Segment{Lane: l.number, LaneName: l.name, Seq: seq, Host: items[0].Host, Bytes: bytes, Clients: clients}
	endorsed, err := l.endorse(ctx, segment, read.encode(events))
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	switch provenance.CodeOf(err) {
	case "":
	case provenance.Invalid:
		return l.split(ctx, items, read, err)
	case provenance.Conflict:
		return l.superseded(ctx, segment, items, err)
	case provenance.Forbidden, provenance.NotFound:
		return l.bisect(ctx, items, read, err)
	default:
		return false, l.giveBack(ctx, items, err)
	}
	segment.TxID, segment.Tx = endorsed.TxID, endorsed.Bytes
	leave, err := l.reserve(ctx, endorsed.Bytes)
	if err != nil {
		return false, err
	}
	defer leave()
	start := time.Now()
	// A crash before Seal: nothing was sent, the items are leased again. A crash after: Sealed finds the segment.
	if err := l.Queue.Seal(ctx, segment, items); err != nil {
		if provenance.CodeOf(err) != provenance.Conflict {
			return false, err
		}
		// An item has moved on: its lease ran out, or an operator was faster.
		l.Log.WarnContext(ctx, "segment not sealed", slog.String("lane", l.name), slog.Any("error", err))
		l.Queue.Return(items)
		return false, nil
	}
	timeout := l.Limits.Status
	if err := l.Ledger.SubmitEndorsed(ctx, endorsed); err != nil {
		l.wait(ctx, err)
		timeout = l.Limits.Lost
	}
	return l.finish(ctx, segment, ownSeal{start, events}, timeout)
}

// reserve waits until the envelopes that are on their way, of all lanes, leave
// room for another one. It goes before Seal, so that what is sealed is sent. One
// that is larger than all the room flies alone.
func (l *lane) reserve(ctx context.Context, envelope []byte) (leave func(), err error) {
	room := max(1, l.Limits.Flight)
	weight := min(int64(len(envelope)), room)
	if err := l.flight.Acquire(ctx, weight); err != nil {
		return nil, err
	}
	return func() { l.flight.Release(weight) }, nil
}

// endorse asks until the ledger answers; it returns the contract's refusals
// and the end of ctx. The manifests travel beside the segment and are in no block.
func (l *lane) endorse(ctx context.Context, s queue.Segment, manifests []byte) (ledger.Endorsed, error) {
	transient := map[string][]byte{"segment": s.Bytes}
	if len(manifests) > 0 {
		transient["manifests"] = manifests
	}
	sum := sha256.Sum256(s.Bytes)
	args := []string{string(s.Host), s.LaneName, strconv.FormatUint(s.Seq, 10), hex.EncodeToString(sum[:])}
	for pause := l.Limits.pause(); ; {
		asked := time.Now()
		endorsed, err := l.Ledger.Endorse(ctx, recordSegment, args, transient)
		if provenance.CodeOf(err) != provenance.Unavailable {
			if err != nil {
				l.refusals += time.Since(asked)
			}
			return endorsed, err
		}
		if ctx.Err() != nil {
			return ledger.Endorsed{}, ctx.Err()
		}
		l.wait(ctx, err)
		if err := wait.For(ctx, pause.NextBackOff()); err != nil {
			return ledger.Endorsed{}, err
		}
	}
}

// wait notes why this lane waits; the first time of a wait is logged.
func (l *lane) wait(ctx context.Context, err error) {
	if l.Waits.Begin(l.name, err) {
		l.Log.WarnContext(ctx, "recording waits", slog.String("lane", l.name), slog.Any("error", err))
	}
}
