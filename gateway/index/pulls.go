package index

import (
	"cmp"
	"database/sql"
	"encoding/binary"
	"math"
	"slices"
	"time"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/readmodel"
)

// PullList returns a page of pulls, the last recorded first whatever the page
// says, and the token of the next page, "" on the last. A filter without a
// digest is Invalid. A token stays good when Since moves on, as "the last day"
// does between two pages.
func (s *Snapshot) PullList(f readmodel.PullFilter, p readmodel.Page) ([]readmodel.Pull, string, error) {
	if s.past != nil {
		return nil, "", errNow("pulls")
	}
	if f.Digest.IsZero() {
		return nil, "", provenance.Errorf(provenance.Invalid, "pulls of what? want an image")
	}
	p.NewestFirst = true
	filter := []string{"pulls", f.Digest.String(), string(f.Host), string(f.Repository)}
	from, err := pager(p).start(filter...)
	if err != nil {
		return nil, "", err
	}
	segments, err := s.segmentsOf(f, from, pager(p).size()+2)
	if err != nil {
		return nil, "", err
	}
	var pulls []readmodel.Pull
	for _, one := range segments {
		if len(pulls) > pager(p).size() {
			break
		}
		if pulls, err = s.pullsIn(one, f, pager(p).size(), from, pulls); err != nil {
			return nil, "", err
		}
	}
	if len(pulls) <= pager(p).size() {
		return pulls, "", nil
	}
	pulls = pulls[:pager(p).size()]
	last := pulls[len(pulls)-1]
	return pulls, pager(p).next(Position{last.Block, last.Tx, last.Seq}, filter...), nil
}

// pulledSegment is a segment that holds pulls of an image.
type pulledSegment struct {
	key  string
	pull readmodel.Pull // what is the same for all of its pulls
}

// segmentsOf returns the segments a page may need, the last recorded first: each
// holds a pull that is asked for, but the first, of which the page before may
// have shown them all.
func (s *Snapshot) segmentsOf(f readmodel.PullFilter, from *Position, limit int) (all []pulledSegment, err error) {
	in := spanOf(imagePrefix(ofPulls, f.Digest))
	in.backward = true
	wanted, err := s.repositoryID(f.Host, f.Repository)
	if err != nil || f.Host != "" && wanted == 0 {
		return nil, err
	}
	if from != nil {
		// Those up to the one that the page before ended in.
		last := uint64(0)
		err := s.each(`SELECT number FROM segments WHERE block = ? AND tx = ? ORDER BY number DESC LIMIT 1`,
			[]any{int64(from.Block), from.Tx}, func(row *sql.Rows) error { return row.Scan(&last) })
		if err != nil {
			return nil, err
		}
		in.to = numbered(in.from, last+1)
	}
	var numbers []int64
	err = s.scan(in, func(e entry) (bool, error) {
		number, repository := lastNumber(e.key[:len(e.key)-8]), lastNumber(e.key)
		if last, _ := binary.Varint(e.value); wanted != 0 && repository != wanted || !f.Since.IsZero() && last < nanos(f.Since) {
			return true, nil
		}
		if len(numbers) == 0 || numbers[len(numbers)-1] != int64(number) {
			numbers = append(numbers, int64(number))
		}
		return len(numbers) < limit, nil
	})
	if err != nil || len(numbers) == 0 {
		return nil, err
	}
	args := filled(numbers)
	err = s.each(among(selectSegments, len(args)), args, func(row *sql.Rows) error {
		var one pulledSegment
		var key []byte
		var at int64
		err := row.Scan(&one.pull.Block, &one.pull.Tx, &one.pull.Host, &key, &one.pull.TxID, &at, &one.pull.By.MSP, &one.pull.By.Name)
		if err != nil {
			return err
		}
		one.key, one.pull.Time, one.pull.Digest = string(key), time.Unix(0, at).UTC(), f.Digest
		one.pull.Lane, one.pull.Number, err = segmentName(one.key)
		all = append(all, one)
		return err
	})
	slices.SortFunc(all, func(a, b pulledSegment) int {
		return cmp.Or(cmp.Compare(b.pull.Block, a.pull.Block), cmp.Compare(b.pull.Tx, a.pull.Tx))
	})
	return all, err
}

const selectSegments = `SELECT s.block, s.tx, h.host, s.key, t.id, t.at, t.msp, t.name FROM segments s JOIN txs t ON t.block = s.block AND t.tx = s.tx
	JOIN repositories h ON h.id = s.host WHERE s.number IN `

// segmentName takes a segment's lane and number out of its key.
func segmentName(key string) (lane string, number uint64, err error) {
	name, ok := state.SplitJournal(key)
	if !ok {
		return "", 0, provenance.Errorf(provenance.Internal, "key %q names no segment", key)
	}
	return name.Lane, name.Seq, nil
}

// segmentAfter is the number of the first segment after a position; past all
// where there is none.
func (s *Snapshot) segmentAfter(at Position) (uint64, error) {
	number := int64(math.MaxInt64)
	err := s.each(`SELECT number FROM segments WHERE (block, tx) > (?, ?) ORDER BY block, tx LIMIT 1`,
		[]any{int64(at.Block), at.Tx}, func(row *sql.Rows) error { return row.Scan(&number) })
	return uint64(number), err
}

// pullsIn adds the pulls of a segment that are asked for and stand before from,
// one more than the page takes at most.
func (s *Snapshot) pullsIn(one pulledSegment, f readmodel.PullFilter, size int, from *Position, pulls []readmodel.Pull) ([]readmodel.Pull, error) {
	value, err := s.Get(one.key)
	if err != nil {
		return nil, err
	}
	events, err := provenance.DecodeSegment(value[0])
	if err != nil {
		return nil, provenance.Wrap(provenance.Internal, err, "segment of block %d", one.pull.Block)
	}
	blinds := make([]int, len(events)) // before each event
	for i, n := 1, 0; i < len(events); i++ {
		if !events[i-1].Blind.IsZero() {
			n++
		}
		blinds[i] = n
	}
	if from != nil && from.Block == one.pull.Block && from.Tx == one.pull.Tx {
		events = events[:min(from.Seq, len(events))]
	}
	for i := len(events) - 1; i >= 0 && len(pulls) <= size; i-- {
		e := events[i]
		if e.Action != provenance.Pull || e.Digest != f.Digest || f.Host != "" && e.Repository != f.Repository || e.OccurredAt.Before(f.Since) {
			continue
		}
		pull := one.pull
		pull.Seq, pull.Repository, pull.Tag, pull.OccurredAt = i, e.Repository, e.Tag, e.OccurredAt
		pull.Source, pull.Actor, pull.Address, pull.UserAgent = e.Source, e.Actor, e.Address, e.UserAgent
		pull.ID, pull.Blind, pull.Nth = e.ID, e.Blind, blinds[i]
		pulls = append(pulls, pull)
	}
	return pulls, nil
}

// PullSegment is a recorded segment that holds pulls.
type PullSegment struct {
	At     Position  // Seq is 0
	Time   time.Time // of the transaction
	By     policy.Person
	Lane   string
	Number uint64
	Hides  bool // some of its pulls have a Blind: the owner keeps their clients
}

// PullSegments returns the segments of a registry that hold pulls and stand
// after a position, in the order of the ledger, at most limit of them, up to the
// first whose transaction is not before a time. Those times are their clients':
// an older one behind it has its turn later, and none is passed over.
func (s *Snapshot) PullSegments(host provenance.Host, after Position, before time.Time, limit int) ([]PullSegment, error) {
	var all []PullSegment
	var keys []string
	registry, err := s.repositoryID(host, "")
	if err != nil || registry == 0 {
		return nil, err
	}
	from, err := s.segmentAfter(after)
	if err != nil {
		return nil, err
	}
	const text = `SELECT s.block, s.tx, s.key, t.at, t.msp, t.name FROM segments s JOIN txs t ON t.block = s.block AND t.tx = s.tx
		WHERE s.host = ? AND s.number >= ? ORDER BY s.number LIMIT ?`
	err = s.each(text, []any{int64(registry), int64(from), limit}, func(row *sql.Rows) error {
		var one PullSegment
		var key []byte
		var at int64
		if err := row.Scan(&one.At.Block, &one.At.Tx, &key, &at, &one.By.MSP, &one.By.Name); err != nil {
			return err
		}
		var err error
		one.Time = time.Unix(0, at).UTC()
		one.Lane, one.Number, err = segmentName(string(key))
		all, keys = append(all, one), append(keys, string(key))
		return err
	})
	if err != nil {
		return nil, err
	}
	if young := slices.IndexFunc(all, func(one PullSegment) bool { return !one.Time.Before(before) }); young >= 0 {
		all, keys = all[:young], keys[:young]
	}
	values, err := s.Get(keys...)
	if err != nil {
		return nil, err
	}
	for i, value := range values {
		events, err := provenance.DecodeSegment(value)
		if err != nil {
			return nil, provenance.Wrap(provenance.Internal, err, "segment of block %d", all[i].At.Block)
		}
		all[i].Hides = slices.ContainsFunc(events, func(e provenance.Event) bool { return !e.Blind.IsZero() })
	}
	return all, nil
}
