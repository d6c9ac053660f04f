package index

import (
	"database/sql"
	"math"
	"time"

	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/readmodel"
)

// requested notes that something is asked for; the key tells of which kind.
func (w *writer) requested(x readmodel.Waiting) error {
	kind, _, _ := state.SplitKey(x.Key)
	return w.exec(&w.st.request, []byte(x.Key), x.ID, kind, x.MSP, nanos(x.Since), nanos(x.Until))
}

// requestEnded notes that nobody waits for it any more.
func (w *writer) requestEnded(key, id string) error { return w.exec(&w.st.endRequest, []byte(key), id) }

// nanos is a time as the index stores it; 0 for the zero time. What is later
// than the form can hold counts as its last moment.
func nanos(t time.Time) int64 {
	switch {
	case t.IsZero():
		return 0
	case t.After(time.Unix(0, math.MaxInt64)):
		return math.MaxInt64
	case t.Before(time.Unix(0, math.MinInt64)):
		return math.MinInt64
	}
	return t.UnixNano()
}

func moment(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}

// Askers returns the organisations that wait for something of a kind, sorted.
// It costs a few steps for each, however much each of them asks for.
func (s *Snapshot) Askers(kind string) ([]string, error) {
	if s.past != nil {
		return nil, errNow("requests")
	}
	var all []string
	const from = `SELECT msp FROM waiting WHERE kind = ? AND msp `
	for next, last := `>= ?`, ""; ; next = `> ?` {
		more := false
		err := s.each(from+next+` ORDER BY msp LIMIT 1`, []any{kind, last}, func(row *sql.Rows) error {
			more = true
			return row.Scan(&last)
		})
		if err != nil || !more {
			return all, err
		}
		all = append(all, last)
	}
}

// Waits returns at most limit of what an organisation asked for of a kind and
// what has not ended at a time, the newest first, after one that was returned
// before (nil: from the newest).
func (s *Snapshot) Waits(kind, msp string, after *readmodel.Waiting, now time.Time, limit int) ([]readmodel.Waiting, error) {
	if s.past != nil {
		return nil, errNow("requests")
	}
	text, args := `SELECT key, id, since, until FROM waiting WHERE kind = ? AND msp = ? AND (until = 0 OR until > ?)`, []any{kind, msp, nanos(now)}
	if kind == state.TypePromotion {
		// They all last as long: what has ended need not be looked through for ever.
		text, args = text+` AND since > ?`, append(args, nanos(now.Add(-state.PromotionLife)))
	}
	if after != nil {
		text += ` AND (since, key, id) < (?, ?, ?)`
		args = append(args, nanos(after.Since), []byte(after.Key), after.ID)
	}
	var all []readmodel.Waiting
	err := s.each(text+` ORDER BY since DESC, key DESC, id DESC LIMIT ?`, append(args, limit), func(row *sql.Rows) error {
		one := readmodel.Waiting{Kind: kind, MSP: msp}
		var key []byte
		var since, until int64
		if err := row.Scan(&key, &one.ID, &since, &until); err != nil {
			return err
		}
		one.Key, one.Since, one.Until = string(key), moment(since), moment(until)
		all = append(all, one)
		return nil
	})
	return all, err
}

// Proposals returns a page of proposals, in the order in which they were
// opened, and the token of the next page, "" on the last.
func (s *Snapshot) Proposals(f readmodel.ProposalFilter, p readmodel.Page) ([]state.Proposal, string, error) {
	if s.past != nil {
		return nil, "", errNow("proposals")
	}
	filter := []string{"proposals", string(f.Status)}
	if f.Closed {
		filter = append(filter, "closed")
	}
	from, err := pager(p).start(filter...)
	if err != nil {
		return nil, "", err
	}
	condition, order := pager(p).bounds("", from)
	text, args := `SELECT block, tx, seq, record FROM proposals WHERE `+condition.text, condition.args
	if f.Status != "" {
		text, args = text+` AND status = ?`, append(args, string(f.Status))
	}
	if f.Closed {
		text, args = text+` AND status <> ?`, append(args, string(state.ProposalOpen))
	}
	return paged[state.Proposal](s, text+order, args, p, filter...)
}

// paged reads a page of records with their positions.
func paged[T any](s *Snapshot, text string, args []any, p readmodel.Page, filter ...string) (all []T, next string, err error) {
	var last Position
	more := false
	err = s.each(text, append(args, pager(p).size()+1), func(row *sql.Rows) error {
		var at Position
		var b []byte
		if err := row.Scan(&at.Block, &at.Tx, &at.Seq, &b); err != nil {
			return err
		}
		if len(all) == pager(p).size() {
			more = true
			return nil
		}
		var record T
		if err := state.Decode(b, &record); err != nil {
			return err
		}
		all, last = append(all, record), at
		return nil
	})
	if err != nil || !more {
		return all, "", err
	}
	return all, pager(p).next(last, filter...), nil
}
