// Package gateway is the daemon that bridges one organisation's registries and
// the ledger: notifications in, records out, answers from what came back in
// blocks. It is the only package that sees all rooms of the gateway.
package gateway

import (
	"log/slog"
	"time"

	"github.com/waybill-dev/waybill/gateway/sweep"
)

// Config is everything a gateway is told. The struct is the manual: a key of
// the YAML file is the mapstructure name, nested by dots; the environment
// variable of a key is WAYBILL_ and the key in upper case with "_" for ".".
// Secrets are given by file path only.
type Config struct {
	// Org is the organisation's name for people, as in logs.
	Org string `mapstructure:"org"`
	// MSPID is the organisation's MSP id, as in certificates and on the ledger.
	MSPID string `mapstructure:"mspid"`
	// DataDir holds queue.db (losing it loses accepted events that are not
	// recorded yet) and index.db (disposable: rebuilt from block 0).
	DataDir string `mapstructure:"data_dir"`
	// Identity signs the gateway's transactions; its member grants it the role gateway.
	Identity IdentityConfig `mapstructure:"identity"`
	// Peer is the organisation's own peer. Another's could lie to us.
	Peer PeerConfig `mapstructure:"peer"`
	// Channel and Chaincode name the ledger. Default: waybill, waybill.
	Channel   string `mapstructure:"channel"`
	Chaincode string `mapstructure:"chaincode"`
	// After is the channel that this one goes on from (waybill org refound); none
	// by default. Blocks are counted on from its last one.
	After AfterConfig `mapstructure:"after"`
	// API serves gRPC and REST on one port with TLS.
	API APIConfig `mapstructure:"api"`
	// Hooks receives registry notifications.
	Hooks HooksConfig `mapstructure:"hooks"`
	// Metrics serves Prometheus metrics over plain HTTP; empty: none.
	Metrics ListenConfig `mapstructure:"metrics"`
	// Queue bounds the durable outbox.
	Queue QueueConfig `mapstructure:"queue"`
	// Index says where the read model is.
	Index IndexConfig `mapstructure:"index"`
	// Registries are the registries whose bytes this gateway reads back.
	Registries []RegistryConfig `mapstructure:"registries"`
	// Connectors are the configured sources of notifications.
	Connectors []ConnectorConfig `mapstructure:"connectors"`
	// Collect makes evidence of signatures and attestations that are pushed
	// beside an image. Default true.
	Collect *bool `mapstructure:"collect"`
	// AutoRelease completes promotions when their last rule comes to be met.
	// Default true.
	AutoRelease *bool `mapstructure:"auto_release"`
	// Witness lists patterns over the hosts of other organisations' registries
	// ("*" within the name). What their owners record there is looked at by this
	// gateway too, and it says so on the ledger. Each such registry is one of
	// registries. Default none.
	Witness []string `mapstructure:"witness"`
	// Sweep compares this organisation's registries with the ledger.
	Sweep sweep.Config `mapstructure:"sweep"`

	// Log receives structured logs. Version is reported by status. Neither is configuration.
	Log     *slog.Logger `mapstructure:"-"`
	Version string       `mapstructure:"-"`
}

// IdentityConfig is a certificate and its key, PEM files. The key must not be
// readable by group or others.
type IdentityConfig struct {
	Cert string `mapstructure:"cert"`
	Key  string `mapstructure:"key"`
}

// PeerConfig is a peer's address (host:port) and the CA of its TLS certificate.
type PeerConfig struct {
	Address string `mapstructure:"address"`
	TLSCA   string `mapstructure:"tls_ca"`
}

// AfterConfig names a channel, how many blocks it has, and the SHA-256 of the last one's
// header, in hexadecimal.
type AfterConfig struct {
	Channel string `mapstructure:"channel"`
	Height  uint64 `mapstructure:"height"`
	Header  string `mapstructure:"header"`
}

// APIConfig is the API's listener.
type APIConfig struct {
	Listen  string `mapstructure:"listen"`
	TLSCert string `mapstructure:"tls_cert"`
	TLSKey  string `mapstructure:"tls_key"`
	// AnonymousReads lets callers without a member's certificate read. Default false.
	AnonymousReads bool `mapstructure:"anonymous_reads"`
}

// ListenConfig is a plain listener, host:port.
type ListenConfig struct {
	Listen string `mapstructure:"listen"`
}

// HooksConfig is the notifications' listener. Without TLS it must be a
// loopback address: a shared secret travels over it.
type HooksConfig struct {
	Listen  string `mapstructure:"listen"`
	TLSCert string `mapstructure:"tls_cert"`
	TLSKey  string `mapstructure:"tls_key"`
	// MaxBody bounds a notification, in bytes. Default 1 MiB.
	MaxBody int64 `mapstructure:"max_body"`
}

// QueueConfig bounds the queue. At a bound senders get 503 with Retry-After.
type QueueConfig struct {
	// MaxPending events wait at most. Default 1,000,000.
	MaxPending int `mapstructure:"max_pending"`
	// MinFreeBytes of disk stay free. Default 256 MiB.
	MinFreeBytes int64 `mapstructure:"min_free_bytes"`
	// Lanes submit side by side; a repository is always in one lane. Default 8.
	// It cannot change while events wait.
	Lanes int `mapstructure:"lanes"`
	// URLFile holds the URL of a PostgreSQL database (postgres://...) to keep
	// the queue in, instead of data_dir/queue.db. Gateways of one organisation
	// that share it are replicas: each takes its part of the lanes, and each has
	// a data_dir of its own.
	URLFile string `mapstructure:"url_file"`
	// ConnectorShare is how many percent of max_pending one connector may hold.
	// Default 100.
	ConnectorShare int `mapstructure:"connector_share"`
	// Remember is how long the id of a recorded event stays known, at least 1h;
	// 0 is for ever. A delivery repeated later than that is a new event.
	Remember time.Duration `mapstructure:"remember"`
	// LaneTTL is how long a replica keeps its lanes without a word. Default 5s.
	LaneTTL time.Duration `mapstructure:"lane_ttl"`
}

// IndexConfig says where the index is.
type IndexConfig struct {
	// URLFile holds the URL of a PostgreSQL database (postgres://...) to keep
	// the index in, instead of data_dir/index.db. Gateways of one organisation
	// that share it apply each block once, whichever of them has it first.
	URLFile string `mapstructure:"url_file"`
}

// RegistryConfig is a registry to read from.
type RegistryConfig struct {
	Host string `mapstructure:"host"`
	// Insecure speaks plain HTTP. AllowPrivate permits addresses that are not
	// public (loopback, private, link-local); both default to false.
	Insecure     bool   `mapstructure:"insecure"`
	AllowPrivate bool   `mapstructure:"allow_private"`
	Username     string `mapstructure:"username"`
	PasswordFile string `mapstructure:"password_file"`
	// ReadBack verifies each push against the registry's bytes before it is
	// recorded. Default true; false records digests as claimed.
	ReadBack *bool `mapstructure:"read_back"`
	// Repositories are what a sweep looks at, by name; empty: what the registry's
	// catalogue lists (as far as a connector speaks for it) and what is recorded.
	Repositories []string `mapstructure:"repositories"`
	// Pulls says what is recorded of pulls: channel (with the client's address
	// and user agent, for every organisation to read and nobody to remove),
	// private (these and the actor in our organisation's private data collection,
	// a salted hash of them on the channel) or off. Default: the pull and the
	// actor the registry names.
	Pulls string `mapstructure:"pulls"`
	// KeepClients is how long the clients of private pulls are kept after their
	// pull was recorded; then they are purged, for good. 0: until somebody purges
	// them.
	KeepClients time.Duration `mapstructure:"keep_clients"`
	// Timeout of one request. Default 15s.
	Timeout time.Duration `mapstructure:"timeout"`
	// TokenHost issues the registry's tokens where that is another host (Docker
	// Hub: auth.docker.io); it is sent the credentials. BlobHosts are where the
	// registry sends readers of blobs on to; they are sent none.
	TokenHost string   `mapstructure:"token_host"`
	BlobHosts []string `mapstructure:"blob_hosts"`
	// CAFile holds the PEM certificates to trust instead of the system's.
	CAFile string `mapstructure:"ca_file"`
}

// ConnectorConfig is one source of notifications, at /hooks/<name>.
type ConnectorConfig struct {
	Name string `mapstructure:"name"`
	// Kind is the wire format: intake.Kinds.
	Kind string `mapstructure:"kind"`
	// Host is the registry whose events these are; never taken from a payload.
	Host string `mapstructure:"host"`
	// SecretFiles hold the shared secret; a second one is for rotation. A kind
	// that presents tokens has none.
	SecretFiles []string `mapstructure:"secret_files"`
	// Repositories limits the connector by patterns over the repository; empty: all.
	Repositories []string `mapstructure:"repositories"`
	// OwnActor is the account this gateway uses at the registry, as its events
	// name it: what it does itself is not recorded.
	OwnActor string `mapstructure:"own_actor"`
	// Origins are the subscriptions or sources a payload may name; empty: any. Of
	// ecr: <account>/<region>, needed where the host is not Amazon's own.
	Origins []string `mapstructure:"origins"`
	// Prefixes maps storage repositories (Artifactory, Nexus) to what stands
	// before an image's path when it is pulled.
	Prefixes []NamedValue `mapstructure:"prefixes"`
	// TypePrefix is zot's setting of that name.
	TypePrefix string `mapstructure:"type_prefix"`
	// OIDC says which tokens the sender presents.
	OIDC OIDCConfig `mapstructure:"oidc"`
}

// OIDCConfig says which OpenID Connect tokens a sender presents; they are
// checked offline.
type OIDCConfig struct {
	Issuers  []string     `mapstructure:"issuers"` // default: Google's
	Audience string       `mapstructure:"audience"`
	Claims   []NamedValue `mapstructure:"claims"` // further claims and their exact values; at least one
	// KeysFile is the issuer's key set (JWKS). It is read again when a token
	// names a key that is not in it: renew the file, the gateway finds it.
	KeysFile string `mapstructure:"keys_file"`
}

// NamedValue is an entry of a map whose names keep their case.
type NamedValue struct {
	Name  string `mapstructure:"name"`
	Value string `mapstructure:"value"`
}
