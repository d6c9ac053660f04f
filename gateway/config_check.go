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

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/intake"
	"github.com/waybill-dev/waybill/gateway/secretfile"
)

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
	c.Sweep = c.Sweep.WithDefaults()
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
	if a := c.After; a != (AfterConfig{}) && (a.Channel == "" || a.Channel == c.Channel || a.Height == 0 || len(a.Header) != 64) {
		bad("after: want another channel, its height, and the hash of its last header: what waybill org refound writes")
	}
	if c.Queue.Lanes < 1 || c.Queue.Lanes > 64 {
		bad("queue.lanes %d: want 1 to 64", c.Queue.Lanes)
	}
	if c.Queue.URLFile != "" {
		wrong = append(wrong, checkFile("queue.url_file", c.Queue.URLFile, true))
	}
	if c.Index.URLFile != "" {
		wrong = append(wrong, checkFile("index.url_file", c.Index.URLFile, true))
	}
	if c.Queue.MaxPending < 0 || c.Queue.MinFreeBytes < 0 || c.Hooks.MaxBody < 0 {
		bad("queue.max_pending, queue.min_free_bytes and hooks.max_body cannot be negative")
	}
	wrong = append(wrong, c.checkSweeps()...)
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
		switch r.Pulls {
		case "", intake.PullsChannel, intake.PullsPrivate, intake.PullsOff:
		default:
			bad("registries[%d].pulls %q: want %s, %s, %s, or nothing", i, r.Pulls, intake.PullsChannel, intake.PullsPrivate, intake.PullsOff)
		}
		if r.Timeout < 0 || r.KeepClients < 0 {
			bad("registries[%d].timeout and keep_clients cannot be negative", i)
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
		if !slices.Contains(intake.Kinds(), k.Kind) {
			bad("connectors[%d].kind %q: want one of %s", i, k.Kind, strings.Join(intake.Kinds(), ", "))
		}
		h, err := provenance.ParseHost(k.Host)
		if err != nil || !hosts[h] {
			bad("connectors[%d].host %q is not one of registries", i, k.Host)
		}
		if n := len(k.SecretFiles); n > 2 || n < 1 && k.OIDC.KeysFile == "" {
			bad("connectors[%d].secret_files: want one file, or two during a rotation", i)
		}
		for _, list := range [][]NamedValue{k.Prefixes, k.OIDC.Claims} {
			if len(named(list)) != len(list) {
				bad("connectors[%d].prefixes or oidc.claims: a name stands twice", i)
			}
		}
		if k.OIDC.KeysFile != "" {
			wrong = append(wrong, checkFile(fmt.Sprintf("connectors[%d].oidc.keys_file", i), k.OIDC.KeysFile, false))
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
	case secret && secretfile.Exposed(info):
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
