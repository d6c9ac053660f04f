// Package gateway is the daemon that bridges one organisation's registries and
// the ledger: notifications in, records out, answers from what came back in
// blocks. It is the only package that sees all rooms of the gateway.
package gateway

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
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
	// API serves gRPC and REST on one port with TLS.
	API APIConfig `mapstructure:"api"`
	// Hooks receives registry notifications.
	Hooks HooksConfig `mapstructure:"hooks"`
	// Metrics serves Prometheus metrics over plain HTTP; empty: none.
	Metrics ListenConfig `mapstructure:"metrics"`
	// Queue bounds the durable outbox.
	Queue QueueConfig `mapstructure:"queue"`
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
	// Kind is the wire format: distribution.
	Kind string `mapstructure:"kind"`
	// Host is the registry whose events these are; never taken from a payload.
	Host string `mapstructure:"host"`
	// SecretFiles hold the shared secret; a second one is for rotation.
	SecretFiles []string `mapstructure:"secret_files"`
	// Repositories limits the connector by patterns over the repository; empty: all.
	Repositories []string `mapstructure:"repositories"`
}

// WithDefaults returns the configuration with every default filled in.
func (c Config) WithDefaults() Config {
	set := func(s *string, v string) {
		if *s == "" {
			*s = v
		}
	}
	set(&c.Channel, "waybill")
	set(&c.Chaincode, "waybill")
	set(&c.Org, c.MSPID)
	if c.Queue.MaxPending == 0 {
		c.Queue.MaxPending = 1_000_000
	}
	if c.Queue.MinFreeBytes == 0 {
		c.Queue.MinFreeBytes = 256 << 20
	}
	if c.Queue.Lanes == 0 {
		c.Queue.Lanes = 8
	}
	if c.Hooks.MaxBody == 0 {
		c.Hooks.MaxBody = 1 << 20
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// Validate says everything that is wrong, at once. It reads no secret and
// prints none.
func (c Config) Validate() error {
	var wrong []error
	bad := func(format string, args ...any) { wrong = append(wrong, fmt.Errorf(format, args...)) }
	need := func(key, value string) {
		if value == "" {
			bad("%s is missing", key)
		}
	}
	need("mspid", c.MSPID)
	need("data_dir", c.DataDir)
	if c.DataDir != "" && !filepath.IsAbs(c.DataDir) {
		bad("data_dir %q: want an absolute path", c.DataDir)
	}
	wrong = append(wrong, checkFile("identity.cert", c.Identity.Cert, false), checkFile("identity.key", c.Identity.Key, true),
		checkFile("peer.tls_ca", c.Peer.TLSCA, false), checkFile("api.tls_cert", c.API.TLSCert, false), checkFile("api.tls_key", c.API.TLSKey, true))
	for key, address := range map[string]string{"peer.address": c.Peer.Address, "api.listen": c.API.Listen, "hooks.listen": c.Hooks.Listen} {
		need(key, address)
		wrong = append(wrong, checkAddress(key, address))
	}
	wrong = append(wrong, checkAddress("metrics.listen", c.Metrics.Listen))
	if c.Hooks.TLSCert == "" && c.Hooks.Listen != "" && !isLoopback(c.Hooks.Listen) {
		bad("hooks.listen %q: without hooks.tls_cert and hooks.tls_key it must be a loopback address", c.Hooks.Listen)
	}
	if c.Hooks.TLSCert != "" {
		wrong = append(wrong, checkFile("hooks.tls_cert", c.Hooks.TLSCert, false), checkFile("hooks.tls_key", c.Hooks.TLSKey, true))
	}
	if c.Queue.Lanes < 1 || c.Queue.Lanes > 64 {
		bad("queue.lanes %d: want 1 to 64", c.Queue.Lanes)
	}
	if c.Queue.MaxPending < 0 || c.Queue.MinFreeBytes < 0 || c.Hooks.MaxBody < 0 {
		bad("queue.max_pending, queue.min_free_bytes and hooks.max_body cannot be negative")
	}
	return errors.Join(append(wrong, c.checkSources()...)...)
}

func (c Config) checkSources() (wrong []error) {
	bad := func(format string, args ...any) { wrong = append(wrong, fmt.Errorf(format, args...)) }
	hosts := map[provenance.Host]bool{}
	for i, r := range c.Registries {
		h, err := provenance.ParseHost(r.Host)
		if err != nil {
			bad("registries[%d].host: %w", i, err)
		}
		if hosts[h] {
			bad("registries[%d].host %s is listed twice", i, h)
		}
		hosts[h] = true
		if (r.Username == "") != (r.PasswordFile == "") {
			bad("registries[%d]: username and password_file go together", i)
		}
		if r.PasswordFile != "" {
			wrong = append(wrong, checkFile(fmt.Sprintf("registries[%d].password_file", i), r.PasswordFile, true))
		}
		if r.Timeout < 0 {
			bad("registries[%d].timeout cannot be negative", i)
		}
		if r.CAFile != "" {
			wrong = append(wrong, checkFile(fmt.Sprintf("registries[%d].ca_file", i), r.CAFile, false))
		}
		for _, other := range append(slices.Clone(r.BlobHosts), r.TokenHost) {
			if _, err := provenance.ParseHost(other); err != nil && other != "" {
				bad("registries[%d].token_host or blob_hosts: %w", i, err)
			}
		}
	}
	for i, p := range c.Witness {
		if _, err := path.Match(p, ""); err != nil || p == "" || strings.Contains(p, "/") {
			bad("witness[%d] %q: want a registry host, '*' within it", i, p)
		}
	}
	names := map[string]bool{}
	for i, k := range c.Connectors {
		if _, err := policy.ParseStageName(k.Name); err != nil || names[k.Name] {
			bad("connectors[%d].name %q: want a name of its own, of lower-case letters, digits and '-'", i, k.Name)
		}
		names[k.Name] = true
		if k.Kind != "distribution" {
			bad("connectors[%d].kind %q: want distribution", i, k.Kind)
		}
		h, err := provenance.ParseHost(k.Host)
		if err != nil || !hosts[h] {
			bad("connectors[%d].host %q is not one of registries", i, k.Host)
		}
		if len(k.SecretFiles) < 1 || len(k.SecretFiles) > 2 {
			bad("connectors[%d].secret_files: want one file, or two during a rotation", i)
		}
		for j, f := range k.SecretFiles {
			wrong = append(wrong, checkFile(fmt.Sprintf("connectors[%d].secret_files[%d]", i, j), f, true))
		}
	}
	return wrong
}

func checkFile(key, file string, secret bool) error {
	if file == "" {
		return fmt.Errorf("%s is missing", key)
	}
	info, err := os.Stat(file)
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", key, err)
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s %s is not a file", key, file)
	case secret && info.Mode().Perm()&0o077 != 0:
		return fmt.Errorf("%s %s is readable by others (mode %04o): chmod 600", key, file, info.Mode().Perm())
	}
	return nil
}

func checkAddress(key, address string) error {
	if address == "" {
		return nil
	}
	if strings.Contains(address, "://") {
		return fmt.Errorf("%s %q: want host:port, without a scheme", key, address)
	}
	if _, _, err := net.SplitHostPort(address); err != nil {
		return fmt.Errorf("%s %q: want host:port", key, address)
	}
	return nil
}

func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}
