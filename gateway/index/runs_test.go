package index

import (
	"bytes"
	"database/sql"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/readmodel"
)

// writing runs a transaction of a writer at the height the index stands at.
func writing(t testing.TB, x *Index, do func(*writer) error) {
	t.Helper()
	tx, err := x.backend.begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.rollback()
	if _, err := tx.head(); err != nil {
		t.Fatal(err)
	}
	w := &writer{session: tx, st: x.st}
	if w.memory, err = w.remember(); err != nil {
		t.Fatal(err)
	}
	if err := do(w); err != nil {
		t.Fatal(err)
	}
	if err := w.storeRuns(); err != nil {
		t.Fatal(err)
	}
	if err := tx.commit(); err != nil {
		t.Fatal(err)
	}
}

// scanned is what a span holds.
func scanned(t testing.TB, x *Index, in span, limit int) (out []string) {
	t.Helper()
	view(t, x, func(s *Snapshot) {
		err := s.scan(in, func(e entry) (bool, error) {
			out = append(out, fmt.Sprintf("%x=%x", e.key, e.value))
			return len(out) < limit, nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
	return out
}

func TestRuns(t *testing.T) { onDatabases(t, testRuns) }

// Whatever is added, in blocks of whatever size, is found in its order while runs
// are merged, at once and in steps; and the runs are the same however the blocks
// were batched.
func testRuns(t *testing.T, create creator) {
	random := rand.New(rand.NewPCG(3, 4))
	x, other := create(t), create(t)
	want := map[string]imageValue{}
	var behind [][]entry
	steps, most := 0, 0
	for block := range 60 {
		var entries []entry
		for range []int{1, 7, 400, 2500, 6000}[random.IntN(5)] {
			key := numbered(prefixOf(ofImage, fmt.Sprint(random.IntN(400))), random.Uint64N(60))
			if random.IntN(3) == 0 {
				key = numbered(prefixOf(ofImage, "a hot one"), random.Uint64N(20_000))
			}
			v := imageValue{count: random.Uint64N(3), last: at(random.IntN(60)), place: random.IntN(9) == 0}
			entries, want[string(key)] = append(entries, entry{key, v.encode()}), want[string(key)].with(v)
		}
		behind = append(behind, slices.Clone(entries))
		writing(t, x, func(w *writer) error {
			err := w.addRun(entries)
			for _, one := range w.runs.all {
				if !one.isWhole() {
					steps++
				}
			}
			most = max(most, len(w.runs.all))
			return err
		})
		if block%4 != 3 {
			continue
		}
		writing(t, other, func(w *writer) (err error) {
			for _, one := range behind {
				if err == nil {
					err = w.addRun(one)
				}
			}
			behind = nil
			return err
		})
		if block%20 != 19 {
			continue
		}
		if a, b := fingerprint(t, x), fingerprint(t, other); a != b {
			t.Fatalf("after block %d the runs are others in batches", block)
		}
		keys := slices.SortedFunc(maps.Keys(want), func(a, b string) int { return bytes.Compare([]byte(a), []byte(b)) })
		for range 12 {
			i := random.IntN(len(keys))
			j := min(len(keys)-1, i+random.IntN(300))
			in := span{from: []byte(keys[i]), to: []byte(keys[j]), backward: random.IntN(2) == 0}
			var expected []string
			for _, k := range keys[i:j] {
				expected = append(expected, fmt.Sprintf("%x=%x", k, want[k].encode()))
			}
			if in.backward {
				slices.Reverse(expected)
			}
			limit := 1 + random.IntN(200)
			if diff := cmp.Diff(expected[:min(limit, len(expected))], scanned(t, x, in, limit)); diff != "" {
				t.Fatalf("block %d, %+v (-want +got):\n%s", block, in, diff)
			}
		}
		whole := span{from: []byte{ofImage}, to: []byte{ofImage + 1}}
		if n := len(scanned(t, x, whole, len(keys)+1)); n != len(keys) {
			t.Fatalf("block %d: %d entries, want %d", block, n, len(keys))
		}
	}
	if steps == 0 || most > 50 {
		t.Errorf("%d blocks with a merge in steps, %d runs at most", steps, most)
	}
	view(t, x, func(s *Snapshot) {
		rows := 0
		err := s.each(`SELECT c.run FROM chunks c LEFT JOIN runs r ON r.id = c.run WHERE r.id IS NULL`, nil, func(*sql.Rows) error { rows++; return nil })
		if err != nil || rows != 0 {
			t.Errorf("%d chunks are of no run, %v", rows, err)
		}
	})
}

// A page that is read backwards may begin where a chunk does: what stands in the chunks
// before it is found all the same.
func TestBackwardsFromTheFirstOfAChunk(t *testing.T) { onDatabases(t, testBackwards) }

func testBackwards(t *testing.T, create creator) {
	x := create(t)
	var entries []entry
	for i := range uint64(3000) {
		entries = append(entries, entry{numbered(prefixOf(ofRepository, "a"), i), nil})
	}
	writing(t, x, func(w *writer) error { return w.addRun(entries) })
	for i, c := range chunksOf(entries) {
		if i == 0 {
			continue
		}
		got := scanned(t, x, span{from: prefixOf(ofRepository, "a"), to: c.first, backward: true}, 1)
		want := fmt.Sprintf("%x=", numbered(prefixOf(ofRepository, "a"), lastNumber(c.first)-1))
		if len(got) != 1 || got[0] != want {
			t.Errorf("before the first of chunk %d: %v, want %s", i, got, want)
		}
	}
}

// Chunks hold what was put in, and bytes that nobody wrote are an error.
func FuzzChunk(f *testing.F) {
	for _, c := range chunksOf([]entry{{prefixOf(ofTag, "a"), nil}, {numbered(prefixOf(ofTag, "b"), 7), []byte("x")}}) {
		f.Add(c.data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		entries, err := decodeChunk(data)
		if err != nil {
			if provenance.CodeOf(err) != provenance.Internal {
				t.Error(err)
			}
			return
		}
		var again []entry
		for _, c := range chunksOf(entries) {
			some, err := decodeChunk(c.data)
			if err != nil {
				t.Fatal(err)
			}
			again = append(again, some...)
		}
		if fmt.Sprintf("%x", again) != fmt.Sprintf("%x", entries) {
			t.Errorf("%x became %x", entries, again)
		}
	})
}

// Two things whose hashes are alike are two things still: the rows are compared.
func TestEntriesThatLookAlike(t *testing.T) { onDatabases(t, testEntriesThatLookAlike) }

func testEntriesThatLookAlike(t *testing.T, create creator) {
	x := applied(t, create, story(t))
	writing(t, x, func(w *writer) error { // as if v1's records were also v9's, and the repository's another's
		var forged []entry
		for n := range w.memory.record {
			forged = append(forged, entry{numbered(imagePrefix(ofDigest, digest("v9")), n), numberValue(0)},
				entry{numbered(repositoryPrefix(ofRepository, host, "team/other"), n), nil},
				entry{numbered(tagPrefix(host, repo, "9.9"), n), nil})
			if n == 0 {
				forged = forged[:0] // numbers are from 1
			}
		}
		return w.addRun(forged)
	})
	for _, f := range []readmodel.HistoryFilter{{Digest: digest("v9")}, {Digest: digest("v9"), Host: host, Repository: repo},
		{Host: host, Repository: "team/other"}, {Host: host, Repository: repo, Tag: "9.9"}} {
		for _, size := range []int{1, 3, 0} {
			if lines, next := history(t, x, f, readmodel.Page{Size: size}); len(lines) > 0 || next != "" {
				t.Errorf("%+v: %v %q", f, lines, next)
			}
		}
	}
}
