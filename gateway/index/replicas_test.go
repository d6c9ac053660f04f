package index

import (
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/sqldb"
	"github.com/waybill-dev/waybill/test/postgres"
)

// follow applies a chain's blocks as a replica does: it goes on from wherever
// the index stands. It returns how many it applied itself.
func follow(t *testing.T, x *Index, c *chain, failed func(error) bool) (applied int) {
	held := uint64(0)
	for held < uint64(len(c.blocks)) {
		err := x.Apply(t.Context(), c.blocks[held])
		if err == nil {
			applied++
			held++
			continue
		}
		if !errors.Is(err, ErrMoved) && !failed(err) {
			t.Error(err)
			return applied
		}
		for {
			if held, err = x.Height(t.Context()); err == nil {
				break
			}
			if !failed(err) {
				t.Error(err)
				return applied
			}
		}
	}
	return applied
}

func never(error) bool { return false }

// Three replicas apply the same blocks to one index. Each block is applied
// once, nobody reads half of one, and the index is that of one follower.
func TestReplicasShareAnIndex(t *testing.T) {
	c := randomChain(t, 11, 150)
	want := applied(t, createFile, c)
	txs := make([]int, len(c.blocks)+1) // of which something is told, at each height
	view(t, want, func(s *Snapshot) {
		err := s.each(`SELECT block FROM txs`, nil, func(row *sql.Rows) error {
			var block int
			err := row.Scan(&block)
			for h := block + 1; h < len(txs); h++ {
				txs[h]++
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	})
	where := newSchema(t)
	reader := created(t, where)
	var sum atomic.Int64
	var replicas, readers sync.WaitGroup
	for range 3 {
		x := opened(t, where)
		replicas.Go(func() { sum.Add(int64(follow(t, x, c, never))) })
	}
	done := make(chan struct{})
	readers.Go(func() {
		for heights := map[uint64]bool{}; ; {
			view(t, reader, func(s *Snapshot) {
				heights[s.Height] = true
				n := 0
				if err := s.reads.questions.(*postgresReads).tx.QueryRowContext(t.Context(), `SELECT count(*) FROM txs`).Scan(&n); err != nil || n != txs[s.Height] {
					t.Errorf("at height %d: %d transactions, %v; want %d", s.Height, n, err, txs[s.Height])
				}
			})
			select {
			case <-done:
				t.Logf("read at %d heights", len(heights))
				return
			default:
			}
		}
	})
	replicas.Wait()
	close(done)
	readers.Wait()
	if n := sum.Load(); n != int64(len(c.blocks)) {
		t.Errorf("%d blocks were applied %d times", len(c.blocks), n)
	}
	if fingerprint(t, reader) != fingerprint(t, want) {
		t.Error("the index is not that of one follower")
	}
}

// A server that crashes loses no block that was acknowledged, and what it did
// not acknowledge is applied whole or not at all.
func TestServerCrashes(t *testing.T) {
	server := postgres.Start(t)
	c := randomChain(t, 12, 160)
	x := created(t, server.URL())
	want := applied(t, createFile, c)
	var held atomic.Int64
	crashed := make(chan error, 1)
	go func() {
		for _, at := range []int64{40, 120} {
			err := within(time.Minute, func() error {
				if n := held.Load(); n < at {
					return fmt.Errorf("%d of %d blocks are held", n, at)
				}
				return nil
			})
			if err == nil {
				err = server.Restart()
			}
			if err != nil {
				crashed <- err
				return
			}
		}
		crashed <- nil
	}()
	failures := 0
	for height := uint64(0); height < uint64(len(c.blocks)); {
		err := x.Apply(t.Context(), c.blocks[height])
		if err == nil {
			height++
			held.Store(int64(height))
			continue
		}
		failures++
		if code := provenance.CodeOf(err); code != provenance.Unavailable && !errors.Is(err, ErrMoved) {
			t.Fatalf("apply block %d: %v (%s)", height, err, code)
		}
		var stands uint64
		err = within(time.Minute, func() (err error) {
			if stands, err = x.Height(t.Context()); err != nil && provenance.CodeOf(err) != provenance.Unavailable {
				t.Fatal(err)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case stands != height && stands != height+1:
			t.Fatalf("%d blocks were acknowledged, the index stands at %d", height, stands)
		default:
			height = stands
		}
	}
	if err := <-crashed; err != nil {
		t.Fatal(err)
	}
	if failures == 0 {
		t.Error("no crash was noticed: this showed nothing")
	}
	var got string
	if err := within(20*time.Second, func() (err error) { got, err = x.Fingerprint(t.Context()); return err }); err != nil {
		t.Fatal(err)
	}
	if got != fingerprint(t, want) {
		t.Error("after two crashes the index is another")
	}
}

// within asks again and again until try succeeds, or the time is over.
func within(d time.Duration, try func() error) error {
	over := time.After(d)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-over:
			return err
		case <-tick.C:
		}
	}
}

// A replica that is stopped in the middle of a block keeps the others waiting
// for seconds only, and finds out when it goes on.
func TestPausedReplica(t *testing.T) {
	c := randomChain(t, 13, 3)
	where := newSchema(t)
	paused, other := created(t, where), opened(t, where)
	tx, err := paused.backend.begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.rollback()
	if _, err := tx.head(); err != nil {
		t.Fatal(err)
	}
	if err := tx.put("half", stored{value: []byte("a block")}); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if err := other.Apply(t.Context(), c.blocks[0]); err != nil {
		t.Fatalf("after %s: %v", time.Since(start), err)
	}
	if err := tx.commit(); err == nil || sqldb.Code(err) != provenance.Unavailable {
		t.Errorf("the paused one went on: %v", err)
	}
	view(t, other, func(s *Snapshot) {
		if got, err := s.Get("half"); err != nil || got[0] != nil || s.Height != 1 {
			t.Errorf("height %d, %q, %v", s.Height, got, err)
		}
	})
}

// Replicas of two versions do not write into one index.
func TestVersions(t *testing.T) {
	c := randomChain(t, 14, 3)
	where := newSchema(t)
	x := created(t, where)
	if _, err := x.backend.(*postgresBackend).read.ExecContext(t.Context(), `BEGIN READ WRITE; UPDATE meta SET version = version + 1; COMMIT`); err != nil {
		t.Fatal(err)
	}
	if err := x.Apply(t.Context(), c.blocks[0]); provenance.CodeOf(err) != provenance.Conflict || errors.Is(err, ErrMoved) {
		t.Errorf("apply: %v", err)
	}
	if _, err := x.Height(t.Context()); provenance.CodeOf(err) != provenance.Conflict {
		t.Errorf("view: %v", err)
	}
	if _, err := Open(t.Context(), where); provenance.CodeOf(err) != provenance.Conflict {
		t.Errorf("open: %v", err)
	}
}
