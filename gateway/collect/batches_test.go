package collect

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/waybill-dev/waybill/chaincode/evidence"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/ledger"
)

// lanes is a ledger that takes its time, and refuses what the test says.
type lanes struct {
	mu      sync.Mutex
	batches [][]evidence.Piece // that stand
	tried   int
	inside  map[string]int // images that are on their way
	t       *testing.T
	refuse  func(pieces []evidence.Piece) error
	outcome func(p evidence.Piece) evidence.Outcome
	takes   time.Duration
}

func (l *lanes) SubmitOnce(ctx context.Context, transient map[string][]byte, fn string, args ...string) (ledger.Result, error) {
	pieces := []evidence.Piece{{Envelope: transient["envelope"]}}
	if fn == submitBatch {
		var err error
		if pieces, err = evidence.DecodeBatch(transient["pieces"]); err != nil {
			return ledger.Result{}, err
		}
	} else {
		p := &pieces[0]
		p.Host, p.Repository, p.Digest, p.Type, p.Format, p.MSP, p.Key = args[0], args[1], args[2], args[3], args[4], args[5], args[6]
	}
	images := map[string]bool{}
	for _, p := range pieces {
		images[p.Digest] = true
	}
	l.mu.Lock()
	l.tried++
	for d := range images {
		if l.inside[d]++; l.inside[d] > 1 {
			l.t.Errorf("two transactions about %s at once", d)
		}
	}
	l.mu.Unlock()
	select {
	case <-time.After(l.takes):
	case <-ctx.Done():
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for d := range images {
		l.inside[d]--
	}
	if ctx.Err() != nil {
		return ledger.Result{}, ctx.Err()
	}
	if l.refuse != nil {
		if err := l.refuse(pieces); err != nil {
			return ledger.Result{}, err
		}
	}
	l.batches = append(l.batches, pieces)
	outcomes := make([]evidence.Outcome, len(pieces))
	for i, p := range pieces {
		if l.outcome != nil {
			outcomes[i] = l.outcome(p)
		}
	}
	var b []byte
	var err error
	if fn == submitBatch {
		b, err = json.Marshal(outcomes)
	} else {
		b, err = json.Marshal(outcomes[0])
	}
	return ledger.Result{Payload: b}, err
}

func (l *lanes) SubmitTransient(ctx context.Context, transient map[string][]byte, fn string, args ...string) (ledger.Result, error) {
	return l.SubmitOnce(ctx, transient, fn, args...)
}

// batching is batches over that ledger, and what became of each piece.
type batching struct {
	*Batches
	ledger *lanes
	mu     sync.Mutex
	ended  map[string]error
	known  int
}

func newBatching(t *testing.T) *batching {
	l := &lanes{t: t, inside: map[string]int{}, takes: 500 * time.Millisecond}
	b := &batching{Batches: &Batches{Ledger: l}, ledger: l, ended: map[string]error{}}
	run(t, b.Batches)
	return b
}

func imageOf(n int) provenance.Digest { return provenance.SHA256Of(fmt.Append(nil, n)) }

// bring hands a piece about an image in.
func (b *batching) bring(image int, name string, size int) {
	p := evidence.Piece{Digest: imageOf(image).String(), MSP: "VendorMSP", Key: name, Envelope: make([]byte, size)}
	b.hand(imageOf(image), "sbom", p, func(known bool, err error) {
		b.mu.Lock()
		defer b.mu.Unlock()
		key := fmt.Sprint(image, " ", name)
		if _, twice := b.ended[key]; twice {
			panic(key + " ended twice")
		}
		b.ended[key] = err
		if known {
			b.known++
		}
	})
}

// wait waits until so many pieces have ended.
func (b *batching) wait(t *testing.T, n int) {
	t.Helper()
	for range 10_000 {
		b.mu.Lock()
		ended := len(b.ended)
		b.mu.Unlock()
		if ended == n {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("%d of %d pieces ended", len(b.ended), n)
}

// A single piece waits for nobody for long; what comes while transactions are on their
// way goes together, several at once, and never two about one image.
func TestBatchesGather(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBatching(t)
		b.ledger.outcome = func(p evidence.Piece) evidence.Outcome { return evidence.Outcome{Known: p.Key == "known"} }
		start := time.Now()
		b.bring(0, "first", 100)
		b.wait(t, 1)
		if took := time.Since(start); took > time.Second || len(b.ledger.batches[0]) != 1 {
			t.Errorf("the first took %s", took)
		}
		for i := range 1000 {
			b.bring(i/4, fmt.Sprint("key-", i%4), 2000)
		}
		b.bring(7, "known", 2000)
		start = time.Now()
		b.wait(t, 1002)
		if took := time.Since(start); took > 3*time.Second || len(b.ledger.batches) > 9 || b.known != 1 {
			t.Errorf("%d transactions in %s; %d known", len(b.ledger.batches), took, b.known)
		}
		for key, err := range b.ended {
			if err != nil {
				t.Errorf("%s: %v", key, err)
			}
		}
	})
}

// Two pieces of which the newer counts are in no batch together, and in their order.
func TestBatchesKeepOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBatching(t)
		for n := range 3 {
			p := evidence.Piece{Digest: imageOf(1).String(), MSP: "VendorMSP", Key: "scan", Envelope: []byte{byte(n)}}
			b.hand(imageOf(1), "vuln-scan", p, func(bool, error) { b.mu.Lock(); b.ended[fmt.Sprint(n)] = nil; b.mu.Unlock() })
			b.bring(2+n, "other", 100)
		}
		b.wait(t, 6)
		var order []byte
		for _, batch := range b.ledger.batches {
			here := 0
			for _, p := range batch {
				if p.Key == "scan" {
					order, here = append(order, p.Envelope[0]), here+1
				}
			}
			if here > 1 {
				t.Error("two of one slot in a batch")
			}
		}
		if !slices.Equal(order, []byte{0, 1, 2}) {
			t.Errorf("in the order %v", order)
		}
	})
}

// One piece that fails any transaction it is in, and an image that others write about
// all the time, keep no other from the ledger, and are told what it was.
func TestBatchesIsolate(t *testing.T) {
	for name, bad := range map[string]error{
		"poison": provenance.Errorf(provenance.Internal, "a defect"), "hot image": provenance.Errorf(provenance.Conflict, "overtaken"),
		"a batch that nobody reads": provenance.Errorf(provenance.Invalid, "no batch"),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBatching(t)
				b.ledger.refuse = func(pieces []evidence.Piece) error {
					if slices.ContainsFunc(pieces, func(p evidence.Piece) bool { return p.Key == "bad" }) {
						return bad
					}
					return nil
				}
				for i := range 400 {
					b.bring(i/4, fmt.Sprint("key-", i%4), 100)
				}
				b.bring(40, "bad", 100)
				start := time.Now()
				b.wait(t, 401)
				for key, err := range b.ended {
					hot := name == "hot image" && key[:3] == "40 "
					if isBad := key == "40 bad"; isBad != (err != nil) && !hot {
						t.Errorf("%s: %v", key, err)
					}
				}
				if took := time.Since(start); took > 15*time.Second || b.ledger.tried > 40 {
					t.Errorf("%d transactions in %s", b.ledger.tried, took)
				}
			})
		})
	}
}

// A ledger that does not answer is told to all at once, and asked for less the next
// time; large envelopes go alone, and leave lanes to the others.
func TestBatchesYield(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBatching(t)
		slow := true
		b.ledger.refuse = func(pieces []evidence.Piece) error {
			if slow && len(pieces) > 64 {
				return provenance.Errorf(provenance.Unavailable, "no answer within the deadline")
			}
			return nil
		}
		total := 0
		for round := range 4 {
			for i := range 200 {
				b.bring(1000*round+i, "key", 100)
			}
			total += 200
			b.wait(t, total)
		}
		failed := 0
		for _, err := range b.ended {
			if provenance.CodeOf(err) == provenance.Unavailable {
				failed++
			}
		}
		if failed == 0 || failed > 400 {
			t.Errorf("%d of %d found no answer", failed, total)
		}
		slow, b.ledger.batches = false, nil
		for i := range 8 {
			b.bring(10_000+i, "large", evidence.MaxSmall+1)
		}
		for i := range 20 {
			b.bring(20_000+i, "small", 100)
		}
		b.wait(t, total+28)
		for i, batch := range b.ledger.batches {
			large := slices.ContainsFunc(batch, func(p evidence.Piece) bool { return p.Key == "large" })
			if large && len(batch) > 1 || !large && i > 6 {
				t.Errorf("transaction %d: %d pieces, large %t", i, len(batch), large)
			}
		}
	})
}

// Whoever waits when it ends is told so, and so is who comes later.
func TestBatchesEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &lanes{t: t, inside: map[string]int{}, takes: time.Hour}
		b := &batching{Batches: &Batches{Ledger: l}, ledger: l, ended: map[string]error{}}
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { _ = b.Run(ctx) })
		for i := range 600 {
			b.bring(i, "key", 100)
		}
		time.Sleep(time.Second)
		cancel()
		running.Wait()
		b.bring(700, "late", 100)
		b.wait(t, 601)
		for key, err := range b.ended {
			if !errors.Is(err, context.Canceled) {
				t.Errorf("%s: %v", key, err)
			}
		}
	})
}
