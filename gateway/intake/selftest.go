package intake

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/delivery"
)

// SelfTestHeader marks a sample that this process sends to its own hook. Its value
// is a self-test's token, which only this process knows while the self-test lasts: a
// sender that sets it can hide nothing, it is refused.
const SelfTestHeader = "X-Waybill-Self-Test"

// selfTestName is what a sample speaks of, and who it says has pushed.
const selfTestName = "waybill-connector-test"

// SelfTestSink takes the deliveries of self-tests. They go the way of a Sink's, to the
// disk, and are taken back in the same commit: none is left, and none can be
// recorded. Accepted counts what is new among them, as a Sink would.
type SelfTestSink interface {
	SelfTest(ctx context.Context, deliveries []delivery.Delivery) (delivery.Accepted, error)
}

// Stage is how far a self-test's request came.
type Stage int

// The stages, in the order in which a notification passes them.
const (
	StageSent       Stage = iota // nothing of it was seen here
	StageArrived                 // at its connector
	StageKnown                   // its sender has proved itself
	StageUnderstood              // it says something that could be recorded
	StageAllowed                 // of repositories of this connector
	StageStored                  // written, synced and taken back
)

// SelfTest is one try of a connector with samples: requests that pass everything a
// notification passes and end in the SelfTestSink. It ends with Close.
type SelfTest struct {
	handler  *Handler
	endpoint *endpoint
	token    string
	dedup    dedup // its own: a self-test must not make the sender's next event look like a retry

	mu    sync.Mutex
	stage Stage
	sent  []delivery.Delivery
	known int // of sent, how many are new events
}

// SelfTest begins a self-test of a connector. NotFound: there is none of that name;
// Unavailable: this handler has nowhere to put what a self-test delivers.
func (h *Handler) SelfTest(connector string) (*SelfTest, error) {
	s := h.endpoints[connector]
	if s == nil {
		return nil, provenance.Errorf(provenance.NotFound, "no connector of the name %q", connector)
	}
	if h.config.SelfTests == nil {
		return nil, provenance.Errorf(provenance.Unavailable, "this gateway cannot test its connectors")
	}
	token := make([]byte, 16)
	if _, err := rand.Read(token); err != nil {
		return nil, provenance.Wrap(provenance.Internal, err, "token of a self-test")
	}
	t := &SelfTest{handler: h, endpoint: s, token: hex.EncodeToString(token)}
	h.selfTests.Store(t.token, t)
	return t, nil
}

// Close ends the self-test: its token is a stranger's from here on.
func (t *SelfTest) Close() { t.handler.selfTests.Delete(t.token) }

// Push is a push that the connector's sender could report and that nobody made:
// tag and manifest are those of no image. Without a repository one is chosen
// among those that the connector may speak of. Invalid: there is none that this
// kind could name.
func (t *SelfTest) Push(ctx context.Context, repository provenance.Repository) (provenance.Event, error) {
	now := t.handler.config.Now()
	push := provenance.Event{
		ID: provenance.NewEventID("self-test", t.endpoint.Name, t.token), Action: provenance.Push, Repository: repository, Tag: selfTestName,
		Digest: provenance.SHA256Of([]byte(selfTestName)), Actor: selfTestName, OccurredAt: now,
	}
	if repository != "" {
		return push, nil
	}
	for _, candidate := range t.endpoint.candidates() {
		push.Repository = candidate
		if _, err := Sample(ctx, t.endpoint.Connector, "http://localhost", push); err == nil && t.endpoint.allows(candidate) {
			return push, nil
		}
	}
	push.Repository = selfTestName + "/sample"
	_, err := Sample(ctx, t.endpoint.Connector, "http://localhost", push)
	if err == nil {
		err = provenance.Errorf(provenance.Invalid, "connector %q: none of its repositories can be made up from their patterns: name one", t.endpoint.Name)
	}
	return provenance.Event{}, err
}

// candidates are repositories that the connector may speak of, as far as its
// patterns and prefixes tell.
func (s *endpoint) candidates() []provenance.Repository {
	var out []provenance.Repository
	for _, p := range s.Repositories {
		if p == "**" {
			p = "*/*"
		}
		p = strings.ReplaceAll(p, "**", "*")
		out = append(out, provenance.Repository(strings.ReplaceAll(p, "*", selfTestName)))
	}
	for _, prefix := range s.Prefixes {
		out = append(out, provenance.Repository(strings.TrimPrefix(prefix+"/"+selfTestName, "/")))
	}
	slices.Sort(out)
	return append(out, selfTestName+"/"+selfTestName)
}

// Request makes the sample's request, marked as this self-test's. Errors are Sample's.
func (t *SelfTest) Request(ctx context.Context, gateway string, push provenance.Event) (*http.Request, error) {
	return t.request(ctx, t.endpoint.Connector, gateway, push)
}

// WithWrongSecret makes the same request as somebody would who guesses the secret.
func (t *SelfTest) WithWrongSecret(ctx context.Context, gateway string, push provenance.Event) (*http.Request, error) {
	c := t.endpoint.Connector
	guess := make([]byte, 16)
	if _, err := rand.Read(guess); err != nil {
		return nil, provenance.Wrap(provenance.Internal, err, "secret of a stranger")
	}
	if len(c.Secrets) > 0 {
		c.Secrets = [][]byte{[]byte(hex.EncodeToString(guess))}
	}
	return t.request(ctx, c, gateway, push)
}

func (t *SelfTest) request(ctx context.Context, c Connector, gateway string, push provenance.Event) (*http.Request, error) {
	r, err := Sample(ctx, c, gateway, push)
	if err != nil {
		return nil, err
	}
	r.Header.Set(SelfTestHeader, t.token)
	t.reach(StageSent)
	return r, nil
}

// Stage tells how far the self-test's last request came.
func (t *SelfTest) Stage() Stage {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.stage
}

// Deliveries are what was made of the self-test's requests, the first one first.
func (t *SelfTest) Deliveries() []delivery.Delivery {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.sent)
}

// reach notes how far a request came; most requests are nobody's self-test.
func (t *SelfTest) reach(s Stage) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stage = s
}

// refuse says what a sample must not come to: an operator is told, where a
// registry is thanked. Nothing of a self-test is kept.
func (t *SelfTest) refuse(b batch) answer {
	if t == nil {
		return answer{}
	}
	if len(b.unusable) > 0 {
		return refuse(http.StatusBadRequest, provenance.Invalid, b.unusable[0].reason)
	}
	t.reach(StageUnderstood)
	if b.ignored[ignoredOutside] > 0 {
		return refuse(http.StatusForbidden, provenance.Forbidden, "the repository is not one of this connector's")
	}
	t.reach(StageAllowed)
	return answer{}
}

// accept hands the deliveries to the self-tests' sink, behind those that came
// before: so a repeated sample meets the dedupe that a repeated notification meets.
func (t *SelfTest) accept(ctx context.Context, deliveries []delivery.Delivery) (delivery.Accepted, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sent = append(t.sent, deliveries...)
	got, err := t.handler.config.SelfTests.SelfTest(ctx, t.sent)
	if err != nil {
		return delivery.Accepted{}, err
	}
	fresh := got.New - t.known
	t.known = got.New
	return delivery.Accepted{New: fresh, Duplicate: len(deliveries) - fresh}, nil
}

// selfTest returns whose test a request belongs to: nil for a notification. ok is
// false for a mark that is not good here.
func (h *Handler) selfTest(r *http.Request, s *endpoint) (t *SelfTest, ok bool) {
	marks := r.Header.Values(SelfTestHeader)
	if len(marks) == 0 {
		return nil, true
	}
	found, ok := h.selfTests.Load(marks[0])
	if !ok || len(marks) > 1 || found.(*SelfTest).endpoint != s {
		return nil, false
	}
	return found.(*SelfTest), true
}
