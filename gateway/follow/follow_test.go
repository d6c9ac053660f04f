package follow

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/block"
	"github.com/waybill-dev/waybill/gateway/index"
	"github.com/waybill-dev/waybill/gateway/wait"
	"github.com/waybill-dev/waybill/test/postgres"
)

// growing is a peer whose chain grows; lag is how many blocks it is behind.
type growing struct {
	blocks []block.Block
	height *atomic.Int64
	lag    int64
}

func (g growing) Height(context.Context) (uint64, error) {
	return uint64(max(0, g.height.Load()-g.lag)), nil
}

func (g growing) Blocks(ctx context.Context, from uint64, apply func(block.Block) error) error {
	for {
		if held, _ := g.Height(ctx); from < held {
			if err := apply(g.blocks[from]); err != nil {
				return err
			}
			from++
			continue
		}
		if err := wait.For(ctx, time.Millisecond); err != nil {
			return err
		}
	}
}

func chainOf(n int) []block.Block {
	blocks := make([]block.Block, n)
	for i := range blocks {
		b := block.Block{Number: uint64(i), Hash: fmt.Append(nil, "hash ", i)}
		if i > 0 {
			b.PreviousHash = blocks[i-1].Hash
		}
		if i%10 == 0 {
			b.Organisations = []block.Organisation{{MSPID: "VendorMSP"}, {MSPID: fmt.Sprint("Org", i, "MSP")}}
		}
		b.Txs = []block.Tx{{ID: fmt.Sprint("tx", i), Creator: policy.Person{MSP: "VendorMSP", Name: "gateway"}, At: time.Unix(int64(i), 0),
			Writes: []block.Write{{Key: fmt.Sprint("key", i%7), Value: fmt.Append(nil, i)}}}}
		blocks[i] = b
	}
	return blocks
}

// Two gateways follow into one index, their peers not equally far. Its server
// crashes and comes back, and the index is rebuilt beneath them; neither ends,
// and the index is the chain's.
func TestFollowersShareAnIndex(t *testing.T) {
	server := postgres.Start(t)
	if err := index.Create(t.Context(), server.URL()); err != nil {
		t.Fatal(err)
	}
	const n = 90
	blocks := chainOf(n)
	var height atomic.Int64
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	followers := make([]*Follower, 2)
	for i := range followers {
		x := openIndex(t, server.URL())
		f := &Follower{Ledger: growing{blocks, &height, int64(2 * i)}, Index: x, Watcher: &looked{}, Log: slog.New(slog.NewTextHandler(t.Output(), nil))}
		followers[i] = f
		wg.Go(func() {
			if err := f.Run(ctx); !errors.Is(err, context.Canceled) {
				t.Errorf("follower %d ended: %v", i, err)
			}
		})
		wg.Go(func() { _ = f.Watch(ctx) }) // it ends with ctx
	}
	reach := func(want uint64) {
		t.Helper()
		for deadline := time.Now().Add(40 * time.Second); ; {
			at := make([]uint64, len(followers))
			for i, f := range followers {
				f.mu.Lock()
				at[i] = f.height
				f.mu.Unlock()
			}
			if at[0] >= want && at[1] >= want-2 {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("the followers stand at %v, want %d", at, want)
			}
			_ = wait.For(t.Context(), 5*time.Millisecond)
		}
	}
	height.Store(30)
	reach(30)
	if err := server.Crash(); err != nil {
		t.Fatal(err)
	}
	height.Store(60)
	if err := server.Restart(); err != nil {
		t.Fatal(err)
	}
	reach(60)
	err := index.Rebuild(t.Context(), server.URL(), func(x *index.Index) error {
		for _, b := range blocks[:40] {
			if err := x.Apply(t.Context(), b); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	// The channel is quiet, and still the index comes level.
	alone := openIndex(t, server.URL())
	for deadline := time.Now().Add(20 * time.Second); ; _ = wait.For(t.Context(), 20*time.Millisecond) {
		held, err := alone.Height(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if held == 60 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the index was rebuilt to block 40 and stays at %d", held)
		}
	}
	height.Store(n)
	reach(n)
	for i, f := range followers {
		if got := f.Watcher.Height(); got < n-2 {
			t.Errorf("follower %d noted what to do up to block %d", i, got)
		}
		if l := f.Watcher.(*looked); l.gaps.Load() != 0 || l.failed.Load() < 2 {
			t.Errorf("follower %d left out %d blocks; block 5 was brought %d times", i, l.gaps.Load(), l.failed.Load())
		}
		if members := f.Members(); len(members) != 2 || !slices.ContainsFunc(blocks[80].Organisations, func(o block.Organisation) bool { return o.MSPID == members[0].MSPID }) {
			t.Errorf("follower %d knows the members %+v", i, members)
		}
	}
	sameAsAlone(t, server.URL(), blocks)
}

func openIndex(t *testing.T, where string) *index.Index {
	t.Helper()
	x, err := index.Open(t.Context(), where)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = x.Close() }) // committed, or of no interest
	return x
}

// sameAsAlone compares an index with the one that a single follower makes in a file.
func sameAsAlone(t *testing.T, where string, blocks []block.Block) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "index.db")
	if err := index.Create(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	fingerprints := make([]string, 2)
	for i, place := range []string{path, where} {
		x := openIndex(t, place)
		if i == 0 {
			for _, b := range blocks {
				if err := x.Apply(t.Context(), b); err != nil {
					t.Fatal(err)
				}
			}
		}
		fingerprint, err := x.Fingerprint(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		fingerprints[i] = fingerprint
	}
	if fingerprints[0] != fingerprints[1] {
		t.Error("the shared index is not the chain's")
	}
}

// What is no outage ends the follower: a peer of another channel.
func TestFollowerRefusesAnotherChain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "index.db")
	if err := index.Create(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	x := openIndex(t, path)
	blocks := chainOf(3)
	blocks[2].PreviousHash = []byte("another")
	var height atomic.Int64
	height.Store(3)
	f := &Follower{Ledger: growing{blocks: blocks, height: &height}, Index: x, Watcher: &looked{}, Log: slog.New(slog.DiscardHandler)}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := f.Run(ctx); provenance.CodeOf(err) != provenance.Conflict {
		t.Errorf("it ended with %v", err)
	}
	// However many were there at once, those before it are good.
	if held, err := x.Height(t.Context()); held != 2 || err != nil {
		t.Errorf("it stands at %d, %v", held, err)
	}
}

// A peer that goes on, and one whose stream breaks off.
func TestRebuildReadsAhead(t *testing.T) {
	const n = 300
	blocks := chainOf(n + 5)
	var height atomic.Int64
	height.Store(n)
	path := filepath.Join(t.TempDir(), "index.db")
	if err := index.Create(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	if err := index.Rebuild(t.Context(), path, func(x *index.Index) error {
		held, err := Rebuild(t.Context(), growing{blocks: blocks, height: &height}, x, slog.New(slog.DiscardHandler))
		height.Store(n + 5) // from now on it has more, which nobody asked for
		if held != n {
			t.Errorf("it stands at %d", held)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	sameAsAlone(t, path, blocks[:n])
	broken := errors.New("the stream broke off")
	err := ahead(t.Context(), breaking{blocks[:40], broken}, 0, func([]index.Prepared) error { return nil })
	if !errors.Is(err, broken) {
		t.Errorf("it ended with %v", err)
	}
	refused := errors.New("the index is away")
	taken := 0
	err = ahead(t.Context(), breaking{blocks, nil}, 3, func(some []index.Prepared) error {
		for _, b := range some {
			if b.Number != uint64(3+taken) {
				t.Errorf("block %d came in the place of block %d", b.Number, 3+taken)
			}
			taken++
		}
		if taken > 100 {
			return refused
		}
		return nil
	})
	if !errors.Is(err, refused) {
		t.Errorf("it ended with %v after %d blocks", err, taken)
	}
	if got := remaining(time.Minute, 30, 90); got != 2*time.Minute {
		t.Errorf("%s remain", got)
	}
}

// breaking is a peer whose stream ends with an error.
type breaking struct {
	blocks []block.Block
	err    error
}

func (b breaking) Height(context.Context) (uint64, error) { return uint64(len(b.blocks)), nil }

func (b breaking) Blocks(_ context.Context, from uint64, apply func(block.Block) error) error {
	for _, one := range b.blocks[from:] {
		if err := apply(one); err != nil {
			return err
		}
	}
	return b.err
}

// Readers of the index do not wait for what notes tasks, and that one gets each block
// in its turn.
func TestTasksHoldNoReaderUp(t *testing.T) {
	path := filepath.Join(t.TempDir(), "index.db")
	if err := index.Create(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	x := openIndex(t, path)
	var height atomic.Int64
	height.Store(noteAhead)
	slow := &held{goOn: make(chan struct{})}
	f := &Follower{Ledger: growing{blocks: chainOf(noteAhead), height: &height}, Index: x, Watcher: slow, Log: slog.New(slog.DiscardHandler)}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() { _ = f.Run(ctx) }) // it ends with ctx
	reach := func(what string, at func() uint64) {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); at() < noteAhead; _ = wait.For(t.Context(), time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("the %s stands at %d of %d", what, at(), noteAhead)
			}
		}
	}
	reach("index", func() uint64 {
		got, err := x.Height(t.Context())
		if err != nil {
			t.Error(err)
		}
		return got
	})
	if got := slow.Height(); got != 0 {
		t.Fatalf("%d blocks are noted", got)
	}
	close(slow.goOn)
	reach("list of tasks", slow.Height)
	if got := slow.gaps.Load(); got != 0 {
		t.Errorf("%d blocks were left out", got)
	}
}

// held takes blocks once it may.
type held struct {
	looked
	goOn chan struct{}
}

func (h *held) Block(ctx context.Context, b block.Block) error {
	select {
	case <-h.goOn:
		return h.looked.Block(ctx, b)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// looked takes each block once, and one of them at the second try only.
type looked struct {
	height, failed, gaps atomic.Uint64
}

func (l *looked) Height() uint64 { return l.height.Load() }

func (l *looked) Block(_ context.Context, b block.Block) error {
	height := l.height.Load()
	if b.Number > height {
		l.gaps.Add(1)
	}
	if b.Number == 5 && l.failed.Add(1) == 1 {
		return provenance.Errorf(provenance.Unavailable, "the queue is away")
	}
	l.height.Store(max(height, b.Number+1))
	return nil
}
