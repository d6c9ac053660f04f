package intake

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"math"
	"mime"
	"net/http"
	"os"
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
	types := r.Header.Values("Content-Type")
	if len(types) != 1 {
		return refuse(http.StatusUnsupportedMediaType, provenance.Invalid, "want one Content-Type")
	}
	mediaType, _, err := mime.ParseMediaType(types[0])
	if err != nil || !s.format.types(mediaType) {
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
	raw, refused := h.body(w, r, limit)
	if refused.status != 0 {
		return refused
	}
	if s.format.sign != nil && !s.format.sign.verify(s.Secrets, claimed, raw) {
		return h.unauthorized(w, r, s)
	}
	m := message{raw: raw, header: r.Header, mediaType: mediaType, now: h.config.Now().UTC(), connector: &s.Connector, dedup: &s.dedup}
	if test != nil {
		test.reach(StageKnown)
		m.dedup = &test.dedup
	}
	return h.process(w, r, s, m, test)
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

// limit is how large a body may be.
func (h *Handler) limit(s *endpoint) int64 {
	if s.format.wide && h.config.MaxBody < math.MaxInt64/wideBody {
		return h.config.MaxBody * wideBody
	}
	return h.config.MaxBody
}

// budget is how much the bodies of one connector may weigh together: what its
// places would hold if each body were as large as an ordinary one may be.
func (h *Handler) budget(limit int64) int64 {
	if n := int64(h.config.Concurrency); h.config.MaxBody < math.MaxInt64/n {
		return max(h.config.MaxBody*n, limit)
	}
	return math.MaxInt64
}

// body reads the body, within its limits of size and time.
func (h *Handler) body(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, answer) {
	tooLarge := refuse(http.StatusRequestEntityTooLarge, provenance.Invalid, "the body is larger than this gateway reads")
	if r.ContentLength > limit {
		return nil, tooLarge
	}
	// Not every ResponseWriter has deadlines (tests); the server's own timeouts then hold.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTime))
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	var over *http.MaxBytesError
	switch {
	case errors.As(err, &over):
		return nil, tooLarge
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, refuse(http.StatusRequestTimeout, provenance.Unavailable, "the body took too long")
	case err != nil:
		return nil, refuse(http.StatusBadRequest, provenance.Invalid, "the body could not be read to its end")
	case len(raw) == 0:
		return nil, refuse(http.StatusBadRequest, provenance.Invalid, "the body is empty")
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
	return raw, answer{}
}

// process reads the events and hands them on, all or none. A crash before the
// sink has returned is harmless: the registry got no answer and sends again;
// after it, the retry is a duplicate.
func (h *Handler) process(w http.ResponseWriter, r *http.Request, s *endpoint, m message, test *SelfTest) answer {
	b, err := s.format.parse(m)
	if err != nil {
		h.config.Log.WarnContext(r.Context(), "notification refused", slog.String("connector", s.Name), slog.Any("error", err))
		return refuse(refusalStatus(err), provenance.CodeOf(err), textOf(err))
	}
	test.reach(StageUnderstood)
	deliveries := make([]delivery.Delivery, 0, len(b.events))
	for i, event := range b.events {
		if !s.allows(event.Repository) {
			h.config.Log.WarnContext(r.Context(), "notification outside the connector's repositories",
				slog.String("connector", s.Name), slog.String("repository", string(event.Repository)))
			return refuse(http.StatusForbidden, provenance.Forbidden, "repository "+string(event.Repository)+" is not one of this connector's")
		}
		deliveries = append(deliveries, delivery.Delivery{Host: s.Host, Connector: s.Name, Event: event, BodyHash: b.bodies[i], ReceivedAt: m.now})
	}
	test.reach(StageAllowed)
	got, coalesced, err := h.store(r.Context(), s, deliveries, b.clients, test)
	if err != nil {
		return h.sinkFailed(w, r, s, err)
	}
	test.reach(StageStored)
	if r.Context().Err() != nil {
		// The sender hung up before it had our answer, and will send again.
		m.dedup.unanswered(b.retryKeys)
	}
	out, tell := counts{Accepted: got.New, Duplicate: got.Duplicate + coalesced}, h.config.Metrics
	if test != nil {
		tell = Metrics{} // they count what registries send
	}
	tell.event(s.Name, "accepted", got.New)
	tell.event(s.Name, "duplicate", got.Duplicate)
	tell.event(s.Name, "coalesced", coalesced)
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

// store hands deliveries to the sink, and tells how many were only part of a
// pull; a self-test's go to the self-tests' sink, whatever they are.
func (h *Handler) store(ctx context.Context, s *endpoint, deliveries []delivery.Delivery, clients []client, test *SelfTest) (got delivery.Accepted, coalesced int, err error) {
	if len(deliveries) == 0 {
		return delivery.Accepted{}, 0, nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sinkTime)
	defer cancel()
	if test != nil {
		got, err = test.accept(ctx, deliveries)
		return got, 0, err
	}
	if err := s.pulls.learnChildren(ctx, h.config.Children, deliveries, clients); err != nil {
		h.config.Log.WarnContext(ctx, "a pull's platforms are recorded as pulls of their own", slog.String("connector", s.Name), slog.Any("error", err))
	}
	return s.pulls.accept(ctx, h.config.Sink, deliveries, clients)
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
	case code == provenance.Conflict:
		return refuse(http.StatusConflict, code, "an event with this id came before and said something else")
	}
	return refuse(http.StatusInternalServerError, provenance.Internal, "the notification could not be stored; the log says why")
}

// refusalStatus is the status for what a parser refused. All three tell the
// sender that the same request again would fare no better.
func refusalStatus(err error) int {
	switch provenance.CodeOf(err) {
	case provenance.Forbidden:
		return http.StatusForbidden
	case provenance.Conflict:
		return http.StatusConflict
	}
	return http.StatusBadRequest
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
