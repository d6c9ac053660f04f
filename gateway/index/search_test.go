package index

import (
	"slices"
	"strings"
	"testing"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/readmodel"
)

// An image is found by each beginning of its digest, and no other one is.
func TestFindImages(t *testing.T) { onDatabases(t, testFindImages) }

func testFindImages(t *testing.T, create creator) {
	c := newChain(t)
	c.block()
	var all []provenance.Digest
	for i := range 40 {
		d := digest(strings.Repeat("x", i))
		all = append(all, d)
		c.block(c.tx(0, "gateway@VendorMSP", c.put(state.PlaceKey(d, host, repositories()[i%3]), &state.Place{MSP: "VendorMSP"})))
	}
	long, err := provenance.ParseDigest("sha512:" + strings.Repeat(all[0].String()[7:], 2))
	if err != nil {
		t.Fatal(err)
	}
	c.block(c.tx(0, "gateway@VendorMSP", c.put(state.PlaceKey(long, host, repo), &state.Place{MSP: "VendorMSP"})))
	x := applied(t, create, c)
	view(t, x, func(s *Snapshot) {
		for i, d := range all {
			text := d.String()[7:]
			for n := minDigits; n <= len(text); n++ {
				found, err := s.FindImages(text[:n], "", "", 5)
				if err != nil || len(found) != 1 || found[0].Digest != d || found[0].Repository != repositories()[i%3] {
					t.Fatalf("%s: %v, %v", text[:n], found, err)
				}
			}
			if found, err := s.FindImages(text[:8], host, repositories()[(i+1)%3], 5); err != nil || len(found) != 0 {
				t.Errorf("in another repository: %v, %v", found, err)
			}
		}
		for _, bad := range []string{"", "abcde", "ABCDEF", "xyzxyz", strings.Repeat("a", 65), "sha512:abcdef"} {
			if _, err := s.FindImages(bad, "", "", 5); provenance.CodeOf(err) != provenance.Invalid {
				t.Errorf("%q: %v", bad, err)
			}
		}
		then, err := s.asOf(3)
		if err != nil {
			t.Fatal(err)
		}
		if found, err := then.FindImages(all[9].String()[7:17], "", "", 5); err != nil || len(found) != 0 {
			t.Errorf("as of before its push: %v, %v", found, err)
		}
	})
}

// What is rare is found at the end of however many pages, in both directions, and each once.
func TestSearchGoesOn(t *testing.T) {
	g := newGrower(t, 4, 500)
	x := createFile(t)
	for range 14 {
		if err := x.Apply(t.Context(), g.pushes()); err != nil {
			t.Fatal(err)
		}
	}
	for _, newest := range []bool{false, true} {
		for actor, want := range map[string]int{"ci-bot": g.pushed, "nobody": 0} {
			found, pages := 0, 0
			seen := map[string]bool{}
			p := readmodel.Page{Size: 500, NewestFirst: newest}
			for more := true; more; more = p.Token != "" {
				view(t, x, func(s *Snapshot) {
					records, next, err := s.Search(readmodel.SearchFilter{Actor: actor}, p)
					if err != nil {
						t.Fatal(err)
					}
					for _, r := range records {
						seen[r.Digest.String()] = true
					}
					found, pages, p.Token = found+len(records), pages+1, next
				})
			}
			if found != want || len(seen) != want || pages < 3 {
				t.Errorf("%s, newest first %v: %d found, %d different, want %d, on %d pages", actor, newest, found, len(seen), want, pages)
			}
		}
	}
	view(t, x, func(s *Snapshot) {
		records, next, err := s.Events("", 3, 100)
		if err != nil || len(records) != 3 || !slices.IsSortedFunc(records, func(a, b readmodel.Record) int { return int(a.Block) - int(b.Block) }) {
			t.Fatalf("%v, %v", records, err)
		}
		if after, _, err := s.Events(next, 0, 100); err != nil || len(after) != 0 {
			t.Errorf("after the last: %v, %v", after, err)
		}
	})
}
