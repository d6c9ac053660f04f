package tasks

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/block"
	"github.com/waybill-dev/waybill/gateway/ledger/ledgertest"
	"github.com/waybill-dev/waybill/gateway/queue"
	"github.com/waybill-dev/waybill/gateway/record/recordtest"
	"github.com/waybill-dev/waybill/gateway/wait"
	"github.com/waybill-dev/waybill/gateway/wait/waittest"
)

func newList(t *testing.T) *queue.Tasks {
	t.Helper()
	path := filepath.Join(t.TempDir(), "queue.db")
	if err := queue.Create(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	q, err := queue.Open(t.Context(), path, queue.Options{Lanes: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := q.Close(); err != nil {
			t.Error(err)
		}
	})
	return q.Tasks()
}

func add(t *testing.T, list *queue.Tasks, tasks ...Task) {
	t.Helper()
	if err := list.Add(t.Context(), tasks); err != nil {
		t.Fatal(err)
	}
}

func take(t *testing.T, list *queue.Tasks) (Task, bool) {
	t.Helper()
	task, ok, _, err := list.Take(t.Context(), queue.Ready{Collect: nil, Witness: nil})
	if err != nil {
		t.Fatal(err)
	}
	return task, ok
}

func counts(t *testing.T, list *queue.Tasks) (waiting, dead int64) {
	t.Helper()
	waiting, dead, err := list.Counts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return waiting, dead
}

func bring(t *testing.T, n *Watcher, b block.Block) {
	t.Helper()
	if err := n.Block(t.Context(), b); err != nil {
		t.Fatal(err)
	}
}

func collectTask(n int) Task {
	return Task{Kind: Collect, Host: recordtest.Host, Repository: "app", Digest: provenance.SHA256Of(fmt.Append(nil, n)), Subject: provenance.SHA256Of([]byte("image"))}
}

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
	tx := block.Tx{ID: fmt.Sprint("tx", number), Writes: []block.Write{{Key: state.JournalKey(time.Time{}, host, msp, "lane", number), Value: b}}}
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
			bring(t, n, segmentBlock(t, 6, x.owner, x.host, x.event))
			got, ok := take(t, list)
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
					add(t, list, collectTask(1))
					tried, _ := take(t, list)
					settle := func() {
						err := error(nil)
						if dead {
							err = list.DeadLetter(t.Context(), tried, x.wants, "no")
						} else {
							err = list.Again(t.Context(), tried, queue.Attempt{Due: time.Now().Add(time.Hour), Counts: true, Wants: x.wants, Reason: "no"})
						}
						if err != nil {
							t.Fatal(err)
						}
					}
					if during {
						bring(t, n, x.block(t))
						settle()
					} else {
						settle()
						bring(t, n, x.block(t))
					}
					// During an attempt it is not known yet what the task will
					// want: it may be tried once more for nothing.
					if _, ok := take(t, list); ok != x.woken && (x.woken || !during) {
						t.Errorf("woken: %t, want %t", ok, x.woken)
					}
				})
			}
		}
	}
}

// What a registry says in its errors is shown to people and goes through the API.
func TestReasonsAreReadable(t *testing.T) {
	said := errors.New("denied: \xff\x1b[2J\u202e" + strings.Repeat("é", wait.MaxReason) + "\nmore")
	list := newList(t)
	add(t, list, collectTask(1))
	w := &Worker{List: list, Log: slog.New(slog.DiscardHandler), limits: Limits{Attempts: 1}}
	taken, _ := take(t, list)
	if err := w.outcome(taken, said)(t.Context()); err != nil {
		t.Fatal(err)
	}
	letters, err := list.DeadLetters(t.Context(), 0, 9)
	if err != nil || len(letters) != 1 {
		t.Fatalf("%v, %v", letters, err)
	}
	var waits wait.Reasons
	waits.Begin("lane", said)
	for what, text := range map[string]string{"a task set aside": letters[0].Reason, "a wait": waits.Longest().Reason} {
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
	w := &Worker{List: list, Log: slog.New(slog.DiscardHandler), limits: Limits{parallel: map[string]int{Collect: 2}, Attempts: 3, backoff: 20 * time.Millisecond, backoffMax: 40 * time.Millisecond, patience: time.Hour, outage: time.Hour},
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
			add(t, list, x)
		}
	}
	bad, listed := collectTask(99), collectTask(98)
	bad.Host, listed.Host, listed.Tag = "bad.example", "index.example", "list"
	add(t, list, bad, listed)

	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := w.Run(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("run: %v", err)
		}
	})
	waittest.Until(t, func() bool {
		waiting, dead := counts(t, list)
		return waiting == 50 && dead == 1
	})
	mu.Lock()
	if calls["up.example"] != 50 || calls["child.example"] != 1 || tries[bad.Digest] != 3 || calls["down.example"] > 40 {
		t.Errorf("calls %v, the bad one %d times", calls, tries[bad.Digest])
	}
	up = true
	mu.Unlock()
	waittest.Until(t, func() bool { waiting, _ := counts(t, list); return waiting == 0 })
	cancel()
	wg.Wait()
}

// A queue that is away for a while loses no task, and no word of how one ended.
func TestWorkerInsists(t *testing.T) {
	w := &Worker{Log: slog.New(slog.DiscardHandler)}
	tries := 0
	w.insist(t.Context(), func() error {
		if tries++; tries < 3 {
			return provenance.Errorf(provenance.Unavailable, "the queue is away")
		}
		return nil
	})
	if tries != 3 {
		t.Errorf("tried %d times", tries)
	}
	ctx, cancel := context.WithCancel(t.Context())
	w.insist(ctx, func() error {
		cancel()
		return provenance.Errorf(provenance.Unavailable, "the queue is away")
	})
	if ctx.Err() == nil {
		t.Error("it did not end with its context")
	}
}

// A block whose tasks could not be noted is one to be brought again.
func TestBlockIsBroughtAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queue.db")
	if err := queue.Create(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	q, err := queue.Open(t.Context(), path, queue.Options{Lanes: 1})
	if err != nil {
		t.Fatal(err)
	}
	list := newList(t)
	n := &Watcher{MSP: "VendorMSP", Collect: true, List: q.Tasks()}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	b := segmentBlock(t, 0, "VendorMSP", "reg.example", provenance.Event{Repository: "app", Digest: provenance.SHA256Of([]byte("a")), Subject: provenance.SHA256Of([]byte("image"))})
	if err := n.Block(t.Context(), b); provenance.CodeOf(err) != provenance.Unavailable || n.Height() != 0 {
		t.Errorf("height %d after a block that was not noted: %v", n.Height(), err)
	}
	n.List = list
	bring(t, n, b)
	if waiting, _ := counts(t, list); waiting != 1 || n.Height() != 1 {
		t.Errorf("height %d, %d wait", n.Height(), waiting)
	}
}
