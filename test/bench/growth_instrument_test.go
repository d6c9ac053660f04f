package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/block"
)

// TestGrowthLoad: a new tag was not there, a moved one was, and what is pulled is recorded.
func TestGrowthLoad(t *testing.T) {
	const each = 4_000
	l, err := newLoad("r.example", 32, each, 0.5)
	if err != nil {
		t.Fatal(err)
	}
	moves, images := map[string]int{}, map[string]bool{}
	ids := map[provenance.EventID]bool{}
	for range 3 {
		for _, k := range kinds() {
			for range each {
				e := l.next(k)
				if ids[e.ID] {
					t.Fatalf("event %s comes twice", e.ID)
				}
				ids[e.ID] = true
				tag, image := fmt.Sprintf("%s:%s", e.Repository, e.Tag), fmt.Sprintf("%s@%s", e.Repository, e.Digest)
				times, there := moves[tag]
				switch {
				case images[image] != (k == pulled):
					t.Fatalf("%s: image %s was recorded before: %v", k, image, images[image])
				case k == newTag && there, k == movedTag && !there:
					t.Fatalf("%s: tag %s was there: %v", k, tag, there)
				case k == newTag:
					moves[tag] = 0
				case k == movedTag:
					moves[tag] = times + 1
				}
				images[image] = true
			}
		}
	}
	once, again := 0, 0
	for _, n := range moves {
		switch {
		case n == 1:
			once++
		case n > 1:
			again += n
		}
	}
	if total := 3 * each; once < total*4/10 || again < total*4/10 || once+again > total {
		t.Errorf("%d tags moved once and %d moves are of tags that moved more often, of %d: want half and half", once, again, total)
	}
}

func TestGrowthLoadRefuses(t *testing.T) {
	for name, try := range map[string]struct {
		repos, first int
		streamed     float64
	}{"no repository": {0, 100, 0.5}, "too many": {1<<16 + 1, 1 << 20, 0.5}, "too few new tags": {100, 100, 0.5}, "no share": {1, 100, 1.5}} {
		if _, err := newLoad("r.example", try.repos, try.first, try.streamed); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

// TestGrowthPlan: parts hold all events, and a disk that is too small is told before anything starts.
func TestGrowthPlan(t *testing.T) {
	p := plan{Pushes: 1_001, Pulls: 77, Repositories: 1, Parts: 10}
	for k, want := range map[kind]int{newTag: 501, movedTag: 500, pulled: 77} {
		got := 0
		for i := range p.Parts {
			got += p.of(k, i)
		}
		if got != want {
			t.Errorf("%s: the parts have %d, want %d", k, got, want)
		}
	}
	if err := p.fits(); err != nil {
		t.Error(err)
	}
	p.Pushes = 1 << 40
	if err := p.fits(); err == nil {
		t.Error("a disk for a million million images is there")
	}
}

// TestGrowthGoals: what became half as fast misses its goal, and what stayed meets it.
func TestGrowthGoals(t *testing.T) {
	run := func(last float64) *growth {
		g := &growth{Plan: plan{Pushes: 1_000_000}, Tessera: 8_000, Last: answers{}}
		for _, final := range []float64{10_000, last} {
			p := part{Phases: map[kind]phase{}}
			for _, k := range kinds() {
				p.Phases[k] = phase{Events: 1000, Final: final, Visible: final * 0.95}
			}
			p.Phases[pulled] = phase{Events: 1000, Final: final * 5, Visible: final * 4.9}
			g.Parts = append(g.Parts, p)
		}
		g.judge()
		return g
	}
	for last, want := range map[float64]int{9_000: 0, 5_000: 8} { // two of each kind, and both of Tessera
		missed := 0
		for _, goal := range run(last).Goals {
			if !goal.met() {
				missed++
			}
		}
		if missed != want {
			t.Errorf("last part %g: %d goals are missed, want %d: %v", last, missed, want, run(last).Goals)
		}
	}
}

func TestReadTessera(t *testing.T) {
	for name, try := range map[string]struct {
		text string
		rate float64
		fine bool
	}{
		"of the hour":   {fmt.Sprintf(`{"began":%q,"entries":1000,"rate":8000}`, time.Now().Add(-time.Minute).Format(time.RFC3339)), 8000, true},
		"older":         {fmt.Sprintf(`{"began":%q,"entries":1000,"rate":8000}`, time.Now().Add(-2*time.Hour).Format(time.RFC3339)), 0, true},
		"of fewer":      {fmt.Sprintf(`{"began":%q,"entries":999,"rate":8000}`, time.Now().Format(time.RFC3339)), 0, true},
		"broken":        {`{"began"`, 0, false},
		"not there yet": {"", 0, true},
	} {
		path := filepath.Join(t.TempDir(), "tessera.json")
		if try.text != "" {
			if err := os.WriteFile(path, []byte(try.text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if rate, err := readTessera(path, 1000); rate != try.rate || (err == nil) != try.fine {
			t.Errorf("%s: %g, %v", name, rate, err)
		}
	}
}

// TestWatcher: the first block's events are those of all its segments.
func TestWatcher(t *testing.T) {
	l, err := newLoad("r.example", 1, 100, 0.5)
	if err != nil {
		t.Fatal(err)
	}
	segment := func(seq uint64) block.Tx {
		value, err := provenance.EncodeSegment([]provenance.Event{l.next(newTag), l.next(newTag)})
		if err != nil {
			t.Fatal(err)
		}
		return block.Tx{Writes: []block.Write{{Key: state.JournalKey(time.Time{}, l.host, "VendorMSP", "0", seq), Value: value}, {Key: "other", Value: []byte("x")}}}
	}
	w := &watcher{}
	for _, b := range []block.Block{{Number: 6}, {Number: 7, Txs: []block.Tx{segment(1), segment(2)}}, {Number: 8, Txs: []block.Tx{segment(3)}}, {Number: 9}} {
		if err := w.block(b); err != nil {
			t.Fatal(err)
		}
	}
	if w.inFirst.Load() != 4 || w.count.Load() != 6 || w.lastBlock.Load() != 8 || w.last.Load() <= w.first.Load() || w.bytes.Load() < 100 {
		t.Errorf("%d events in the first block, %d in all, the last in block %d: want 4, 6 and 8", w.inFirst.Load(), w.count.Load(), w.lastBlock.Load())
	}
}
