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

// TrialHeader marks a sample that this process sends to its own hook. Its value
// is a trial's token, which only this process knows while the trial lasts: a
// sender that sets it can hide nothing, it is refused.
const TrialHeader = "X-Waybill-Trial"

// trialName is what a sample speaks of, and who it says has pushed.
const trialName = "waybill-connector-test"

// TrialSink takes the deliveries of trials. They go the way of a Sink's, to the
// disk, and are taken back in the same commit: none is left, and none can be
// recorded. Accepted counts what is new among them, as a Sink would.
type TrialSink interface {
	Try(ctx context.Context, deliveries []delivery.Delivery) (delivery.Accepted, error)
}

// Stage is how far a trial's request came.
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

// Trial is one try of a connector with samples: requests that pass everything a
// notification passes and end in the TrialSink. It ends with Close.
type Trial struct {
	handler *Handler
	source  *source
	token   string
	recent  recent // its own: a trial must not make the sender's next event look like a retry

	mu    sync.Mutex
	stage Stage
	sent  []delivery.Delivery
	known int // of sent, how many are new events
}

// Trial begins a trial of a connector. NotFound: there is none of that name;
// Unavailable: this handler has nowhere to put what a trial delivers.
func (h *Handler) Trial(connector string) (*Trial, error) {
	s := h.sources[connector]
	if s == nil {
		return nil, provenance.Errorf(provenance.NotFound, "no connector of the name %q", connector)
	}
	if h.config.Trials == nil {
		return nil, provenance.Errorf(provenance.Unavailable, "this gateway cannot test its connectors")
	}
	token := make([]byte, 16)
	if _, err := rand.Read(token); err != nil {
		return nil, provenance.Wrap(provenance.Internal, err, "token of a trial")
	}
	t := &Trial{handler: h, source: s, token: hex.EncodeToString(token)}
	h.trials.Store(t.token, t)
	return t, nil
}

// Close ends the trial: its token is a stranger's from here on.
func (t *Trial) Close() { t.handler.trials.Delete(t.token) }

// Push is a push that the connector's sender could report and that nobody made:
// tag and manifest are those of no image. Without a repository one is chosen
// among those that the connector may speak of. Invalid: there is none that this
// kind could name.
func (t *Trial) Push(ctx context.Context, repository provenance.Repository) (provenance.Event, error) {
	now := t.handler.config.Now()
	push := provenance.Event{
		ID: provenance.NewEventID("trial", t.source.Name, t.token), Action: provenance.Push, Repository: repository, Tag: trialName,
		Digest: provenance.SHA256Of([]byte(trialName)), Actor: trialName, OccurredAt: now,
	}
	if repository != "" {
		return push, nil
	}
	for _, candidate := range t.source.candidates() {
		push.Repository = candidate
		if _, err := Sample(ctx, t.source.Connector, "http://localhost", push); err == nil && t.source.allows(candidate) {
			return push, nil
		}
	}
	push.Repository = trialName + "/sample"
	_, err := Sample(ctx, t.source.Connector, "http://localhost", push)
	if err == nil {
		err = provenance.Errorf(provenance.Invalid, "connector %q: none of its repositories can be made up from their patterns: name one", t.source.Name)
	}
	return provenance.Event{}, err
}

// candidates are repositories that the connector may speak of, as far as its
// patterns and prefixes tell.
func (s *source) candidates() []provenance.Repository {
	var out []provenance.Repository
	for _, p := range s.Repositories {
		if p == "**" {
			p = "*/*"
		}
		p = strings.ReplaceAll(p, "**", "*")
		out = append(out, provenance.Repository(strings.ReplaceAll(p, "*", trialName)))
	}
	for _, prefix := range s.Prefixes {
		out = append(out, provenance.Repository(strings.TrimPrefix(prefix+"/"+trialName, "/")))
	}
	slices.Sort(out)
	return append(out, trialName+"/"+trialName)
}

// Request makes the sample's request, marked as this trial's. Errors are Sample's.
func (t *Trial) Request(ctx context.Context, gateway string, push provenance.Event) (*http.Request, error) {
	return t.request(ctx, t.source.Connector, gateway, push)
}

// Stranger makes the same request as somebody would who guesses the secret.
func (t *Trial) Stranger(ctx context.Context, gateway string, push provenance.Event) (*http.Request, error) {
	c := t.source.Connector
	guess := make([]byte, 16)
	if _, err := rand.Read(guess); err != nil {
		return nil, provenance.Wrap(provenance.Internal, err, "secret of a stranger")
	}
	if len(c.Secrets) > 0 {
		c.Secrets = [][]byte{[]byte(hex.EncodeToString(guess))}
	}
	return t.request(ctx, c, gateway, push)
}

func (t *Trial) request(ctx context.Context, c Connector, gateway string, push provenance.Event) (*http.Request, error) {
	r, err := Sample(ctx, c, gateway, push)
	if err != nil {
		return nil, err
	}
	r.Header.Set(TrialHeader, t.token)
	t.reach(StageSent)
	return r, nil
}

// Stage tells how far the trial's last request came.
func (t *Trial) Stage() Stage {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.stage
}

// Deliveries are what was made of the trial's requests, the first one first.
func (t *Trial) Deliveries() []delivery.Delivery {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.sent)
}

// reach notes how far a request came; most requests are nobody's trial.
func (t *Trial) reach(s Stage) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stage = s
}

// accept hands the deliveries to the trials' sink, behind those that came
// before: so a repeated sample meets the dedupe that a repeated notification meets.
func (t *Trial) accept(ctx context.Context, deliveries []delivery.Delivery) (delivery.Accepted, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sent = append(t.sent, deliveries...)
	got, err := t.handler.config.Trials.Try(ctx, t.sent)
	if err != nil {
		return delivery.Accepted{}, err
	}
	fresh := got.New - t.known
	t.known = got.New
	return delivery.Accepted{New: fresh, Duplicate: len(deliveries) - fresh}, nil
}

// trial returns whose trial a request belongs to: nil for a notification. ok is
// false for a mark that is not good here.
func (h *Handler) trial(r *http.Request, s *source) (t *Trial, ok bool) {
	marks := r.Header.Values(TrialHeader)
	if len(marks) == 0 {
		return nil, true
	}
	found, ok := h.trials.Load(marks[0])
	if !ok || len(marks) > 1 || found.(*Trial).source != s {
		return nil, false
	}
	return found.(*Trial), true
}
