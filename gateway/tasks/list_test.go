package tasks

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/block"
	"github.com/waybill-dev/waybill/gateway/ledger/ledgertest"
	"github.com/waybill-dev/waybill/gateway/record/recordtest"
	"github.com/waybill-dev/waybill/gateway/statefile"
	"github.com/waybill-dev/waybill/gateway/wait"
	"github.com/waybill-dev/waybill/gateway/wait/waittest"
)

func newList(t *testing.T) *List {
	t.Helper()
	return reopenList(t, filepath.Join(t.TempDir(), File))
}

func reopenList(t *testing.T, path string) *List {
	t.Helper()
	w, err := Open(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func collectTask(n int) Task {
	return Task{Kind: Collect, Host: recordtest.Host, Repository: "app", Digest: provenance.SHA256Of(fmt.Append(nil, n)), Subject: provenance.SHA256Of([]byte("image"))}
}

func free(Task) time.Time { return time.Time{} }

// segmentBlock is a block in which an organisation recorded pushes.
func segmentBlock(t *testing.T, number uint64, msp string, host provenance.Host, events ...provenance.Event) block.Block {
	t.Helper()
	for i := range events {
		e := &events[i]
		e.ID = provenance.NewEventID("test", "main", e.Digest.String(), string(e.Tag), fmt.Sprint(number, i))
		e.Action, e.Source, e.OccurredAt = provenance.Push, "distribution", time.UnixMilli(1_700_000_000_000).UTC()
	}
	b, err := provenance.EncodeSegment(events)
	if err != nil {
		t.Fatal(err)
	}
	tx := block.Tx{ID: fmt.Sprint("tx", number), Writes: []block.Write{{Key: state.SegmentKey(host, msp, "lane", number), Value: b}}}
	tx.Creator.MSP = msp
	return block.Block{Number: number, Txs: []block.Tx{tx}}
}

func TestNotes(t *testing.T) {
	image, artifact := provenance.SHA256Of([]byte("image")), provenance.SHA256Of([]byte("artifact"))
	tag := func(suffix string) provenance.Tag {
		return provenance.Tag("sha256-" + image.String()[len("sha256:"):] + suffix)
	}
	push := func(tag provenance.Tag, subject provenance.Digest) provenance.Event {
		return provenance.Event{Repository: "app", Digest: artifact, Tag: tag, Subject: subject}
	}
	for name, x := range map[string]struct {
		owner string
		host  provenance.Host
		event provenance.Event
		want  string // kind, "" for none
	}{
		"an image":                 {"VendorMSP", "reg.example", push("v1", provenance.Digest{}), ""},
		"a referrer":               {"VendorMSP", "reg.example", push("", image), Collect},
		"signature tag":            {"VendorMSP", "reg.example", push(tag(".sig"), provenance.Digest{}), Collect},
		"attestation tag":          {"VendorMSP", "reg.example", push(tag(".att"), provenance.Digest{}), Collect},
		"sbom tag":                 {"VendorMSP", "reg.example", push(tag(".sbom"), provenance.Digest{}), Collect},
		"fallback tag":             {"VendorMSP", "reg.example", push(tag(""), provenance.Digest{}), Collect},
		"a tag that looks like it": {"VendorMSP", "reg.example", push(tag(".sign"), provenance.Digest{}), ""},
		"upper case":               {"VendorMSP", "reg.example", push("sha256-ABCDEF.sig", provenance.Digest{}), ""},
		"not our registry":         {"OtherMSP", "elsewhere.example", push("", image), ""},
		"a witnessed registry":     {"OtherMSP", "partner.example", push("v1", provenance.Digest{}), Witness},
	} {
		t.Run(name, func(t *testing.T) {
			list := newList(t)
			n := &Watcher{MSP: "VendorMSP", Collect: true, Witness: []string{"part*.example"}, List: list}
			n.Block(segmentBlock(t, 6, x.owner, x.host, x.event))
			got, ok, _ := list.Take(time.Now(), free)
			if ok != (x.want != "") || got.Kind != x.want {
				t.Fatalf("noted %+v, want %q", got, x.want)
			}
			if x.want == Collect && got.Subject != image {
				t.Errorf("subject %s, want %s", got.Subject, image)
			}
			if list.Height() != 7 {
				t.Errorf("height %d", list.Height())
			}
		})
	}
}

// What a task waits for wakes it, whether it waits, was set aside, or is being
// tried at this very moment.
func TestWakes(t *testing.T) {
	image := provenance.SHA256Of([]byte("image"))
	subject := func(t *testing.T) block.Block {
		return segmentBlock(t, 9, "VendorMSP", "reg.example", provenance.Event{Repository: "app", Digest: image, Tag: "v1"})
	}
	key := func(*testing.T) block.Block {
		return block.Block{Number: 9, Txs: []block.Tx{{Writes: []block.Write{{Key: state.TrustKeyKey("VendorMSP", "release"), Value: []byte("{}")}}}}}
	}
	other := func(t *testing.T) block.Block {
		return segmentBlock(t, 9, "VendorMSP", "reg.example", provenance.Event{Repository: "app", Digest: provenance.SHA256Of([]byte("another")), Tag: "v1"})
	}
	for name, x := range map[string]struct {
		wants string
		block func(*testing.T) block.Block
		woken bool
	}{
		"subject": {ForSubject, subject, true},
		"key":     {ForKey, key, true},
		"another image does not wake who waits for its subject": {ForSubject, other, false},
		"a push does not wake who waits for a key":              {ForKey, subject, false},
	} {
		for _, dead := range []bool{false, true} {
			for _, during := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s dead=%t during=%t", name, dead, during), func(t *testing.T) {
					list := newList(t)
					n := &Watcher{MSP: "VendorMSP", Collect: true, List: list}
					list.Add([]Task{collectTask(1)})
					tried, _, _ := list.Take(time.Now(), free)
					settle := func() {
						if dead {
							list.GiveUp(tried, x.wants, "no")
						} else {
							list.again(tried, time.Now().Add(time.Hour), true, x.wants, "no")
						}
					}
					if during {
						n.Block(x.block(t))
						settle()
					} else {
						settle()
						n.Block(x.block(t))
					}
					// During an attempt it is not known yet what the task will
					// want: it may be tried once more for nothing.
					if _, ok, _ := list.Take(time.Now(), free); ok != x.woken && (x.woken || !during) {
						t.Errorf("woken: %t, want %t", ok, x.woken)
					}
				})
			}
		}
	}
}

func TestWorkSurvives(t *testing.T) {
	list := newList(t)
	list.note(5, []Task{collectTask(1), collectTask(2), collectTask(3)}, nil)
	list.note(6, []Task{collectTask(2)}, nil) // known already
	a, _, _ := list.Take(time.Now(), free)
	list.done(a)
	b, _, _ := list.Take(time.Now(), free)
	list.GiveUp(b, ForKey, "nobody signed it")
	if err := list.save(); err != nil {
		t.Fatal(err)
	}
	list.note(8, []Task{collectTask(4)}, nil) // lost with the height

	list = reopenList(t, list.path)
	if waiting, dead := list.Counts(); list.Height() != 6 || waiting != 1 || dead != 1 {
		t.Fatalf("height %d, %d wait, %d dead", list.Height(), waiting, dead)
	}
	if d := list.Dead(0, 10); len(d) != 1 || d[0].Digest != b.Digest || d[0].Reason != "nobody signed it" || d[0].Attempts != 1 {
		t.Fatalf("dead %+v", d)
	}
	list.note(8, []Task{collectTask(4)}, nil)
	if n := list.Retry(); n != 1 {
		t.Fatalf("retried %d", n)
	}
	seen := map[int64]bool{}
	for {
		got, ok, _ := list.Take(time.Now(), free)
		if !ok {
			break
		}
		if seen[got.ID] {
			t.Fatalf("id %d twice", got.ID)
		}
		seen[got.ID] = true
	}
	if len(seen) != 3 {
		t.Errorf("%d tasks, want 3", len(seen))
	}
}

// A full disk ends no gateway, and the list is saved when there is room again.
func TestWorkKeeps(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "absent")
	list := reopenList(t, filepath.Join(dir, File))
	list.note(3, []Task{collectTask(1)}, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := list.Keep(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("keep: %v", err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := list.Keep(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("keep: %v", err)
	}
	again := reopenList(t, list.path)
	if waiting, _ := again.Counts(); again.Height() != 3 || waiting != 1 {
		t.Errorf("height %d, %d wait", again.Height(), waiting)
	}
	// A rebuilt index brings the blocks once more; they were noted.
	n := &Watcher{MSP: "VendorMSP", Collect: true, List: again}
	n.Block(segmentBlock(t, 2, "VendorMSP", recordtest.Host, provenance.Event{Repository: "app", Digest: collectTask(7).Digest, Subject: collectTask(7).Subject}))
	if waiting, _ := again.Counts(); waiting != 1 {
		t.Errorf("%d wait", waiting)
	}
}

func TestWorkDamaged(t *testing.T) {
	list := newList(t)
	if err := statefile.Replace(list.path, []byte(`{"height":3,"tasks":[{"id":`)); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(list.path, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("a damaged list was taken for an empty one")
	}
}

func TestWorkGivesWay(t *testing.T) {
	list := newList(t)
	var many []Task
	for i := range maxWaiting {
		many = append(many, collectTask(i))
	}
	list.Add(many)
	tried, _, _ := list.Take(time.Now(), free)
	list.again(tried, time.Now().Add(time.Hour), true, "", "gone")
	list.Add([]Task{collectTask(maxWaiting)})
	waiting, dead := list.Counts()
	if d := list.Dead(0, 2); waiting != maxWaiting || dead != 1 || d[0].ID != tried.ID {
		t.Errorf("%d wait, dead %+v; want the one that was tried", waiting, d)
	}
}

// Whoever floods one repository keeps out nobody else's tasks: not from the list,
// not from those set aside, and not from their turn.
func TestWorkFlood(t *testing.T) {
	list := newList(t)
	other := collectTask(1)
	other.Repository = "quiet"
	list.Add([]Task{other})
	tried, _, _ := list.Take(time.Now(), free) // and was tried, unlike those of the flood
	list.again(tried, time.Now().Add(time.Hour), true, "", "gone")
	var many []Task
	for i := range maxWaiting + maxDead + 10 {
		many = append(many, collectTask(i))
	}
	list.Add(many)
	second := collectTask(2)
	second.Repository = "quiet"
	list.Add([]Task{second})
	waiting, dead := list.Counts()
	if waiting != maxWaiting || dead != maxDead {
		t.Errorf("%d wait, %d are set aside", waiting, dead)
	}
	for _, d := range list.Dead(0, maxDead) {
		if d.Repository == "quiet" {
			t.Errorf("the flood set aside %+v", d)
		}
	}
	for n := range 2 {
		if first, _, _ := list.Take(time.Now(), free); first.Repository == "quiet" {
			break
		} else if n == 1 {
			t.Errorf("the flood had two turns before another repository: %+v", first)
		}
	}
	list.GiveUp(tried, ForKey, "set aside")
	list.Add(many)
	if dead := list.Dead(0, 2*maxDead); len(dead) != maxDead || !slices.ContainsFunc(dead, func(d Task) bool { return d.Repository == "quiet" }) {
		t.Errorf("%d are set aside, and the quiet one is forgotten", len(dead))
	}
}

// What a registry says in its errors is shown to people and goes through the API.
func TestReasonsAreReadable(t *testing.T) {
	said := errors.New("denied: \xff\x1b[2J\u202e" + strings.Repeat("é", wait.MaxReason) + "\nmore")
	list := newList(t)
	list.Add([]Task{collectTask(1)})
	w := &Worker{List: list, Log: slog.New(slog.DiscardHandler), limits: Limits{Attempts: 1}}
	taken, _, _ := list.Take(time.Now(), free)
	w.settle(taken, said)
	var waits wait.Reasons
	waits.Begin("lane", said)
	for what, text := range map[string]string{"a task set aside": list.Dead(0, 1)[0].Reason, "a wait": waits.Longest().Reason} {
		if err := provenance.CheckText(what, text, wait.MaxReason); err != nil || !strings.HasPrefix(text, "denied: ") {
			t.Errorf("%v: %q", err, text)
		}
	}
}

// A registry that does not answer is not asked for each of its tasks, and does
// not keep another one's waiting.
func TestWorkerHolds(t *testing.T) {
	list := newList(t)
	var mu sync.Mutex
	calls := map[provenance.Host]int{}
	tries := map[provenance.Digest]int{}
	up := false
	w := &Worker{List: list, Log: slog.New(slog.DiscardHandler), limits: Limits{parallel: 2, Attempts: 3, backoff: 20 * time.Millisecond, backoffMax: 40 * time.Millisecond, patience: time.Hour, outage: time.Hour},
		Do: map[string]func(context.Context, Task) ([]Task, error){Collect: func(_ context.Context, t Task) ([]Task, error) {
			mu.Lock()
			defer mu.Unlock()
			calls[t.Host]++
			tries[t.Digest]++
			switch {
			case t.Host == "down.example" && !up:
				return nil, ledgertest.Unavailable("")
			case t.Host == "bad.example":
				return nil, provenance.Errorf(provenance.Invalid, "not a manifest")
			case t.Host == "index.example" && t.Tag == "list":
				return []Task{{Kind: Collect, Host: "child.example", Digest: provenance.SHA256Of([]byte("child"))}}, nil
			}
			return nil, nil
		}}}
	for i := range 50 {
		for _, host := range []provenance.Host{"up.example", "down.example"} {
			x := collectTask(i)
			x.Host = host
			list.Add([]Task{x})
		}
	}
	bad, listed := collectTask(99), collectTask(98)
	bad.Host, listed.Host, listed.Tag = "bad.example", "index.example", "list"
	list.Add([]Task{bad, listed})

	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := w.Run(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("run: %v", err)
		}
	})
	waittest.Until(t, func() bool {
		waiting, dead := list.Counts()
		return waiting == 50 && dead == 1
	})
	mu.Lock()
	if calls["up.example"] != 50 || calls["child.example"] != 1 || tries[bad.Digest] != 3 || calls["down.example"] > 40 {
		t.Errorf("calls %v, the bad one %d times", calls, tries[bad.Digest])
	}
	up = true
	mu.Unlock()
	waittest.Until(t, func() bool { waiting, _ := list.Counts(); return waiting == 0 })
	cancel()
	wg.Wait()
}
