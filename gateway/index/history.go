package index

import (
	"database/sql"
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
	var where []string
	var args []any
	and := func(condition string, values ...any) { where, args = append(where, condition), append(args, values...) }
	switch {
	case !f.Digest.IsZero() && f.Repository != "":
		and(`r.digest = ? AND r.digest <> x'' AND (r.repository = '' OR (r.host = ? AND r.repository = ?))`, digestBytes(f.Digest), string(f.Host), string(f.Repository))
	case !f.Digest.IsZero():
		and(`r.digest = ? AND r.digest <> x''`, digestBytes(f.Digest))
	case f.Host != "" && f.Repository != "":
		and(`r.host = ? AND r.repository = ? AND r.repository <> ''`, string(f.Host), string(f.Repository))
	default:
		return nil, "", provenance.Errorf(provenance.Invalid, "history of what? want an image, a tag or a repository")
	}
	if f.Tag != "" {
		and(`r.tag = ?`, string(f.Tag))
	}
	from, err := pager(p).start("history", f.Digest.String(), string(f.Host), string(f.Repository), string(f.Tag))
	if err != nil {
		return nil, "", err
	}
	condition, order := pager(p).bounds("r.", from)
	and(condition.text, condition.args...)
	text := `SELECT r.block, r.tx, r.seq, t.id, t.at, t.msp, t.name, r.kind, r.host, r.repository, r.tag, r.digest, r.previous, r.stage,
		r.media_type, r.actor, r.occurred_at, r.detail, r.record
		FROM records r JOIN txs t ON t.block = r.block AND t.tx = r.tx WHERE ` + strings.Join(where, ` AND `) + order
	var records []readmodel.Record
	err = s.each(text, append(args, pager(p).size()+1), func(row *sql.Rows) error {
		var r readmodel.Record
		var digest, previous []byte
		var at, occurred int64
		err := row.Scan(&r.Block, &r.Tx, &r.Seq, &r.TxID, &at, &r.By.MSP, &r.By.Name, &r.Kind, &r.Host, &r.Repository, &r.Tag, &digest, &previous,
			&r.Stage, &r.MediaType, &r.Actor, &occurred, &r.Detail, &r.JSON)
		if err != nil {
			return err
		}
		r.Time = time.Unix(0, at).UTC()
		if occurred != 0 {
			r.OccurredAt = time.Unix(0, occurred).UTC()
		}
		if r.Digest, err = digestOf(digest); err != nil {
			return err
		}
		r.Previous, err = digestOf(previous)
		records = append(records, r)
		return err
	})
	if err != nil || len(records) <= pager(p).size() {
		return records, "", err
	}
	records = records[:pager(p).size()]
	last := records[len(records)-1]
	return records, pager(p).next(Position{last.Block, last.Tx, last.Seq}, "history", f.Digest.String(), string(f.Host), string(f.Repository), string(f.Tag)), nil
}

// Promotions returns a page of promotions as they stand, in the order in which
// they were first requested, and the token of the next page, "" on the last.
func (s *Snapshot) Promotions(f readmodel.PromotionFilter, p readmodel.Page) ([]state.Promotion, string, error) {
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
