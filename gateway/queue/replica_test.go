package queue

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/delivery"
	"github.com/waybill-dev/waybill/gateway/sqldb"
)

// The ledger of these tests is a table with a ledger's one rule: the first
// bytes under a lane and number stand, and the transaction of any other is invalid.
const ledgerTable = `CREATE TABLE ledger (at BIGINT GENERATED ALWAYS AS IDENTITY, lane TEXT, seq BIGINT, txid TEXT, bytes BYTEA, sender TEXT, PRIMARY KEY (lane, seq))`

type tableLedger struct {
	db     *sql.DB
	sender string
}

func openLedger(url, sender string) (tableLedger, error) {
	server, err := sqldb.ParseURL("ledger", url, 0)
	if err != nil {
		return tableLedger{}, err
	}
	return tableLedger{server.Open(replicaLanes), sender}, nil
}

// submit says whether the envelope's transaction is valid.
func (l tableLedger) submit(ctx context.Context, s Segment) (bool, error) {
	for {
		var txid string
		_, err := l.db.ExecContext(ctx, `INSERT INTO ledger (lane, seq, txid, bytes, sender) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING`,
			s.LaneName, int64(s.Seq), s.TxID, s.Bytes, l.sender)
		if err == nil {
			err = l.db.QueryRowContext(ctx, `SELECT txid FROM ledger WHERE lane = $1 AND seq = $2`, s.LaneName, int64(s.Seq)).Scan(&txid)
		}
		if err == nil || !sqldb.IsDisconnected(err) || ctx.Err() != nil {
			return txid == s.TxID, err
		}
	}
}

// replica drains lanes as the gateway's submitter does.
type replica struct {
	q      *Queue
	ledger tableLedger
	// at is told of every step, and may never return.
	at func(step string)
}

func (r replica) drain(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var wg sync.WaitGroup
	failed := make(chan error, r.q.Lanes())
	for lane := range r.q.Lanes() {
		wg.Go(func() {
			for ctx.Err() == nil {
				err := r.round(ctx, lane)
				lost := errors.Is(err, ErrLaneLost)
				if err != nil && !lost && provenance.CodeOf(err) != provenance.Unavailable && ctx.Err() == nil {
					failed <- fmt.Errorf("lane %d: %w", lane, err)
					stop()
					return
				}
			}
		})
	}
	wg.Wait()
	close(failed)
	return <-failed
}

func (r replica) round(ctx context.Context, lane int) error {
	s, err := r.q.Sealed(ctx, lane)
	if err != nil {
		return err
	}
	if s == nil {
		items, err := r.q.Lease(ctx, lane, 100, time.Minute)
		if err != nil {
			return err
		}
		if len(items) == 0 {
			select {
			case <-r.q.Arrived(lane):
			case <-time.After(20 * time.Millisecond):
			case <-ctx.Done():
			}
			return nil
		}
		r.at("leased")
		seq, err := r.q.NextSeq(ctx, lane)
		if err != nil {
			r.q.Return(items)
			return err
		}
		made := segment(r.q, lane, seq, items)
		if made.TxID, err = newName(); err != nil {
			return err
		}
		if err := r.q.Seal(ctx, made, items); err != nil {
			return err
		}
		r.at("sealed")
		s = &made
	}
	valid, err := r.ledger.submit(ctx, *s)
	if err != nil {
		return err
	}
	if !valid {
		return fmt.Errorf("segment %s/%d: the ledger holds another one", s.LaneName, s.Seq)
	}
	r.at("sent")
	return r.q.Recorded(ctx, *s, 1)
}

const (
	replicaArg   = "-replica"
	replicaLanes = 8
	replicaRepos = 40
	allEvents    = 20_000
	lateEvents   = 1000
	replicaTTL   = 2 * time.Second
)

func event(n int) delivery.Delivery { return testDelivery(fmt.Sprintf("team/r%d", n%replicaRepos), n) }

func acceptRange(ctx context.Context, q *Queue, from, to int) error {
	for n := from; n < to; n += 500 {
		var ds []delivery.Delivery
		for i := n; i < min(n+500, to); i++ {
			ds = append(ds, event(i))
		}
		if _, err := q.Accept(ctx, ds); err != nil {
			return err
		}
	}
	return nil
}

// replicaMain is the other process: it accepts its events, drains, and at the
// fifth of its batches stops for ever at the given step, to be killed there; or
// it goes on when it is told to.
func replicaMain(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	url, step := args[0], args[1]
	all, err := strconv.Atoi(args[2])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	q, err := Open(ctx, url, Options{Lanes: replicaLanes, LaneTTL: replicaTTL, Log: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	if err == nil {
		err = acceptRange(ctx, q, all*2/5, all)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	ledger, err := openLedger(url, "other")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	var batches atomic.Int64
	r := replica{q: q, ledger: ledger, at: func(now string) {
		if now == step && batches.Add(1) == 5 {
			fmt.Println(step) // whoever reads this stops or kills the process
			var b [1]byte
			_, _ = os.Stdin.Read(b[:])
		}
	}}
	fmt.Println("accepted")
	if err := errors.Join(r.drain(ctx), q.Close()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// TestReplicaDiesMidBatch drains 20,000 events with two replicas, one of them
// another process that is killed, or paused and woken when its lanes are
// others', at each step of a batch: none is lost, none recorded twice.
func TestReplicaDiesMidBatch(t *testing.T) {
	for _, step := range []string{"leased", "sealed", "sent"} {
		t.Run("killed when "+step, func(t *testing.T) { replicaDies(t, step, allEvents, false) })
		t.Run("paused when "+step, func(t *testing.T) { replicaDies(t, step, allEvents/4, true) })
	}
}

// Both accept more than half of the events, so that they overlap.
func replicaDies(t *testing.T, step string, events int, paused bool) {
	url := createSchema(t)
	mine := open(t, url, Options{Lanes: replicaLanes, LaneTTL: replicaTTL})
	ledger := newLedger(t, url)
	other := startReplica(t, url, step, events)
	if err := acceptRange(t.Context(), mine, 0, events*3/5); err != nil {
		t.Fatal(err)
	}
	other.wait(t, "accepted")
	until(t, "the other has its part of the lanes", func() bool { return held(mine) == replicaLanes/2 }) // else there is nothing left for it
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	drained := make(chan error, 1)
	go func() { drained <- replica{q: mine, ledger: ledger, at: func(string) {}}.drain(ctx) }()

	other.wait(t, step)
	signal := syscall.SIGKILL
	if paused {
		signal = syscall.SIGSTOP
	}
	if err := other.cmd.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
	at := time.Now()
	until(t, "the survivor holds every lane", func() bool { return held(mine) == replicaLanes })
	t.Logf("taken over after %s", time.Since(at).Round(time.Millisecond))
	until(t, "the queue is empty", func() bool { s := stats(t, mine); return s.Pending == 0 && s.Sealed == 0 })
	if paused { // it still believes in its lanes; give it lots to do wrong
		if err := acceptRange(t.Context(), mine, events, events+lateEvents); err != nil {
			t.Fatal(err)
		}
		if err := other.cmd.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		_ = other.in.Close() // on with it
		until(t, "the queue is empty again", func() bool { s := stats(t, mine); return s.Pending == 0 && s.Sealed == 0 })
		until(t, "the woken replica has its part again", func() bool { return held(mine) == replicaLanes/2 })
		if err := other.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if err := other.cmd.Wait(); err != nil {
			t.Fatalf("the paused replica: %v", err)
		}
	}
	stop()
	if err := <-drained; err != nil {
		t.Fatal(err)
	}
	want := events
	if paused {
		want += lateEvents
	}
	checkLedger(t, ledger, want)
	if s := stats(t, mine); s.Done != int64(want) || s.Dead != 0 {
		t.Fatalf("stats %+v", s)
	}
}

func held(q *Queue) int {
	n := 0
	for lane := range q.Lanes() {
		if q.holds(lane) {
			n++
		}
	}
	return n
}

func newLedger(t *testing.T, url string) tableLedger {
	t.Helper()
	ledger, err := openLedger(url, "mine")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ledger.db.Close() })
	if _, err := ledger.db.ExecContext(t.Context(), ledgerTable); err != nil {
		t.Fatal(err)
	}
	return ledger
}

// checkLedger wants every event once, and the numbers of a lane in order and without gaps.
func checkLedger(t *testing.T, l tableLedger, events int) {
	t.Helper()
	rows, err := l.db.QueryContext(t.Context(), `SELECT lane, seq, bytes, sender FROM ledger ORDER BY at`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	times, last, senders := map[provenance.EventID]int{}, map[string]uint64{}, map[string]int{}
	for rows.Next() {
		var lane, sender string
		var seq uint64
		var b []byte
		if err := rows.Scan(&lane, &seq, &b, &sender); err != nil {
			t.Fatal(err)
		}
		if seq != last[lane]+1 {
			t.Errorf("lane %s: segment %d after %d", lane, seq, last[lane])
		}
		last[lane] = seq
		for _, id := range idsOf(b) {
			times[id]++
		}
		senders[sender]++
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	lost, twice := 0, 0
	for n := range events {
		switch k := times[event(n).Event.ID]; {
		case k == 0:
			lost++
		case k > 1:
			twice++
		}
	}
	if lost != 0 || twice != 0 || len(times) != events {
		t.Fatalf("of %d events %d are lost, %d recorded twice, %d on the ledger", events, lost, twice, len(times))
	}
	t.Logf("%d events once each; segments by sender %v", events, senders)
}

type otherProcess struct {
	cmd   *exec.Cmd
	in    io.Closer
	words chan string
}

func startReplica(t *testing.T, url, step string, events int) *otherProcess {
	t.Helper()
	cmd := exec.Command(os.Args[0], replicaArg, url, step, strconv.Itoa(events))
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	o := &otherProcess{cmd: cmd, in: in, words: make(chan string, 10)}
	go func() {
		defer close(o.words)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			o.words <- lines.Text()
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended long ago
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("the other process said:\n%s", log.String())
		}
	})
	return o
}

func (o *otherProcess) wait(t *testing.T, word string) {
	t.Helper()
	select {
	case got := <-o.words:
		if diff := cmp.Diff(word, got); diff != "" {
			t.Fatal("the other process:", diff)
		}
	case <-time.After(time.Minute):
		_ = o.cmd.Process.Signal(syscall.SIGQUIT) // it tells what each of its goroutines waits for
		_ = o.cmd.Wait()
		t.Fatalf("the other process did not get to %q", word)
	}
}

func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(time.Minute); !done(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within a minute", what)
		}
	}
}
