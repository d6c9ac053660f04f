package queue

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/sqldb"
)

// Lanes among replicas (PostgreSQL).
//
// Every lane is held by at most one replica: lanes.owner, renewed a few times
// within Options.LaneTTL, and lanes.epoch, which grows by one with every
// change of hands. Time is the server's; replicas' clocks decide nothing. Any
// replica may accept events for any lane; only the holder leases, seals and
// records. Free and expired lanes are taken with FOR UPDATE SKIP LOCKED, so
// that replicas that start together do not wait for each other, and a lane
// whose holder is in the middle of a transaction is never taken from under it.
//
// A holder may believe that it holds a lane which it has lost: it was paused,
// or cut off. So no belief counts: every transaction that touches a lane first
// locks the lane's row and checks owner and epoch (fence), and keeps the lock
// until COMMIT. A change of hands therefore happens wholly before or wholly
// after it, and what comes after fails with ErrLaneLost. Hence:
//
//  1. Two replicas never seal two segments under one lane and number. Seal,
//     under the lock, wants no open segment and seq == lanes.next; Recorded and
//     Skip, under the lock, move lanes.next on. Segments hold one row per lane.
//  2. What was paused between Seal's COMMIT and sending may send late; so may
//     the network. It can only send an envelope that is, or was, the stored one.
//     A stored envelope is replaced (Reseal), or its segment dissolved (Unseal),
//     only after a peer reported it invalid in a block, and an invalid
//     transaction id stays invalid; or replaced because the orderers refuse its
//     signer, by one with the same bytes under the same number, of which the
//     contract writes one. So of all envelopes ever sent for one lane and number
//     at most one records anything, whoever sends it.
//  3. Whoever takes over finds the open segment with its envelope and asks the
//     ledger about it, as after a restart. Until it is closed the lane hands out
//     nothing (inherited): an endorsement under its number would be refused with
//     WB_CONFLICT once the old envelope is valid, and that means "this queue is
//     an old copy" to the submitter.
//  4. Items leased and not sealed by the dead wait in their rows; leases are in
//     memory. A live loser's items carry the epoch of their lease, and fail.
//
// A replica that stops politely frees its lanes at once. When one joins, the
// others hand lanes over as soon as these are quiet: nothing leased, no open
// segment. All sort the live replicas and agree without talking.
//
// The server must not lose what it committed. After a failover to a standby
// that lagged the queue is an old copy of itself; see Skip.

// laneHold is this replica's hold of one lane.
type laneHold struct {
	epoch     int64
	until     time.Time // by our clock; after it, start nothing new
	draining  bool      // another replica waits for it
	inherited bool      // taken over with an open segment that is still open
}

// turnsWithinTTL is how often lanes are renewed within their time.
const turnsWithinTTL = 5

// recountShare bounds the time spent on counting items to a twentieth.
const recountShare = 20

func (q *Queue) shared() bool { return q.replica != "" }

// holds tells whether this process works on the lane.
func (q *Queue) holds(lane int) bool {
	if !q.shared() {
		return true
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	_, ok := q.laneHolds[lane]
	return ok
}

func (q *Queue) mayLease(lane int) (epoch int64, ok bool) {
	if !q.shared() {
		return 0, true
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	t, held := q.laneHolds[lane]
	return t.epoch, held && !t.draining && !t.inherited && time.Now().Before(t.until)
}

// segmentClosed notes that the lane's open segment is closed.
func (q *Queue) segmentClosed(lane int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if t, ok := q.laneHolds[lane]; ok && t.inherited {
		t.inherited = false
		q.laneHolds[lane] = t
	}
}

// fence checks this process's present hold of the lane.
func (q *Queue) fence(b *batch, lane int) error {
	if !q.shared() {
		return nil
	}
	q.mu.Lock()
	t, ok := q.laneHolds[lane]
	q.mu.Unlock()
	if !ok {
		return laneLost(lane)
	}
	return q.backend.fence(b, lane, t.epoch)
}

// fenceItems checks the hold under which items were leased.
func (b *batch) fenceItems(items []Item) error {
	var last Item
	for i, it := range items {
		if i > 0 && it.Lane == last.Lane && it.epoch == last.epoch {
			continue
		}
		last = it
		if err := b.w.backend.fence(b, it.Lane, it.epoch); err != nil {
			return err
		}
	}
	return nil
}

// runLanes renews this replica's lanes and takes its part of the others',
// until ctx ends. While the server is away nothing is renewed; then leasing
// stops by itself, and what is in hand meets the fence.
func (q *Queue) runLanes(ctx context.Context) {
	tick := time.NewTicker(q.options.LaneTTL / turnsWithinTTL)
	defer tick.Stop()
	counted, took, well := time.Now(), time.Duration(0), true
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		err := q.heartbeat(ctx)
		if err == nil && time.Since(counted) > max(time.Second, recountShare*took) {
			start := time.Now()
			err = q.recount(ctx)
			counted, took = time.Now(), time.Since(start)
		}
		if ctx.Err() != nil {
			return
		}
		if err != nil && well {
			q.log.WarnContext(ctx, "queue: lanes are not renewed", slog.Any("error", err))
		}
		well = err == nil
	}
}

// round is what one heartbeat found and did.
type round struct {
	held       map[int]int64 // lane -> epoch
	taken      []int
	open       map[int]bool // of those taken: has an open segment
	freed      bool         // tasks that the dead had
	retryAfter map[int64]time.Time
}

// heartbeat is one round: say that we live, renew, hand over, take.
func (q *Queue) heartbeat(ctx context.Context) error {
	start := time.Now() // before the server counts: our idea of the end is never later than its
	var t round
	return q.writer.do(ctx, &op{
		rows: 1,
		run: func(b *batch) (err error) {
			t, err = q.round(b)
			return err
		},
		after: func() { q.apply(ctx, t, start.Add(q.options.LaneTTL)) },
	})
}

func (q *Queue) round(b *batch) (t round, err error) {
	ttl := q.options.LaneTTL.Seconds()
	var lanes int
	if err := b.w.conn.QueryRowContext(b.ctx, `SELECT lanes FROM meta`).Scan(&lanes); err != nil {
		return t, sqldb.Wrap(err, "renew lanes")
	}
	if lanes != q.options.Lanes {
		return t, b.w.breakWith(lanesChanged(lanes))
	}
	live, err := q.liveReplicas(b, ttl)
	if err != nil {
		return t, err
	}
	if t.freed, err = q.freeTasks(b); err != nil {
		return t, err
	}
	if t.held, err = lanesOf(b.w.conn.QueryContext(b.ctx, `UPDATE lanes SET expires = clock_timestamp() + make_interval(secs => $2)
		WHERE owner = $1 AND lane < $3 RETURNING lane, epoch`, q.replica, ttl, lanes)); err != nil {
		return t, err
	}
	want := fairShare(lanes, live, q.replica)
	if err := q.handOver(b, t.held, len(t.held)-want); err != nil || len(t.held) >= want {
		return t, err
	}
	// Taken without waiting for anybody; a row that is locked is in somebody's hands.
	taken, err := lanesOf(b.w.conn.QueryContext(b.ctx, `WITH free AS MATERIALIZED (
			SELECT lane FROM lanes WHERE lane < $3 AND (owner = '' OR expires < clock_timestamp()) ORDER BY lane LIMIT $4 FOR UPDATE SKIP LOCKED)
		UPDATE lanes SET owner = $1, epoch = epoch + 1, expires = clock_timestamp() + make_interval(secs => $2)
		WHERE lane IN (SELECT lane FROM free) RETURNING lane, epoch`, q.replica, ttl, lanes, want-len(t.held)))
	if err != nil || len(taken) == 0 {
		return t, err
	}
	for lane, epoch := range taken {
		t.held[lane] = epoch
		t.taken = append(t.taken, lane)
	}
	return t, q.inherit(b, &t)
}

// inherit reads what the taken lanes bring. It must be a statement of its own,
// begun after the rows were locked: only that one is sure to see what the
// holder before committed last.
func (q *Queue) inherit(b *batch, t *round) (err error) {
	t.open = map[int]bool{}
	open, err := lanesOf(b.w.conn.QueryContext(b.ctx, `SELECT lane, seq FROM segments WHERE lane = ANY ($1)`, t.taken))
	if err != nil {
		return err
	}
	for lane := range open {
		t.open[lane] = true
	}
	t.retryAfter, err = readRetryAfter(b.w.conn.QueryContext(b.ctx, `SELECT repo, max(due) FROM items WHERE state = 0 AND due > 0 AND lane = ANY ($1) GROUP BY repo`, t.taken))
	return err
}

// liveReplicas says that this one lives, and lists all that do, sorted.
func (q *Queue) liveReplicas(b *batch, ttl float64) ([]string, error) {
	_, err := b.w.conn.ExecContext(b.ctx, `INSERT INTO replicas (id, expires) VALUES ($1, clock_timestamp() + make_interval(secs => $2))
		ON CONFLICT (id) DO UPDATE SET expires = excluded.expires`, q.replica, ttl)
	if err == nil {
		_, err = b.w.conn.ExecContext(b.ctx, `DELETE FROM replicas WHERE id IN (
			SELECT id FROM replicas WHERE expires < clock_timestamp() - interval '1 hour' FOR UPDATE SKIP LOCKED)`)
	}
	if err != nil {
		return nil, sqldb.Wrap(err, "renew lanes")
	}
	rows, err := b.w.conn.QueryContext(b.ctx, `SELECT id FROM replicas WHERE expires > clock_timestamp() ORDER BY id COLLATE "C"`)
	if err != nil {
		return nil, sqldb.Wrap(err, "renew lanes")
	}
	defer rows.Close()
	var live []string
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, sqldb.Wrap(err, "renew lanes")
		}
		live = append(live, id)
	}
	return live, sqldb.Wrap(rows.Err(), "renew lanes")
}

// fairShare is how many lanes a replica should hold.
func fairShare(lanes int, live []string, replica string) int {
	rank, n := max(0, slices.Index(live, replica)), max(1, len(live))
	part := lanes / n
	if rank < lanes%n {
		part++
	}
	return part
}

// apply makes a committed round this process's belief.
func (q *Queue) apply(ctx context.Context, t round, until time.Time) {
	q.mu.Lock()
	for lane, old := range q.laneHolds {
		if t.held[lane] == old.epoch {
			continue
		}
		if _, again := t.held[lane]; again || !old.draining {
			q.log.WarnContext(ctx, "queue: lane lost to another replica", slog.String("lane", q.LaneName(lane)))
		}
		delete(q.laneHolds, lane)
		delete(q.leases, lane)
		delete(q.deferred, lane)
	}
	for lane, epoch := range t.held {
		now := q.laneHolds[lane]
		q.laneHolds[lane] = laneHold{epoch: epoch, until: until, draining: now.draining, inherited: now.inherited || t.open[lane]}
	}
	for id, at := range t.retryAfter {
		q.retryAfter[id] = at
	}
	q.mu.Unlock()
	if t.freed {
		q.tasks.announce()
	}
	for _, lane := range t.taken {
		q.log.InfoContext(ctx, "queue: lane taken", slog.String("lane", q.LaneName(lane)), slog.Bool("open_segment", t.open[lane]))
		q.announce(lane)
	}
}

func lanesOf(rows *sql.Rows, err error) (map[int]int64, error) {
	if err != nil {
		return nil, sqldb.Wrap(err, "read lanes")
	}
	defer rows.Close()
	out := map[int]int64{}
	for rows.Next() {
		var lane int
		var n int64
		if err := rows.Scan(&lane, &n); err != nil {
			return nil, sqldb.Wrap(err, "read lanes")
		}
		out[lane] = n
	}
	return out, sqldb.Wrap(rows.Err(), "read lanes")
}

var errLanesChanged = errors.New("the number of lanes was changed")

// lanesChanged stops a replica that was thought dead when the lanes changed.
func lanesChanged(lanes int) error {
	return provenance.Wrap(provenance.Internal, errLanesChanged, "queue stopped: another replica set %d lanes; restart with the same number", lanes)
}
