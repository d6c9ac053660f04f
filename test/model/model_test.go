package model

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// found is a divergence, and how to come by it.
type finding struct {
	seed  uint64
	start int
	acts  []act
	err   error
}

func (f *finding) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d, start %d:\n", f.seed, f.start)
	for i, a := range f.acts {
		fmt.Fprintf(&b, "  %2d %v\n", i+1, a)
	}
	fmt.Fprintf(&b, "  => %v", f.err)
	return b.String()
}

// sequence runs one, and says where the two first diverge.
func sequence(seed uint64, with *planted, count *coverage) (*finding, error) {
	p, err := newPlay(seed, with)
	if err != nil {
		return nil, err
	}
	if count != nil {
		p.w.count = count
	}
	f := &finding{seed: seed, start: p.start}
	for range p.steps {
		a := p.next()
		f.acts = append(f.acts, a)
		if f.err = p.w.do(a); f.err != nil {
			return f, nil
		}
	}
	if f.err = p.w.end(p.rogues, seed); f.err != nil {
		return f, nil
	}
	return nil, nil
}

// end looks at everything, and then whether those who obey can go on.
func (w *world) end(rogues []string, seed uint64) error {
	if err := w.everything(); err != nil {
		return err
	}
	if seed%4 == 0 {
		if err := w.rightsAgree(); err != nil {
			return err
		}
	}
	if seed%2 == 0 {
		return w.recover(rogues, plainChoice(seed))
	}
	return nil
}

func plainChoice(seed uint64) int { return int(seed>>3) % plainImages }

// replay runs acts as they are.
func replay(start int, acts []act, rogues []string, seed uint64, with *planted) error {
	w, err := newWorld(start, with)
	if err != nil {
		return err
	}
	for _, a := range acts {
		if err := w.do(a); err != nil {
			return err
		}
	}
	return w.end(rogues, seed)
}

// shrink leaves out acts, many at once first, as long as the two still diverge.
func shrink(f *finding, with *planted) *finding {
	p, err := newPlay(f.seed, with)
	if err != nil {
		return f
	}
	best := *f
	for step := max(1, len(best.acts)/2); ; {
		left := false
		for at := 0; at < len(best.acts); {
			shorter := slices.Delete(slices.Clone(best.acts), at, min(at+step, len(best.acts)))
			if err := replay(f.start, shorter, p.rogues, f.seed, with); isDivergence(err) {
				best.acts, best.err, left = shorter, err, true
			} else {
				at += step
			}
		}
		if step == 1 && !left {
			return &best
		}
		step = max(1, step/2)
	}
}

func isDivergence(err error) bool {
	var d *divergence
	return errors.As(err, &d)
}

// run runs sequences from a seed on until a number of them is done or the time is
// over, on several processors.
func run(from, sequences uint64, until time.Time, workers int, most int, progress func(done uint64)) (done uint64, found []*finding, total *coverage, err error) {
	var next, finished atomic.Uint64
	var mu sync.Mutex
	total = newCoverage()
	next.Store(from)
	var group sync.WaitGroup
	for range workers {
		group.Go(func() {
			count := newCoverage()
			for {
				seed := next.Add(1) - 1
				mu.Lock()
				enough := len(found) >= most || err != nil
				mu.Unlock()
				if seed >= from+sequences || enough || !until.IsZero() && time.Now().After(until) {
					break
				}
				f, broken := sequence(seed, nil, count)
				if n := finished.Add(1); progress != nil {
					progress(n)
				}
				if f != nil || broken != nil {
					mu.Lock()
					if broken != nil {
						err = broken
					} else {
						found = append(found, f)
					}
					mu.Unlock()
				}
			}
			mu.Lock()
			defer mu.Unlock()
			for _, pair := range [][2]map[string]int{{total.accepted, count.accepted}, {total.refused, count.refused}, {total.stale, count.stale}} {
				for k, v := range pair[1] {
					pair[0][k] += v
				}
			}
		})
	}
	group.Wait()
	return finished.Load(), found, total, err
}

func (c *coverage) String() string {
	names := map[string]bool{}
	for _, m := range []map[string]int{c.accepted, c.refused, c.stale} {
		for k := range m {
			names[k] = true
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%-38s %9s %9s %9s", "act", "accepted", "refused", "stale")
	for _, k := range slices.Sorted(maps.Keys(names)) {
		fmt.Fprintf(&b, "\n%-38s %9d %9d %9d", k, c.accepted[k], c.refused[k], c.stale[k])
	}
	return b.String()
}

// TestMain lets the collector run seldom: sequences leave little behind.
func TestMain(m *testing.M) {
	debug.SetGCPercent(800)
	m.Run()
}

// share is how long the sequences of an ordinary run take.
const share = 8 * time.Second

// TestSequences runs random sequences of acts: for a share of time, or as many
// as WAYBILL_MODEL_SEQUENCES says, from WAYBILL_MODEL_SEED on. What diverges is
// written below WAYBILL_MODEL_KEEP.
func TestSequences(t *testing.T) {
	sequences, until, from := uint64(1<<62), time.Now().Add(share), uint64(1)
	if s := os.Getenv("WAYBILL_MODEL_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		from = n
	}
	var progress func(uint64)
	begun, before := time.Now(), used()
	if s := os.Getenv("WAYBILL_MODEL_SEQUENCES"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		sequences, until = n, time.Time{}
		progress = func(done uint64) {
			if done%10_000 == 0 {
				fmt.Printf("%d sequences, %.0f/s, up to seed %d\n", done, float64(done)/time.Since(begun).Seconds(), from+done)
			}
		}
	}
	done, found, count, err := run(from, sequences, until, runtime.GOMAXPROCS(0), 5, progress)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d sequences from seed %d, %.0f/s, %.0f/s of a processor\n%v", done, from, float64(done)/time.Since(begun).Seconds(), float64(done)/(used()-before).Seconds(), count)
	for _, f := range found {
		f = shrink(f, nil)
		t.Errorf("%v", f)
		if dir := os.Getenv("WAYBILL_MODEL_KEEP"); dir != "" {
			if err := f.keep(dir); err != nil {
				t.Error(err)
			}
		}
	}
}

// used is the time of processors that this process has taken.
func used() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// recorded is a divergence as testdata/found keeps it: a seed means another
// sequence once the generator changes, and its acts do not.
type recorded struct {
	What   string
	Seed   uint64
	Start  int
	Rogues []string
	Acts   []act
}

func (f *finding) keep(dir string) error {
	p, err := newPlay(f.seed, nil)
	if err != nil {
		return err
	}
	what, _, _ := strings.Cut(f.err.Error(), "\n")
	b, err := json.MarshalIndent(recorded{what, f.seed, f.start, p.rogues, f.acts}, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, fmt.Sprintf("%d.json", f.seed)), append(b, '\n'), 0o644)
}

func readRecorded(name string) (r recorded, err error) {
	b, err := os.ReadFile(name)
	if err == nil {
		err = json.Unmarshal(b, &r)
	}
	return r, err
}

// TestFound runs what once diverged.
func TestFound(t *testing.T) {
	files, err := filepath.Glob("testdata/found/*.json")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, name := range files {
		r, err := readRecorded(name)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(filepath.Base(name), func(t *testing.T) {
			if err := replay(r.Start, r.Acts, r.Rogues, r.Seed, nil); err != nil {
				t.Error((&finding{r.Seed, r.Start, r.Acts, err}).String())
			}
		})
	}
}
