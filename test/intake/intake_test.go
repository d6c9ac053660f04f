package intake

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/queue"
	"github.com/waybill-dev/waybill/network"
	"github.com/waybill-dev/waybill/test/lab"
)

// Distribution sends one event at a time and repeats it until it hears 2xx. So
// after each of these the push behind it must arrive.
func TestNothingHoldsUpTheNext(t *testing.T) {
	t.Run("distribution 3", func(t *testing.T) {
		tools, err := network.BuildRegistryTools(t.Context(), os.Stderr)
		if err != nil {
			t.Fatal(err)
		}
		try(t, tools.Registry, "3")
	})
	t.Run("distribution 2", func(t *testing.T) {
		program, err := exec.LookPath(lab.Debian)
		if errors.Is(err, exec.ErrNotFound) {
			t.Logf("SKIPPED, NOT TESTED: Debian's registry: install the package %s", lab.Debian)
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		try(t, program, "2")
	})
}

func try(t *testing.T, program, version string) {
	w := startWorld(t, program)
	if err := w.ordinary("first"); err != nil {
		t.Fatal(err)
	}
	for i, o := range oddities() {
		before := w.kept()
		o.do(w.client)
		if err := w.ordinary(provenance.Tag(fmt.Sprintf("after-%d", i))); err != nil {
			t.Fatalf("%s: %v", o.name, err) // all that follow would wait for it
		}
		kept := w.kept()
		if fresh := len(kept) - len(before); (fresh > 0) != strings.Contains(o.unusable, version) {
			t.Errorf("%s: %d events are kept as unusable: %v", o.name, fresh, kept[len(before):])
		}
	}
	if least := len(oddities()) + 50; w.seen < least {
		t.Errorf("%d events came, at least %d were to: the registry refused what was to be odd", w.seen, least)
	}
	w.reopened()
}

// kept lists why events are kept, the first that came first.
func (w *world) kept() (out []string) {
	w.t.Helper()
	all, err := w.queue.Unusable(w.t.Context(), 0, 1000)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, u := range all {
		out = append(out, fmt.Sprintf("%d bytes, %d times: %s", u.Size, u.Times, u.Reason))
	}
	return out
}

// reopened compares what was promised with what another process finds.
func (w *world) reopened() {
	w.t.Helper()
	kept := w.kept()
	if err := w.queue.Close(); err != nil {
		w.t.Fatal(err)
	}
	q, err := queue.Open(w.t.Context(), w.path, queue.Options{})
	if err != nil {
		w.t.Fatal(err)
	}
	w.queue = q
	stats, err := q.Stats(w.t.Context())
	if err != nil || int(stats.Pending) != w.seen || len(w.kept()) != len(kept) {
		w.t.Errorf("%d of %d events and %d of %d unusable ones are on disk, %v", stats.Pending, w.seen, len(w.kept()), len(kept), err)
	}
	w.t.Logf("%d events, %d unusable", w.seen, len(kept))
}
