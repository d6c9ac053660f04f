package index

import (
	"database/sql"
	"slices"
	"strings"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/readmodel"
)

// History returns a page of records in the order of the ledger, and the token
// of the next page, "" on the last. A filter without a digest or a repository
// is Invalid: the whole ledger is not a history.
func (s *Snapshot) History(f readmodel.HistoryFilter, p readmodel.Page) ([]readmodel.Record, string, error) {
	var prefix []byte
	switch {
	case !f.Digest.IsZero():
		prefix = imagePrefix(ofDigest, f.Digest)
	case f.Host != "" && f.Repository != "" && f.Tag != "":
		prefix = tagPrefix(f.Host, f.Repository, f.Tag)
	case f.Host != "" && f.Repository != "":
		prefix = repositoryPrefix(ofRepository, f.Host, f.Repository)
	default:
		return nil, "", provenance.Errorf(provenance.Invalid, "history of what? want an image, a tag or a repository")
	}
	filter := []string{"history", f.Digest.String(), string(f.Host), string(f.Repository), string(f.Tag)}
	from, err := pager(p).start(filter...)
	if err != nil {
		return nil, "", err
	}
	in := spanOf(prefix)
	if in.backward = p.NewestFirst; s.past != nil {
		in.to = numbered(prefix, s.past.record)
	}
	if from != nil {
		number, err := s.recordAt(*from)
		if err != nil {
			return nil, "", err
		}
		if p.NewestFirst {
			in.to = numbered(prefix, number)
		} else {
			in.from = numbered(prefix, number+1)
		}
	}
	records, err := s.recordsIn(in, f, pager(p).size()+1)
	if err != nil || len(records) <= pager(p).size() {
		return records, "", err
	}
	records = records[:pager(p).size()]
	last := records[len(records)-1]
	return records, pager(p).next(Position{last.Block, last.Tx, last.Seq}, filter...), nil
}

// recordAt is the number of the record at a position.
func (s *Snapshot) recordAt(at Position) (number uint64, err error) {
	err = s.each(`SELECT first FROM txs WHERE block = ? AND tx = ?`, []any{int64(at.Block), at.Tx}, func(row *sql.Rows) error { return row.Scan(&number) })
	return number + uint64(at.Seq), err
}

// recordsIn reads at most limit records that the entries of a span name and a
// filter takes.
func (s *Snapshot) recordsIn(in span, f readmodel.HistoryFilter, limit int, also ...func(readmodel.Record) bool) (records []readmodel.Record, err error) {
	ofRepository := uint64(0)
	if !f.Digest.IsZero() && f.Repository != "" {
		if ofRepository, err = s.repositoryID(f.Host, f.Repository); err != nil {
			return nil, err
		}
	}
	var numbers []uint64
	take := func() error {
		found, err := s.records(numbers, func(r readmodel.Record) bool {
			return takes(f, r) && !slices.ContainsFunc(also, func(ok func(readmodel.Record) bool) bool { return !ok(r) })
		})
		records, numbers = append(records, found...), nil
		return err
	}
	err = s.scan(in, func(e entry) (bool, error) {
		if !f.Digest.IsZero() && f.Repository != "" {
			if of := valueNumber(e.value); of != 0 && of != ofRepository {
				return true, nil
			}
		}
		if numbers = append(numbers, lastNumber(e.key)); len(records)+len(numbers) < limit {
			return true, nil
		}
		// What a filter leaves out is made up for by those that follow.
		err := take()
		return len(records) < limit, err
	})
	if err == nil {
		err = take()
	}
	return records[:min(len(records), limit)], err
}

const selectRecords = `SELECT r.number, r.block, r.tx, r.number - t.first, t.id, t.at, t.msp, t.name, r.kind, coalesce(p.host, x''), coalesce(p.repository, x''),
	r.tag, r.digest, r.previous, r.stage, r.media_type, r.actor, r.occurred_at, r.detail, r.record
	FROM records r JOIN txs t ON t.block = r.block AND t.tx = r.tx LEFT JOIN repositories p ON p.id = r.repository
	WHERE r.number IN `

// records reads records, in the order of their numbers in a list, that are asked for.
func (s *Snapshot) records(numbers []uint64, takes func(readmodel.Record) bool) ([]readmodel.Record, error) {
	found := make(map[uint64]readmodel.Record, len(numbers))
	for some := range slices.Chunk(numbers, maxVariables) {
		args := filled(some)
		err := s.each(among(selectRecords, len(args)), args, func(row *sql.Rows) error {
			var number uint64
			r, err := recordOfRow(row, &number)
			found[number] = r
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	var all []readmodel.Record
	for _, n := range numbers {
		r, ok := found[n]
		if !ok {
			return nil, provenance.Errorf(provenance.Internal, "index: record %d is missing; run: waybill-gateway reindex", n)
		}
		if takes(r) {
			all = append(all, r)
		}
	}
	return all, nil
}

func recordOfRow(row *sql.Rows, number *uint64) (r readmodel.Record, err error) {
	var digest, previous []byte
	var at, occurred int64
	err = row.Scan(number, &r.Block, &r.Tx, &r.Seq, &r.TxID, &at, &r.By.MSP, &r.By.Name, &r.Kind, &r.Host, &r.Repository, &r.Tag, &digest, &previous,
		&r.Stage, &r.MediaType, &r.Actor, &occurred, &r.Detail, &r.JSON)
	if err != nil {
		return r, err
	}
	r.Time, r.MediaType = time.Unix(0, at).UTC(), longType(r.MediaType)
	if occurred != 0 {
		r.OccurredAt = time.Unix(0, occurred).UTC()
	}
	if r.Digest, err = digestOf(digest); err != nil {
		return r, err
	}
	if r.Previous, err = digestOf(previous); err != nil {
		return r, err
	}
	if r.Detail == "" {
		r.Detail = eventDetail(r)
	}
	return r, nil
}

// takes compares what the hashes of entries stand for.
func takes(f readmodel.HistoryFilter, r readmodel.Record) bool {
	here := r.Host == f.Host && r.Repository == f.Repository
	switch {
	case f.Tag != "" && r.Tag != f.Tag:
		return false
	case f.Digest.IsZero():
		return here
	case f.Repository == "":
		return r.Digest == f.Digest
	default:
		return r.Digest == f.Digest && (r.Repository == "" || here)
	}
}

// Promotions returns a page of promotions as they stand, in the order in which
// they were first requested, and the token of the next page, "" on the last.
func (s *Snapshot) Promotions(f readmodel.PromotionFilter, p readmodel.Page) ([]state.Promotion, string, error) {
	if s.past != nil {
		return s.past.promotions(f, p)
	}
	filter := []string{"promotions", f.Stage, string(f.Host), string(f.Repository), f.Digest.String(), string(f.Status)}
	if !f.Before.IsZero() {
		filter = append(filter, "before")
	}
	from, err := pager(p).start(filter...)
	if err != nil {
		return nil, "", err
	}
	condition, order := pager(p).bounds("", from)
	where, args := []string{condition.text}, condition.args
	for column, value := range map[string]string{"stage": f.Stage, "host": string(f.Host), "repository": string(f.Repository), "status": string(f.Status)} {
		if value != "" {
			where, args = append(where, column+` = ?`), append(args, value)
		}
	}
	if !f.Digest.IsZero() {
		where, args = append(where, `digest = ?`), append(args, digestBytes(f.Digest))
	}
	if !f.Since.IsZero() {
		where, args = append(where, `at >= ?`), append(args, nanos(f.Since))
	}
	if !f.Before.IsZero() {
		where, args = append(where, `at < ?`), append(args, nanos(f.Before))
	}
	return paged[state.Promotion](s, `SELECT block, tx, seq, record FROM promotions WHERE `+strings.Join(where, ` AND `)+order, args, p, filter...)
}
