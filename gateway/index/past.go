package index

import (
	"context"
	"database/sql"
	"math"
	"slices"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/readmodel"
)

const selectVersion = `SELECT since, past, jump, value FROM versions WHERE number = ?`

// past is a snapshot as it was at a lower height.
type past struct {
	*Snapshot        // of now
	height    uint64 // blocks below it count
	record    uint64 // number of the first record that does not
}

// ViewAt is View of the index as it was at a moment: at a height, or at the last one that
// is not after a time. What is answered is what View answered when the index had that
// height, but for pulls, which are counted for now alone, and for lists that say so.
//
// It is Invalid where the moment is the ledger's future by now, Unavailable where the
// index does not hold as many blocks.
func (x *Index) ViewAt(ctx context.Context, when readmodel.When, now time.Time, read func(readmodel.AsOf, *Snapshot) error) error {
	return x.View(ctx, func(s *Snapshot) error {
		at, err := s.moment(when, now)
		if err != nil {
			return err
		}
		then, err := s.asOf(at.Height)
		if err != nil {
			return err
		}
		if at.Judged.IsZero() {
			if at.Judged, err = then.past.time(); err != nil {
				return err
			}
		}
		return read(at, then)
	})
}

// asOf is the snapshot as it was at a height that it holds.
func (s *Snapshot) asOf(height uint64) (*Snapshot, error) {
	record, err := s.firstRecord(height)
	p := &past{Snapshot: s, height: height, record: record}
	return &Snapshot{Height: height, reads: s.reads, runs: s.runs, past: p}, err
}

// walk calls stop for a value and those before it, from the newest on, until it says so;
// those between two of which it says no are left out. found is false where it never does.
func (s *Snapshot) walk(v stored, stop func(stored) (bool, error)) error {
	jump := uint64(0)
	read := func(number uint64) (one stored, far uint64, err error) {
		err = s.each(selectVersion, []any{int64(number)}, func(row *sql.Rows) error { return row.Scan(&one.since, &one.past, &far, &one.value) })
		if one.value = notNil(one.value); err == nil && one.since == 0 && one.past == 0 && far == 0 && len(one.value) == 0 {
			err = errVersion(number)
		}
		return one, far, err
	}
	for {
		if done, err := stop(v); err != nil || done {
			return err
		}
		if v.past == 0 {
			return nil
		}
		if jump != 0 && jump != v.past {
			far, next, err := read(jump)
			if err != nil {
				return err
			}
			done, err := stop(far)
			if err != nil {
				return err
			}
			if !done {
				if far.past == 0 {
					return nil
				}
				v, jump = far, next
				continue
			}
		}
		var err error
		if v, jump, err = read(v.past); err != nil {
			return err
		}
	}
}

// version is what a key's row said at the height; without a value where it was absent.
func (p *past) version(v stored) (stored, error) {
	if v.value == nil || v.before(p.height) {
		return v, nil
	}
	var found stored
	err := p.walk(v, func(one stored) (bool, error) {
		if one.before(p.height) {
			found = one
			return true, nil
		}
		found = stored{}
		return false, nil
	})
	return found, err
}

// get reads keys as they were.
func (p *past) get(keys []string) ([][]byte, error) {
	values := make([][]byte, len(keys))
	var acts, current []string
	var actAt, currentAt []int
	for i, key := range keys {
		switch objectType := typeOf(key); objectType {
		case state.TypeTag:
			value, err := p.tag(key)
			if err != nil {
				return nil, err
			}
			values[i] = value
		case state.TypePlace:
			value, changed, err := p.place(key)
			if err != nil {
				return nil, err
			}
			if values[i] = value; !changed {
				current, currentAt = append(current, key), append(currentAt, i)
			}
		case state.TypeParents: // nothing is decided by them
		default:
			if keptApart(objectType) && objectType != state.TypeJournal {
				return nil, provenance.Errorf(provenance.Internal, "index: keys of type %s are not known as of an earlier height", objectType)
			}
			acts, actAt = append(acts, key), append(actAt, i)
		}
	}
	found, err := p.stored(acts)
	if err != nil {
		return nil, err
	}
	for i, v := range found {
		if v, err = p.version(v); err != nil {
			return nil, err
		}
		if !v.removed() {
			values[actAt[i]] = v.value
		}
	}
	if len(current) == 0 {
		return values, nil
	}
	now, err := p.current(current...)
	for i, value := range now {
		values[currentAt[i]] = value
	}
	return values, err
}

// place is what the place of an image said before it was changed, nil where it was not
// there; changed is false where it is as it was.
func (p *past) place(key string) (value []byte, changed bool, err error) {
	a, err := parts(key, 3)
	if err != nil {
		return nil, true, nil //nolint:nilerr // there is no such place
	}
	d, err := state.PlaceDigest(key)
	if err != nil {
		return nil, true, nil //nolint:nilerr // the same
	}
	id, err := p.repositoryID(provenance.Host(a[1]), provenance.Repository(a[2]))
	if err != nil || id == 0 {
		return nil, true, err
	}
	born := false
	if err := p.scan2(spanOf(numbered(imagePrefix(ofImage, d), id)), func(e entry) (bool, error) {
		v, err := decodeImage(e.value)
		born = v.place && v.born < p.height
		return false, err
	}); err != nil || !born {
		return nil, true, err
	}
	in, number := span{from: versionKey(d, id, p.height), to: after(versionKey(d, id, math.MaxUint64))}, uint64(0)
	if err := p.scan2(in, func(e entry) (bool, error) {
		number, changed = valueNumber(e.value), true
		return false, nil
	}); err != nil || !changed {
		return nil, false, err
	}
	err = p.each(selectVersion, []any{int64(number)}, func(row *sql.Rows) error {
		var v stored
		var jump uint64
		err := row.Scan(&v.since, &v.past, &jump, &v.value)
		value = notNil(v.value)
		return err
	})
	if err == nil && value == nil {
		err = errVersion(number)
	}
	return value, true, err
}

// scan2 is Snapshot.scan, which past has another of.
func (p *past) scan2(in span, do func(entry) (bool, error)) error { return p.Snapshot.scan(in, do) }

// tag is a tag as the last event about it left it. How often it moved is not known of then.
func (p *past) tag(key string) ([]byte, error) {
	a, err := parts(key, 3)
	if err != nil {
		return nil, nil //nolint:nilerr // there is no such tag
	}
	f := readmodel.HistoryFilter{Host: provenance.Host(a[0]), Repository: provenance.Repository(a[1]), Tag: provenance.Tag(a[2])}
	in := spanOf(tagPrefix(f.Host, f.Repository, f.Tag))
	in.to, in.backward = numbered(in.from, p.record), true
	records, err := p.recordsIn(in, f, 1, movesTagKind)
	if err != nil || len(records) == 0 {
		return nil, err
	}
	r := records[0]
	t := state.Tag{Previous: r.Previous, At: r.OccurredAt}
	if r.Kind == provenance.Push.String() {
		t.Digest = r.Digest
	}
	if t.Digest.IsZero() && t.Previous.IsZero() {
		return nil, nil // it was never set
	}
	return state.Encode(&t)
}

// movesTagKind leaves out what is told of a tag and does not move it: that the image it
// named was deleted.
func movesTagKind(r readmodel.Record) bool {
	return r.Kind == provenance.Push.String() || r.Kind == provenance.TagDelete.String()
}

// scan reads keys in their order as they were.
func (p *past) scan(from, to []byte, limit int) (all []state.Entry, err error) {
	for len(all) < limit {
		var keys []string
		var rows []stored
		err := p.each(`SELECT key, since, past, value FROM kv WHERE key >= ? AND key < ? ORDER BY key LIMIT ?`, []any{from, to, maxVariables}, func(row *sql.Rows) error {
			var key []byte
			var v stored
			err := row.Scan(&key, &v.since, &v.past, &v.value)
			v.value = notNil(v.value)
			keys, rows = append(keys, string(key)), append(rows, v)
			return err
		})
		if err != nil {
			return nil, err
		}
		for i, v := range rows {
			if v, err = p.version(v); err != nil {
				return nil, err
			}
			if !v.removed() && len(all) < limit {
				all = append(all, state.Entry{Key: keys[i], Value: v.value})
			}
		}
		if len(rows) < maxVariables {
			break
		}
		from = append([]byte(keys[len(keys)-1]), 0)
	}
	return all, nil
}

// referred keeps of images those that named a subject at the height.
func (p *past) referred(all []provenance.Digest, subject provenance.Digest, host provenance.Host, repo provenance.Repository) ([]provenance.Digest, error) {
	keys := make([]string, len(all))
	for i, d := range all {
		keys[i] = state.PlaceKey(d, host, repo)
	}
	values, err := p.get(keys)
	if err != nil {
		return nil, err
	}
	var kept []provenance.Digest
	for i, value := range values {
		var place state.Place
		if value == nil {
			continue
		}
		if err := state.Decode(value, &place); err != nil {
			return nil, err
		}
		if place.Proven && place.Subject == subject {
			kept = append(kept, all[i])
		}
	}
	return kept, nil
}

// promotions are those that were asked for by the height, as they stood then.
func (p *past) promotions(f readmodel.PromotionFilter, page readmodel.Page) ([]state.Promotion, string, error) {
	if f.Status != "" || !f.Since.IsZero() || !f.Before.IsZero() {
		return nil, "", errNow("promotions of a status")
	}
	found, next, err := p.Promotions(f, page)
	if err != nil {
		return nil, "", err
	}
	keys := make([]string, len(found))
	for i, one := range found {
		keys[i] = one.PromotionKey()
	}
	values, err := p.get(keys)
	if err != nil {
		return nil, "", err
	}
	var all []state.Promotion
	for _, value := range values {
		if value == nil {
			continue
		}
		var one state.Promotion
		if err := state.Decode(value, &one); err != nil {
			return nil, "", err
		}
		all = append(all, one)
	}
	return slices.Clip(all), next, nil
}

func errNow(what string) error {
	return provenance.Errorf(provenance.Invalid, "%s are known of now alone, not as of an earlier height", what)
}
