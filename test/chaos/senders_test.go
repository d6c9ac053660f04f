package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/test/chaos/check"
	"github.com/waybill-dev/waybill/test/lab"
)

// The connectors. The mirror is a registry that nobody reads back: its events
// are recorded as told, so that there can be many of them.
const (
	mainConnector   = "main"
	mirrorConnector = "mirror"
	mirrorHost      = "mirror.chaos.example"
	mirrorRepos     = 12
	pushRepos       = 6
	tags            = 20 // of each repository of the mirror
)

// sender tells the hook of things, each until the answer is final.
type sender struct {
	name   string
	proxy  *proxy
	client *http.Client
	rng    *rand.Rand
	serial int
	last   *notification // something that was accepted
	told   []check.Claim // what it was promised, by its own list
	honest bool          // it never says something else under a known id
}

func newSender(p *proxy, seed uint64, n int) *sender {
	return &sender{name: fmt.Sprint("sender", n), proxy: p, client: &http.Client{Timeout: 5 * time.Second}, rng: rand.New(rand.NewPCG(seed, uint64(100+n)))}
}

// run sends until over says so, an envelope in every pace; what an outage held
// up follows at once. What it has begun to tell it brings to an end.
func (s *sender) run(ctx context.Context, over func() bool, pace time.Duration) error {
	for due := time.Now(); !over(); due = due.Add(pace) {
		if err := pause(ctx, time.Until(due)); err != nil {
			return err
		}
		if err := s.one(ctx); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}

// one tells something: mostly news, now and then something known, something
// else under a known id, or a push of an image that its registry does not have.
func (s *sender) one(ctx context.Context) error {
	switch n := s.rng.IntN(100); {
	case n < 3 && s.last != nil: // a replay
		return s.tell(ctx, mirrorConnector, false, *s.last)
	case n < 5 && s.last != nil && !s.honest:
		forged := *s.last
		forged.Target.Digest = s.digest()
		return s.tell(ctx, mirrorConnector, true, forged)
	case n < 6:
		ghost := s.news("push", "chaos/ghost")
		return s.tell(ctx, mainConnector, false, ghost)
	}
	events := make([]notification, 1+s.rng.IntN(8))
	for i := range events {
		repo := fmt.Sprint("mirror/app", s.rng.IntN(mirrorRepos))
		switch n := s.rng.IntN(100); {
		case n < 6:
			events[i] = s.news("delete", repo)
			events[i].Target.Tag = ""
		case n < 10:
			events[i] = s.news("delete", repo)
			events[i].Target.Tag = fmt.Sprintf("%s-%d", s.name, s.serial)
		default:
			events[i] = s.news("push", repo)
		}
	}
	if err := s.tell(ctx, mirrorConnector, false, events...); err != nil {
		return err
	}
	s.last = &events[s.rng.IntN(len(events))]
	return nil
}

func (s *sender) digest() string {
	s.serial++
	return provenance.SHA256Of(fmt.Appendf(nil, "%s %d", s.name, s.serial)).String()
}

// news is an event that there was not before. Its tag moves about.
func (s *sender) news(action, repo string) notification {
	n := notification{Action: action, Timestamp: time.Now().UTC(), Target: target{
		MediaType: manifestType, Digest: s.digest(), Repository: repo, Tag: fmt.Sprint("t", s.rng.IntN(tags)),
	}}
	n.ID = fmt.Sprintf("%s-%d", s.name, s.serial)
	n.Actor.Name = s.name
	return n
}

// tell sends an envelope until it is taken: recorded, or of one that is unusable kept. A
// sender that is told to wait, is cut off or hears nothing sends the same again.
func (s *sender) tell(ctx context.Context, connector string, unusable bool, events ...notification) error {
	body, err := json.Marshal(envelope{events})
	if err != nil {
		return err
	}
	for delay := 20 * time.Millisecond; ; delay = min(2*delay, time.Second) {
		status, text := s.post(ctx, connector, body)
		switch {
		case status == http.StatusOK && keptAsUnusable([]byte(text)) != unusable:
			return fmt.Errorf("the hook answers %s, want unusable to be %t", text, unusable)
		case status == http.StatusOK && !unusable:
			claims, err := claimsOf(s.proxy.hosts[connector], body)
			s.told = append(s.told, claims...)
			return err
		case status == http.StatusOK:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case status == 0, status == http.StatusTooManyRequests, status >= 500:
		default:
			return fmt.Errorf("the hook answers %d: %s", status, text)
		}
		if err := pause(ctx, delay); err != nil {
			return err
		}
	}
}

// post returns 0 where there is no answer.
func (s *sender) post(ctx context.Context, connector string, body []byte) (int, string) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.proxy.url+"/hooks/"+connector, bytes.NewReader(body))
	if err != nil {
		return 0, err.Error()
	}
	req.Header.Set("Content-Type", "application/vnd.docker.distribution.events.v2+json")
	req.Header.Set("Authorization", "Bearer "+lab.Secret)
	req.Header.Set(byHand, s.name)
	resp, err := s.client.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = resp.Body.Close() }() // read to its end below
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(text)
}

// pushers push images to the real registry, each until it is taken.
type pushers struct {
	lab  *lab.Lab
	seed uint64

	mu     sync.Mutex
	pushed []string // keys
}

// run pushes until over says so, an image in every pace. Each has a tag of its
// own, since a sweep cannot see what a tag named before.
func (p *pushers) run(ctx context.Context, name string, over func() bool, pace time.Duration) error {
	due := time.Now()
	for i := 0; !over(); i++ {
		repo, tag := fmt.Sprint("chaos/app", i%pushRepos), fmt.Sprintf("%s-%d", name, i)
		for {
			digest, err := p.lab.PushImage(ctx, repo, tag, fmt.Sprintf("%s image %d of seed %d", name, i, p.seed))
			if err == nil {
				p.note(check.Key("push", p.lab.Registry, repo, tag, digest))
				break
			}
			if err := pause(ctx, 100*time.Millisecond); err != nil {
				return err
			}
		}
		due = due.Add(pace)
		if err := pause(ctx, time.Until(due)); err != nil {
			return err
		}
	}
	return nil
}

func (p *pushers) note(key string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pushed = append(p.pushed, key)
}

// keys of what the registry has taken.
func (p *pushers) keys() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.pushed)
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
