package api

import (
	"context"
	"crypto/tls"
	_ "embed"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
	"github.com/waybill-dev/waybill/gateway/block"
	"github.com/waybill-dev/waybill/gateway/readmodel"
)

//go:embed openapi.json
var openAPI []byte

// Limits of a request; the answers are bounded by the page size.
const (
	maxRequest    = 64 << 10
	callDeadline  = 30 * time.Second
	readDeadline  = 30 * time.Second // of a whole request, so that nobody holds a connection open byte by byte
	writeDeadline = 60 * time.Second
	idleDeadline  = 3 * time.Minute
	shutdownGrace = 10 * time.Second
)

// Config is what a server needs; every field without "optional" must be set.
type Config struct {
	// Org is the MSP id of the organisation that runs this gateway.
	Org     string
	Version string
	Channel string
	// Certificate returns the server's TLS certificate, for each connection anew: it may be renewed meanwhile.
	Certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	// Certificates returns those whose end would be noticed here; optional.
	Certificates func() []readmodel.Certificate
	// AnonymousReads lets callers without a certificate read. A caller with a
	// certificate that does not hold is refused all the same.
	AnonymousReads bool

	Index Index
	Queue Queue
	// Unusable is what could not be put there.
	Unusable Unusable
	// Sweeps is optional: without it the gateway does not sweep.
	Sweeps Sweeps
	// Connectors is optional: without it the gateway has none to show.
	Connectors Connectors
	// Proofs is optional: without it the gateway makes no receipts.
	Proofs Proofs
	// Clients is optional: without it no hidden client is shown to anybody.
	Clients Clients
	// Organisations returns the channel's members as its configuration names
	// them now; none before the first configuration block was followed.
	Organisations func() []block.Organisation
	// Freshness tells how well the gateway follows its peer.
	Freshness func() readmodel.Freshness
	Log       *slog.Logger
	// Now is the clock; optional.
	Now func() time.Time
	// Observe is told of every call, with the code "" for success; optional.
	Observe func(method string, code provenance.Code, took time.Duration)
}

// Server answers gRPC and REST on one port.
type Server struct {
	cfg   Config
	trust *trust
	grpc  *grpc.Server
	mux   *http.ServeMux
	tls   *tls.Config

	followers *followers
}

// New makes a server. It returns an Invalid error that says everything that is
// missing from the configuration.
func New(cfg Config) (*Server, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Certificates == nil {
		cfg.Certificates = func() []readmodel.Certificate { return nil }
	}
	if cfg.Observe == nil {
		cfg.Observe = func(string, provenance.Code, time.Duration) {}
	}
	var missing []string
	for name, absent := range map[string]bool{
		"Org": cfg.Org == "", "Index": cfg.Index == nil, "Queue": cfg.Queue == nil, "Unusable": cfg.Unusable == nil,
		"Certificate": cfg.Certificate == nil, "Organisations": cfg.Organisations == nil, "Freshness": cfg.Freshness == nil, "Log": cfg.Log == nil,
	} {
		if absent {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		return nil, provenance.Errorf(provenance.Invalid, "api: configuration without %s", strings.Join(missing, ", "))
	}
	s := &Server{cfg: cfg, trust: &trust{organisations: cfg.Organisations, now: cfg.Now}, mux: http.NewServeMux()}
	s.tls = &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: cfg.Certificate,
		// The handshake proves that the caller holds the key. Whether its
		// certificate is a member's is asked per call: members change, and a
		// refusal inside TLS could not say why.
		ClientAuth: tls.RequestClientCert,
	}
	g := guard{org: cfg.Org, anonymous: cfg.AnonymousReads, table: accessTable(), log: cfg.Log, observe: cfg.Observe, deadline: callDeadline}
	s.followers = newFollowers()
	answers := &service{cfg: cfg, started: cfg.Now(), followers: s.followers}
	g.roles = answers.roles
	s.grpc = grpc.NewServer(grpc.UnaryInterceptor(g.intercept), grpc.MaxRecvMsgSize(maxRequest))
	waybillv1.RegisterWaybillServer(s.grpc, answers)
	rest, err := newREST(inProcess{service: answers, guard: g})
	if err != nil {
		return nil, err
	}
	s.mux.Handle("GET /v1/events/stream", s.identified(s.stream(inProcess{service: answers, guard: g})))
	s.mux.Handle("/v1/", http.MaxBytesHandler(s.identified(rest), maxRequest))
	s.mux.HandleFunc("GET /openapi.json", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, json.RawMessage(openAPI)) })
	s.mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]string{"status": "alive"})
	})
	s.mux.HandleFunc("GET /readyz", s.ready)
	s.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		writeProblem(w, toProblem(withHint(provenance.Errorf(provenance.NotFound, "no %s %s here", r.Method, r.URL.Path), "GET /openapi.json lists what there is")))
	})
	return s, nil
}

// Handle mounts another handler on the port, such as the intake's at
// "/hooks/". It must be called before Serve; the handler authenticates its
// callers itself. An invalid or taken pattern panics, as in http.ServeMux.
func (s *Server) Handle(pattern string, handler http.Handler) { s.mux.Handle(pattern, handler) }

// Serve answers on listener until ctx ends, lets the calls in hand finish for
// some seconds, and returns nil. Any other end is an error.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	server := &http.Server{
		Handler: s, TLSConfig: s.tls,
		ReadHeaderTimeout: readDeadline, ReadTimeout: readDeadline, WriteTimeout: writeDeadline, IdleTimeout: idleDeadline,
		MaxHeaderBytes: maxRequest,
		ErrorLog:       slog.NewLogLogger(s.cfg.Log.Handler(), slog.LevelDebug),
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		if err := server.ServeTLS(listener, "", ""); !errors.Is(err, http.ErrServerClosed) {
			return provenance.Wrap(provenance.Unavailable, err, "serve API on %s", listener.Addr())
		}
		return nil
	})
	group.Go(func() error {
		<-ctx.Done()
		s.followers.end()
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownGrace)
		defer cancel()
		err := server.Shutdown(grace)
		s.grpc.Stop() // its calls are requests of the server above
		if err != nil {
			return errors.Join(provenance.Wrap(provenance.Unavailable, err, "end API calls"), server.Close())
		}
		return nil
	})
	return group.Wait()
}

// ServeHTTP implements http.Handler: gRPC by its content type, the rest by path.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor == 2 && strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
		s.identified(s.grpc).ServeHTTP(w, r)
		return
	}
	s.mux.ServeHTTP(w, r)
}

// identified puts the caller into the context of a request.
func (s *Server) identified(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r.WithContext(withCaller(r.Context(), s.trust.identify(r.TLS))))
	})
}

// ready answers 200 when the index has caught up and the block stream lives.
func (s *Server) ready(w http.ResponseWriter, _ *http.Request) {
	f := s.cfg.Freshness()
	if !f.Ready || f.Stale || len(s.cfg.Organisations()) == 0 {
		writeProblem(w, toProblem(provenance.Errorf(provenance.Unavailable, "not ready: the index has not caught up with the peer, or the block stream is silent")))
		return
	}
	writeJSON(w, http.StatusOK, map[string]string{"status": "ready"})
}
