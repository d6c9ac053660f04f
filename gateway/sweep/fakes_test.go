package sweep

import (
	"context"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	ggcr "github.com/google/go-containerregistry/pkg/registry"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/delivery"
	"github.com/waybill-dev/waybill/gateway/ledger/ledgertest"
	"github.com/waybill-dev/waybill/gateway/readmodel"
	"github.com/waybill-dev/waybill/gateway/registry"
)

const manifestType = "application/vnd.oci.image.manifest.v1+json"

// bench is a real registry, a ledger that does with events what the
// contract does, and a sweeper between them.
type bench struct {
	t      *testing.T
	server *httptest.Server
	host   provenance.Host
	state  *ledgertest.State
	path   string

	mu       sync.Mutex
	requests []string
	agents   map[string]bool
	answer   func(w http.ResponseWriter, r *http.Request) bool // instead of the registry, where it returns true

	ids      map[provenance.EventID][32]byte
	events   []provenance.Event // accepted
	records  []readmodel.Record
	held     bool                     // events stay in the queue
	holding  []provenance.Event       // that do
	accepted func(e provenance.Event) // after an event
	full     int                      // so often the queue is full
	counts   map[string]int
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t, state: &ledgertest.State{}, path: filepath.Join(t.TempDir(), File), agents: map[string]bool{}, ids: map[provenance.EventID][32]byte{}, counts: map[string]int{}}
	real := ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0)))
	b.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Test") == "" && r.URL.Path != "/v2/" {
			b.mu.Lock()
			b.requests = append(b.requests, r.Method+" "+r.URL.Path)
			b.agents[r.UserAgent()] = true
			answer := b.answer
			b.mu.Unlock()
			if answer != nil && answer(w, r) {
				return
			}
		}
		real.ServeHTTP(w, r)
	}))
	t.Cleanup(b.server.Close)
	b.host = provenance.Host(strings.TrimPrefix(b.server.URL, "http://"))
	b.state.Put(t, state.RegistryKey(b.host), state.Registry{Host: b.host, Claims: []state.Claim{{Owner: "VendorMSP"}}})
	return b
}

// sweeper returns one that starts from the file, as after a restart.
func (b *bench) sweeper(change func(*Sweeper)) *Sweeper {
	b.t.Helper()
	client, err := registry.New(registry.Config{Host: b.host, Insecure: true, AllowPrivate: true, UserAgent: registry.UserAgent})
	if err != nil {
		b.t.Fatal(err)
	}
	limits := DefaultLimits()
	limits.backoff, limits.backoffMax, limits.patience, limits.poll = time.Millisecond, 5*time.Millisecond, 100*time.Millisecond, time.Millisecond
	limits.queuePatience = time.Minute
	s := &Sweeper{
		MSP: "VendorMSP", Hosts: map[provenance.Host]*Registry{}, Queue: b, Level: func(time.Time) bool { return true }, Path: b.path, Log: slog.New(slog.DiscardHandler),
		View:     func(_ context.Context, read func(Index) error) error { return read(b) },
		Config:   Config{Rate: 100_000, Grace: time.Millisecond},
		Limits:   limits,
		Count:    func(_ provenance.Host, kind string) { b.counts[kind]++ },
		Finished: func(provenance.Host) { b.counts["finished"]++ },
	}
	s.Hosts[b.host] = &Registry{Reader: client, Woken: make(chan struct{}, 1), Watched: func(provenance.Repository) bool { return true }}
	if change != nil {
		change(s)
	}
	if err := s.Load(); err != nil {
		b.t.Fatal(err)
	}
	return s
}

// swept makes one sweep and returns its result.
func (b *bench) swept(s *Sweeper, dry bool) *run {
	b.t.Helper()
	if _, err := s.begin(b.t.Context(), b.host, dry); err != nil {
		b.t.Fatal(err)
	}
	s.sweep(b.t.Context(), b.host)
	return s.states[b.host].Last
}

// found lists findings as "kind repository:tag outcome".
func found(r *run) []string {
	out := []string{}
	for _, f := range r.Findings {
		name := string(f.Repository)
		if f.Tag != "" {
			name += ":" + string(f.Tag)
		}
		out = append(out, f.Kind+" "+name+" "+f.Outcome)
	}
	slices.Sort(out)
	return out
}

func (b *bench) do(method, path, body string) {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), method, b.server.URL+"/v2/"+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Test", "yes")
	req.Header.Set("Content-Type", manifestType)
	if strings.Contains(body, `"manifests"`) {
		req.Header.Set("Content-Type", "application/vnd.oci.image.index.v1+json")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil || resp.StatusCode >= 300 {
		b.t.Fatalf("%s %s: %v %v", method, path, resp, err)
	}
	_ = resp.Body.Close()
}

func imageNamed(name string) string {
	return `{"schemaVersion":2,"mediaType":"` + manifestType + `","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"` +
		provenance.SHA256Of([]byte(name)).String() + `","size":2},"layers":[]}`
}

// push puts an image, under a tag or by its digest, and returns the digest.
func (b *bench) push(repo, tag, body string) provenance.Digest {
	b.t.Helper()
	d := provenance.SHA256Of([]byte(body))
	b.do(http.MethodPut, repo+"/manifests/"+d.String(), body)
	if tag != "" {
		b.do(http.MethodPut, repo+"/manifests/"+tag, body)
	}
	return d
}

// record does with an event what the contract and the index do.
func (b *bench) record(e provenance.Event) {
	b.t.Helper()
	placeKey, tagKey := state.PlaceKey(e.Digest, b.host, e.Repository), state.TagKey(b.host, e.Repository, e.Tag)
	var place state.Place
	var tag state.Tag
	_, err := state.Read(b.state, placeKey, &place)
	if err == nil && e.Tag != "" {
		_, err = state.Read(b.state, tagKey, &tag)
	}
	if err != nil {
		b.t.Fatal(err)
	}
	if e.Action == provenance.Push || e.Action == provenance.Delete {
		place.Deleted = e.Action == provenance.Delete
		b.state.Put(b.t, placeKey, place)
	}
	if e.Tag != "" && tag.Digest != e.Digest {
		tag.Previous, tag.Digest = tag.Digest, e.Digest
		tag.Moves++
		b.state.Put(b.t, tagKey, tag)
	}
	b.records = append(b.records, readmodel.Record{Block: uint64(len(b.records) + 1), Kind: e.Action.String(), Host: b.host, Repository: e.Repository, Tag: e.Tag, Digest: e.Digest})
}

func (b *bench) recordPush(repo, tag string, d provenance.Digest) {
	b.t.Helper()
	b.record(provenance.Event{Action: provenance.Push, Repository: provenance.Repository(repo), Tag: provenance.Tag(tag), Digest: d})
}

// known pushes an image and records it, as when all goes well.
func (b *bench) known(repo, tag, name string) provenance.Digest {
	b.t.Helper()
	d := b.push(repo, tag, imageNamed(name))
	b.recordPush(repo, tag, d)
	return d
}

func (b *bench) Get(keys ...string) ([][]byte, error) { return b.state.Get(keys...) }

func (b *bench) Scan(limit int, objectType string, attributes ...string) ([]state.Entry, error) {
	return b.state.Scan(limit, objectType, attributes...)
}

// History implements sweepReads, one record a page.
func (b *bench) History(f readmodel.HistoryFilter, p readmodel.Page) ([]readmodel.Record, string, error) {
	all := slices.Clone(b.records)
	if p.NewestFirst {
		slices.Reverse(all)
	}
	skip := len(p.Token)
	for _, r := range all {
		if r.Host != f.Host || r.Repository != f.Repository || !f.Digest.IsZero() && r.Digest != f.Digest {
			continue
		}
		if skip--; skip < 0 {
			return []readmodel.Record{r}, p.Token + "x", nil
		}
	}
	return nil, "", nil
}

// Accept implements sweepQueue.
func (b *bench) Accept(_ context.Context, deliveries []delivery.Delivery) (delivery.Accepted, error) {
	if b.full > 0 {
		b.full--
		return delivery.Accepted{}, provenance.Errorf(provenance.Full, "queue is full")
	}
	var out delivery.Accepted
	for _, d := range deliveries {
		if err := d.Event.Check(); err != nil || d.Event.Source != Source || d.Host != b.host {
			b.t.Errorf("%+v: %v", d, err)
		}
		if body, known := b.ids[d.Event.ID]; known {
			if body != d.BodyHash {
				return out, provenance.Errorf(provenance.Conflict, "known with another body")
			}
			out.Duplicate++
			continue
		}
		b.ids[d.Event.ID] = d.BodyHash
		out.New++
		b.events = append(b.events, d.Event)
		if b.held {
			b.holding = append(b.holding, d.Event)
		} else {
			b.record(d.Event)
		}
		if b.accepted != nil {
			b.accepted(d.Event)
		}
	}
	return out, nil
}

// Stats implements sweepQueue.
func (b *bench) Stats(context.Context) (delivery.Stats, error) { return delivery.Stats{}, nil }
