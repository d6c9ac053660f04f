package registry

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// seen remembers requests.
type seen struct {
	mu     sync.Mutex
	agents []string
	auth   []string
	paths  []string
}

func (s *seen) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.agents = append(s.agents, r.UserAgent())
		s.auth = append(s.auth, r.Header.Get("Authorization"))
		s.paths = append(s.paths, r.Method+" "+r.URL.Path)
		s.mu.Unlock()
		next.ServeHTTP(w, r)
	})
}

func (s *seen) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.agents, s.auth, s.paths = nil, nil, nil
}

func hostOf(server *httptest.Server) provenance.Host {
	_, host, _ := strings.Cut(server.URL, "://")
	return provenance.Host(host)
}

// client talks to a server of the test: on loopback, in plain HTTP.
func client(t *testing.T, server *httptest.Server, change func(*Config)) *Client {
	t.Helper()
	c := Config{Host: hostOf(server), Insecure: true, AllowPrivate: true, UserAgent: UserAgent + "/test"}
	if change != nil {
		change(&c)
	}
	out, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func digestOf(t *testing.T, d interface{ Digest() (v1.Hash, error) }) provenance.Digest {
	t.Helper()
	h, err := d.Digest()
	if err != nil {
		t.Fatal(err)
	}
	out, err := provenance.ParseDigest(h.String())
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func parse(t *testing.T, h v1.Hash) provenance.Digest {
	t.Helper()
	d, err := provenance.ParseDigest(h.String())
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestRealRegistry(t *testing.T) {
	var log_ seen
	server := httptest.NewServer(log_.wrap(ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0)), ggcr.WithReferrersSupport(true))))
	defer server.Close()
	repo, err := name.NewRepository(string(hostOf(server))+"/team/app", name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	image, err := random.Image(512, 2)
	if err != nil {
		t.Fatal(err)
	}
	index, err := random.Index(256, 1, 3)
	if err != nil {
		t.Fatal(err)
	}
	imageHash, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	size, err := image.Size()
	if err != nil {
		t.Fatal(err)
	}
	referrer, ok := mutate.Subject(image, v1.Descriptor{MediaType: "application/vnd.docker.distribution.manifest.v2+json", Digest: imageHash, Size: size}).(v1.Image)
	if !ok {
		t.Fatal("a referrer is an image")
	}
	for _, write := range []func() error{
		func() error { return remote.Write(repo.Tag("a"), image) },
		func() error { return remote.WriteIndex(repo.Tag("b"), index) },
		func() error { return remote.Write(repo.Tag("c"), referrer) },
	} {
		if err := write(); err != nil {
			t.Fatal(err)
		}
	}
	log_.reset()

	c := client(t, server, nil)
	read := func(d provenance.Digest) Facts {
		t.Helper()
		facts, err := c.Manifest(t.Context(), "team/app", d)
		if err != nil {
			t.Fatal(err)
		}
		return facts
	}
	config, err := image.ConfigName()
	if err != nil {
		t.Fatal(err)
	}
	want := Facts{MediaType: "application/vnd.docker.distribution.manifest.v2+json", Size: size, Config: parse(t, config)}
	equal := cmp.Comparer(func(a, b provenance.Digest) bool { return a == b })
	if diff := cmp.Diff(want, read(digestOf(t, image)), equal); diff != "" {
		t.Errorf("image (-want +got):\n%s", diff)
	}
	list, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	size, err = index.Size()
	if err != nil {
		t.Fatal(err)
	}
	want = Facts{MediaType: "application/vnd.oci.image.index.v1+json", Size: size}
	for _, child := range list.Manifests {
		want.Children = append(want.Children, parse(t, child.Digest))
	}
	if diff := cmp.Diff(want, read(digestOf(t, index)), equal); diff != "" {
		t.Errorf("index (-want +got):\n%s", diff)
	}
	if got := read(digestOf(t, referrer)); got.Subject != parse(t, imageHash) {
		t.Errorf("referrer: subject %s, want %s", got.Subject, imageHash)
	}
	_, err = c.Manifest(t.Context(), "team/app", provenance.SHA256Of([]byte("never pushed")))
	if provenance.CodeOf(err) != provenance.NotFound {
		t.Errorf("unknown digest: %v", err)
	}
	_, err = c.Manifest(t.Context(), "team/none", digestOf(t, image))
	if provenance.CodeOf(err) != provenance.NotFound {
		t.Errorf("unknown repository: %v", err)
	}
	for i, agent := range log_.agents {
		if log_.paths[i] != "GET /v2/" && !strings.HasPrefix(agent, UserAgent+"/test") {
			t.Errorf("%s came from %q", log_.paths[i], agent)
		}
	}
	// Two questions to log in, then one per manifest.
	if len(log_.paths) != 2+5 {
		t.Errorf("requests: %v", log_.paths)
	}
}

func passwordFile(t *testing.T, text string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestCredentials(t *testing.T) {
	body, d := sample()
	basic := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "reader" || password != "pass word" {
			w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		send(w, body)
	})
	server := httptest.NewServer(basic)
	defer server.Close()
	good := client(t, server, func(c *Config) { c.Username, c.PasswordFile = "reader", passwordFile(t, "pass word\n", 0o600) })
	if _, err := good.Manifest(t.Context(), "team/app", d); err != nil {
		t.Error(err)
	}
	wrong := client(t, server, func(c *Config) { c.Username, c.PasswordFile = "reader", passwordFile(t, "other", 0o400) })
	_, err := wrong.Manifest(t.Context(), "team/app", d)
	if provenance.CodeOf(err) != provenance.Unavailable || strings.Contains(err.Error(), "other") {
		t.Errorf("wrong password: %v", err)
	}
	// Whatever the user who runs this has configured for Docker, it is not ours.
	home := t.TempDir()
	t.Setenv("DOCKER_CONFIG", home)
	config := `{"auths":{"` + string(hostOf(server)) + `":{"username":"reader","password":"pass word"}}}`
	if err := os.WriteFile(filepath.Join(home, "config.json"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := client(t, server, nil).Manifest(t.Context(), "team/app", d); provenance.CodeOf(err) != provenance.Unavailable {
		t.Errorf("without credentials: %v; the default keychain was asked", err)
	}
}

func TestBearer(t *testing.T) {
	body, d := sample()
	var log_ seen
	var server *httptest.Server
	server = httptest.NewServer(log_.wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/token":
			if user, _, _ := r.BasicAuth(); user != "reader" || r.URL.Query().Get("scope") == "" {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			_, _ = io.WriteString(w, `{"token":"for-`+r.URL.Query().Get("scope")+`"}`)
		case r.Header.Get("Authorization") == "Bearer for-repository:"+strings.Split(r.URL.Path, "/manifests")[0][min(4, len(r.URL.Path)):]+":pull":
			send(w, body)
		default:
			w.Header().Set("WWW-Authenticate", `Bearer realm="`+server.URL+`/token",service="x"`)
			w.WriteHeader(http.StatusUnauthorized)
		}
	})))
	defer server.Close()
	c := client(t, server, func(c *Config) { c.Username, c.PasswordFile = "reader", passwordFile(t, "secret", 0o600) })
	for range 2 {
		for _, repo := range []provenance.Repository{"team/app", "other"} {
			if _, err := c.Manifest(t.Context(), repo, d); err != nil {
				t.Error(err)
			}
		}
	}
	tokens := 0
	for _, p := range log_.paths {
		if p == "GET /token" {
			tokens++
		}
	}
	if tokens != 2 {
		t.Errorf("%d tokens fetched, want one per repository: %v", tokens, log_.paths)
	}
}

func TestNewRefuses(t *testing.T) {
	ok := Config{Host: "reg.example"}
	for name, change := range map[string]func(*Config){
		"host":              func(c *Config) { c.Host = "https://reg.example" },
		"no host":           func(c *Config) { c.Host = "" },
		"readable password": func(c *Config) { c.Username, c.PasswordFile = "a", passwordFile(t, "x", 0o644) },
		"group password":    func(c *Config) { c.Username, c.PasswordFile = "a", passwordFile(t, "x", 0o640) },
		"empty password":    func(c *Config) { c.Username, c.PasswordFile = "a", passwordFile(t, "\n", 0o600) },
		"folder":            func(c *Config) { c.Username, c.PasswordFile = "a", t.TempDir() },
		"no file":           func(c *Config) { c.Username, c.PasswordFile = "a", filepath.Join(t.TempDir(), "x") },
		"only a name":       func(c *Config) { c.Username = "a" },
		"only a file":       func(c *Config) { c.PasswordFile = passwordFile(t, "x", 0o600) },
		"colon":             func(c *Config) { c.Username, c.PasswordFile = "a:b", passwordFile(t, "x", 0o600) },
		"CA":                func(c *Config) { c.CAFile = passwordFile(t, "no certificate", 0o600) },
		"timeout":           func(c *Config) { c.Timeout = -1 },
		"token host":        func(c *Config) { c.TokenHost = "http://x" },
	} {
		c := ok
		change(&c)
		if _, err := New(c); provenance.CodeOf(err) != provenance.Invalid {
			t.Errorf("%s: %v, want Invalid", name, err)
		}
	}
	if _, err := New(ok); err != nil {
		t.Error(err)
	}
}
