package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/waybill-dev/waybill/test/chaos/check"
)

// byHand marks requests of our own senders. The registry's have no such header.
const byHand = "X-Chaos-Sender"

// fate is what becomes of a request.
type fate string

const (
	passed        fate = "passed"
	droppedBefore fate = "dropped before" // the connection breaks, and the gateway has heard nothing
	droppedAfter  fate = "dropped after"  // the gateway hears, and its answer is lost
	doubled       fate = "doubled"        // the gateway hears it twice
	delayed       fate = "delayed"        // whatever is sent meanwhile comes first
	swallowed     fate = "swallowed"      // the registry is told 200, and the gateway never hears
	late          fate = "late"           // the registry is told 200, and the gateway hears once, later, if it is there
)

// proxy stands before a gateway's hooks and is the one that knows what was
// promised: it sees each answer, those that are lost included.
type proxy struct {
	target string            // http://host:port of the gateway's hooks
	hosts  map[string]string // connector -> registry
	server *http.Server
	client *http.Client
	url    string
	seed   uint64
	ctx    func() context.Context // of what is delivered late
	later  sync.WaitGroup

	mu       sync.Mutex
	calm     bool
	attempts map[string]int
	promised map[check.Claim]bool
	sent     map[check.Claim]bool
	refused  map[check.Claim]bool
	counts   map[string]int
	registry time.Time // when the registry was last heard
}

func startProxy(ctx context.Context, target string, hosts map[string]string, seed uint64) (*proxy, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{
		target: target, hosts: hosts, url: "http://" + l.Addr().String(), client: &http.Client{Timeout: 10 * time.Second},
		seed: seed, ctx: func() context.Context { return ctx }, attempts: map[string]int{}, promised: map[check.Claim]bool{}, sent: map[check.Claim]bool{},
		refused: map[check.Claim]bool{}, counts: map[string]int{}, registry: time.Now(),
	}
	p.server = &http.Server{Handler: p, ReadHeaderTimeout: 5 * time.Second, ErrorLog: log.New(io.Discard, "", 0)}
	go func() {
		if err := p.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			p.count("stopped: " + err.Error())
		}
	}()
	return p, nil
}

func (p *proxy) close() error {
	err := p.server.Close()
	p.later.Wait()
	return err
}

// heal ends the faults.
func (p *proxy) heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calm = true
}

// decide says what becomes of a request, from the seed, what it tells and which
// attempt it is: the order in which requests come in changes nothing.
func (p *proxy) decide(connector string, own bool, claims []check.Claim) (fate, time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !own {
		p.registry = time.Now()
	}
	if p.calm || len(claims) == 0 {
		return passed, 0
	}
	// The registry's ids and its port are other ones in each run.
	what := connector + strings.Replace(claims[0].Key, p.hosts[connector], "", 1)
	p.attempts[what]++
	h := fnv.New64a()
	fmt.Fprintf(h, "%d %s %d", p.seed, what, p.attempts[what])
	draw := mixed(h.Sum64())
	wait := time.Duration(draw>>20%1500) * time.Millisecond
	switch n := draw % 1000; {
	case n < 40:
		return droppedBefore, 0
	case n < 80:
		return droppedAfter, 0
	case n < 120:
		return doubled, 0
	case n < 160:
		return delayed, wait
	case own: // what a sender is told has to be true: it keeps a list
		return passed, 0
	case n < 200:
		return swallowed, 0
	case n < 240:
		return late, wait + 500*time.Millisecond
	}
	return passed, 0
}

// mixed spreads a sum over all its bits (the finaliser of SplitMix64).
func mixed(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// ServeHTTP implements http.Handler.
func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	connector := strings.TrimPrefix(r.URL.Path, "/hooks/")
	claims, err := claimsOf(p.hosts[connector], body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	what, wait := p.decide(connector, r.Header.Get(byHand) != "", claims)
	p.count(string(what))
	switch what {
	case droppedBefore:
		panic(http.ErrAbortHandler) // net/http breaks the connection off
	case swallowed:
		w.WriteHeader(http.StatusOK)
		return
	case late:
		w.WriteHeader(http.StatusOK)
		header := r.Header.Clone()
		p.later.Go(func() {
			ctx := p.ctx()
			if pause(ctx, wait) == nil {
				p.forward(ctx, r.URL.Path, header, body, claims)
			}
		})
		return
	case delayed:
		if err := pause(r.Context(), wait); err != nil {
			return // the sender has left, and sends again
		}
	}
	a := p.forward(r.Context(), r.URL.Path, r.Header, body, claims)
	if what == doubled {
		a = p.forward(r.Context(), r.URL.Path, r.Header, body, claims)
	}
	if what == droppedAfter {
		panic(http.ErrAbortHandler)
	}
	if a.retryAfter != "" {
		w.Header().Set("Retry-After", a.retryAfter)
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.text) // a sender that left sends again
}

// answer is the gateway's, or 502 where there is none.
type answer struct {
	status     int
	retryAfter string
	text       []byte
}

// forward hands a request to the gateway and notes what it promises.
func (p *proxy) forward(ctx context.Context, path string, header http.Header, body []byte, claims []check.Claim) answer {
	p.note(p.sent, claims)
	a, err := p.post(ctx, path, header, body)
	if err != nil {
		p.count("no answer")
		return answer{status: http.StatusBadGateway}
	}
	switch {
	case a.status/100 == 2 && keptAsUnusable(a.text): // of one event, as those are that nothing can be made of
		p.note(p.refused, claims)
		p.count("unusable")
	case a.status/100 == 2:
		p.note(p.promised, claims)
	case a.status == http.StatusBadRequest || a.status == http.StatusForbidden:
		p.note(p.refused, claims)
	}
	p.count(fmt.Sprint("status ", a.status))
	return a
}

// keptAsUnusable tells whether an answer says that an event is kept to be looked at,
// and will not be recorded.
func keptAsUnusable(text []byte) bool {
	var counts struct {
		Unusable int `json:"unusable"`
	}
	return json.Unmarshal(text, &counts) == nil && counts.Unusable > 0
}

func (p *proxy) post(ctx context.Context, path string, header http.Header, body []byte) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.target+path, bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	req.Header = header.Clone()
	resp, err := p.client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = resp.Body.Close() }() // read as far as it comes below
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
	if err != nil && resp.StatusCode/100 != 2 { // the promise is in the status line
		return answer{}, err
	}
	return answer{resp.StatusCode, resp.Header.Get("Retry-After"), text}, nil
}

func (p *proxy) note(in map[check.Claim]bool, claims []check.Claim) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range claims {
		in[c] = true
	}
}

func (p *proxy) count(what string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.counts[what]++
}

// counted returns how often something was counted.
func (p *proxy) counted(what string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.counts[what]
}

// accepted is how many things somebody was promised so far.
func (p *proxy) accepted() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.promised)
}

// idle is how long the registry has been silent.
func (p *proxy) idle() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Since(p.registry)
}

func (p *proxy) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return counts(p.counts)
}

// history is the run as the proxy saw it. pushed are the images that the
// registry took: those it never got through with are unheard.
func (p *proxy) history(pushed []string) check.History {
	p.mu.Lock()
	defer p.mu.Unlock()
	var h check.History
	heard := map[string]bool{}
	for c := range p.promised {
		h.Promised = append(h.Promised, c)
		heard[c.Key] = true
	}
	for c := range p.sent {
		if !p.refused[c] { // those promised are no longer open, which the checker knows
			h.Open = append(h.Open, c)
		}
	}
	for c := range p.refused {
		h.Refused = append(h.Refused, c)
	}
	for _, key := range pushed {
		if !heard[key] {
			h.Unheard = append(h.Unheard, check.Claim{ID: "pushed", Key: key})
		}
	}
	return h
}
