package index

import (
	"testing"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/readmodel"
)

func TestPages(t *testing.T) { onDatabases(t, testPages) }

func testPages(t *testing.T, create creator) {
	x := applied(t, create, story(t))
	f := readmodel.HistoryFilter{Host: host, Repository: repo}
	_, token := history(t, x, f, readmodel.Page{Size: 2})
	view(t, x, func(s *Snapshot) {
		for name, p := range map[string]struct {
			readmodel.HistoryFilter
			readmodel.Page
		}{
			"another filter":   {readmodel.HistoryFilter{Digest: digest("v1")}, readmodel.Page{Token: token}},
			"the other order":  {f, readmodel.Page{Token: token, NewestFirst: true}},
			"rubbish":          {f, readmodel.Page{Token: "xyz"}},
			"a size too large": {f, readmodel.Page{Size: readmodel.MaxPage + 1}},
			"a negative size":  {f, readmodel.Page{Size: -1}},
		} {
			if _, _, err := s.History(p.HistoryFilter, p.Page); provenance.CodeOf(err) != provenance.Invalid {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// FuzzPageToken: a token is either one that we made for the same question, or Invalid.
func FuzzPageToken(f *testing.F) {
	f.Add("", false)
	f.Add(pager{}.next(Position{Block: 3, Tx: 2, Seq: 1}, "history", "x"), false)
	f.Add(pager{}.next(Position{Block: 1 << 62, Tx: 1 << 31, Seq: 1<<32 - 1}, "history", "x"), true)
	f.Fuzz(func(t *testing.T, token string, newest bool) {
		p := readmodel.Page{Token: token, NewestFirst: newest}
		at, err := pager(p).start("history", "x")
		switch {
		case err != nil && provenance.CodeOf(err) != provenance.Invalid:
			t.Errorf("%q: %v", token, err)
		case err == nil && (at == nil) != (token == ""):
			t.Errorf("%q starts after %v", token, at)
		case err == nil && at != nil && pager(p).next(*at, "history", "x") != token:
			t.Errorf("%q is not what we would have made", token)
		}
	})
}
