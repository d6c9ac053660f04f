package index

import (
	"database/sql"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

func TestMoves(t *testing.T) { onDatabases(t, testMoves) }

// What a tag named before each event is told as whoever reads all events knows it,
// whether it moved once in a segment, often or not at all, and whatever the writer
// remembers.
func testMoves(t *testing.T, create creator) {
	random := rand.New(rand.NewPCG(5, 6))
	c, x := newChain(t), create(t)
	names, want := map[string]provenance.Digest{}, []string(nil)
	for block := range 60 {
		var events []provenance.Event
		for range 1 + random.IntN([]int{2, 5, 150}[random.IntN(3)]) {
			e := event(provenance.Push, fmt.Sprint("t", random.IntN(12)), fmt.Sprint("v", random.IntN(3)), random.IntN(60))
			switch random.IntN(8) {
			case 0:
				e.Action, e.Digest = provenance.TagDelete, provenance.Digest{}
			case 1:
				e.Tag = provenance.Tag(fmt.Sprint("once-", random.Uint64()))
			}
			e.Repository = provenance.Repository(fmt.Sprint("team/app", random.IntN(2)))
			key := fmt.Sprint(e.Repository, ":", e.Tag)
			want = append(want, fmt.Sprint(e.Action, " ", key, " ", names[key]))
			names[key] = target(e)
			events = append(events, e)
		}
		c.block(c.tx(0, "gateway@VendorMSP", c.segment(events...)...))
		if block%7 == 3 { // somebody who remembers nothing goes on
			x.kept = nil
		}
		if block%3 == 2 {
			if err := x.ApplyBatch(t.Context(), c.blocks[block-2:block+1]); err != nil {
				t.Fatal(err)
			}
		}
	}
	var got []string
	view(t, x, func(s *Snapshot) {
		err := s.each(`SELECT r.kind, p.repository, r.tag, r.previous FROM records r JOIN repositories p ON p.id = r.repository ORDER BY r.number`, nil, func(row *sql.Rows) error {
			var kind, repo, tag string
			var previous []byte
			if err := row.Scan(&kind, &repo, &tag, &previous); err != nil {
				return err
			}
			d, err := digestOf(previous)
			got = append(got, fmt.Sprint(kind, " ", repo, ":", tag, " ", d))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
