package collect

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/waybill-dev/waybill/chaincode/evidence"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/ledger"
	"github.com/waybill-dev/waybill/gateway/wait"
)

// The transactions that put envelopes before the contract.
const (
	submitEvidence = "evidence:Submit"
	submitBatch    = "evidence:SubmitBatch"
)

// Ledger takes transactions of this gateway: again and again until one that lost a
// race with others stands, or once, so that what lost it may be sent otherwise.
type Ledger interface {
	SubmitTransient(ctx context.Context, transient map[string][]byte, fn string, args ...string) (ledger.Result, error)
	SubmitOnce(ctx context.Context, transient map[string][]byte, fn string, args ...string) (ledger.Result, error)
}

// Batches brings pieces of evidence onto the ledger, as many to a transaction as wait
// at the moment. All that are about one image go one after the other, for they write
// one key. The zero value with a Ledger is ready.
type Batches struct {
	Ledger Ledger

	mu      sync.Mutex
	waiting []*handed
	again   [][]*handed               // that are to be sent as they are
	busy    map[provenance.Digest]int // pieces about an image that are being sent
	sending int
	large   int
	sent    time.Time     // when the last came back
	most    int           // pieces in a batch; fewer after one that found no answer
	woken   chan struct{} // one lane, when there may be something for it
	ended   error         // why nothing is sent any more
}

const (
	// sendLanes is how many transactions are on their way at once: one is verified while
	// another is in its block.
	sendLanes = 4
	// largeLanes is how many of them may carry a large envelope each.
	largeLanes = 2
	// lingerIdle is how long a first piece waits for company, and lingerBusy how long it
	// does while others are on their way, or went less than busyFor ago: of a transaction's
	// cost most is its own. Where by then as many as many wait they come so fast that they
	// wait for lingerMany: a block costs the network what seventy pieces do, whatever is in it.
	lingerIdle, lingerBusy, lingerMany = 20 * time.Millisecond, 200 * time.Millisecond, 800 * time.Millisecond
	many                               = 24
	busyFor                            = time.Second
	// overtaken is the pause before a batch that lost a race is sent a second time.
	overtaken = 100 * time.Millisecond
)

// handed is a piece on its way.
type handed struct {
	evidence.Piece
	image provenance.Digest
	// slot is of which pieces the newest counts: two of them are never in one batch,
	// for in it they would be equally new.
	slot  [4]string
	since time.Time
	tried bool // in a batch that lost a race
	done  func(known bool, err error)
}

// hand takes a piece. done is called once, and must not wait; known tells that the
// ledger had it.
func (b *Batches) hand(image provenance.Digest, typ string, p evidence.Piece, done func(known bool, err error)) {
	b.mu.Lock()
	ended := b.ended
	if ended == nil {
		b.waiting = append(b.waiting, &handed{Piece: p, image: image, slot: [4]string{image.String(), p.MSP, p.Key, typ}, since: time.Now(), done: done})
	}
	b.mu.Unlock()
	if ended != nil {
		done(false, ended)
		return
	}
	b.wake()
}

// wake must not block, and one receipt is enough: who finds something wakes the next.
func (b *Batches) wake() {
	b.mu.Lock()
	woken := b.channel()
	b.mu.Unlock()
	select {
	case woken <- struct{}{}:
	default:
	}
}

func (b *Batches) channel() chan struct{} {
	if b.woken == nil {
		b.woken, b.busy, b.most = make(chan struct{}, 1), map[provenance.Digest]int{}, evidence.MaxBatch
	}
	return b.woken
}

// Run sends what is handed in until ctx ends. What is left then is told so: its tasks
// are in the queue.
func (b *Batches) Run(ctx context.Context) error {
	b.mu.Lock()
	woken := b.channel()
	b.mu.Unlock()
	group, ctx := errgroup.WithContext(ctx)
	for range sendLanes {
		group.Go(func() error {
			for ctx.Err() == nil {
				pieces, rest := b.next(time.Now())
				if len(pieces) > 0 {
					b.wake()
					b.send(ctx, pieces)
					b.end(pieces)
					continue
				}
				timer := time.NewTimer(rest)
				select {
				case <-woken:
				case <-timer.C:
				case <-ctx.Done():
				}
				timer.Stop()
			}
			return ctx.Err()
		})
	}
	err := group.Wait()
	b.mu.Lock()
	left := slices.Concat(append(b.again, b.waiting)...)
	b.ended, b.again, b.waiting = err, nil, nil
	b.mu.Unlock()
	for _, h := range left {
		h.done(false, err)
	}
	return err
}

// next takes what is to be sent together, or tells how long to wait for it.
func (b *Batches) next(now time.Time) (pieces []*handed, rest time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n := len(b.again) - 1; n >= 0 {
		pieces, b.again = b.again[n], b.again[:n]
		b.sending++
		return pieces, 0
	}
	size, full := 0, false
	slots := map[[4]string]bool{}
	var left []*handed
	passed := map[provenance.Digest]bool{} // what is about these keeps its order
	for i, h := range b.waiting {
		n := h.Size()
		isLarge := len(h.Envelope) > evidence.MaxSmall
		switch {
		case isLarge && len(pieces) == 0 && b.busy[h.image] == 0 && b.large < largeLanes && !passed[h.image]:
			b.waiting = slices.Delete(b.waiting, i, i+1)
			b.take([]*handed{h})
			b.large++
			return []*handed{h}, 0
		case isLarge, b.busy[h.image] > 0, passed[h.image], slots[h.slot]:
			passed[h.image] = true
			left = append(left, h)
			continue
		case len(pieces) == b.most, size+n > evidence.MaxBatchBytes:
			full = true
		}
		if full {
			left = append(left, b.waiting[i:]...)
			break
		}
		pieces, size, slots[h.slot] = append(pieces, h), size+n, true
	}
	if len(pieces) == 0 {
		return nil, time.Minute
	}
	linger := lingerIdle
	switch {
	case b.sending == 0 && now.Sub(b.sent) >= busyFor:
	case len(pieces) < many:
		linger = lingerBusy
	default:
		linger = lingerMany
	}
	if rest = linger - now.Sub(pieces[0].since); !full && len(pieces) < b.most && rest > 0 {
		return nil, rest
	}
	b.waiting = left
	b.take(pieces)
	return pieces, 0
}

func (b *Batches) take(pieces []*handed) {
	b.sending++
	for _, h := range pieces {
		b.busy[h.image]++
	}
}

// end makes room for others. Those that were put back to be sent otherwise keep theirs.
func (b *Batches) end(pieces []*handed) {
	b.mu.Lock()
	b.sending--
	b.sent = time.Now()
	if len(pieces) == 1 && len(pieces[0].Envelope) > evidence.MaxSmall {
		b.large--
	}
	b.mu.Unlock()
	b.wake()
}

// finish tells what became of a piece.
func (b *Batches) finish(h *handed, known bool, err error) {
	b.mu.Lock()
	if b.busy[h.image]--; b.busy[h.image] == 0 {
		delete(b.busy, h.image)
	}
	b.mu.Unlock()
	h.done(known, err)
}

// send submits pieces together. What is refused as a whole is sent once more and then
// in halves, so that one piece, or one image that others write about, holds up no other.
func (b *Batches) send(ctx context.Context, pieces []*handed) {
	for {
		one := !slices.ContainsFunc(pieces, func(h *handed) bool { return h.image != pieces[0].image })
		outcomes, err := b.submit(ctx, pieces, one)
		b.answered(len(pieces), err)
		code := provenance.CodeOf(err)
		switch {
		case err == nil:
			for i, h := range pieces {
				b.finish(h, outcomes[i].Known, outcomes[i].Err())
			}
			return
		case ctx.Err() != nil, len(pieces) == 1, code == provenance.Unavailable, code == provenance.Forbidden, one && code == provenance.Conflict:
			for _, h := range pieces {
				b.finish(h, false, err)
			}
			return
		case code == provenance.Conflict && !pieces[0].tried:
			for _, h := range pieces {
				h.tried = true
			}
			_ = wait.For(ctx, overtaken/2+rand.N(overtaken)) // whether it ended is seen at the next run
			continue
		}
		first, rest := halves(pieces)
		if one {
			b.send(ctx, first)
		} else {
			b.mu.Lock()
			b.again = append(b.again, first)
			b.mu.Unlock()
			b.wake()
		}
		pieces = rest
	}
}

// answered remembers how much is answered in time.
func (b *Batches) answered(pieces int, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case err == nil:
		b.most = min(b.most+2, evidence.MaxBatch)
	case provenance.CodeOf(err) == provenance.Unavailable:
		b.most = max(1, min(b.most, pieces)/2)
	}
}

// halves splits pieces, those about one image together where there are several.
func halves(pieces []*handed) (first, rest []*handed) {
	ordered := slices.Clone(pieces)
	slices.SortStableFunc(ordered, func(x, y *handed) int { return slices.Compare(x.image.Raw(), y.image.Raw()) })
	half := len(ordered) / 2
	for at := half; at > 0; at-- {
		if ordered[at-1].image != ordered[at].image {
			return ordered[:at], ordered[at:]
		}
	}
	for at := half + 1; at < len(ordered); at++ {
		if ordered[at-1].image != ordered[at].image {
			return ordered[:at], ordered[at:]
		}
	}
	return ordered[:half], ordered[half:]
}

// submit is one transaction for pieces, which as many as there are have outcomes. About
// one image it is run again where others came first.
func (b *Batches) submit(ctx context.Context, pieces []*handed, patient bool) ([]evidence.Outcome, error) {
	if len(pieces) == 1 {
		return b.alone(ctx, pieces[0].Piece)
	}
	all := make([]evidence.Piece, len(pieces))
	for i, h := range pieces {
		all[i] = h.Piece
	}
	encoded, err := evidence.EncodeBatch(all)
	if err != nil {
		return nil, err
	}
	run := b.Ledger.SubmitOnce
	if patient {
		run = b.Ledger.SubmitTransient
	}
	result, err := run(ctx, map[string][]byte{"pieces": encoded}, submitBatch)
	if err != nil {
		return nil, err
	}
	var outcomes []evidence.Outcome
	if err := json.Unmarshal(result.Payload, &outcomes); err != nil || len(outcomes) != len(pieces) {
		return nil, provenance.Errorf(provenance.Internal, "%s: %d outcomes of %d pieces", submitBatch, len(outcomes), len(pieces))
	}
	return outcomes, nil
}

// alone is a transaction of one piece's own.
func (b *Batches) alone(ctx context.Context, p evidence.Piece) ([]evidence.Outcome, error) {
	transient := map[string][]byte{"envelope": p.Envelope}
	if p.Private {
		transient["private"] = []byte("true")
	}
	result, err := b.Ledger.SubmitTransient(ctx, transient, submitEvidence, p.Host, p.Repository, p.Digest, p.Type, p.Format, p.MSP, p.Key, p.Location)
	if err != nil {
		return nil, err
	}
	var o evidence.Outcome
	if err := json.Unmarshal(result.Payload, &o); err != nil {
		return nil, provenance.Wrap(provenance.Internal, err, "%s", submitEvidence)
	}
	return []evidence.Outcome{o}, nil
}
