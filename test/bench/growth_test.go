package bench

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/gateway/queue"
	"github.com/waybill-dev/waybill/test/lab"
)

// The defaults are the short form, which shows that the instrument works; `make
// bench-growth` gives the sizes at which its figures mean something.
var (
	growthPushes   = flag.Int("growth.pushes", 3_000, "images recorded in all, half of them under new tags")
	growthPulls    = flag.Int("growth.pulls", 3_000, "pulls recorded in all")
	growthRepos    = flag.String("growth.repositories", "16", "in how many repositories; a list has a run of each, on a network of its own")
	growthParts    = flag.Int("growth.parts", 2, "in how many parts the events are recorded and measured")
	growthStreamed = flag.Float64("growth.streamed", 0.5, "share of the moved tags that are moved again and again; the others move once")
	growthSamples  = flag.Int("growth.samples", 40, "questions of each sort after the first and the last part")
	growthSingles  = flag.Int("growth.singles", 5, "pushes one at a time, of each sort, at the end")
	growthOut      = flag.String("growth.out", "", "folder for the results, kept; empty: none is kept")
	growthJudge    = flag.Bool("growth.judge", false, "run Tessera beside it and fail where a goal is missed")
)

// plan is how large a run is.
type plan struct {
	Pushes       int     `json:"pushes"`
	Pulls        int     `json:"pulls"`
	Repositories int     `json:"repositories"`
	Parts        int     `json:"parts"`
	Streamed     float64 `json:"streamed"`
	Samples      int     `json:"samples"`
	Singles      int     `json:"singles"`
}

// growth is what a run found. Its JSON is read by test/bench/plot.
type growth struct {
	Began time.Time `json:"began"`
	Cores int       `json:"cores"`
	Plan  plan      `json:"plan"`
	// Empty is what the installation takes of the disk before the first event.
	Empty  int64   `json:"empty"`
	Parts  []part  `json:"parts"`
	First  answers `json:"questions_first"` // after the first part
	Last   answers `json:"questions_last"`  // after the last
	Single singles `json:"single_pushes"`
	// Reindex is how long a rebuild of the index from block 0 takes, in seconds.
	Reindex float64 `json:"reindex_seconds"`
	Tessera float64 `json:"tessera,omitempty"` // entries per second, 0: not measured
	Goals   []goal  `json:"goals"`
}

// TestGrowth records images and pulls, part by part, and measures what each part
// costs. It has a network of its own for each number of repositories.
func TestGrowth(t *testing.T) {
	for _, field := range strings.Split(*growthRepos, ",") {
		repos, err := strconv.Atoi(strings.TrimSpace(field))
		if err != nil {
			t.Fatalf("-growth.repositories: %v", err)
		}
		p := plan{*growthPushes, *growthPulls, repos, *growthParts, *growthStreamed, *growthSamples, *growthSingles}
		g := &growth{Began: time.Now(), Cores: runtime.NumCPU(), Plan: p}
		if !t.Run(field, func(t *testing.T) { g.run(t) }) {
			return
		}
		out := *growthOut
		if out == "" {
			out = t.TempDir()
		}
		if *growthJudge { // the network is gone: both had the machine for themselves
			if g.Tessera, err = tesseraRate(t.Context(), out, p.Pushes); err != nil {
				t.Error(err)
			}
		}
		g.judge()
		if err := g.write(out); err != nil {
			t.Error(err)
		}
		fmt.Print(g.report())
		for _, goal := range g.Goals {
			if *growthJudge && !goal.met() {
				t.Errorf("missed: %s", goal)
			}
		}
	}
}

func (g *growth) run(t *testing.T) {
	ctx := t.Context()
	if err := g.Plan.fits(); err != nil {
		t.Fatal(err)
	}
	l := lab.For(ctx, t)
	watch, judged, err := prepare(ctx, l)
	if err != nil {
		t.Fatal(err)
	}
	events, err := newLoad(l.Registry, g.Plan.Repositories, g.Plan.of(newTag, 0), g.Plan.Streamed)
	if err != nil {
		t.Fatal(err)
	}
	if g.Empty, err = lab.DiskUsage(l.Dir); err != nil {
		t.Fatal(err)
	}
	for i := range g.Plan.Parts {
		part, err := g.measure(ctx, l, watch, events, i)
		if err != nil {
			t.Fatalf("part %d: %v", i+1, err)
		}
		g.Parts = append(g.Parts, part)
		fmt.Println(g.line(i))
		if err := g.room(l); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			if g.First, err = ask(ctx, l, events, judged, g.Plan.Samples); err != nil {
				t.Fatal(err)
			}
		}
	}
	if g.Last, err = ask(ctx, l, events, judged, g.Plan.Samples); err != nil {
		t.Fatal(err)
	}
	if g.Single, err = pushSingly(ctx, l, events, g.Plan.Singles); err != nil {
		t.Fatal(err)
	}
	if err := l.StopGateway(lab.Owner); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if _, err := l.Reindex(ctx, lab.Owner); err != nil {
		t.Fatal(err)
	}
	g.Reindex = time.Since(began).Seconds()
	if err := g.whole(ctx, int64(len(judged)+events.serial+2*g.Plan.Singles), watch); err != nil {
		t.Fatal(err)
	}
}

// judgedImages are recorded first, with their manifests: verdicts are asked about them.
const judgedImages = perEnvelope

// prepare gives the owner's gateway a registry whose images are in no registry, and
// another one with images that rules apply to; it returns references to these.
func prepare(ctx context.Context, l *lab.Lab) (*watcher, []string, error) {
	if err := withoutReadBack(l); err != nil {
		return nil, nil, err
	}
	s, err := serveManifests(ctx, l)
	if err != nil {
		return nil, nil, err
	}
	for _, host := range []string{l.Registry, s.host} {
		if err := l.AddRegistry(ctx, host, "distribution", lab.Owner); err != nil {
			return nil, nil, err
		}
	}
	if err := agreePolicy(ctx, l, l.Registry, s.host); err != nil {
		return nil, nil, err
	}
	if err := l.StartGateway(ctx, lab.Owner); err != nil {
		return nil, nil, err
	}
	watch, err := follow(ctx, l)
	if err != nil {
		return nil, nil, err
	}
	_, err = drain(ctx, l, watch, &meter{l: l}, func(q *queue.Queue) error { return s.fill(ctx, q, judgedImages) }, judgedImages)
	var images []string
	for digest, serial := range s.named {
		images = append(images, fmt.Sprintf("%s/%s@%s", s.host, readRepo(serial), digest))
	}
	return watch, images, err
}

// of is how many events of a kind a part has; the last parts take what does not divide.
func (p plan) of(k kind, part int) int {
	total := p.Pulls
	switch k {
	case newTag:
		total = p.Pushes - p.Pushes/2
	case movedTag:
		total = p.Pushes / 2
	}
	return total*(part+1)/p.Parts - total*part/p.Parts
}

// Bytes of the disk that an event takes in the whole installation, four peers and
// four orderers, the rebuilt index beside the other one, and room to compact.
const (
	bytesOfPush = 7_000
	bytesOfPull = 1_100
	bytesOfLab  = 2 << 30
)

// fits refuses a run for which the disk has no room.
func (p plan) fits() error {
	if p.Pushes < 100 || p.Pulls < 1 || p.Parts < 2 || p.Parts > 100 {
		return fmt.Errorf("want at least 100 pushes and a pull in 2 to 100 parts, not %d, %d and %d", p.Pushes, p.Pulls, p.Parts)
	}
	need := int64(p.Pushes)*bytesOfPush + int64(p.Pulls)*bytesOfPull + bytesOfLab
	free, err := lab.DiskFree(os.TempDir())
	if err != nil {
		return err
	}
	text := fmt.Sprintf("%d pushes and %d pulls need about %s of disk below %s, which has %s", p.Pushes, p.Pulls, gigabytes(need), os.TempDir(), gigabytes(free))
	if free < need {
		return fmt.Errorf("%s: free some, set TMPDIR, or ask for fewer", text)
	}
	fmt.Println("growth:", text)
	return nil
}

// room ends a run early whose disk would be full before its end.
func (g *growth) room(l *lab.Lab) error {
	done := len(g.Parts)
	used, before := g.Parts[done-1].Installation, g.Empty
	if done > 1 {
		before = g.Parts[done-2].Installation
	}
	free, err := lab.DiskFree(l.Dir)
	if err != nil {
		return err
	}
	if need := (used - before) * int64(g.Plan.Parts-done); free < need {
		return fmt.Errorf("after part %d of %d the rest needs about %s of disk and %s are left", done, g.Plan.Parts, gigabytes(need), gigabytes(free))
	}
	return nil
}

// whole compares what was recorded with what was made.
func (g *growth) whole(ctx context.Context, sent int64, w *watcher) error {
	if err := w.reach(ctx, sent); err != nil {
		return err
	}
	if got := w.count.Load(); got != sent {
		return fmt.Errorf("%d events are final, %d were sent", got, sent)
	}
	for _, p := range g.Parts {
		if p.Images == 0 || len(p.Phases) != 3 || p.Disk["peer/stateLeveldb"] == 0 || p.Disk["gateway/index.db"] == 0 || p.Disk["gateway/queue.db"] == 0 {
			return fmt.Errorf("part %d was not measured wholly: %+v", p.Number, p)
		}
		for k, f := range p.Phases {
			if f.Final <= 0 || f.Visible <= 0 || f.Visible > f.Final || f.Used["gateway"].Peak == 0 || f.Used["peers"].Processes != 4 || f.SegmentBytes == 0 {
				return fmt.Errorf("part %d, %s, was not measured wholly: %+v", p.Number, k, f)
			}
		}
	}
	return nil
}

func gigabytes(n int64) string { return fmt.Sprintf("%.1f GB", float64(n)/1e9) }

func results(out string, repos int, ending string) string {
	return filepath.Join(out, fmt.Sprintf("growth-%d.%s", repos, ending))
}
