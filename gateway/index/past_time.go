package index

import (
	"database/sql"
	"math"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/readmodel"
)

// moment finds the height and the time that are asked for.
func (s *Snapshot) moment(when readmodel.When, now time.Time) (at readmodel.AsOf, err error) {
	switch {
	case when.Height > s.Height:
		return at, provenance.Errorf(provenance.Unavailable, "block %d is not here: this index holds %d blocks", when.Height-1, s.Height)
	case when.Height > 0:
		return readmodel.AsOf{Height: when.Height, Whole: true}, nil
	case when.Time.After(now):
		return at, provenance.Errorf(provenance.Invalid, "%s has not come yet: want a time in the past", when.Time.UTC().Format(time.RFC3339))
	}
	at.Judged = when.Time
	at.Height, at.Whole, err = s.heightAt(when.Time)
	return at, err
}

// heightAt is the height that goes with a time: up to the first block with a transaction
// that is dated after it, among those that the ledger's clock says are of that minute;
// whole where such a block, or a later tick, is there.
func (s *Snapshot) heightAt(t time.Time) (height uint64, whole bool, err error) {
	from, to, err := s.ticks(t)
	if err != nil {
		return 0, false, err
	}
	height, whole = to, to < s.Height
	err = s.each(`SELECT block FROM txs WHERE block >= ? AND block < ? AND at > ? ORDER BY block, tx LIMIT 1`, []any{int64(from), int64(to), nanos(t)}, func(row *sql.Rows) error {
		whole = true
		return row.Scan(&height)
	})
	return height, whole, err
}

// ticks returns the blocks that moved the ledger's clock to where it stood at a time, and
// past it: 0 and the height where there are none.
func (s *Snapshot) ticks(t time.Time) (from, to uint64, err error) {
	to = s.Height
	all, err := s.stored([]string{state.ClockKey()})
	if err != nil || all[0].value == nil {
		return 0, to, err
	}
	err = s.walk(all[0], func(v stored) (bool, error) {
		var c state.Clock
		if err := state.Decode(v.value, &c); err != nil {
			return false, err
		}
		late := c.At.After(t)
		if late {
			to = min(to, v.since>>1)
		} else {
			from = v.since >> 1
		}
		return !late, nil
	})
	return from, to, err
}

// firstRecord is the number of the first record of a block or a later one.
func (s *Snapshot) firstRecord(block uint64) (uint64, error) {
	number := int64(math.MaxInt64)
	err := s.each(`SELECT first FROM txs WHERE block >= ? ORDER BY block, tx LIMIT 1`, []any{int64(block)}, func(row *sql.Rows) error { return row.Scan(&number) })
	return uint64(number), err
}

// time is the one that goes with the height: the ledger's clock, and before that began
// what the newest transaction says of itself.
func (p *past) time() (time.Time, error) {
	var c state.Clock
	values, err := p.get([]string{state.ClockKey()})
	if err == nil && values[0] != nil {
		err = state.Decode(values[0], &c)
	}
	if err != nil || !c.At.IsZero() {
		return c.At.UTC(), err
	}
	var at int64
	err = p.each(`SELECT at FROM txs WHERE block < ? ORDER BY block DESC, tx DESC LIMIT 1`, []any{int64(p.height)}, func(row *sql.Rows) error { return row.Scan(&at) })
	return moment(at), err
}
