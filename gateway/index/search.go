package index

import (
	"database/sql"
	"encoding/hex"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/readmodel"
)

const (
	// maxLooked bounds how many records an answer looks through: some 15 ms.
	maxLooked = 2500
	// maxAlike bounds the images that the beginning of a digest may stand for.
	maxAlike = 64
	// minDigits is how many hex digits are enough to ask by.
	minDigits = 6
	// clockSlack is by how much a transaction's time and the ledger's clock may differ.
	clockSlack = 2 * policy.ClockGrace
)

// FindImages returns the places of images that were pushed and whose SHA-256 begins with
// some hex digits, six or more, in the order of the digests, at most limit of them; in one
// repository where one is named.
func (s *Snapshot) FindImages(digits string, host provenance.Host, repo provenance.Repository, limit int) (all []provenance.Reference, err error) {
	in, err := digestSpan(digits)
	if err != nil {
		return nil, err
	}
	wanted, err := s.repositoryID(host, repo)
	if err != nil || host != "" && wanted == 0 {
		return nil, err
	}
	var ids []uint64
	err = s.scan(in, func(e entry) (bool, error) {
		v, err := decodeImage(e.value)
		id := lastNumber(e.key)
		if err != nil || !v.place || wanted != 0 && id != wanted || s.past != nil && v.born >= s.past.height {
			return true, err
		}
		d, err := digestOf(e.key[1 : len(e.key)-8])
		all, ids = append(all, provenance.Reference{Digest: d}), append(ids, id)
		return len(all) < limit, err
	})
	if err != nil {
		return nil, err
	}
	for i, id := range ids {
		err := s.each(`SELECT host, repository FROM repositories WHERE id = ?`, []any{int64(id)}, func(row *sql.Rows) error {
			return row.Scan(&all[i].Host, &all[i].Repository)
		})
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// digestSpan is the entries of the images whose SHA-256 begins with some digits.
func digestSpan(digits string) (span, error) {
	const whole = 64
	digits = strings.TrimPrefix(digits, "sha256:")
	pad := func(with string) ([]byte, error) {
		return hex.DecodeString(digits + strings.Repeat(with, whole-len(digits)))
	}
	if len(digits) < minDigits || len(digits) > whole {
		return span{}, provenance.Errorf(provenance.Invalid, "digest %.80q: want %d to %d hex digits", digits, minDigits, whole)
	}
	from, err := pad("0")
	if err != nil || strings.ToLower(digits) != digits {
		return span{}, provenance.Errorf(provenance.Invalid, "digest %.80q: want hex digits, in lower case", digits)
	}
	to, _ := pad("f") // as from
	const sha256 = 1  // as digestBytes writes it
	return span{from: append([]byte{ofImage, sha256}, from...), to: after(append([]byte{ofImage, sha256}, to...))}, nil
}

// isAct tells records of acts from those of events.
func isAct(kind string) bool {
	switch kind {
	case provenance.Push.String(), provenance.Pull.String(), provenance.Delete.String(), provenance.TagDelete.String(), "unknown":
		return false
	}
	return true
}

// findAct adds what finds the record of an act by its kind and by whose it is.
func (w *writer) findAct(kind string, number uint64) {
	for _, prefix := range [][]byte{prefixOf(ofKind), prefixOf(ofKind, kind), prefixOf(ofActor, w.tx.Creator.MSP)} {
		w.add(numbered(prefix, number), nil)
	}
}

// Search returns a page of the records that a filter takes, and the token of the next, ""
// on the last. It looks through maxLooked records at most: a page may have fewer than were
// asked for, or none, and not be the last.
func (s *Snapshot) Search(f readmodel.SearchFilter, p readmodel.Page) ([]readmodel.Record, string, error) {
	filter := append([]string{"search", f.Digest, string(f.Tag), f.Repository, f.Actor, f.MSP, f.Stage, f.Text, f.Since.String(), f.Before.String()}, f.Kinds...)
	at, err := pager(p).start(filter...)
	if err != nil {
		return nil, "", err
	}
	low, high, err := s.between(f.Since, f.Before)
	if err != nil {
		return nil, "", err
	}
	if at != nil {
		number, err := s.recordAt(*at)
		if err != nil {
			return nil, "", err
		}
		if p.NewestFirst {
			high = min(high, number)
		} else {
			low = max(low, number+1)
		}
	}
	numbers, err := s.candidates(f, low, high, p.NewestFirst)
	if err != nil {
		return nil, "", err
	}
	var found []readmodel.Record
	var last readmodel.Record
	matches, looked := matcher(f), 0
	for some := range slices.Chunk(numbers, maxVariables) {
		records, err := s.records(some, func(r readmodel.Record) bool {
			if len(found) == pager(p).size() {
				return false
			}
			last = r
			if looked++; matches(r) {
				found = append(found, r)
			}
			return false
		})
		if err != nil || len(records) > 0 {
			return nil, "", err
		}
		if len(found) == pager(p).size() {
			break
		}
	}
	if looked == len(numbers) && looked < maxLooked {
		return found, "", nil
	}
	return found, pager(p).next(Position{last.Block, last.Tx, last.Seq}, filter...), nil
}

// between are the numbers of the records that may be of a time, from one and up to another.
func (s *Snapshot) between(since, before time.Time) (low, high uint64, err error) {
	if err := s.each(`SELECT number FROM records ORDER BY number DESC LIMIT 1`, nil, func(row *sql.Rows) error { return row.Scan(&high) }); err != nil {
		return 0, 0, err
	}
	low, high = 1, high+1
	if !since.IsZero() {
		block, _, err := s.ticks(since.Add(-clockSlack))
		if err != nil {
			return 0, 0, err
		}
		if low, err = s.firstRecord(block); err != nil {
			return 0, 0, err
		}
	}
	if !before.IsZero() {
		_, block, err := s.ticks(before.Add(clockSlack))
		if err != nil {
			return 0, 0, err
		}
		end, err := s.firstRecord(block)
		if err != nil {
			return 0, 0, err
		}
		high = min(high, end)
	}
	return low, high, nil
}

// candidates are the numbers of records that may be asked for, at most maxLooked, by the
// narrowest of the ways that the filter allows.
func (s *Snapshot) candidates(f readmodel.SearchFilter, low, high uint64, newest bool) (numbers []uint64, err error) {
	prefixes, err := s.ways(f)
	if err != nil {
		return nil, err
	}
	if prefixes == nil {
		for n := low; n < high && len(numbers) < maxLooked; n++ {
			if number := n; newest {
				numbers = append(numbers, high-1-(number-low))
			} else {
				numbers = append(numbers, number)
			}
		}
		return numbers, nil
	}
	for _, prefix := range prefixes {
		in := span{from: numbered(prefix, low), to: numbered(prefix, min(high, math.MaxInt64)), backward: newest}
		taken := 0
		err := s.scan(in, func(e entry) (bool, error) {
			numbers = append(numbers, lastNumber(e.key))
			taken++
			return taken < maxLooked, nil
		})
		if err != nil {
			return nil, err
		}
	}
	slices.Sort(numbers)
	numbers = slices.Compact(numbers)
	if newest {
		slices.Reverse(numbers)
	}
	return numbers[:min(len(numbers), maxLooked)], nil
}

// ways are the entries that name what may be asked for; nil for all records there are.
func (s *Snapshot) ways(f readmodel.SearchFilter) (prefixes [][]byte, err error) {
	host, repo, exact := exactRepository(f.Repository)
	acts := f.Text != "" || len(f.Kinds) > 0 && !slices.ContainsFunc(f.Kinds, func(k string) bool { return !isAct(k) })
	switch {
	case f.Digest != "":
		digests, err := s.alike(f.Digest)
		for _, d := range digests {
			prefixes = append(prefixes, imagePrefix(ofDigest, d))
		}
		if prefixes == nil {
			prefixes = [][]byte{}
		}
		return prefixes, err
	case exact && f.Tag != "":
		return [][]byte{tagPrefix(host, repo, f.Tag)}, nil
	case exact && !acts:
		return [][]byte{repositoryPrefix(ofRepository, host, repo)}, nil
	case acts && len(f.Kinds) > 0:
		for _, kind := range f.Kinds {
			prefixes = append(prefixes, prefixOf(ofKind, kind))
		}
		return prefixes, nil
	case exact:
		return [][]byte{repositoryPrefix(ofRepository, host, repo)}, nil
	case acts && f.MSP != "":
		return [][]byte{prefixOf(ofActor, f.MSP)}, nil
	case acts:
		return [][]byte{prefixOf(ofKind)}, nil
	}
	return nil, nil
}

// alike are the images that a digest, or its beginning, may stand for.
func (s *Snapshot) alike(digest string) (all []provenance.Digest, err error) {
	if d, err := provenance.ParseDigest(digest); err == nil {
		return []provenance.Digest{d}, nil
	}
	in, err := digestSpan(digest)
	if err != nil {
		return nil, err
	}
	err = s.scan(in, func(e entry) (bool, error) {
		d, err := digestOf(e.key[1 : len(e.key)-8])
		if n := len(all); n == 0 || all[n-1] != d {
			all = append(all, d)
		}
		return len(all) <= maxAlike, err
	})
	if err == nil && len(all) > maxAlike {
		err = provenance.Errorf(provenance.Invalid, "more than %d images begin with %s: give more of its digits", maxAlike, digest)
	}
	return all, err
}

// exactRepository reads host/repository; exact is false for a pattern of many, or none.
func exactRepository(s string) (host provenance.Host, repo provenance.Repository, exact bool) {
	h, r, ok := strings.Cut(s, "/")
	host, err := provenance.ParseHost(h)
	if !ok || err != nil {
		return "", "", false
	}
	repo, err = provenance.ParseRepository(r)
	return host, repo, err == nil
}

// matcher compares records with a filter.
func matcher(f readmodel.SearchFilter) func(readmodel.Record) bool {
	text := strings.ToLower(f.Text)
	whole, _ := provenance.ParseDigest(f.Digest) // zero for the beginning of one
	begins := "sha256:" + strings.TrimPrefix(f.Digest, "sha256:")
	repositories := map[[2]string]bool{}
	here := func(host provenance.Host, repo provenance.Repository) bool {
		name := [2]string{string(host), string(repo)}
		ok, known := repositories[name]
		if !known {
			ok = policy.Match(f.Repository, host, repo) >= 0
			repositories[name] = ok
		}
		return ok
	}
	return func(r readmodel.Record) bool {
		switch {
		case !whole.IsZero() && r.Digest != whole,
			f.Digest != "" && whole.IsZero() && !strings.HasPrefix(r.Digest.String(), begins),
			f.Tag != "" && r.Tag != f.Tag,
			f.Stage != "" && r.Stage != f.Stage,
			f.MSP != "" && r.By.MSP != f.MSP,
			len(f.Kinds) > 0 && !slices.Contains(f.Kinds, r.Kind),
			f.Actor != "" && r.Actor != f.Actor && (!isAct(r.Kind) || r.By.Name != f.Actor && r.By.String() != f.Actor),
			!f.Since.IsZero() && r.Time.Before(f.Since), !f.Before.IsZero() && !r.Time.Before(f.Before),
			f.Repository != "" && !here(r.Host, r.Repository),
			text != "" && (!isAct(r.Kind) || !strings.Contains(strings.ToLower(r.Detail), text)):
			return false
		}
		return true
	}
}

// Events returns records after a position (nil: the last so many), in the order of the
// ledger, and where to go on.
func (s *Snapshot) Events(after string, last, limit int) (records []readmodel.Record, next string, err error) {
	p := pager{Token: after, Size: limit}
	at, err := p.start("events")
	if err != nil {
		return nil, "", err
	}
	_, high, err := s.between(time.Time{}, time.Time{})
	if err != nil {
		return nil, "", err
	}
	low := high - min(uint64(min(last, limit)), high-1)
	position := Position{}
	if at != nil {
		position = *at
		if low, err = s.recordAfter(position); err != nil {
			return nil, "", err
		}
	} else if high > 1 {
		if position, err = s.positionOf(high - 1); err != nil {
			return nil, "", err
		}
	}
	var numbers []uint64
	for n := low; n < high && len(numbers) < p.size(); n++ {
		numbers = append(numbers, n)
	}
	records, err = s.records(numbers, func(readmodel.Record) bool { return true })
	if n := len(records); n > 0 {
		position = Position{records[n-1].Block, records[n-1].Tx, records[n-1].Seq}
	}
	return records, p.next(position, "events"), err
}

// recordAfter is the number of the first record that comes after a position.
func (s *Snapshot) recordAfter(at Position) (uint64, error) {
	first, found := uint64(0), false
	err := s.each(`SELECT first FROM txs WHERE block = ? AND tx = ?`, []any{int64(at.Block), at.Tx}, func(row *sql.Rows) error {
		found = true
		return row.Scan(&first)
	})
	if err != nil || found {
		return first + uint64(at.Seq) + 1, err
	}
	return s.firstRecord(at.Block)
}

func (s *Snapshot) positionOf(number uint64) (at Position, err error) {
	err = s.each(`SELECT r.block, r.tx, r.number - t.first FROM records r JOIN txs t ON t.block = r.block AND t.tx = r.tx WHERE r.number = ?`,
		[]any{int64(number)}, func(row *sql.Rows) error { return row.Scan(&at.Block, &at.Tx, &at.Seq) })
	return at, err
}
