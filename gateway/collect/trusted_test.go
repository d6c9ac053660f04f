package collect

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/record/recordtest"
	"github.com/waybill-dev/waybill/gateway/registry"
	"github.com/waybill-dev/waybill/gateway/tasks"
	"github.com/waybill-dev/waybill/gateway/tasks/taskstest"
)

// Trust material is read anew when somebody says that it changed, or members did, and
// else is what it was: it is not gone through for every artifact.
func TestTrustIsReadOnce(t *testing.T) {
	c := newCollecting(t)
	version, scans := uint64(0), 0
	c.TrustVersion = func() uint64 { return version }
	view := c.View
	c.View = func(ctx context.Context, read func(state.Scanner) error) error {
		return view(ctx, func(r state.Scanner) error { return read(counting{r, &scans}) })
	}
	collect := func(key signingKey) string {
		t.Helper()
		_, err := c.Do(t.Context(), c.push(registry.Artifact{Layers: []registry.Descriptor{c.signed(t, key, simpleSigning(c.image))}}))
		return taskstest.Outcome(err)
	}
	later := newSigningKey(t)
	for range 3 {
		if got := collect(c.key); got != "" {
			t.Error(got)
		}
	}
	if scans != 2 { // of two members
		t.Errorf("keys were gone through %d times", scans)
	}
	c.register(t, "SecurityMSP", "later", later)
	version++
	if got := collect(later); got != "" {
		t.Errorf("a key that came: %s", got)
	}
	c.state.Put(t, state.MembersKey(), state.Members{MSPs: []string{"VendorMSP"}})
	if got := collect(later); got != "lost until key" {
		t.Errorf("a key of one who left: %s", got)
	}
}

// counting counts what is gone through.
type counting struct {
	state.Scanner
	scans *int
}

func (c counting) Scan(limit int, objectType string, attributes ...string) ([]state.Entry, error) {
	*c.scans++
	return c.Scanner.Scan(limit, objectType, attributes...)
}

// Many artifacts about several images at once: each comes onto the ledger, in far fewer
// transactions, and each task ends by what became of its own.
func TestCollectTogether(t *testing.T) {
	c := newCollecting(t)
	bad := newSigningKey(t)
	var jobs []tasks.Task
	for i := range 120 {
		image := provenance.SHA256Of(fmt.Append(nil, "image ", i%5))
		c.state.Put(t, state.PlaceKey(image, recordtest.Host, "app"), state.Place{MSP: "VendorMSP"})
		key := c.key
		if i%10 == 0 {
			key = bad
		}
		job := c.push(registry.Artifact{Layers: []registry.Descriptor{c.signed(t, key, append(simpleSigning(image), fmt.Sprint(" ", i)[:1]...))}})
		job.Subject = image
		jobs = append(jobs, job)
	}
	var all sync.WaitGroup
	var mu sync.Mutex
	ended := map[string]int{}
	for _, job := range jobs {
		all.Go(func() {
			_, err := c.Do(t.Context(), job)
			mu.Lock()
			defer mu.Unlock()
			ended[taskstest.Outcome(err)]++
		})
	}
	all.Wait()
	if ended[""] != 108 || ended["lost until key"] != 12 || len(c.ledger.Acts) != 108 {
		t.Errorf("%v, %d pieces", ended, len(c.ledger.Acts))
	}
	if len(c.ledger.Batches) == 0 || slices.Max(c.ledger.Batches) < 2 {
		t.Errorf("batches of %v", c.ledger.Batches)
	}
}
