// Package registry reads manifests back from one OCI registry, reads the
// artifacts that refer to an image, and pushes such artifacts. It is the only
// package that knows go-containerregistry.
//
// A registry is not trusted here: bytes are believed because they hash to the
// digest, and nothing a registry says makes this program talk to another host.
package registry

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/waybill-dev/waybill/chaincode/manifest"
	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// UserAgent opens the user agent of our own traffic, so that an intake can
// tell our read-back from somebody's pull.
const UserAgent = "waybill-gateway"

// MaxManifest is the largest manifest read, in bytes: what the OCI
// distribution specification asks every registry to accept ("Pushing
// manifests": at least 4 megabytes).
const MaxManifest = provenance.MaxManifest

const (
	defaultTimeout = 15 * time.Second
	// maxTransports bounds the tokens kept, one per repository.
	maxTransports = 1024
)

// Config says which registry, and how to talk to it.
type Config struct {
	// Host is the registry, the only host that is ever addressed (but for TokenHost).
	Host provenance.Host
	// Insecure speaks plain HTTP instead of HTTPS.
	Insecure bool
	// Username and PasswordFile are the only credentials ever used; both or
	// neither. The file must not be readable by group or others.
	Username     string
	PasswordFile string
	// UserAgent, for example "waybill-gateway/1.2.0"; empty means UserAgent
	// alone. Anything that does not start with UserAgent is put behind it.
	UserAgent string
	// AllowPrivate lets Host resolve to a loopback, private or carrier-NAT
	// address. Link-local and cloud metadata addresses are never dialled.
	AllowPrivate bool
	// Timeout is the time one Manifest call may take; 0 means 15 s.
	Timeout time.Duration
	// TokenHost is where the registry's tokens are issued, where that is
	// another host (Docker Hub: auth.docker.io). It is sent the credentials.
	TokenHost provenance.Host
	// BlobHosts are where the registry sends a reader of blobs on to, where
	// those are other hosts (a storage bucket, a CDN). They are sent nothing of
	// the credentials.
	BlobHosts []provenance.Host
	// CAFile holds the PEM certificates to trust instead of the system's.
	CAFile string
}

// Client reads from one registry, and pushes referrers where it is asked to. It
// is safe for concurrent use and never retries: its caller has a queue.
type Client struct {
	registry name.Registry
	auth     authn.Authenticator
	timeout  time.Duration
	base     http.RoundTripper // restricted and with our user agent
	now      func() time.Time

	mu         sync.Mutex
	transports map[string]http.RoundTripper // authenticated, by access and repository; "" where neither matters
	bearer     bool                         // the registry wants a token per repository
	pinged     bool

	recent recent
}

// New makes a client. Nothing is dialled. Errors are Invalid and name the
// setting.
func New(c Config) (*Client, error) {
	host, err := provenance.ParseHost(string(c.Host))
	if err != nil {
		return nil, err
	}
	options := []name.Option{name.StrictValidation}
	if c.Insecure {
		options = append(options, name.Insecure)
	}
	registry, err := name.NewRegistry(string(host), options...)
	if err != nil {
		return nil, provenance.Wrap(provenance.Invalid, err, "registry host %q", host)
	}
	auth, err := credentials(c.Username, c.PasswordFile)
	if err != nil {
		return nil, err
	}
	hosts, blobHosts := []string{registry.RegistryStr()}, []string(nil)
	if c.TokenHost != "" {
		token, err := provenance.ParseHost(string(c.TokenHost))
		if err != nil {
			return nil, err
		}
		hosts = append(hosts, string(token))
	}
	for _, h := range c.BlobHosts {
		blobs, err := provenance.ParseHost(string(h))
		if err != nil {
			return nil, err
		}
		blobHosts = append(blobHosts, string(blobs))
	}
	if c.Timeout < 0 {
		return nil, provenance.Errorf(provenance.Invalid, "registry %s: negative timeout", host)
	}
	if c.Timeout == 0 {
		c.Timeout = defaultTimeout
	}
	inner, err := newTransport(newDialer(c.AllowPrivate), c.CAFile)
	if err != nil {
		return nil, err
	}
	scheme := "https"
	if c.Insecure {
		scheme = "http"
	}
	agent := c.UserAgent
	if !strings.HasPrefix(agent, UserAgent) {
		agent = strings.TrimSpace(UserAgent + " " + agent)
	}
	out := &Client{registry: registry, auth: auth, timeout: c.Timeout, now: time.Now, transports: map[string]http.RoundTripper{}}
	out.base = transport.NewUserAgent(&restricted{
		inner: inner, scheme: scheme, hosts: hosts, blobs: blobHosts, retryAfter: retryAfter{now: func() time.Time { return out.now() }},
	}, agent)
	return out, nil
}

// Manifest fetches a manifest by digest and returns the facts in it. The bytes
// have hashed to d, by our own count. Errors: NotFound where the registry says
// in its own words that it is gone; Invalid where the answer is not the
// manifest d names, or is not a manifest we read (asking again is useless);
// Unavailable for all else, refused credentials and refused addresses among
// them: nothing is known, ask again.
func (c *Client) Manifest(ctx context.Context, repo provenance.Repository, d provenance.Digest) (Facts, error) {
	facts, _, err := c.ManifestBytes(ctx, repo, d)
	return facts, err
}

// ManifestBytes is Manifest with the bytes that the facts are read from, at most
// MaxManifest of them.
func (c *Client) ManifestBytes(ctx context.Context, repo provenance.Repository, d provenance.Digest) (Facts, []byte, error) {
	if _, err := provenance.ParseRepository(string(repo)); err != nil {
		return Facts{}, nil, err
	}
	if d.IsZero() {
		return Facts{}, nil, provenance.Errorf(provenance.Invalid, "manifest of %s: no digest", repo)
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	body, contentType, err := c.fetch(ctx, repo, d)
	if err != nil {
		return Facts{}, nil, err
	}
	facts, err := readFacts(body, contentType, d)
	if err != nil {
		return Facts{}, nil, provenance.Wrap(provenance.Invalid, err, "manifest %s", c.image(repo, d.String()))
	}
	c.recent.keep(recentKey{repo, d}, recentManifest{body, contentType, c.now()})
	return facts, body, nil
}

// image names something in this registry, for people.
func (c *Client) image(repo provenance.Repository, reference string) string {
	return c.registry.RegistryStr() + "/" + string(repo) + "@" + reference
}

// fetch returns the bytes of a manifest, which have hashed to d, and the media
// type they were sent with. The headers of the answer prove nothing
// (Docker-Content-Digest is not even looked at).
func (c *Client) fetch(ctx context.Context, repo provenance.Repository, d provenance.Digest) ([]byte, string, error) {
	body, contentType, err := c.manifest(ctx, repo, d.String())
	if err == nil && !d.Matches(body) {
		err = provenance.Errorf(provenance.Invalid, "manifest %s: the registry sent other bytes, of %s", c.image(repo, d.String()), provenance.SHA256Of(body))
	}
	return body, contentType, err
}

// manifest returns what the registry sends for a digest or a tag.
func (c *Client) manifest(ctx context.Context, repo provenance.Repository, reference string) ([]byte, string, error) {
	what := "manifest " + c.image(repo, reference)
	resp, err := c.do(ctx, repo, call{path: "/manifests/" + reference, accept: manifest.MediaTypes(), what: what})
	if err != nil {
		return nil, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := readBody(resp, what)
	if err != nil {
		return nil, "", err
	}
	contentType, err := contentType(resp, what)
	return body, contentType, err
}

// transport returns a RoundTripper that is logged in for a repository, with
// access to pull or to push too. One is kept per repository and access where
// the registry issues tokens, else one for all.
func (c *Client) transport(ctx context.Context, repo provenance.Repository, access string) (http.RoundTripper, error) {
	c.mu.Lock()
	pinged, key := c.pinged, ""
	if c.bearer {
		key = access + " " + string(repo)
	}
	tr := c.transports[key]
	c.mu.Unlock()
	if tr != nil {
		return tr, nil
	}
	bearer := key != ""
	if !pinged {
		challenge, err := transport.Ping(ctx, c.registry, c.base)
		if err != nil {
			return nil, err
		}
		bearer = strings.EqualFold(challenge.Scheme, "bearer")
	}
	// Two callers may do this at once for one repository: both get a good
	// transport and the later one is kept.
	scopes := []string{c.registry.Repo(string(repo)).Scope(access)}
	tr, err := transport.NewWithContext(ctx, c.registry, c.auth, c.base, scopes)
	if err != nil {
		return nil, err
	}
	if key = ""; bearer {
		key = access + " " + string(repo)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.transports) >= maxTransports {
		clear(c.transports)
	}
	c.transports[key], c.bearer, c.pinged = tr, bearer, true
	return tr, nil
}

// forget drops what was learnt at login: the registry changed its mind.
func (c *Client) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.transports)
	c.bearer, c.pinged = false, false
}
