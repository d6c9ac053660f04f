package queue

import (
	"maps"
	"slices"

	"github.com/waybill-dev/waybill/gateway/sqldb"
)

// add takes tasks. One that is on the list stays as it is, but is due now, and
// one that was set aside is brought back.
func (w *taskWrite) add(tasks []Task) error {
	if len(tasks) == 0 {
		return nil
	}
	places, waiting := map[repoKey]int64{}, map[int64]int64{}
	for _, t := range tasks {
		place, err := w.place(places, repoKey{t.Host, t.Repository})
		if err != nil {
			return err
		}
		key := []any{place, t.Kind, digestText(t.Digest), digestText(t.Subject)}
		n, err := w.run(w.w.stmts.addTask, append(key, string(t.Tag), w.now.UnixMilli())...)
		if err != nil {
			return err
		}
		if waiting[place] += n; n == 1 {
			continue
		}
		const same = `place = ? AND kind = ? AND digest = ? AND subject = ?`
		if _, err := w.exec(`UPDATE tasks SET due = 0, wants = '' WHERE dead = 0 AND `+same, key...); err != nil {
			return err
		}
		if _, err := w.revive(`dead = 1 AND `+same, key...); err != nil {
			return err
		}
	}
	for _, place := range slices.Sorted(maps.Keys(waiting)) {
		if err := w.count(place, waiting[place]); err != nil {
			return err
		}
	}
	return w.makeRoom()
}

// place is the number of a repository, which known has from the tasks before.
func (w *taskWrite) place(known map[repoKey]int64, of repoKey) (int64, error) {
	if place, ok := known[of]; ok {
		return place, nil
	}
	var place int64
	if err := w.w.stmts.addPlace.QueryRowContext(w.ctx, string(of.host), string(of.name)).Scan(&place); err != nil {
		return 0, sqldb.Wrap(err, "note task")
	}
	known[of] = place
	return place, nil
}

// count adds to the number of tasks of a place that wait.
func (w *taskWrite) count(place, n int64) error {
	if n == 0 {
		return nil
	}
	_, err := w.run(w.w.stmts.countTasks, n, place)
	return err
}

// revive brings back those set aside that a condition takes.
func (w *taskWrite) revive(where string, args ...any) (int, error) {
	counts, err := w.places(`SELECT place, count(*) FROM tasks WHERE `+where+` GROUP BY place`, args...)
	if err != nil || len(counts) == 0 {
		return 0, err
	}
	total := 0
	for place, n := range counts {
		total += int(n)
		if err := w.count(place, n); err != nil {
			return 0, err
		}
	}
	_, err = w.exec(`UPDATE tasks SET dead = 0, attempts = 0, due = 0, wants = '', noted = `+number(w.now.UnixMilli())+` WHERE `+where, args...)
	return total, err
}

// places reads a number for each place.
func (w *taskWrite) places(query string, args ...any) (map[int64]int64, error) {
	rows, err := w.w.conn.QueryContext(w.ctx, w.bind(query), args...)
	if err != nil {
		return nil, sqldb.Wrap(err, "count tasks")
	}
	defer rows.Close()
	out := map[int64]int64{}
	for rows.Next() {
		var place, n int64
		if err := rows.Scan(&place, &n); err != nil {
			return nil, sqldb.Wrap(err, "count tasks")
		}
		out[place] = n
	}
	return out, sqldb.Wrap(rows.Err(), "count tasks")
}

// wake makes those due that wait for something in the block. One that is being
// tried is tried once more should it fail: it is not known what it will want.
func (w *taskWrite) wake(b TaskBlock) error {
	for _, c := range b.conditions() {
		if _, err := w.revive(`dead = 1 AND `+c.waiting, c.args...); err != nil {
			return err
		}
		if _, err := w.exec(`UPDATE tasks SET due = 0, wants = '' WHERE owner = '' AND `+c.waiting, c.args...); err != nil {
			return err
		}
		if _, err := w.exec(`UPDATE tasks SET woken = 1 WHERE `+c.tried, c.args...); err != nil {
			return err
		}
	}
	return nil
}
