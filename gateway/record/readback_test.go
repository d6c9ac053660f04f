package record_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/delivery"
	"github.com/waybill-dev/waybill/gateway/ledger/ledgertest"
	"github.com/waybill-dev/waybill/gateway/queue"
	"github.com/waybill-dev/waybill/gateway/record"
	"github.com/waybill-dev/waybill/gateway/record/recordtest"
	"github.com/waybill-dev/waybill/gateway/registry"
	"github.com/waybill-dev/waybill/gateway/wait"
)

// countedRegistry is a distribution registry over HTTP that has what it was given.
type countedRegistry struct {
	client *registry.Client
	mu     sync.Mutex
	has    map[string][]byte // "repository@digest"
	asked  map[string]int
}

func newCountedRegistry(t *testing.T, delay time.Duration) *countedRegistry {
	t.Helper()
	c := &countedRegistry{has: map[string][]byte{}, asked: map[string]int{}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		repo, reference, found := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v2/"), "/manifests/")
		if !found {
			return // the ping
		}
		_ = wait.For(r.Context(), delay)
		c.mu.Lock()
		body := c.has[repo+"@"+reference]
		c.asked[repo]++
		c.mu.Unlock()
		if body == nil {
			w.WriteHeader(http.StatusNotFound)
			_, _ = w.Write([]byte(`{"errors":[{"code":"MANIFEST_UNKNOWN"}]}`))
			return
		}
		recordtest.SendManifest(w, body)
	}))
	t.Cleanup(server.Close)
	var err error
	if c.client, err = registry.New(registry.Config{Host: provenance.Host(strings.TrimPrefix(server.URL, "http://")), Insecure: true, AllowPrivate: true}); err != nil {
		t.Fatal(err)
	}
	return c
}

// put makes an image that is there, and its push.
func (c *countedRegistry) put(repo string) delivery.Delivery {
	body := recordtest.ManifestOf(repo)
	c.mu.Lock()
	c.has[repo+"@"+provenance.SHA256Of(body).String()] = body
	c.mu.Unlock()
	return recordtest.PushOf(repo, "v1", provenance.SHA256Of(body))
}

func (c *countedRegistry) requests() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, one := range c.asked {
		n += one
	}
	return n
}

// flooded runs a gateway of production limits on a flood and then a real push
// of another repository in the same lane, and tells after how long that is recorded.
func flooded(t *testing.T, c *countedRegistry, flood []delivery.Delivery) (real, all time.Duration) {
	t.Helper()
	b := recordtest.New(t)
	b.Limits = record.DefaultLimits()
	b.Reads(c.client)
	// Lanes are chosen by a hash: of some names one falls into the lane of the flood.
	b.Accept(flood...)
	var victims []delivery.Delivery
	for i := range 8 {
		victims = append(victims, c.put(fmt.Sprint("victim", i)))
	}
	b.Accept(victims...)
	began := time.Now()
	b.Run(t.Context(), func(s delivery.Stats) bool {
		got := b.Ledger.Recordings(t)
		there := 0
		for _, v := range victims {
			there += got[v.Event.ID]
		}
		if there == len(victims) && real == 0 {
			real = time.Since(began)
		}
		return recordtest.Empty(s)
	})
	return real, time.Since(began)
}

// One request with 1,500 absent images: 33 minutes passed, and a real push of
// another repository was not recorded.
func TestAbsentImagesKeepNobodyWaiting(t *testing.T) {
	c := newCountedRegistry(t, time.Millisecond)
	var flood []delivery.Delivery
	for i := range 1500 {
		d := recordtest.Event("flood", i, provenance.Push)
		d.Event.Tag = provenance.Tag(fmt.Sprint("v", i%7))
		flood = append(flood, d)
	}
	real, all := flooded(t, c, flood)
	t.Logf("a real push beside 1,500 absent images is recorded after %s; all is settled after %s and %d requests", real, all, c.requests())
	if real == 0 { // run gives up after a minute
		t.Error("the real push waited")
	}
	if n := c.requests(); n > 3*1500+8 {
		t.Errorf("%d requests", n)
	}
}

// 60 images pushed and deleted at once took 58 s: each push was looked for three times, one after the other.
func TestPushedAndDeletedAtOnce(t *testing.T) {
	c := newCountedRegistry(t, time.Millisecond)
	var flood []delivery.Delivery
	for i := range 60 {
		push := recordtest.Event("flood", i, provenance.Push)
		gone := recordtest.Event("flood", i, provenance.Delete)
		gone.Event.Tag = ""
		flood = append(flood, push, gone)
	}
	real, all := flooded(t, c, flood)
	t.Logf("beside 60 pairs: %s; all is settled after %s and %d requests", real, all, c.requests())
	if real == 0 {
		t.Error("the pairs were waited for")
	}
	if n := c.requests(); n != 60+8 {
		t.Errorf("%d requests, want one for each image", n)
	}
}

// One digest reported a thousand times is looked for three times.
func TestOneLookServesAll(t *testing.T) {
	c := newCountedRegistry(t, 0)
	var flood []delivery.Delivery
	for i := range 1000 {
		d := recordtest.Event("flood", i, provenance.Push)
		d.Event.Digest, d.Event.Tag = provenance.SHA256Of([]byte("nothing")), provenance.Tag(fmt.Sprint("v", i))
		flood = append(flood, d)
	}
	_, all := flooded(t, c, flood)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.asked["flood"] != 3 {
		t.Errorf("looked %d times, %s", c.asked["flood"], all)
	}
}

// An image that is not there yet holds what shares its tag or its digest, in
// their order, and nothing else of its repository.
func TestAbsentHoldsItsNamesOnly(t *testing.T) {
	b, s := recordtest.New(t), recordtest.NewRegistry()
	b.Limits.Backoff, b.Limits.BackoffMax = 40*time.Millisecond, 80*time.Millisecond
	b.Reads(s)
	late := []byte("late")
	there, other := s.Put("there", 9), s.Put("other", 9)
	waits := recordtest.PushOf("app", "v1", provenance.SHA256Of(late))
	all := []delivery.Delivery{waits, recordtest.PushOf("app", "v2", there), recordtest.PushOf("app", "v1", other), recordtest.PushOf("app", "v3", waits.Event.Digest), recordtest.PushOf("app", "v4", other)}
	b.Accept(all...)
	var once sync.Once
	b.Ledger.OnEndorse = func(int) error {
		once.Do(func() { s.Put("late", 0) })
		return nil
	}
	b.Run(t.Context(), recordtest.Empty)
	b.WantOnce(all)
	var order []string
	for _, events := range b.Ledger.Endorsed {
		for _, e := range events {
			order = append(order, string(e.Tag)+" "+e.Digest.Short())
		}
		order = append(order, "|")
	}
	text := func(d delivery.Delivery) string { return string(d.Event.Tag) + " " + d.Event.Digest.Short() }
	want := fmt.Sprint([]string{text(all[1]), "|", text(all[0]), text(all[2]), text(all[3]), text(all[4]), "|"})
	if got := fmt.Sprint(order); got != want {
		t.Errorf("recorded %s\nwant     %s", got, want)
	}
}

// A deletion that did not happen is not recorded, and one that did is.
func TestDeletionsAreReadBack(t *testing.T) {
	b, s := recordtest.New(t), recordtest.NewRegistry()
	b.Reads(s)
	there, now := s.Put("there", 9), s.Put("now", 9)
	s.Tags["kept"], s.Tags["moved"] = there, now
	remove := func(repo, tag string, d provenance.Digest, action provenance.Action) delivery.Delivery {
		out := recordtest.PushOf(repo, tag, d)
		out.Event.Action = action
		out.Event.ID = provenance.NewEventID("test", "main", repo, tag, d.String(), action.String())
		return out
	}
	gone := provenance.SHA256Of([]byte("gone"))
	trueOnes := []delivery.Delivery{remove("app", "", gone, provenance.Delete), remove("app", "old", gone, provenance.TagDelete), recordtest.PushOf("app", "v1", there)}
	forged := []delivery.Delivery{
		remove("app", "", there, provenance.Delete), remove("app", "kept", there, provenance.TagDelete), remove("app", "moved", there, provenance.TagDelete),
	}
	var told atomic.Value
	b.Recorder.OnContradicted = func(_ context.Context, it queue.Item, named provenance.Digest) {
		if it.Event.Tag == "moved" {
			told.Store(named)
		}
	}
	b.Accept(append(forged, trueOnes...)...)
	b.Run(t.Context(), recordtest.Empty)
	b.WantOnce(trueOnes)
	dead, err := b.Queue.Dead(t.Context(), 0, 10)
	if err != nil || len(dead) != 3 {
		t.Fatalf("%d dead, %v", len(dead), err)
	}
	for _, d := range dead {
		if !strings.HasPrefix(d.Reason, "still served: ") {
			t.Errorf("%s %s: %s", d.Event.Action, d.Event.Tag, d.Reason)
		}
	}
	if told.Load() != now {
		t.Errorf("what the tag names was not told: %v", told.Load())
	}
}

// Where nothing can be read a deletion waits, and where nothing is to be read it is recorded as reported.
func TestDeletionsWait(t *testing.T) {
	b, s := recordtest.New(t), recordtest.NewRegistry()
	s.Down = true
	b.Reads(s)
	d := recordtest.Event("app", 1, provenance.Delete)
	d.ReceivedAt = time.Now()
	b.Accept(d)
	b.Run(t.Context(), func(delivery.Stats) bool {
		s.Mu.Lock()
		defer s.Mu.Unlock()
		return s.Reads[d.Event.Digest] > 5
	})
	b.WantOnce(nil)
	if !strings.Contains(b.Recorder.State().Reason, "refused") {
		t.Errorf("state %+v", b.Recorder.State())
	}
	b.Readers = func(provenance.Host) (record.Registry, bool) { return nil, true }
	b.Reopen()
	b.Run(t.Context(), recordtest.Empty)
	b.WantOnce([]delivery.Delivery{d})
}

// A registry that hangs for one repository does not keep the others of its lane from being read.
func TestHangingReadsKeepNobodyWaiting(t *testing.T) {
	b, s := recordtest.New(t), recordtest.NewRegistry()
	b.Limits.Look, b.Limits.Reads = 20*time.Millisecond, 2
	hung := hangingFor{s, "hung", 200 * time.Millisecond}
	b.Reads(hung)
	var all []delivery.Delivery
	for i := range 20 {
		b.Accept(recordtest.PushOf("hung", fmt.Sprint("v", i), provenance.SHA256Of(fmt.Append(nil, i))))
	}
	for i := range 4 {
		all = append(all, recordtest.PushOf(fmt.Sprint("other", i), "v1", s.Put(fmt.Sprint(i), 9)))
	}
	b.Accept(all...)
	b.Run(t.Context(), func(delivery.Stats) bool { return len(b.Ledger.Recordings(t)) == 4 })
	b.WantOnce(all)
}

// hangingFor answers nothing for one repository, after a while.
type hangingFor struct {
	*recordtest.Registry
	repository provenance.Repository
	wait       time.Duration
}

func (h hangingFor) ManifestBytes(ctx context.Context, repo provenance.Repository, d provenance.Digest) (registry.Facts, []byte, error) {
	if repo == h.repository {
		_ = wait.For(ctx, h.wait)
		return registry.Facts{}, nil, ledgertest.Unavailable("")
	}
	return h.Registry.ManifestBytes(ctx, repo, d)
}
