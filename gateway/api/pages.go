package api

import (
	"crypto/sha256"
	"encoding/base64"
	"strings"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/readmodel"
)

// Limits of a page.
const (
	defaultPage = 50
	maxPage     = 500
	// Evidence is large.
	evidencePage = 100
	// chunk is how many keys are read at once where all are.
	chunk = 500
)

func page(size int32, token string) (readmodel.Page, error) { return pageOf(size, token, defaultPage) }

func pageOf(size int32, token string, standard int) (readmodel.Page, error) {
	if size < 0 || size > maxPage {
		return readmodel.Page{}, provenance.Errorf(provenance.Invalid, "page size %d: want 1 to %d", size, maxPage)
	}
	if size == 0 {
		return readmodel.Page{Size: standard, Token: token}, nil
	}
	return readmodel.Page{Size: int(size), Token: token}, nil
}

// paging is a request for a page of a list.
type paging interface {
	GetPageSize() int32
	GetPageToken() string
}

// keyRange is a range of keys: a type, and the attributes that they open with.
type keyRange []string

func (r keyRange) prefix() string { return state.Key(r[0], r[1:]...) }

const tokenHash = 8

// list calls do with the records of the runs, one after the other and in the
// order of their keys, for one page, and returns the token of the next, "" on
// the last. Keys stay what they are while the ledger grows, so a page never
// skips what was there when the one before was read.
func list(r Reads, in paging, standard int, do func(e entry) error, runs ...keyRange) (next string, err error) {
	p, err := pageOf(in.GetPageSize(), in.GetPageToken(), standard)
	if err != nil {
		return "", err
	}
	from, after, err := resume(p.Token, runs)
	if err != nil {
		return "", err
	}
	left, last := p.Size, ""
	for i := from; i < len(runs); i++ {
		found, err := r.ScanAfter(after, left+1, runs[i][0], runs[i][1:]...)
		if err != nil {
			return "", err
		}
		for _, e := range found[:min(len(found), left)] {
			one, err := entryOf(e)
			if err != nil {
				return "", err
			}
			if err := do(one); err != nil {
				return "", err
			}
			last = e.Key
		}
		if len(found) > left {
			return listToken(last, runs), nil
		}
		left, after = left-len(found), ""
	}
	return "", nil
}

// resume tells where a token goes on: in which run, and after which key.
func resume(token string, runs []keyRange) (from int, after string, err error) {
	if token == "" {
		return 0, "", nil
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(b) < tokenHash {
		return 0, "", provenance.Errorf(provenance.Invalid, "page token: not one of ours; use the token of the page before as it is")
	}
	after = string(b[:len(b)-tokenHash])
	for i, one := range runs {
		if strings.HasPrefix(after, one.prefix()) && listToken(after, runs) == token {
			return i, after, nil
		}
	}
	return 0, "", provenance.Errorf(provenance.Invalid, "page token: it belongs to another question; ask for all pages with the same filter")
}

// listToken makes the token of the page after key. The hash ties it to the
// question: a token of another filter would silently skip entries.
func listToken(key string, runs []keyRange) string {
	h := sha256.New()
	for _, one := range runs {
		h.Write([]byte(one.prefix()))
		h.Write([]byte{1})
	}
	return base64.RawURLEncoding.EncodeToString(append([]byte(key), h.Sum(nil)[:tokenHash]...))
}

// entry is a key, taken apart, and its value.
type entry struct {
	kind  string
	key   []string
	value []byte
}

func entryOf(e state.Entry) (entry, error) {
	kind, key, ok := state.SplitKey(e.Key)
	if !ok {
		return entry{}, provenance.Errorf(provenance.Internal, "key %q is not of our form", e.Key)
	}
	return entry{kind, key, e.Value}, nil
}

// as decodes entries as one kind of record.
func as[T any](do func(key []string, record T) error) func(entry) error {
	return func(e entry) error {
		var record T
		if err := state.Decode(e.value, &record); err != nil {
			return err
		}
		return do(e.key, record)
	}
}

// each decodes all records under a prefix of keys and calls do with the key's
// attributes. It is for lists that the contract bounds, or that nobody can
// make long alone.
func each[T any](r Reads, do func(key []string, record T) error, objectType string, attributes ...string) error {
	for after := ""; ; {
		more, err := some(r, &after, chunk, do, objectType, attributes...)
		if err != nil || !more {
			return err
		}
	}
}

// first is each for at most limit records; more says that there are others.
func first[T any](r Reads, limit int, do func(key []string, record T) error, objectType string, attributes ...string) (more bool, err error) {
	after := ""
	return some(r, &after, limit, do, objectType, attributes...)
}

func some[T any](r Reads, after *string, limit int, do func(key []string, record T) error, objectType string, attributes ...string) (more bool, err error) {
	entries, err := r.ScanAfter(*after, limit+1, objectType, attributes...)
	if err != nil {
		return false, err
	}
	for _, e := range entries[:min(len(entries), limit)] {
		one, err := entryOf(e)
		if err != nil {
			return false, err
		}
		if err := as(do)(one); err != nil {
			return false, err
		}
		*after = e.Key
	}
	return len(entries) > limit, nil
}
