package index

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/block"
	"github.com/waybill-dev/waybill/gateway/readmodel"
)

func applied(t testing.TB, create creator, c *chain) *Index {
	x := create(t)
	for _, b := range c.blocks {
		if err := x.Apply(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	return x
}

func view(t testing.TB, x *Index, read func(*Snapshot)) {
	t.Helper()
	if err := x.View(t.Context(), func(s *Snapshot) error { read(s); return nil }); err != nil {
		t.Fatal(err)
	}
}

func history(t testing.TB, x *Index, f readmodel.HistoryFilter, p readmodel.Page) (lines []string, next string) {
	t.Helper()
	view(t, x, func(s *Snapshot) {
		records, token, err := s.History(f, p)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			lines = append(lines, fmt.Sprintf("%d.%d.%d %s by %s: %s", r.Block, r.Tx, r.Seq, r.Kind, r.By, r.Detail))
		}
		next = token
	})
	return lines, next
}

func TestHistory(t *testing.T) { onDatabases(t, testHistory) }

func testHistory(t *testing.T, create creator) {
	x := applied(t, create, story(t))
	v1, v2 := digest("v1").Short(), digest("v2").Short()
	image := []string{
		"2.0.0 push by gateway@VendorMSP: pushed as 1.0",
		"3.0.0 promotion by rm@VendorMSP: promotion to production requested",
		"4.0.0 approval by rm@AuditMSP: approved for production: scanned",
		"4.0.1 release by rm@AuditMSP: released to production under policy default version 1",
		"6.0.0 refusal by rm@AuditMSP: release to production refused: denied (approvals, evidence/scan)",
		"6.1.0 hold by scanner@AuditMSP: quarantined by AuditMSP: CVE",
	}
	moves := []string{
		"2.0.0 push by gateway@VendorMSP: pushed as 1.0",
		"5.0.0 push by gateway@VendorMSP: pushed; tag 1.0 moved from " + v1,
		"5.0.1 push by gateway@VendorMSP: pushed; tag 1.0 moved from " + v2,
		"5.0.2 tag-delete by gateway@VendorMSP: tag 1.0 deleted",
	}
	for _, tc := range []struct {
		name   string
		filter readmodel.HistoryFilter
		want   []string
	}{
		{"digest", readmodel.HistoryFilter{Digest: digest("v1")}, image},
		{"digest in a repository", readmodel.HistoryFilter{Digest: digest("v1"), Host: host, Repository: repo}, image},
		{"digest in another repository", readmodel.HistoryFilter{Digest: digest("v1"), Host: host, Repository: "team/other"}, image[5:]},
		{"tag", readmodel.HistoryFilter{Host: host, Repository: repo, Tag: "1.0"}, moves},
		{"repository", readmodel.HistoryFilter{Host: host, Repository: repo}, slices.Concat(image[:4], moves[1:], image[4:5])},
		{"never seen", readmodel.HistoryFilter{Digest: digest("never")}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, next := history(t, x, tc.filter, readmodel.Page{})
			if diff := cmp.Diff(tc.want, got); diff != "" || next != "" {
				t.Errorf("next %q; -want +got:\n%s", next, diff)
			}
			for size := 1; size <= 3; size++ {
				for _, newest := range []bool{false, true} {
					var all []string
					p := readmodel.Page{Size: size, NewestFirst: newest}
					for {
						lines, next := history(t, x, tc.filter, p)
						all = append(all, lines...)
						if p.Token = next; next == "" {
							break
						}
					}
					if newest {
						slices.Reverse(all)
					}
					if diff := cmp.Diff(tc.want, all); diff != "" {
						t.Errorf("pages of %d, newest first %v; -want +got:\n%s", size, newest, diff)
					}
				}
			}
		})
	}
	view(t, x, func(s *Snapshot) {
		records, _, err := s.History(readmodel.HistoryFilter{Host: host, Repository: repo, Tag: "1.0"}, readmodel.Page{})
		if err != nil || records[1].Previous != digest("v1") || records[1].Digest != digest("v2") || !records[1].OccurredAt.Equal(at(4)) ||
			!records[1].Time.Equal(at(5)) || records[1].TxID != "tx-5-0" || records[1].Actor != "ci" || !records[3].Digest.IsZero() || records[3].Previous != digest("v3") {
			t.Errorf("%+v, %v", records, err)
		}
		if n, last, err := s.Pulls(digest("v1"), host, repo); n != 3 || !last.Equal(at(7)) || err != nil {
			t.Errorf("pulls: %d, %s, %v", n, last, err)
		}
		if tags, err := s.Tags(digest("v1"), host, repo); len(tags) != 0 || err != nil {
			t.Errorf("tags of v1: %v, %v; its tag was moved", tags, err)
		}
		if _, _, err := s.History(readmodel.HistoryFilter{Host: host}, readmodel.Page{}); provenance.CodeOf(err) != provenance.Invalid {
			t.Errorf("history of everything: %v", err)
		}
	})
}

func TestPromotions(t *testing.T) { onDatabases(t, testPromotions) }

func testPromotions(t *testing.T, create creator) {
	c := story(t)
	for i := range 5 {
		s := state.Subject{Stage: "staging", Host: host, Repository: repo, Digest: digest(fmt.Sprint("p", i))}
		c.block(c.tx(0, "rm@VendorMSP", c.put(s.PromotionKey(), state.Promotion{Subject: s, Attempt: 1, Status: state.PromotionOpen})))
	}
	again := state.Subject{Stage: "staging", Host: host, Repository: repo, Digest: digest("p0")}
	c.block(c.tx(0, "rm@AuditMSP", c.put(again.PromotionKey(), state.Promotion{Subject: again, Attempt: 1, Status: state.PromotionRejected})))
	c.block(c.tx(0, "rm@VendorMSP", c.put(again.PromotionKey(), state.Promotion{Subject: again, Attempt: 2, Status: state.PromotionOpen})))
	x := applied(t, create, c)
	list := func(f readmodel.PromotionFilter, p readmodel.Page) (out []string) {
		view(t, x, func(s *Snapshot) {
			for {
				promotions, next, err := s.Promotions(f, p)
				if err != nil {
					t.Fatal(err)
				}
				for _, q := range promotions {
					out = append(out, fmt.Sprint(q.Stage, " ", q.Status, " ", q.Attempt))
				}
				if p.Token = next; next == "" {
					return
				}
			}
		})
		return out
	}
	open := "staging open 1"
	for _, tc := range []struct {
		filter readmodel.PromotionFilter
		want   []string
	}{
		{readmodel.PromotionFilter{}, []string{"production released 1", "staging open 2", open, open, open, open}},
		{readmodel.PromotionFilter{Stage: "production"}, []string{"production released 1"}},
		{readmodel.PromotionFilter{Status: state.PromotionRejected}, nil},
		{readmodel.PromotionFilter{Digest: digest("p0")}, []string{"staging open 2"}},
		{readmodel.PromotionFilter{Host: host, Repository: "team/other"}, nil},
	} {
		for size := range 3 {
			if diff := cmp.Diff(tc.want, list(tc.filter, readmodel.Page{Size: size})); diff != "" {
				t.Errorf("%+v, pages of %d; -want +got:\n%s", tc.filter, size, diff)
			}
		}
	}
	lines, _ := history(t, x, readmodel.HistoryFilter{Digest: digest("p0")}, readmodel.Page{})
	if len(lines) != 2 || !strings.HasSuffix(lines[1], "requested again") {
		t.Errorf("a rejection alone is no request: %q", lines)
	}
}

func TestApplyRefuses(t *testing.T) { onDatabases(t, testApplyRefuses) }

func testApplyRefuses(t *testing.T, create creator) {
	c := story(t)
	x := create(t)
	if err := x.ApplyBatch(t.Context(), c.blocks[:3]); err != nil {
		t.Fatal(err)
	}
	before, err := x.Fingerprint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	next := c.blocks[3]
	other := next
	other.PreviousHash = []byte("another channel")
	broken := next
	broken.Txs = []block.Tx{c.tx(0, "gateway@VendorMSP", block.Write{Key: state.JournalKey(time.Time{}, host, "VendorMSP", "l", 1), Value: []byte("no segment")})}
	for name, tc := range map[string]struct {
		blocks []block.Block
		want   provenance.Code
	}{
		"a gap":                             {[]block.Block{c.blocks[4]}, provenance.Conflict},
		"the same height again":             {[]block.Block{c.blocks[2]}, provenance.Conflict},
		"another channel":                   {[]block.Block{other}, provenance.Conflict},
		"a record that cannot be read":      {[]block.Block{broken}, provenance.Internal},
		"a batch whose last block is wrong": {[]block.Block{next, c.blocks[4], c.blocks[4]}, provenance.Conflict},
	} {
		if err := x.ApplyBatch(t.Context(), tc.blocks); provenance.CodeOf(err) != tc.want {
			t.Errorf("%s: %v, want %s", name, err, tc.want)
		}
		after, err := x.Fingerprint(t.Context())
		if err != nil || after != before {
			t.Errorf("%s left a trace: %v", name, err)
		}
	}
	if err := x.Apply(t.Context(), next); err != nil {
		t.Errorf("the next block: %v", err)
	}
	if h, err := x.Height(t.Context()); h != 4 || err != nil {
		t.Errorf("height %d, %v", h, err)
	}
}

func TestRebuildIsTheSame(t *testing.T) { onDatabases(t, testRebuildIsTheSame) }

func testRebuildIsTheSame(t *testing.T, create creator) {
	c := story(t)
	one := applied(t, create, c)
	two := create(t)
	if err := two.ApplyBatch(t.Context(), c.blocks); err != nil {
		t.Fatal(err)
	}
	a, err := one.Fingerprint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if b, err := two.Fingerprint(t.Context()); a != b || err != nil {
		t.Errorf("%s and %s, %v", a, b, err)
	}
	if err := one.Apply(t.Context(), c.block(c.tx(0, "rm@VendorMSP", block.Write{Key: state.TagKey(host, repo, "1.0"), Delete: true}))); err != nil {
		t.Fatal(err)
	}
	if b, err := one.Fingerprint(t.Context()); a == b || err != nil {
		t.Errorf("another block, the same fingerprint: %v", err)
	}
}

func TestOrganisations(t *testing.T) { onDatabases(t, testOrganisations) }

func testOrganisations(t *testing.T, create creator) {
	c := story(t)
	b := c.block()
	c.blocks[b.Number].Organisations = []block.Organisation{{MSPID: "PlatformMSP"}}
	x := create(t)
	for i, want := range [][]string{nil, {"AuditMSP", "VendorMSP"}, {"PlatformMSP"}} {
		if i > 0 {
			if err := x.ApplyBatch(t.Context(), c.blocks[(i-1)*(len(c.blocks)-1):][:max(1, (2-i)*(len(c.blocks)-1))]); err != nil {
				t.Fatal(err)
			}
		}
		organisations, err := x.Organisations(t.Context())
		var got []string
		for _, o := range organisations {
			got = append(got, o.MSPID)
		}
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%v %s", err, diff)
		}
	}
}

func TestSnapshotStands(t *testing.T) { onDatabases(t, testSnapshotStands) }

func testSnapshotStands(t *testing.T, create creator) {
	c := story(t)
	x := create(t)
	if err := x.ApplyBatch(t.Context(), c.blocks[:3]); err != nil {
		t.Fatal(err)
	}
	view(t, x, func(s *Snapshot) {
		if err := x.ApplyBatch(t.Context(), c.blocks[3:]); err != nil {
			t.Fatal(err)
		}
		values, err := s.Get(state.HoldKey(digest("v1"), "AuditMSP"), state.RegistryKey(host))
		if err != nil || s.Height != 3 || values[0] != nil || values[1] == nil {
			t.Errorf("at height %d: %q, %v", s.Height, values, err)
		}
	})
}

func TestOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "index.db")
	if _, err := Open(t.Context(), path); provenance.CodeOf(err) != provenance.NotFound {
		t.Errorf("none there: %v", err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), path); provenance.CodeOf(err) != provenance.Conflict {
		t.Errorf("an empty file: %v", err)
	}
	if err := Create(t.Context(), path); provenance.CodeOf(err) != provenance.Conflict {
		t.Errorf("create over a file: %v", err)
	}
}

func TestLeaves(t *testing.T) { onDatabases(t, testLeaves) }

// An import comes in pages; the index finds each place and tag all the same, and
// says rightly what was new.
func testLeaves(t *testing.T, create creator) {
	c := newChain(t)
	var events []provenance.Event
	for i := range 100 {
		events = append(events, event(provenance.Push, fmt.Sprint("t", i), fmt.Sprint("image ", i), i%60))
	}
	events = append(events, event(provenance.Push, "t7", "another", 9))
	write := c.segment(events...)
	kinds := map[string]int{}
	for _, w := range write {
		kind, _, _ := state.SplitKey(w.Key)
		kinds[kind]++
	}
	if kinds[state.TypePage] == 0 || kinds[state.TypeDirectory] == 0 || kinds[state.TypePlace] > 0 {
		t.Fatalf("no import: %v", kinds)
	}
	c.block(c.tx(0, "gateway@VendorMSP", write...))
	c.block(c.tx(0, "gateway@VendorMSP", c.segment(event(provenance.Push, "t8", "another", 10))...))
	x := applied(t, create, c)
	view(t, x, func(s *Snapshot) {
		for _, e := range events {
			var place state.Place
			if found, err := state.Read(s, state.PlaceKey(e.Digest, host, repo), &place); !found || err != nil || place.MSP != "VendorMSP" {
				t.Errorf("%s: %t, %v: %+v", e.Digest.Short(), found, err, place)
			}
		}
		if entries, err := s.Scan(999, state.TypeTag, string(host), string(repo)); err != nil || len(entries) != 100 {
			t.Errorf("%d tags, %v", len(entries), err)
		}
	})
	for tag, want := range map[string][]string{
		"t6": {"0.0.6 push by gateway@VendorMSP: pushed as t6"},
		"t7": {"0.0.7 push by gateway@VendorMSP: pushed as t7", "0.0.100 push by gateway@VendorMSP: pushed; tag t7 moved from " + digest("image 7").Short()},
		"t8": {"0.0.8 push by gateway@VendorMSP: pushed as t8", "1.0.0 push by gateway@VendorMSP: pushed; tag t8 moved from " + digest("image 8").Short()},
	} {
		got, _ := history(t, x, readmodel.HistoryFilter{Host: host, Repository: repo, Tag: provenance.Tag(tag)}, readmodel.Page{})
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tag, diff)
		}
	}
}

func TestApplyEnds(t *testing.T) { onDatabases(t, testApplyEnds) }

func testApplyEnds(t *testing.T, create creator) {
	x := create(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := x.Apply(ctx, block.Block{}); err == nil {
		t.Error("a cancelled Apply succeeded")
	}
}

// BenchmarkApply applies segments of 500 pushes of new images under new tags, and
// small ones of 5; on the server every block is synced.
func BenchmarkApply(b *testing.B) {
	onServer := func(t testing.TB) *Index { return created(t, newDurableSchema(t)) }
	for name, create := range map[string]creator{"sqlite": createFile, "postgres": onServer} {
		b.Run(name, func(b *testing.B) { benchmarkApply(b, create, 500) })
		b.Run(name+"/small", func(b *testing.B) { benchmarkApply(b, create, 5) })
	}
}

func benchmarkApply(b *testing.B, create creator, size int) {
	x, c := create(b), newChain(b)
	n, blocks := 0, 0
	for b.Loop() {
		b.StopTimer()
		var events []provenance.Event
		for range size {
			n++
			events = append(events, event(provenance.Push, fmt.Sprint("t", n), fmt.Sprint(n), n%60))
		}
		block := c.block(c.tx(0, "gateway@VendorMSP", c.segment(events...)...))
		blocks++
		b.StartTimer()
		if err := x.Apply(b.Context(), block); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(blocks)/b.Elapsed().Seconds(), "blocks/s")
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "pushes/s")
}
