package index

import (
	"database/sql"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
)

// Releases returns at most limit releases after the first skip, each image and
// stage once; the last released first.
func (s *Snapshot) Releases(skip, limit int) ([]state.Release, error) {
	if s.past != nil {
		return nil, errNow("releases")
	}
	return decoded[state.Release](s, `SELECT record FROM releases ORDER BY block DESC, tx DESC, seq DESC LIMIT ? OFFSET ?`, limit, skip)
}

// Referrers returns at most limit images of a repository whose manifest names
// the image as its subject, in the order of their digests.
func (s *Snapshot) Referrers(subject provenance.Digest, host provenance.Host, repo provenance.Repository, limit int) ([]provenance.Digest, error) {
	var all []provenance.Digest
	prefix := prefixOf(ofReferrers, string(digestBytes(subject)), string(host), string(repo))
	err := s.scan(spanOf(prefix), func(e entry) (bool, error) {
		if len(all) >= limit {
			return false, nil
		}
		d, err := digestOf(e.key[prefixLength:])
		all = append(all, d)
		return true, err
	})
	if err == nil && s.past != nil {
		return s.past.referred(all, subject, host, repo)
	}
	return all, err
}

// decoded reads the records of a query's only column.
func decoded[T any](s *Snapshot, text string, args ...any) ([]T, error) {
	var all []T
	err := s.each(text, args, func(row *sql.Rows) error {
		var b []byte
		if err := row.Scan(&b); err != nil {
			return err
		}
		var record T
		if err := state.Decode(b, &record); err != nil {
			return err
		}
		all = append(all, record)
		return nil
	})
	return all, err
}
