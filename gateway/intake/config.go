package intake

import (
	"context"
	"log/slog"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/delivery"
)

// Defaults and limits of a handler.
const (
	// DefaultMaxBody is ample: an envelope of distribution is about 1 KiB.
	DefaultMaxBody = 1 << 20
	// DefaultConcurrency is per connector, so that one noisy registry cannot
	// shut the others out. With MaxBody it bounds the memory a connector costs:
	// large bodies of wide kinds count for what they weigh.
	DefaultConcurrency = 64
	// wideBody is how many times MaxBody the kinds may send whose events carry
	// whole manifests or what they list (zot, GitHub, distribution): a manifest may
	// have 4 MiB.
	wideBody = 8
)

// What is kept of a registry's pulls, apart from the default.
const (
	// PullsChannel keeps the client's address and user agent as well. Every
	// organisation of the channel reads them, and nothing removes them again.
	PullsChannel = "channel"
	// PullsPrivate keeps actor, address and user agent off the channel: the event
	// is handed on with all three and the mark provenance.Unblinded, for whoever
	// records it to hide them.
	PullsPrivate = "private"
	// PullsOff acknowledges pulls and forgets them.
	PullsOff = "off"
)

// Connector is one configured source of events. Only the first four fields are
// for every kind; the zero value of the others suits most.
type Connector struct {
	// Name is the last part of the path: /hooks/<name>. It is part of every
	// event's id, so renaming a connector makes late retries look new.
	Name string
	// Kind of registry, one of Kinds.
	Kind string
	// Host is the registry that this connector speaks for, whatever a payload says.
	Host provenance.Host
	// Secrets are the one or two shared secrets a sender may present or sign
	// with, 16 to 1024 bytes each. A kind that presents tokens has none.
	Secrets [][]byte
	// Repositories lists patterns of the repositories the sender may speak of
	// ("team/app", "team/*", "team/**"); empty means all.
	Repositories []string
	// OwnActor is the account that this gateway itself uses at the registry, as
	// the registry names it in events. Its pulls are our read-backs, and its
	// pushes of referrer tags (sha256-<hex>) our own write-backs: neither is
	// recorded. Set it only where the registry itself checks who somebody is.
	OwnActor string
	// Origins lists the senders that the payload may name: subscriptions of
	// Azure Event Grid and Google Pub/Sub, sources of CloudEvents. Empty means any.
	// For ECR, <account>/<region> where Host is not one that says them itself.
	Origins []string
	// Prefixes maps the storage repositories of Artifactory (repo_key) and Nexus
	// (repositoryName) to what stands before the image's path when it is pulled
	// from Host; "" where the host or port alone tells the repository. Others
	// are refused. Nexus needs it; Artifactory's default is the repo_key itself.
	Prefixes map[string]string
	// TypePrefix is zot's setting of the same name; empty means "zotregistry".
	TypePrefix string
	// Pulls says what is kept of pulls, one of the Pulls constants; empty: the
	// pull and its actor.
	Pulls string
	// OIDC says which tokens the sender presents: Google Artifact Registry
	// needs it, Azure Event Grid may have it instead of a secret.
	OIDC OIDC
}

// Sink keeps deliveries. It returns nil only when all of them are on disk,
// and keeps none of them otherwise. Codes: Full or Unavailable where the
// sender should try again, Conflict where an id came before with another body.
type Sink interface {
	Accept(ctx context.Context, deliveries []delivery.Delivery) (delivery.Accepted, error)
	// AcceptUnusable keeps what cannot be used, all of it or an error. What came
	// before counts once more; what is kept of one connector is bounded, and its
	// oldest leaves.
	AcceptUnusable(ctx context.Context, events []delivery.Unusable) error
}

// Metrics are told what happens; either function may be nil.
type Metrics struct {
	// Request counts answers. The connector is "" where none is configured by that name.
	Request func(connector string, status int)
	// Event counts events by outcome: "accepted", "duplicate", "coalesced" (part of
	// a pull that is kept), "unusable" (kept as it came), or "ignored-" and a reason
	// (blob, mount, head, own, unknown, off, other, elsewhere, outside, foreign).
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
	// SelfTests takes what Handler.SelfTest sends; nil means that nothing can be tried.
	SelfTests SelfTestSink
	// MaxBody is the limit of a request body in bytes; 0 means DefaultMaxBody.
	// Kinds whose events carry whole manifests (zot, ghcr, distribution) may send
	// eight times as much. Of a larger body the beginning is kept as unusable.
	MaxBody int64
	// Concurrency is the number of requests per connector that are served at
	// once; 0 means DefaultConcurrency.
	Concurrency int
	// Log; nil means slog.Default.
	Log     *slog.Logger
	Metrics Metrics
	// Children tells what an index holds, to coalesce a pull's requests into one;
	// nil: only payloads tell.
	Children Children
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}
