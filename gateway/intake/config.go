package intake

import (
	"context"
	"crypto/sha256"
	"errors"
	"log/slog"
	"regexp"
	"time"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// Defaults and limits of a handler.
const (
	// DefaultMaxBody is ample: an envelope of distribution is about 1 KiB.
	DefaultMaxBody = 1 << 20
	// DefaultConcurrency is per connector, so that one noisy registry cannot
	// shut the others out. With MaxBody it bounds the memory a connector costs.
	DefaultConcurrency = 64
)

var connectorName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// Connector is one configured source of events.
type Connector struct {
	// Name is the last part of the path: /hooks/<name>. It is part of every
	// event's id, so renaming a connector makes late retries look new.
	Name string
	// Kind of registry; KindDistribution.
	Kind string
	// Host is the registry that this connector speaks for, whatever a payload says.
	Host provenance.Host
	// Secrets are the one or two shared secrets a sender may present, 16 to
	// 1024 bytes each.
	Secrets [][]byte
	// Repositories lists patterns of the repositories the sender may speak of
	// ("team/app", "team/*", "team/**"); empty means all.
	Repositories []string
}

// Delivery is one event as it was delivered.
type Delivery struct {
	Host       provenance.Host
	Connector  string
	Event      provenance.Event
	BodyHash   [32]byte // of the event's own JSON, without white space
	ReceivedAt time.Time
}

// Accepted counts what a Sink took.
type Accepted struct{ New, Duplicate int }

// Sink keeps deliveries. It returns nil only when all of them are on disk,
// and keeps none of them otherwise. Codes: Full or Unavailable where the
// sender should try again, Conflict where an id came before with another body.
type Sink interface {
	Accept(ctx context.Context, deliveries []Delivery) (Accepted, error)
}

// Metrics are told what happens; either function may be nil.
type Metrics struct {
	// Request counts answers. The connector is "" where none is configured by that name.
	Request func(connector string, status int)
	// Event counts events by outcome: "accepted", "duplicate", or
	// "ignored-" and a reason (blob, mount, head, own, unknown).
	Event func(connector, outcome string, n int)
}

func (m Metrics) request(connector string, status int) {
	if m.Request != nil {
		m.Request(connector, status)
	}
}

func (m Metrics) event(connector, outcome string, n int) {
	if m.Event != nil && n > 0 {
		m.Event(connector, outcome, n)
	}
}

// Config is what New needs.
type Config struct {
	Connectors []Connector
	Sink       Sink
	// MaxBody is the limit of a request body in bytes; 0 means DefaultMaxBody.
	MaxBody int64
	// Concurrency is the number of requests per connector that are served at
	// once; 0 means DefaultConcurrency.
	Concurrency int
	// Log; nil means slog.Default.
	Log     *slog.Logger
	Metrics Metrics
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// source is a connector, ready to serve.
type source struct {
	Connector
	secrets  secrets
	patterns []string // over host/repository, as policy.Match wants them
	slots    chan struct{}
}

// allows tells whether the sender may speak of a repository.
func (s *source) allows(repo provenance.Repository) bool {
	for _, p := range s.patterns {
		if policy.Match(p, s.Host, repo) >= 0 {
			return true
		}
	}
	return len(s.patterns) == 0
}

func newSource(c Connector, concurrency int) (*source, error) {
	s := &source{Connector: c, slots: make(chan struct{}, concurrency)}
	var wrong []error
	refuse := func(format string, args ...any) {
		wrong = append(wrong, provenance.Errorf(provenance.Invalid, "connector %q: "+format, append([]any{c.Name}, args...)...))
	}
	if !connectorName.MatchString(c.Name) {
		refuse("the name wants lower-case letters, digits and '-', at most 63")
	}
	if c.Kind != KindDistribution {
		refuse("kind %q is not known; want %q", c.Kind, KindDistribution)
	}
	if host, err := provenance.ParseHost(string(c.Host)); err != nil || host != c.Host {
		refuse("host %q is not a canonical registry host", c.Host)
	}
	if len(c.Secrets) < 1 || len(c.Secrets) > 2 {
		refuse("%d secrets; want one, or two while rotating", len(c.Secrets))
	}
	for i, secret := range c.Secrets {
		if len(secret) < minSecret || len(secret) > maxSecret {
			refuse("secret %d has %d bytes; want %d to %d", i+1, len(secret), minSecret, maxSecret)
		}
		for _, b := range secret {
			if b <= ' ' || b > '~' {
				refuse("secret %d holds a character that does not survive in a header", i+1)
				break
			}
		}
		s.secrets = append(s.secrets, sha256.Sum256(secret))
	}
	for _, p := range c.Repositories {
		pattern := string(c.Host) + "/" + p
		if err := policy.CheckPattern(pattern); err != nil {
			refuse("repositories: %v", err)
		}
		s.patterns = append(s.patterns, pattern)
	}
	return s, errors.Join(wrong...)
}
