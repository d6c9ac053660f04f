package queue

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/sqldb"
)

// oldTable says what is left of the table of versions 1 to 5.
type oldTable int

const (
	oldNone    oldTable = iota
	oldCounts           // it is asked, after all runs
	oldDeleted          // it became the first run, and goes
)

const (
	// oldAge is the age of the run that the table of versions 1 to 5 became.
	oldAge        = 0
	progressEvery = 10 * time.Second
)

// convert makes the table of versions 1 to 5 the first run. Until it is one,
// the table is asked after all others.
func (t *idTable) convert(ctx context.Context) error {
	if t.old == oldCounts {
		var ids int64
		if err := t.readers.QueryRowContext(ctx, `SELECT count(*) FROM seen_old`).Scan(&ids); err != nil {
			return sqldb.Wrap(err, "convert event ids")
		}
		start := time.Now()
		said := start
		err := t.write(ctx, making{
			age: oldAge, ids: ids, from: oldCursor(ctx, t.readers), gently: true,
			commit: func(*batch) error { return nil },
			after:  func(made []*run) { t.runs, t.old = slices.Concat(made, t.runs), oldDeleted },
			progress: func(e entry) error {
				if time.Since(said) < progressEvery {
					return nil
				}
				said = time.Now()
				done := (float64(e.id[0])*256 + float64(e.id[1]) + 1) / (1 << 16) // ids are hashes
				t.logger.InfoContext(ctx, "event ids are brought into a new form", slog.Int64("ids", ids), slog.Int("percent", int(100*done)),
					slog.Duration("left", (time.Duration(float64(time.Since(start))*(1-done)/done)).Round(time.Second)))
				return nil
			},
		})
		if err != nil {
			return err
		}
	}
	for {
		n, err := t.deleteSome(ctx, `DELETE FROM seen_old WHERE id <= (SELECT id FROM seen_old ORDER BY id LIMIT 1 OFFSET 4095)`)
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
	}
	return t.writer.do(ctx, &op{
		rows: 1,
		run: func(b *batch) error {
			_, err := b.w.conn.ExecContext(b.ctx, `DROP TABLE seen_old`)
			return sqldb.Wrap(err, "convert event ids")
		},
		after: func() { t.old = oldNone },
	})
}

// oldCursor reads the table of versions 1 to 5.
func oldCursor(ctx context.Context, on querier) cursor {
	const page = 4096
	last := []byte{}
	buffer := make([]entry, 0, page)
	return paged(func() ([]entry, error) {
		rows, err := on.QueryContext(ctx, `SELECT id, body, at FROM seen_old WHERE id > ? ORDER BY id LIMIT ?`, last, page)
		if err != nil {
			return nil, sqldb.Wrap(err, "read event ids")
		}
		defer rows.Close()
		buffer = buffer[:0]
		for rows.Next() {
			var id, body []byte
			var at int64
			if err := rows.Scan(&id, &body, &at); err != nil {
				return nil, sqldb.Wrap(err, "read event ids")
			}
			if len(id) != len(provenance.EventID{}) {
				return nil, damagedIDs("id %x is not one of an event", id)
			}
			last = id
			buffer = append(buffer, entry{provenance.EventID(id), newMark(body, at)})
		}
		return buffer, sqldb.Wrap(rows.Err(), "read event ids")
	})
}
