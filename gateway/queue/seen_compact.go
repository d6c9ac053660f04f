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

const (
	// fanOut is how many runs of a level become one of the next.
	fanOut = 8
	// spanShare: where ids have a life, a merge makes no run that spans more than
	// this part of it, so that a run is soon old as a whole.
	spanShare = 8
	// retryCompaction is the pause after an error.
	retryCompaction = 10 * time.Second
)

// compact makes runs of memtables and fewer runs of many, until ctx ends. What
// a crash, or an error, leaves unfinished is begun again.
func (t *idTable) compact(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	swept := false
	fails := func(so bool) {
		t.failing.Store(so)
		t.wake()
	}
	defer fails(true)
	for {
		err := error(nil)
		if !swept {
			err = t.dropOrphans(ctx)
			swept = err == nil
		}
		for more := true; err == nil && more; {
			more, err = t.compactOnce(ctx)
		}
		if ctx.Err() != nil {
			return
		}
		fails(err != nil)
		var again <-chan time.Time
		if err != nil {
			swept = false
			t.logger.WarnContext(ctx, "event ids are not compacted; it is tried again", slog.Any("error", err))
			timer.Reset(retryCompaction)
			again = timer.C
		}
		select {
		case <-ctx.Done():
			return
		case <-t.work:
		case <-again:
		}
	}
}

// compactOnce does one thing that is due.
func (t *idTable) compactOnce(ctx context.Context) (more bool, err error) {
	t.compacting.Lock()
	defer t.compacting.Unlock()
	if t.frozen.Load() != nil {
		return true, t.flushFrozen(ctx)
	}
	if t.old != oldNone {
		return true, t.convert(ctx)
	}
	if runs := t.due(); len(runs) > 0 {
		return true, t.merge(ctx, runs)
	}
	return false, nil
}

// level is how often a run of so many ids was merged, about.
func (t *idTable) level(r *run) (level int) {
	for n := r.count / int64(t.limit); n >= fanOut; n /= fanOut {
		level++
	}
	return level
}

// due returns neighbours of one level that are to become one run, the youngest level first.
func (t *idTable) due() []*run {
	span := uint32(t.life / spanShare / time.Second)
	for end := len(t.runs); end > 0; {
		start := end - 1
		oldest, newest := t.runs[start].oldest, t.runs[start].newest
		for ; start > 0; start-- {
			r := t.runs[start-1]
			oldest, newest = min(oldest, r.oldest), max(newest, r.newest)
			if t.level(r) != t.level(t.runs[end-1]) || span > 0 && newest-oldest > span {
				break
			}
		}
		if end-start >= fanOut {
			return t.runs[start:end]
		}
		end = start
	}
	return nil
}

// flushFrozen makes the frozen memtable a run, and deletes its part of the log.
func (t *idTable) flushFrozen(ctx context.Context) error {
	m := t.frozen.Load()
	entries := m.sorted()
	age := int64(oldAge + 1)
	if len(t.runs) > 0 {
		age = max(age, t.runs[len(t.runs)-1].age+1)
	}
	return t.write(ctx, making{
		age: age, ids: int64(len(entries)), from: cursorOf(entries),
		commit: func(b *batch) error {
			_, err := b.w.conn.ExecContext(b.ctx, `DELETE FROM seen WHERE n <= ?`, m.upto)
			return sqldb.Wrap(err, "compact event ids")
		},
		after: func(made []*run) {
			t.runs = slices.Concat(t.runs, made)
			t.frozen.Store(nil)
			t.thaw()
			t.wake()
		},
	})
}

// merge makes one run of neighbours. The oldest of all has no use for what is
// discarded.
func (t *idTable) merge(ctx context.Context, runs []*run) error {
	var ids int64
	var sources []cursor
	for _, r := range slices.Backward(runs) {
		ids += r.count
		sources = append(sources, r.cursor(ctx, t.readers))
	}
	from := merged(sources)
	if runs[0] == t.runs[0] {
		from = remembered(from)
	}
	runs = slices.Clone(runs)
	err := t.write(ctx, making{
		age: runs[len(runs)-1].age, ids: ids, from: from, gently: true,
		commit: func(b *batch) error {
			for _, r := range runs {
				if _, err := b.w.conn.ExecContext(b.ctx, `DELETE FROM seen_runs WHERE run = ?`, r.id); err != nil {
					return sqldb.Wrap(err, "compact event ids")
				}
			}
			return nil
		},
		after: func(made []*run) {
			at := slices.Index(t.runs, runs[0])
			t.runs = slices.Replace(slices.Clone(t.runs), at, at+len(runs), made...)
		},
	})
	if err != nil {
		return err
	}
	for _, r := range runs {
		if err := t.dropChunks(ctx, r.id); err != nil {
			return err
		}
	}
	return nil
}

// remembered leaves out what is discarded.
func remembered(c cursor) cursor {
	return func() (e entry, more bool, err error) {
		for {
			if e, more, err = c(); err != nil || !more || e.at > 0 {
				return e, more, err
			}
		}
	}
}

// making is a run in the making.
type making struct {
	age, ids int64 // at most so many ids
	from     cursor
	gently   bool                // takes half of the time, not all of it
	commit   func(*batch) error  // in the transaction that makes it count
	after    func(made []*run)   // after it, in the writer's goroutine; none where there was no entry
	progress func(e entry) error // now and then
}

// write makes a run, step by step, and then lets it count. It waits for the
// writer as everybody does, and makes runs of full memtables in between.
func (t *idTable) write(ctx context.Context, m making) error {
	t.lastRun++
	r := &run{id: t.lastRun, age: m.age, filter: newFilter(m.ids)}
	var chunks [][]byte
	chunk := make([]byte, 0, t.chunkBytes)
	step := func() error {
		start := time.Now()
		if err := t.store(ctx, r, chunks); err != nil {
			return err
		}
		chunks = chunks[:0]
		if !m.gently {
			return nil
		}
		if err := pauseFor(ctx, time.Since(start)); err != nil {
			return err
		}
		if t.frozen.Load() != nil {
			return t.flushFrozen(ctx)
		}
		return nil
	}
	for {
		e, more, err := m.from()
		if err != nil {
			return err
		}
		if len(chunk) == t.chunkBytes || !more && len(chunk) > 0 {
			chunks = append(chunks, chunk)
			chunk = make([]byte, 0, t.chunkBytes)
			if len(chunks) == chunkStep || !more {
				if err := step(); err != nil {
					return err
				}
				if m.progress != nil && more {
					if err := m.progress(e); err != nil {
						return err
					}
				}
			}
		}
		if !more {
			return t.count(ctx, r, m)
		}
		if len(chunk) == 0 {
			r.firsts = append(r.firsts, e.id)
		}
		chunk = e.append(chunk)
		r.filter.add(e.id)
		r.count++
		if e.at > 0 {
			r.newest = max(r.newest, e.at)
			if r.oldest == 0 || e.at < r.oldest {
				r.oldest = e.at
			}
		}
	}
}

func pauseFor(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// store writes the run's next chunks, which do not count yet.
func (t *idTable) store(ctx context.Context, r *run, chunks [][]byte) error {
	next := len(r.firsts) - len(chunks)
	if len(r.firsts) > chunkNumbers {
		return provenance.Errorf(provenance.Internal, "a run of event ids has more than %d chunks", chunkNumbers)
	}
	if err := t.room(time.Now()); err != nil {
		return err // a full disk must not fail the commits of others
	}
	return t.writer.do(ctx, &op{rows: len(chunks), bare: true, run: func(b *batch) error {
		at := next
		for rest := chunks; len(rest) > 0; {
			n, stmt := 1, t.addChunk
			if len(rest) >= chunkRows {
				n, stmt = chunkRows, t.addChunks
			}
			args := make([]any, 0, 2*chunkRows)
			for _, c := range rest[:n] {
				args = append(args, r.chunk(at), c)
				at++
			}
			if _, err := stmt.ExecContext(b.ctx, args...); err != nil {
				return sqldb.Wrap(err, "compact event ids")
			}
			rest = rest[n:]
		}
		return nil
	}})
}

// count lets a run count, whose chunks are all there.
func (t *idTable) count(ctx context.Context, r *run, m making) error {
	firsts := make([]byte, 0, len(r.firsts)*len(provenance.EventID{}))
	for _, id := range r.firsts {
		firsts = append(firsts, id[:]...)
	}
	var made []*run
	if r.count > 0 {
		made = []*run{r}
	}
	return t.writer.do(ctx, &op{
		rows: 1, bare: true,
		run: func(b *batch) error {
			if err := m.commit(b); err != nil || len(made) == 0 {
				return err
			}
			_, err := b.w.conn.ExecContext(b.ctx, `INSERT INTO seen_runs (run, age, ids, oldest, newest, firsts, filter) VALUES (?, ?, ?, ?, ?, ?, ?)`,
				r.id, r.age, r.count, r.oldest, r.newest, firsts, []byte(r.filter))
			return sqldb.Wrap(err, "compact event ids")
		},
		after: func() { m.after(made) },
	})
}

func (t *idTable) deleteSome(ctx context.Context, query string, args ...any) (n int64, err error) {
	err = t.writer.do(ctx, &op{rows: chunkStep, run: func(b *batch) error {
		result, err := b.w.conn.ExecContext(b.ctx, query, args...)
		if err == nil {
			n, err = result.RowsAffected()
		}
		return sqldb.Wrap(err, "compact event ids")
	}})
	return n, err
}

// dropChunks deletes the chunks of a run that does not count any more.
func (t *idTable) dropChunks(ctx context.Context, run int64) error {
	for {
		n, err := t.deleteSome(ctx, `DELETE FROM seen_chunks WHERE id IN (SELECT id FROM seen_chunks WHERE id >= ? AND id < ? ORDER BY id LIMIT ?)`,
			run*chunkNumbers, (run+1)*chunkNumbers, 8*chunkStep)
		if err != nil || n == 0 {
			return err
		}
	}
}

// dropOrphans deletes chunks of runs that do not count: what a crash left.
func (t *idTable) dropOrphans(ctx context.Context) error {
	t.compacting.Lock()
	defer t.compacting.Unlock()
	for next := int64(0); ; {
		var id int64
		err := t.readers.QueryRowContext(ctx, `SELECT id FROM seen_chunks WHERE id >= ? ORDER BY id LIMIT 1`, next).Scan(&id)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return sqldb.Wrap(err, "compact event ids")
		}
		number := id / chunkNumbers
		next = (number + 1) * chunkNumbers
		if slices.ContainsFunc(t.runs, func(r *run) bool { return r.id == number }) {
			continue
		}
		if err := t.dropChunks(ctx, number); err != nil {
			return err
		}
	}
}
