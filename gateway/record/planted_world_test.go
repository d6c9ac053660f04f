package record_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/index"
	"github.com/waybill-dev/waybill/gateway/intake"
	"github.com/waybill-dev/waybill/gateway/ledger"
	"github.com/waybill-dev/waybill/gateway/queue"
	"github.com/waybill-dev/waybill/gateway/record"
	"github.com/waybill-dev/waybill/gateway/record/recordtest"
	"github.com/waybill-dev/waybill/gateway/wait"
	"github.com/waybill-dev/waybill/test/chaos/check"
)

// planted is what a defect puts between the real parts; nil is nothing.
type planted struct {
	sink   func(ctx context.Context, s intake.Sink) intake.Sink
	door   func(http.Handler) http.Handler
	ledger func(record.Ledger) record.Ledger
	// apply carries a block into the index; die says that the process ends in
	// the middle of it.
	apply func(ctx context.Context, x *index.Index, b *common.Block, die bool) error
}

const (
	worldSenders = 8
	worldEach    = 60 // things that each sender has to tell
	worldRepos   = 6
	worldSecret  = "a-secret-of-the-planted-world"
)

// world is a gateway in one process, out of the real parts, that is killed and
// started again while senders retry as registries do.
type world struct {
	t       *testing.T
	dir     string
	chain   *writtenChain
	planted planted

	door     atomic.Pointer[http.Handler] // nil while the gateway is down
	accepted atomic.Int64
	busy     atomic.Int64 // times a sender heard 429 or 503
	repeated atomic.Int64 // times a sender lost an answer
	dieAt    atomic.Uint64
	died     chan struct{} // the follower died in a block
	armed    chan struct{} // closed once it is to: the second half is sent then

	mu      sync.Mutex
	history check.History
}

// life is one run of the gateway, from start to kill.
type life struct {
	queue *queue.Queue
	index *index.Index
	end   context.CancelFunc
	loops sync.WaitGroup
}

func newWorld(t *testing.T, p planted) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), chain: newChain(t), planted: p, died: make(chan struct{}, 1), armed: make(chan struct{})}
	if w.planted.apply == nil {
		w.planted.apply = applyWhole
	}
	// Fates: some are sent and not heard of, some are not asked in time, some lose a race.
	w.chain.OnSubmit = every(11, "not sent")
	w.chain.AfterSubmit = every(5, "sent, and no answer")
	w.chain.OnStatus = every(3, "no answer")
	w.chain.Invalid = func(n int) string {
		if n%6 == 0 {
			return "MVCC_READ_CONFLICT"
		}
		return "VALID"
	}
	if err := errors.Join(queue.Create(t.Context(), w.path("queue.db")), index.Create(t.Context(), w.path("index.db"))); err != nil {
		t.Fatal(err)
	}
	return w
}

func every(n int, what string) func(int) error {
	return func(i int) error {
		if i%n == 0 {
			return provenance.Errorf(provenance.Unavailable, "%s", what)
		}
		return nil
	}
}

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

// start begins a life on what the one before left on disk.
func (w *world) start() *life {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.t.Context())
	l := &life{end: cancel}
	var err error
	if l.queue, err = queue.Open(ctx, w.path("queue.db"), queue.Options{Lanes: 2, MinFreeBytes: 1}); err != nil {
		w.t.Fatal(err)
	}
	if l.index, err = index.Open(ctx, w.path("index.db")); err != nil {
		w.t.Fatal(err)
	}
	var taker intake.Sink = l.queue
	if w.planted.sink != nil {
		taker = w.planted.sink(ctx, taker)
	}
	handler, err := intake.New(intake.Config{
		Connectors: []intake.Connector{{Name: "main", Kind: "distribution", Host: recordtest.Host, Secrets: [][]byte{[]byte(worldSecret)}}},
		Sink:       taker, Concurrency: 2, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	var door http.Handler = handler
	if w.planted.door != nil {
		door = w.planted.door(door)
	}
	var to record.Ledger = w.chain
	if w.planted.ledger != nil {
		to = w.planted.ledger(to)
	}
	limits := record.Limits{
		Events: 7, Linger: time.Millisecond, Wait: 3 * time.Millisecond, Poll: 2 * time.Millisecond, Lease: time.Minute, Reads: 1, ReadAttempts: 3,
		Status: 50 * time.Millisecond, Lost: 5 * time.Millisecond, Recover: 10 * time.Millisecond, Backoff: time.Millisecond, BackoffMax: 4 * time.Millisecond,
	}
	sub := &record.Recorder{Queue: l.queue, Ledger: to, Readers: func(provenance.Host) (record.Registry, bool) { return nil, true }, Log: slog.New(slog.DiscardHandler), Limits: limits}
	l.loops.Go(func() {
		if err := sub.Run(ctx); !errors.Is(err, context.Canceled) {
			w.t.Errorf("submit: %v", err)
		}
	})
	l.loops.Go(func() {
		if err := w.follow(ctx, l.index); !errors.Is(err, context.Canceled) {
			w.t.Errorf("follow: %v", err)
		}
	})
	w.door.Store(&door)
	return l
}

// kill ends a life. What only memory held is gone with it.
func (w *world) kill(l *life) {
	w.t.Helper()
	w.door.Store(nil)
	l.end()
	l.loops.Wait()
	if err := errors.Join(l.queue.Close(), l.index.Close()); err != nil {
		w.t.Error(err)
	}
}

// follow carries blocks into the index until ctx ends or it dies in one.
func (w *world) follow(ctx context.Context, x *index.Index) error {
	next, err := x.Height(ctx)
	if err != nil {
		return err
	}
	for {
		b := w.chain.block(next)
		if b == nil {
			if err := wait.For(ctx, time.Millisecond); err != nil {
				return err
			}
			continue
		}
		die := w.dieAt.Load() > 0 && next >= w.dieAt.Load() && w.chain.writes(next)
		// What the kill interrupts is decided by die alone, so ctx does not cut a block.
		if err := w.planted.apply(context.WithoutCancel(ctx), x, b, die); err != nil {
			return err
		}
		if die {
			w.dieAt.Store(0)
			w.died <- struct{}{}
			<-ctx.Done()
			return ctx.Err()
		}
		next++
	}
}

// applyWhole is the real thing: a process that dies in it leaves the block out.
func applyWhole(ctx context.Context, x *index.Index, b *common.Block, die bool) error {
	if die {
		return nil
	}
	decoded, err := ledger.Decode(b, chainCode)
	if err != nil {
		return err
	}
	return x.Apply(ctx, decoded)
}

// send tells everything one sender has to tell, each until it hears 2xx.
func (w *world) send(ctx context.Context, sender int) error {
	rng := rand.New(rand.NewPCG(7, uint64(sender)))
	for i := range worldEach {
		if i == worldEach/2 { // what comes after it makes the block to die in
			select {
			case <-w.armed:
			case <-ctx.Done():
			}
		}
		name := fmt.Sprintf("%d-%d", sender, i)
		e := provenance.Event{
			Action: provenance.Push, Repository: provenance.Repository(fmt.Sprint("team/app", i%worldRepos)), Tag: provenance.Tag(fmt.Sprint("t", i%4)),
			Digest: provenance.SHA256Of([]byte(name)),
		}
		claim := check.Claim{ID: name, Key: eventKey(recordtest.Host, e)}
		body := fmt.Sprintf(`{"events":[{"id":%q,"timestamp":"2026-01-02T03:04:05Z","action":"push","target":{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":%q,"repository":%q,"tag":%q}}]}`,
			claim.ID, e.Digest, e.Repository, e.Tag)
		for {
			if ctx.Err() != nil {
				w.note(&w.history.Open, claim)
				return ctx.Err()
			}
			status := w.post(body)
			if status == http.StatusOK && rng.IntN(5) == 0 {
				w.repeated.Add(1) // the answer is lost on its way
				continue
			}
			if status == http.StatusOK {
				w.note(&w.history.Promised, claim)
				w.accepted.Add(1)
				break
			}
			if status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable {
				w.busy.Add(1)
			} else if status != 0 {
				return fmt.Errorf("sender %d: status %d", sender, status)
			}
			_ = wait.For(ctx, time.Millisecond)
		}
	}
	return nil
}

func (w *world) note(list *[]check.Claim, c check.Claim) {
	w.mu.Lock()
	defer w.mu.Unlock()
	*list = append(*list, c)
}

// post returns the status of the answer, 0 where nobody answers.
func (w *world) post(body string) int {
	door := w.door.Load()
	if door == nil {
		return 0
	}
	r := httptest.NewRequest(http.MethodPost, "/hooks/main", bytes.NewReader([]byte(body)))
	r.Header.Set("Authorization", "Bearer "+worldSecret)
	r.Header.Set("Content-Type", "application/json")
	answer := httptest.NewRecorder()
	(*door).ServeHTTP(answer, r)
	return answer.Code
}
