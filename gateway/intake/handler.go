package intake

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/delivery"
)

// Prefix is the path under which the connectors answer.
const Prefix = "/hooks/"

const (
	// bodyTime is how long a sender may take over its body: distribution gives
	// up on its own after a second.
	bodyTime = 10 * time.Second
	// sinkTime is how long the queue may take. It is not cut short when the
	// sender hangs up: on a slow disk every try would be broken off, and none succeed.
	sinkTime = 10 * time.Second
	// retryAfter is what a refused sender is told, in seconds.
	retryAfter = "5"
)

// Handler serves the hooks. It is safe for concurrent use.
type Handler struct {
	endpoints map[string]*endpoint
	config    Config
	selfTests sync.Map // token -> *SelfTest
}

// New checks a configuration, says everything wrong with it at once (each
// Invalid), and returns the handler.
func New(c Config) (*Handler, error) {
	if c.MaxBody == 0 {
		c.MaxBody = DefaultMaxBody
	}
	if c.Concurrency == 0 {
		c.Concurrency = DefaultConcurrency
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	var wrong []error
	if c.Sink == nil {
		wrong = append(wrong, provenance.Errorf(provenance.Invalid, "intake: no sink"))
	}
	if c.MaxBody < 0 || c.Concurrency < 0 {
		wrong = append(wrong, provenance.Errorf(provenance.Invalid, "intake: negative limit"))
		c.Concurrency = max(c.Concurrency, 0)
	}
	h := &Handler{endpoints: map[string]*endpoint{}, config: c}
	for _, connector := range c.Connectors {
		s, err := newEndpoint(connector, c.Concurrency)
		if err != nil {
			wrong = append(wrong, err)
		}
		if h.endpoints[connector.Name] != nil {
			wrong = append(wrong, provenance.Errorf(provenance.Invalid, "connector %q is there twice", connector.Name))
		}
		h.endpoints[connector.Name] = s
	}
	if err := errors.Join(wrong...); err != nil {
		return nil, err
	}
	return h, nil
}

// answer is what a request comes to: counts, or a refusal.
type answer struct {
	status  int
	code    provenance.Code
	message string
	counts  counts
	body    any // instead of the counts: a handshake
}

// counts is the body of a success.
type counts struct {
	Accepted  int `json:"accepted"`
	Duplicate int `json:"duplicate"`
	Ignored   int `json:"ignored"`
	Unusable  int `json:"unusable,omitempty"` // kept as they came; no kind's sender reads this
}

func refuse(status int, code provenance.Code, message string) answer {
	return answer{status: status, code: code, message: message}
}

// ServeHTTP implements http.Handler for POST /hooks/<connector>, and for
// POST /hooks/<connector>/<secret> where a kind's sender knows no better place.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path, ok := strings.CutPrefix(r.URL.Path, Prefix)
	name, inPath, long := strings.Cut(path, "/")
	s := h.endpoints[name]
	if !ok || s == nil || long && (s.format.secret&inURL == 0 || inPath == "") {
		h.reply(w, "", refuse(http.StatusNotFound, provenance.NotFound, "no connector of that name"))
		return
	}
	test, ok := h.selfTest(r, s)
	switch {
	case !ok:
		h.reply(w, name, refuse(http.StatusForbidden, provenance.Forbidden, "this gateway tests no connector with that mark"))
	case test != nil:
		test.reach(StageArrived)
		write(w, h.serve(w, r, s, inPath, test))
	default:
		h.reply(w, name, h.serve(w, r, s, inPath, nil))
	}
}

// serve decides on a request, cheapest question first. The body of a stranger
// is not read, except where the secret is in the body's signature; then it is
// read within the same limits and forgotten.
func (h *Handler) serve(w http.ResponseWriter, r *http.Request, s *endpoint, inPath string, test *SelfTest) answer {
	if r.Method == http.MethodOptions && s.format.handshake {
		return h.handshake(w, r, s, inPath)
	}
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return refuse(http.StatusMethodNotAllowed, provenance.Invalid, "notifications are sent with POST")
	}
	claimed, refused := h.authenticate(w, r, s, inPath)
	if refused.status != 0 {
		return refused
	}
	mediaType, ok := s.mediaType(r.Header)
	if !ok {
		return refuse(http.StatusUnsupportedMediaType, provenance.Invalid, "Content-Type is not that of a "+s.Kind+" notification")
	}
	if len(r.Header.Values("Content-Encoding")) > 0 {
		return refuse(http.StatusUnsupportedMediaType, provenance.Invalid, "encoded bodies are not read")
	}
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	default:
		return h.busy(w)
	}
	limit := h.limit(s)
	weight := limit // of a body that does not say how long it is
	if r.ContentLength >= 0 {
		weight = min(r.ContentLength, limit)
	}
	if s.weight.Add(weight) > h.budget(limit) {
		s.weight.Add(-weight)
		return h.busy(w)
	}
	defer s.weight.Add(-weight)
	in, refused := h.receive(w, r, s, claimed, limit)
	if refused.status != 0 {
		return refused
	}
	m := message{
		raw: in.raw, header: r.Header, mediaType: mediaType, now: h.config.Now().UTC(), connector: &s.Connector, allows: s.allows, dedup: &s.dedup,
	}
	if test != nil {
		test.reach(StageKnown)
		m.dedup = &test.dedup
	}
	return h.process(w, r, s, m, in, test)
}

// authenticate asks for what a sender can prove before its body is read. claimed is
// what is left to prove with the body.
func (h *Handler) authenticate(w http.ResponseWriter, r *http.Request, s *endpoint, inPath string) (claimed signed, refused answer) {
	switch f := s.format; {
	case f.sign != nil:
		claimed, ok, tooMany := f.sign.read(r.Header, h.config.Now())
		if tooMany {
			return signed{}, refuse(http.StatusBadRequest, provenance.Invalid, "too many signatures")
		}
		if !ok {
			return signed{}, h.unauthorized(w, r, s)
		}
		return claimed, answer{}
	case s.admitted(r, inPath, h.config.Now()):
		return signed{}, answer{}
	}
	return signed{}, h.unauthorized(w, r, s)
}

// unauthorized is the one answer for every failing check, without a log line above
// debug: a stranger must not be able to fill the log.
func (h *Handler) unauthorized(w http.ResponseWriter, r *http.Request, s *endpoint) answer {
	h.config.Log.DebugContext(r.Context(), "notification without the secret", slog.String("connector", s.Name), slog.String("remote", r.RemoteAddr))
	w.Header().Set("WWW-Authenticate", `Bearer realm="waybill"`)
	if s.format.secret&inBasic != 0 { // Amazon SNS sends its password to whoever asks for one
		w.Header().Add("WWW-Authenticate", `Basic realm="waybill"`)
	}
	return refuse(http.StatusUnauthorized, provenance.Forbidden, "the connector's secret is missing or wrong")
}

func (h *Handler) busy(w http.ResponseWriter) answer {
	w.Header().Set("Retry-After", retryAfter)
	return refuse(http.StatusTooManyRequests, provenance.Unavailable, "too many notifications of this connector at once")
}

// process reads the events and hands them on, and what cannot be used as well:
// a 2xx means that all of it is on disk. A crash before the sink has returned is
// harmless: the registry got no answer and sends again; after it, the retry is
// a duplicate.
func (h *Handler) process(w http.ResponseWriter, r *http.Request, s *endpoint, m message, in payload, test *SelfTest) answer {
	b, refused := h.understand(r.Context(), s, m, in)
	if refused.status != 0 {
		return refused
	}
	if refused := test.refuse(b); refused.status != 0 {
		return refused
	}
	deliveries := make([]delivery.Delivery, 0, len(b.events))
	for i, event := range b.events {
		deliveries = append(deliveries, delivery.Delivery{Host: s.Host, Connector: s.Name, Event: event, BodyHash: b.bodies[i], ReceivedAt: m.now})
	}
	got, err := h.store(r.Context(), s, deliveries, b.clients, test)
	if err != nil {
		return h.sinkFailed(w, r, s, err)
	}
	for _, c := range got.refused {
		b.unusable = append(b.unusable, unusable{raw: b.raws[c.index], reason: textOf(c.err)})
	}
	if err := h.storeUnusable(r.Context(), s, m, b.unusable); err != nil {
		return h.sinkFailed(w, r, s, err)
	}
	test.reach(StageStored)
	if r.Context().Err() != nil {
		// The sender hung up before it had our answer, and will send again.
		m.dedup.unanswered(b.retryKeys)
	}
	out, tell := counts{Accepted: got.New, Duplicate: got.Duplicate + got.coalesced, Unusable: len(b.unusable)}, h.config.Metrics
	if test != nil {
		tell = Metrics{} // they count what registries send
	}
	tell.event(s.Name, "accepted", got.New)
	tell.event(s.Name, "duplicate", got.Duplicate)
	tell.event(s.Name, "coalesced", got.coalesced)
	tell.event(s.Name, "unusable", len(b.unusable))
	for reason, n := range b.ignored {
		out.Ignored += n
		tell.event(s.Name, "ignored-"+reason, n)
	}
	if out.Ignored > 0 {
		h.config.Log.DebugContext(r.Context(), "events acknowledged, not recorded", slog.String("connector", s.Name), slog.Any("reasons", b.ignored))
	}
	if n := b.ignored[ignoredElsewhere]; n > 0 {
		h.config.Log.WarnContext(r.Context(), "events of another registry came to this connector", slog.String("connector", s.Name), slog.Int("events", n))
	}
	return answer{status: http.StatusOK, counts: out, body: b.reply}
}

// sinkFailed turns the queue's error into advice. Its words stay in the log:
// they may name files of this machine.
func (h *Handler) sinkFailed(w http.ResponseWriter, r *http.Request, s *endpoint, err error) answer {
	h.config.Log.ErrorContext(r.Context(), "queue refused a notification", slog.String("connector", s.Name), slog.Any("error", err))
	switch code := provenance.CodeOf(err); {
	case code == provenance.Full:
		w.Header().Set("Retry-After", retryAfter)
		return refuse(http.StatusServiceUnavailable, code, "the queue is full")
	case code == provenance.Unavailable, errors.Is(err, context.DeadlineExceeded):
		w.Header().Set("Retry-After", retryAfter)
		return refuse(http.StatusServiceUnavailable, provenance.Unavailable, "the queue does not answer")
	}
	return refuse(http.StatusInternalServerError, provenance.Internal, "the notification could not be stored; the log says why")
}

// textOf is an error's text without its code, which stands beside it.
func textOf(err error) string {
	var coded *provenance.Error
	if errors.As(err, &coded) {
		return coded.Message
	}
	return err.Error()
}

func (h *Handler) reply(w http.ResponseWriter, connector string, a answer) {
	h.config.Metrics.request(connector, a.status)
	write(w, a)
}

func write(w http.ResponseWriter, a answer) {
	var body any = a.counts
	if a.body != nil {
		body = a.body
	}
	if a.code != "" {
		body = struct {
			Code    provenance.Code `json:"code"`
			Message string          `json:"message"`
		}{a.code, a.message}
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(a.status)
	_ = json.NewEncoder(w).Encode(body) // the sender is gone; it will ask again
}
