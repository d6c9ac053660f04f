package record_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"

	"github.com/waybill-dev/waybill/gateway/delivery"
	"github.com/waybill-dev/waybill/gateway/index"
	"github.com/waybill-dev/waybill/gateway/intake"
	"github.com/waybill-dev/waybill/gateway/ledger"
	"github.com/waybill-dev/waybill/gateway/queue"
	"github.com/waybill-dev/waybill/gateway/record"
	"github.com/waybill-dev/waybill/gateway/record/recordtest"
	"github.com/waybill-dev/waybill/gateway/wait"
	"github.com/waybill-dev/waybill/test/chaos/check"
)

// A checker that never finds anything proves nothing. Here the real queue,
// intake, submitter and index run in one process, are killed and started
// again, and the checker of the chaos run judges: without a defect it has
// nothing to say, and each of six planted ones it finds.
func TestCheckerCatches(t *testing.T) {
	for _, c := range []struct {
		name   string
		defect planted
		want   check.Kind
	}{
		{"no defect", planted{}, ""},
		{"ack before fsync", planted{sink: behind}, check.Lost},
		{"no content key", planted{sink: keyless}, check.Twice},
		{"index height outside the transaction", planted{apply: heightFirst}, check.Skewed},
		{"INVALID transactions indexed", planted{apply: everything}, check.Skewed},
		{"new transaction id on each retry", planted{ledger: renew}, check.Resent},
		{"429 treated as success", planted{door: neverBusy}, check.Lost},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, c.defect)
			report := w.run()
			t.Logf("%d answers lost, %d times told to wait\n%s", w.repeated.Load(), w.busy.Load(), report)
			if c.want != "" {
				if !report.Has(c.want) {
					t.Errorf("the checker has not found it: want %q", c.want)
				}
				return
			}
			if len(report.Findings) > 0 {
				t.Error("nothing was broken but the run, and the checker complains")
			}
			if w.repeated.Load() == 0 || w.busy.Load() == 0 || report.Invalid == 0 || w.chain.Resent == 0 {
				t.Errorf("the run was too calm to prove anything: %d resent", w.chain.Resent)
			}
		})
	}
}

// run lets senders send while the gateway is killed three times, one of them
// within a block, waits until everything is settled, and judges.
func (w *world) run() check.Report {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 3*time.Minute) // the race detector on two busy cores is slow
	defer cancel()
	gateway := w.start()
	var senders sync.WaitGroup
	for i := range worldSenders {
		senders.Go(func() {
			if err := w.send(ctx, i); err != nil {
				w.t.Error(err)
			}
		})
	}
	restart := func() {
		w.kill(gateway)
		_ = wait.For(ctx, 5*time.Millisecond)
		gateway = w.start()
	}
	w.until(ctx, "a quarter", func() bool { return w.accepted.Load() >= worldSenders*worldEach/4 })
	restart()
	w.until(ctx, "a half", func() bool { return w.accepted.Load() >= worldSenders*worldEach/2 })
	w.dieAt.Store(w.chain.height() + 1)
	close(w.armed)
	select {
	case <-w.died:
	case <-ctx.Done():
		w.t.Error("no block to die in")
	}
	restart()
	w.until(ctx, "three quarters", func() bool { return w.accepted.Load() >= worldSenders*worldEach*3/4 })
	restart()
	senders.Wait()
	w.until(ctx, "everything settled", func() bool {
		s, err := gateway.queue.Stats(ctx)
		if err != nil {
			w.t.Error(err)
		}
		height, err := gateway.index.Height(ctx)
		if err != nil {
			w.t.Error(err)
		}
		return s.Pending+s.Sealed == 0 && height == w.chain.height()
	})
	run := check.Run{History: w.history, Peers: []check.Peer{w.chain.peer()}, Outboxes: []check.Outbox{w.outbox(gateway.queue)}, Indexes: []check.Index{w.told(gateway.index)}}
	w.kill(gateway)
	return check.Judge(run)
}

func (w *world) until(ctx context.Context, what string, done func() bool) {
	w.t.Helper()
	for !done() {
		if err := wait.For(ctx, time.Millisecond); err != nil {
			w.t.Fatalf("%s: %v", what, err)
		}
	}
}

func (w *world) outbox(q *queue.Queue) check.Outbox {
	w.t.Helper()
	s, err := q.Stats(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	letters, err := q.Dead(w.t.Context(), 0, 1000)
	if err != nil {
		w.t.Fatal(err)
	}
	o := check.Outbox{Name: "vendor", Waiting: int(s.Pending), Sealed: int(s.Sealed)}
	for _, d := range letters {
		o.Dead = append(o.Dead, eventKey(d.Host, d.Event))
	}
	return o
}

// told is the index as the checker reads it, beside one made anew.
func (w *world) told(x *index.Index) check.Index {
	w.t.Helper()
	ctx := w.t.Context()
	var places [][2]string
	for i := range worldRepos {
		places = append(places, [2]string{string(recordtest.Host), fmt.Sprint("team/app", i)})
	}
	out, err := check.Read(ctx, x, "vendor", places)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := index.Create(ctx, w.path("again.db")); err != nil {
		w.t.Fatal(err)
	}
	again, err := index.Open(ctx, w.path("again.db"))
	if err != nil {
		w.t.Fatal(err)
	}
	for n := range out.Height {
		if err := applyWhole(ctx, again, w.chain.block(n), false); err != nil {
			w.t.Fatal(err)
		}
	}
	if out.Rebuilt, err = again.Fingerprint(ctx); err != nil {
		w.t.Fatal(err)
	}
	if err := again.Close(); err != nil {
		w.t.Error(err)
	}
	return out
}

// The defects. Each is a wrapper around the real part, and lives here only.

// writeBehind says accepted at once and stores a little later.
type writeBehind struct {
	intake.Sink
	mu   sync.Mutex
	held []delivery.Delivery
}

func behind(ctx context.Context, s intake.Sink) intake.Sink {
	b := &writeBehind{Sink: s}
	go func() {
		for wait.For(ctx, 300*time.Millisecond) == nil { // so long that each kill falls into it
			b.mu.Lock()
			if _, err := s.Accept(ctx, b.held); err == nil {
				b.held = nil
			}
			b.mu.Unlock()
		}
	}()
	return b
}

func (b *writeBehind) Accept(_ context.Context, ds []delivery.Delivery) (delivery.Accepted, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.held = append(b.held, ds...)
	return delivery.Accepted{New: len(ds)}, nil
}

// noKey gives every delivery an id of its own.
type noKey struct{ intake.Sink }

func keyless(_ context.Context, s intake.Sink) intake.Sink { return noKey{s} }

func (n noKey) Accept(ctx context.Context, ds []delivery.Delivery) (delivery.Accepted, error) {
	for i := range ds {
		if _, err := rand.Read(ds[i].Event.ID[:]); err != nil {
			return delivery.Accepted{}, err
		}
	}
	return n.Sink.Accept(ctx, ds)
}

// heightFirst stores the height in a transaction of its own, and the rows in
// the next one: who dies between the two never comes back to the block.
func heightFirst(ctx context.Context, x *index.Index, b *common.Block, die bool) error {
	if !die {
		return applyWhole(ctx, x, b, false)
	}
	decoded, err := ledger.Decode(b, chainCode)
	if err != nil {
		return err
	}
	decoded.Txs = nil
	return x.Apply(ctx, decoded)
}

// everything takes each transaction for valid.
func everything(ctx context.Context, x *index.Index, b *common.Block, die bool) error {
	for i := range b.GetMetadata().GetMetadata()[common.BlockMetadataIndex_TRANSACTIONS_FILTER] {
		b.GetMetadata().GetMetadata()[common.BlockMetadataIndex_TRANSACTIONS_FILTER][i] = 0
	}
	return applyWhole(ctx, x, b, die)
}

// renewing sends what may have been sent before in a new transaction.
type renewing struct {
	record.Ledger
	mu    sync.Mutex
	calls map[string]func(context.Context) (ledger.Endorsed, error)
	sent  map[string]ledger.Endorsed // by the id that the lane knows
}

func renew(to record.Ledger) record.Ledger {
	return &renewing{Ledger: to, calls: map[string]func(context.Context) (ledger.Endorsed, error){}, sent: map[string]ledger.Endorsed{}}
}

func (r *renewing) Endorse(ctx context.Context, fn string, args []string, transient map[string][]byte) (ledger.Endorsed, error) {
	again := func(ctx context.Context) (ledger.Endorsed, error) {
		return r.Ledger.Endorse(ctx, fn, args, transient)
	}
	e, err := again(ctx)
	if err == nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.calls[e.TxID] = again
	}
	return e, err
}

func (r *renewing) SubmitEndorsed(ctx context.Context, e ledger.Endorsed) error {
	r.mu.Lock()
	_, retry := r.sent[e.TxID]
	again := r.calls[e.TxID]
	r.mu.Unlock()
	now := e
	if retry && again != nil {
		var err error
		if now, err = again(ctx); err != nil {
			return err
		}
	}
	r.mu.Lock()
	r.sent[e.TxID] = now
	r.mu.Unlock()
	return r.Ledger.SubmitEndorsed(ctx, now)
}

func (r *renewing) CommitStatus(ctx context.Context, txID string) (ledger.Commit, error) {
	r.mu.Lock()
	if now, ok := r.sent[txID]; ok {
		txID = now.TxID
	}
	r.mu.Unlock()
	return r.Ledger.CommitStatus(ctx, txID)
}

// neverBusy hands the answer of a busy gateway on as a success.
func neverBusy(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := httptest.NewRecorder()
		next.ServeHTTP(answer, r)
		if answer.Code == http.StatusTooManyRequests || answer.Code == http.StatusServiceUnavailable {
			answer.Code = http.StatusOK
		}
		w.WriteHeader(answer.Code)
		_, _ = w.Write(answer.Body.Bytes()) // a recorder takes everything
	})
}
