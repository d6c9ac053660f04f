package registry

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/secretfile"
)

// maxRedirects is how often one request may be sent on, within the host.
const maxRedirects = 3

// newDialer is a dialler that looks at the address DNS gave.
func newDialer(allowPrivate bool) *net.Dialer {
	return &net.Dialer{
		Timeout:   10 * time.Second,
		KeepAlive: 30 * time.Second,
		ControlContext: func(_ context.Context, network, address string, _ syscall.RawConn) error {
			return checkAddress(network, address, allowPrivate)
		},
	}
}

// newTransport is http.DefaultTransport's settings with our dialler, no proxy
// from the environment (a proxy would do the dialling for us, past the look at
// the address), no transparent decompression, and limits.
func newTransport(dialer *net.Dialer, caFile string) (*http.Transport, error) {
	tlsConfig := &tls.Config{MinVersion: tls.VersionTLS12}
	if caFile != "" {
		pem, err := os.ReadFile(caFile)
		if err != nil {
			return nil, provenance.Wrap(provenance.Invalid, err, "registry CA file")
		}
		tlsConfig.RootCAs = x509.NewCertPool()
		if !tlsConfig.RootCAs.AppendCertsFromPEM(pem) {
			return nil, provenance.Errorf(provenance.Invalid, "registry CA file %s holds no certificate", caFile)
		}
	}
	return &http.Transport{
		DialContext:            dialer.DialContext,
		TLSClientConfig:        tlsConfig,
		TLSHandshakeTimeout:    10 * time.Second,
		ResponseHeaderTimeout:  30 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		MaxIdleConnsPerHost:    32,
		IdleConnTimeout:        90 * time.Second,
		DisableCompression:     true,
		ForceAttemptHTTP2:      true,
	}, nil
}

// checkAddress refuses addresses that no registry has. It is asked for each
// address in turn, after the name was resolved and right before the connection
// is made, so a second DNS answer cannot slip past it.
func checkAddress(network, address string, allowPrivate bool) error {
	if !strings.HasPrefix(network, "tcp") {
		return provenance.Errorf(provenance.Unavailable, "address %s: %s is not dialled", address, network)
	}
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return provenance.Wrap(provenance.Unavailable, err, "address %s", address)
	}
	ip := ap.Addr().Unmap().WithZone("")
	if within(ip, privateRanges()) || ip.IsLoopback() || ip.IsPrivate() {
		if !allowPrivate {
			return provenance.Errorf(provenance.Unavailable, "address %s is private; only allowed where the configuration says so", ip)
		}
		if ip.IsLoopback() || !within(ip, neverRanges()) {
			return nil
		}
	}
	if !ip.IsGlobalUnicast() || within(ip, neverRanges()) {
		return provenance.Errorf(provenance.Unavailable, "address %s is link-local, metadata or reserved; never dialled", ip)
	}
	return nil
}

func within(ip netip.Addr, ranges []string) bool {
	return slices.ContainsFunc(ranges, func(r string) bool { return netip.MustParsePrefix(r).Contains(ip) })
}

// privateRanges are not in netip's IsPrivate and still somebody's inside.
func privateRanges() []string {
	return []string{
		"100.64.0.0/10", // carrier-grade NAT, RFC 6598
		"198.18.0.0/15", // benchmarking, RFC 2544
		"192.0.0.0/24",  // protocol assignments, RFC 6890
		"fec0::/10",     // site-local, RFC 3879
	}
}

// neverRanges are not registries in any network. IPv6 addresses that carry an
// IPv4 address inside are here because the inner one would escape the look.
func neverRanges() []string {
	return []string{
		"0.0.0.0/8", "169.254.0.0/16", "fe80::/10", // this host, link-local; 169.254.169.254 is metadata
		"168.63.129.16/32", "fd00:ec2::/32", "100.100.100.200/32", // metadata of Azure, AWS, Alibaba
		"192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", // documentation
		"240.0.0.0/4", "::/96", "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32", // reserved, compatible, NAT64, 6to4, Teredo
	}
}

// restricted is the innermost RoundTripper: every request of this package, logins
// and redirects among them, passes it.
type restricted struct {
	inner      http.RoundTripper
	scheme     string
	hosts      []string // the registry's first
	blobs      []string // read from, and never sent a credential or a body
	retryAfter retryAfter
}

// RoundTrip implements http.RoundTripper. It refuses any scheme but the
// configured one and any host but the configured ones, before a name is
// resolved or a credential leaves, and caps every answer at MaxManifest, or at
// what the request's context says.
func (g *restricted) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme != g.scheme {
		return nil, provenance.Errorf(provenance.Unavailable, "%s://%s is refused: this registry is configured for %s", req.URL.Scheme, req.URL.Host, g.scheme)
	}
	known, blobs := slices.Contains(g.hosts, req.URL.Host), slices.Contains(g.blobs, req.URL.Host)
	if !known && !blobs || (req.Host != "" && req.Host != req.URL.Host) {
		return nil, provenance.Errorf(provenance.Unavailable, "host %q is refused: only %s is addressed", req.URL.Host, g.hosts[0])
	}
	if !known && (req.Header.Get("Authorization") != "" || req.Method != http.MethodGet && req.Method != http.MethodHead) {
		// A registry may name any host as the one that issues its tokens.
		return nil, provenance.Errorf(provenance.Unavailable, "host %q is refused: it holds blobs, and is sent neither credentials nor anything else", req.URL.Host)
	}
	if err := g.retryAfter.check(req.URL.Host); err != nil {
		return nil, err
	}
	resp, err := g.inner.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	g.retryAfter.note(req.URL.Host, resp)
	limit := int64(MaxManifest)
	if larger, ok := req.Context().Value(limitKey{}).(int64); ok {
		limit = larger
	}
	if resp.ContentLength > limit && req.Method != http.MethodHead {
		_ = resp.Body.Close()
		return nil, tooLarge(limit)
	}
	resp.Body = &capped{body: resp.Body, left: limit, limit: limit}
	return resp, nil
}

// limitKey is where a request's context holds the cap of its answer.
type limitKey struct{}

func tooLarge(limit int64) error {
	return provenance.Errorf(provenance.Invalid, "the answer is larger than %d bytes", limit)
}

// capped fails a body that goes on past its limit, rather than cutting it.
type capped struct {
	body        io.ReadCloser
	left, limit int64
}

func (c *capped) Read(b []byte) (int, error) {
	if int64(len(b)) > c.left+1 {
		b = b[:c.left+1]
	}
	n, err := c.body.Read(b)
	if int64(n) > c.left {
		return int(c.left), tooLarge(c.limit)
	}
	c.left -= int64(n)
	return n, err
}

func (c *capped) Close() error { return c.body.Close() }

// checkRedirect bounds redirects; the transport has the say about where to.
func checkRedirect(_ *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return errors.New("too many redirects")
	}
	return nil
}

// credentials reads the password file, the only source of credentials: never
// the keychain of whoever runs this program.
func credentials(username, passwordFile string) (authn.Authenticator, error) {
	if username == "" && passwordFile == "" {
		return authn.Anonymous, nil
	}
	if username == "" || passwordFile == "" || strings.Contains(username, ":") {
		return nil, provenance.Errorf(provenance.Invalid, "registry credentials: want a user name (without ':') and a password file, or neither")
	}
	f, err := os.Open(passwordFile)
	if err != nil {
		return nil, provenance.Wrap(provenance.Invalid, err, "registry password file")
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return nil, provenance.Wrap(provenance.Invalid, err, "registry password file")
	}
	if !info.Mode().IsRegular() || secretfile.Exposed(info) {
		return nil, provenance.Errorf(provenance.Invalid, "registry password file %s has mode %04o; want a file of mode 0600, for its owner alone", passwordFile, info.Mode().Perm())
	}
	const limit = 64 << 10
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, provenance.Wrap(provenance.Invalid, err, "registry password file")
	}
	password := strings.TrimRight(string(b), "\r\n")
	if password == "" || len(b) > limit {
		return nil, provenance.Errorf(provenance.Invalid, "registry password file %s is empty or far too long", passwordFile)
	}
	return authn.FromConfig(authn.AuthConfig{Username: username, Password: password}), nil
}
