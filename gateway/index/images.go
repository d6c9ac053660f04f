package index

import (
	"bytes"
	"cmp"
	"database/sql"
	"encoding/base64"
	"slices"
	"strings"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/readmodel"
)

const selectRepository = `SELECT id FROM repositories WHERE host = ? AND repository = ?`

// repositoryID is the number of a repository, or of a registry, that something is
// told of; 0 where nothing is.
func (s *Snapshot) repositoryID(host provenance.Host, repo provenance.Repository) (id uint64, err error) {
	err = s.each(selectRepository, []any{string(host), string(repo)}, func(row *sql.Rows) error { return row.Scan(&id) })
	return id, err
}

// Pulls tells how often the image was pulled and when last, by the registries'
// clocks: from one repository, or from all when host is empty.
func (s *Snapshot) Pulls(d provenance.Digest, host provenance.Host, repo provenance.Repository) (count int64, last time.Time, err error) {
	if s.past != nil {
		return 0, last, nil // they are counted for now alone
	}
	in := spanOf(imagePrefix(ofImage, d))
	if host != "" {
		id, err := s.repositoryID(host, repo)
		if err != nil || id == 0 {
			return 0, last, err
		}
		in = spanOf(numbered(in.from, id))
	}
	var sum imageValue
	err = s.scan(in, func(e entry) (bool, error) {
		v, err := decodeImage(e.value)
		sum = sum.with(v)
		return true, err
	})
	return int64(sum.count), sum.last, err
}

// placesAfter lists the places of an image in the order of their keys.
func (s *Snapshot) placesAfter(after string, limit int, attributes []string) ([]state.Entry, error) {
	if len(attributes) == 0 || len(attributes) > 3 {
		return nil, provenance.Errorf(provenance.Internal, "index: places of which image?")
	}
	hash, err := base64.RawURLEncoding.Strict().DecodeString(attributes[0])
	if err != nil {
		return nil, nil //nolint:nilerr // there is no such image
	}
	d, err := provenance.DigestOfHash(hash)
	if err != nil {
		return nil, nil //nolint:nilerr // there is no such image
	}
	var ids []any
	err = s.scan(spanOf(imagePrefix(ofImage, d)), func(e entry) (bool, error) {
		v, err := decodeImage(e.value)
		if v.place {
			ids = append(ids, int64(lastNumber(e.key)))
		}
		return true, err
	})
	if err != nil {
		return nil, err
	}
	var keys []string
	prefix := state.Key(state.TypePlace, attributes...)
	for some := range slices.Chunk(ids, maxVariables) {
		err := s.each(`SELECT host, repository FROM repositories WHERE id IN (?`+strings.Repeat(`, ?`, len(some)-1)+`)`, some, func(row *sql.Rows) error {
			var host, repo string
			err := row.Scan(&host, &repo)
			if key := state.PlaceKey(d, provenance.Host(host), provenance.Repository(repo)); key > after && strings.HasPrefix(key, prefix) {
				keys = append(keys, key)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	slices.Sort(keys)
	return s.present(keys[:min(len(keys), limit)])
}

// present reads keys, and returns those that are there.
func (s *Snapshot) present(keys []string) (all []state.Entry, err error) {
	for some := range slices.Chunk(keys, maxFound) {
		values, err := s.Get(some...)
		if err != nil {
			return nil, err
		}
		for i, value := range values {
			if value != nil {
				all = append(all, state.Entry{Key: some[i], Value: value})
			}
		}
	}
	return all, nil
}

// tagsAfter lists the tags of a registry, or of a repository, in the order of
// their keys.
func (s *Snapshot) tagsAfter(after string, limit int, attributes []string) (all []state.Entry, err error) {
	if len(attributes) == 0 || len(attributes) > 3 {
		return nil, provenance.Errorf(provenance.Internal, "index: tags of which registry?")
	}
	if len(attributes) == 3 {
		return s.present([]string{state.Key(state.TypeTag, attributes...)})
	}
	text, args := `SELECT repository FROM repositories WHERE host = ? AND tagged = 1`, []any{attributes[0]}
	if len(attributes) == 2 {
		text, args = text+` AND repository = ?`, append(args, attributes[1])
	}
	var repositories []provenance.Repository
	err = s.each(text, args, func(row *sql.Rows) error {
		var repo provenance.Repository
		repositories = append(repositories, repo)
		return row.Scan(&repositories[len(repositories)-1])
	})
	if err != nil {
		return nil, err
	}
	host := provenance.Host(attributes[0])
	slices.SortFunc(repositories, func(a, b provenance.Repository) int { return cmp.Compare(a+"\x00", b+"\x00") })
	for _, repo := range repositories {
		for len(all) < limit {
			some, last, err := s.someTags(host, repo, after, min(limit-len(all), maxFound))
			if err != nil {
				return nil, err
			}
			if last == "" {
				break
			}
			found, err := s.present(some)
			if err != nil {
				return nil, err
			}
			all, after = append(all, found...), last
		}
	}
	return all, nil
}

// someTags returns the keys of the tags of a repository that come after one, and
// the last of them; "" where there are none. Tags are texts without a NUL, so
// that they are in the order of their keys.
func (s *Snapshot) someTags(host provenance.Host, repo provenance.Repository, after string, limit int) (keys []string, last string, err error) {
	in := spanOf(repositoryPrefix(ofTag, host, repo))
	if rest, here := strings.CutPrefix(after, state.Key(state.TypeTag, string(host), string(repo))); here {
		in.from = append(append(bytes.Clone(in.from), rest[:max(0, len(rest)-1)]...), 1)
	} else if after > state.Key(state.TypeTag, string(host), string(repo)) {
		return nil, "", nil
	}
	var before string
	err = s.scan(in, func(e entry) (bool, error) {
		tag := string(e.key[prefixLength : len(e.key)-9])
		if tag == before {
			return true, nil
		}
		before = tag
		keys = append(keys, state.TagKey(host, repo, provenance.Tag(tag)))
		return len(keys) < limit, nil
	})
	if len(keys) > 0 {
		last = keys[len(keys)-1]
	}
	return keys, last, err
}

// maxTags bounds Tags.
const maxTags = 101

// Tags returns the tags of a repository that name the image now, sorted; at most
// 101, so that who shows 100 knows whether there are more.
func (s *Snapshot) Tags(d provenance.Digest, host provenance.Host, repo provenance.Repository) ([]provenance.Tag, error) {
	once, err := s.pushedTags(d, host, repo)
	if err != nil {
		return nil, err
	}
	var tags []provenance.Tag
	for some := range slices.Chunk(once, maxVariables) {
		keys := make([]string, len(some))
		for i, tag := range some {
			keys[i] = state.TagKey(host, repo, tag)
		}
		values, err := s.Get(keys...)
		if err != nil {
			return nil, err
		}
		for i, value := range values {
			var record state.Tag
			if value != nil {
				if err := state.Decode(value, &record); err != nil {
					return nil, err
				}
			}
			if record.Digest == d && len(tags) < maxTags {
				tags = append(tags, some[i])
			}
		}
	}
	return tags, nil
}

// maxPushes bounds how many records are looked through for the tags of an image
// whose place does not have them all.
const maxPushes = 5000

// pushedTags are the tags that an image was pushed under, sorted: its place has
// them, unless they are more than the ledger keeps. Then those of its newest
// records count.
func (s *Snapshot) pushedTags(d provenance.Digest, host provenance.Host, repo provenance.Repository) ([]provenance.Tag, error) {
	var place state.Place
	found, err := state.Read(s, state.PlaceKey(d, host, repo), &place)
	if err != nil {
		return nil, err
	}
	tags := slices.Clone(place.Tags)
	if !found || place.TagsCut || len(tags) == 0 {
		in := spanOf(imagePrefix(ofDigest, d))
		if in.backward = true; s.past != nil {
			in.to = numbered(in.from, s.past.record)
		}
		records, err := s.recordsIn(in, readmodel.HistoryFilter{Digest: d, Host: host, Repository: repo}, maxPushes)
		if err != nil {
			return nil, err
		}
		for _, r := range records {
			if r.Tag != "" && r.Kind == provenance.Push.String() {
				tags = append(tags, r.Tag)
			}
		}
	}
	slices.Sort(tags)
	return slices.Compact(tags), nil
}
