package queue

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/sqldb"
)

// PendingClients is what a recorded segment hides and what is not yet kept elsewhere.
type PendingClients struct {
	Lane     int
	LaneName string
	Seq      uint64
	Host     provenance.Host
	Clients  []byte
}

// HideID turns the id of an event whose client is to be hidden into another:
// some senders' ids are the hash of a body that names the client, and could be
// guessed at. It is keyed with a secret of this database, so that the same
// delivery has the same id again, here and on the ledger, and in no other queue.
func (q *Queue) HideID(id provenance.EventID) provenance.EventID {
	h := hmac.New(sha256.New, q.secret)
	h.Write(id[:])
	return provenance.EventID(h.Sum(nil)[:len(id)])
}

// newSecret makes the secret of a database.
func newSecret() (secret [32]byte, err error) {
	if _, err := rand.Read(secret[:]); err != nil {
		return secret, provenance.Wrap(provenance.Internal, err, "draw a secret")
	}
	return secret, nil
}

// sealClients stores what a segment hides, in the transaction that seals it: from then
// on the events' own words may go, and these do not.
func (b *batch) sealClients(s Segment) error {
	if len(s.Clients) == 0 {
		return nil
	}
	_, err := b.w.stmts.addClients.ExecContext(b.ctx, s.Lane, int64(s.Seq), string(s.Host), s.Clients)
	return sqldb.Wrap(err, "seal clients")
}

// PendingClients returns what recorded segments hide, up to limit of them, in the order
// of lanes and numbers, after the given one (nil: from the first). Lanes that
// another replica holds are left to it; keeping one twice changes nothing.
func (q *Queue) PendingClients(ctx context.Context, after *PendingClients, limit int) ([]PendingClients, error) {
	ctx, cancel := q.limit(ctx)
	defer cancel()
	lane, seq := int64(-1), int64(0)
	if after != nil {
		lane, seq = int64(after.Lane), int64(after.Seq)
	}
	rows, err := q.reads.recordedClients.QueryContext(ctx, lane, seq, limit)
	if err != nil {
		return nil, sqldb.Wrap(err, "read clients")
	}
	defer rows.Close()
	var out []PendingClients
	for rows.Next() {
		var u PendingClients
		var number int64
		if err := rows.Scan(&u.Lane, &number, &u.Host, &u.Clients); err != nil {
			return nil, sqldb.Wrap(err, "read clients")
		}
		u.Seq, u.LaneName = uint64(number), q.LaneName(u.Lane)
		// A lane that is no more, since their number was lowered, is everybody's.
		if u.Lane >= q.options.Lanes || q.holds(u.Lane) {
			out = append(out, u)
		}
	}
	return out, sqldb.Wrap(rows.Err(), "read clients")
}

// ClientsStored forgets what a segment hides: it is kept elsewhere. A crash before: it is
// handed out again. What is not there any more is success.
func (q *Queue) ClientsStored(ctx context.Context, u PendingClients) error {
	return q.writer.do(ctx, &op{rows: 1, run: func(b *batch) error {
		_, err := b.w.stmts.deleteRecordedClients.ExecContext(b.ctx, u.Lane, int64(u.Seq))
		return sqldb.Wrap(err, "forget clients")
	}})
}
