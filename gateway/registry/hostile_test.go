package registry

import (
	"bytes"
	"compress/gzip"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

const layerDigest = "sha256:1111111111111111111111111111111111111111111111111111111111111111"

// sample is a good image manifest and its digest.
func sample() ([]byte, provenance.Digest) {
	body := []byte(`{"schemaVersion":2,"mediaType":"` + ociManifest + `","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:` +
		strings.Repeat("c", 64) + `","size":812},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"` + layerDigest + `","size":3370}]}`)
	return body, provenance.SHA256Of(body)
}

func send(w http.ResponseWriter, body []byte) {
	w.Header().Set("Content-Type", ociManifest)
	_, _ = w.Write(body)
}

// hostile serves a good ping, and a manifest as it likes.
func hostile(t *testing.T, manifests http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v2/" {
			return
		}
		manifests(w, r)
	}))
	t.Cleanup(server.Close)
	return server
}

// Corpus B25, B30 to B32 and the other answers.
func TestHostileAnswers(t *testing.T) {
	body, d := sample()
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, _ = z.Write(body)
	_ = z.Close()
	status := func(code int, text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(code)
			_, _ = w.Write([]byte(text))
		}
	}
	header := func(key string, values ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header()[key] = values
			send(w, body)
		}
	}
	for name, c := range map[string]struct {
		serve http.HandlerFunc
		want  provenance.Code
	}{
		"good":                   {header("X-Nothing", "1"), ""},
		"no digest header":       {header("Docker-Content-Digest"), ""},
		"other algorithm header": {header("Docker-Content-Digest", "sha512:"+strings.Repeat("a", 128)), ""},
		"two digest headers":     {header("Docker-Content-Digest", layerDigest, d.String()), ""},
		"lying digest header":    {header("Docker-Content-Digest", layerDigest), ""},

		"other bytes": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Docker-Content-Digest", d.String())
			send(w, append(body, '\n'))
		}, provenance.Invalid},
		"no bytes": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Docker-Content-Digest", d.String())
			send(w, nil)
		}, provenance.Invalid},
		"half of it": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(len(body)))
			send(w, body[:40])
		}, provenance.Unavailable},
		"partial": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Range", "bytes 0-10/20")
			w.WriteHeader(http.StatusPartialContent)
			_, _ = w.Write(body)
		}, provenance.Invalid},
		"range lies": {header("Content-Range", "bytes 0-10/20"), provenance.Invalid},
		"gzip": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			send(w, zipped.Bytes())
		}, provenance.Invalid},
		"trailers": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Trailer", "Docker-Content-Digest")
			send(w, body)
			w.Header().Set("Docker-Content-Digest", d.String())
		}, provenance.Invalid},
		"two types": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"] = []string{ociManifest, ociIndex}
			_, _ = w.Write(body)
		}, provenance.Invalid},
		"other type": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", ociIndex)
			_, _ = w.Write(body)
		}, provenance.Invalid},
		"gone":           {status(404, `{"errors":[{"code":"MANIFEST_UNKNOWN","message":"x"}]}`), provenance.NotFound},
		"404 of a proxy": {status(404, "404 page not found"), provenance.Unavailable},
		"400":            {status(400, `{"errors":[{"code":"DIGEST_INVALID"}]}`), provenance.Invalid},
		"401":            {status(401, ""), provenance.Unavailable},
		"403":            {status(403, `{"errors":[{"code":"DENIED"}]}`), provenance.Unavailable},
		"429":            {status(429, ""), provenance.Unavailable},
		"500":            {status(500, "oh"), provenance.Unavailable},
		"503":            {status(503, ""), provenance.Unavailable},
		"204":            {status(204, ""), provenance.Unavailable},
		"hang up":        {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, provenance.Unavailable},
		"redirect loop":  {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path+"x", http.StatusFound) }, provenance.Unavailable},
		"redirect to a file": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "file:///etc/passwd", http.StatusFound)
		}, provenance.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			facts, err := client(t, hostile(t, c.serve), nil).Manifest(t.Context(), "team/app", d)
			if got := provenance.CodeOf(err); got != c.want {
				t.Fatalf("%v: code %q, want %q", err, got, c.want)
			}
			if (err == nil) != (facts.Size == int64(len(body))) {
				t.Errorf("facts %+v with %v", facts, err)
			}
		})
	}
}

// B31: different bytes at each asking are decided each time.
func TestFickleAnswers(t *testing.T) {
	body, d := sample()
	var n atomic.Int32
	c := client(t, hostile(t, func(w http.ResponseWriter, _ *http.Request) {
		if n.Add(1)%2 == 0 {
			send(w, bytes.Replace(body, []byte("812"), []byte("813"), 1))
			return
		}
		send(w, body)
	}), nil)
	for i := range 4 {
		_, err := c.Manifest(t.Context(), "team/app", d)
		if want := map[int]provenance.Code{0: "", 1: provenance.Invalid}[i%2]; provenance.CodeOf(err) != want {
			t.Errorf("asking %d: %v, want %q", i, err, want)
		}
	}
}

// B36: size is refused without reading it all.
func TestTooLarge(t *testing.T) {
	for name, serve := range map[string]http.HandlerFunc{
		"stated": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "104857600")
			send(w, []byte("{"))
		},
		"one byte more": func(w http.ResponseWriter, _ *http.Request) { send(w, bytes.Repeat([]byte{' '}, MaxManifest+1)) },
		"without end": func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 1<<16)); err != nil {
					return
				}
			}
		},
	} {
		c := client(t, hostile(t, serve), nil)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := c.Manifest(t.Context(), "team/app", provenance.SHA256Of(nil))
		runtime.ReadMemStats(&after)
		if provenance.CodeOf(err) != provenance.Invalid || !strings.Contains(err.Error(), "larger than") {
			t.Errorf("%s: %v, want Invalid", name, err)
		}
		if used := after.TotalAlloc - before.TotalAlloc; used > 64<<20 {
			t.Errorf("%s: %d bytes allocated", name, used)
		}
	}
	exact := []byte(`{"schemaVersion":2,"mediaType":"` + ociIndex + `","manifests":[]}`)
	exact = append(exact, bytes.Repeat([]byte{' '}, MaxManifest-len(exact))...)
	c := client(t, hostile(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", ociIndex)
		_, _ = w.Write(exact)
	}), nil)
	if facts, err := c.Manifest(t.Context(), "team/app", provenance.SHA256Of(exact)); err != nil || facts.Size != MaxManifest {
		t.Errorf("at the limit: %+v, %v", facts, err)
	}
}

// Corpus B20 to B22: no other host, no other scheme, no credential abroad.
func TestOnlyTheConfiguredHost(t *testing.T) {
	_, d := sample()
	var other seen
	stranger := httptest.NewServer(other.wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"token":"x"}`)) })))
	defer stranger.Close()
	abroad := strings.Replace(stranger.URL, "127.0.0.1", "localhost", 1)
	for name, server := range map[string]http.HandlerFunc{
		"redirect abroad":   func(w http.ResponseWriter, r *http.Request) { redirectBut(w, r, abroad+"/x") },
		"redirect metadata": func(w http.ResponseWriter, r *http.Request) { redirectBut(w, r, "http://169.254.169.254/latest") },
		"redirect https":    func(w http.ResponseWriter, r *http.Request) { redirectBut(w, r, "https://"+r.Host+"/x") },
		"realm abroad":      func(w http.ResponseWriter, _ *http.Request) { realm(w, abroad+"/token") },
		"realm metadata":    func(w http.ResponseWriter, _ *http.Request) { realm(w, "http://169.254.169.254/token") },
		"realm file":        func(w http.ResponseWriter, _ *http.Request) { realm(w, "file:///etc/passwd") },
		"ping abroad":       func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, abroad+"/v2/", http.StatusFound) },
		"realm redirects": func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/token" {
				http.Redirect(w, r, abroad+"/token", http.StatusTemporaryRedirect)
				return
			}
			realm(w, "http://"+r.Host+"/token")
		},
	} {
		s := httptest.NewServer(server)
		c := client(t, s, func(c *Config) { c.Username, c.PasswordFile = "reader", passwordFile(t, "secret", 0o600) })
		if _, err := c.Manifest(t.Context(), "team/app", d); provenance.CodeOf(err) != provenance.Unavailable || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v, want Unavailable", name, err)
		}
		s.Close()
	}
	if len(other.paths) != 0 {
		t.Errorf("the other host was asked: %v, with %q", other.paths, other.auth)
	}
}

func redirectBut(w http.ResponseWriter, r *http.Request, to string) {
	if r.URL.Path == "/v2/" {
		w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	http.Redirect(w, r, to, http.StatusFound)
}

func realm(w http.ResponseWriter, where string) {
	w.Header().Set("WWW-Authenticate", `Bearer realm="`+where+`",service="x"`)
	w.WriteHeader(http.StatusUnauthorized)
}

func TestAddresses(t *testing.T) {
	const always, private, never = "always", "private", "never"
	for ip, want := range map[string]string{
		"8.8.8.8": always, "[2606:4700::1111]": always,
		"127.0.0.1": private, "127.9.9.9": private, "[::1]": private, "[::ffff:127.0.0.1]": private, "10.1.2.3": private, "172.16.0.1": private,
		"192.168.1.1": private, "100.64.0.1": private, "[fd12::1]": private, "[::ffff:10.0.0.1]": private, "198.18.0.1": private,
		"0.0.0.0": never, "0.1.2.3": never, "169.254.169.254": never, "[::ffff:169.254.169.254]": never, "[fe80::1]": never, "[fe80::1%25lo]": never, "[::]": never,
		"224.0.0.1": never, "[ff02::1]": never, "255.255.255.255": never, "240.0.0.1": never, "168.63.129.16": never, "100.100.100.200": never,
		"[fd00:ec2::254]": never, "[64:ff9b::7f00:1]": never, "[2002:7f00:1::]": never, "[::127.0.0.1]": never, "192.0.2.1": never, "[2001:db8::1]": never,
		"2130706433": never, "0x7f.1": never, "017700000001": never, "reg.example": never,
	} {
		address := strings.ReplaceAll(ip, "%25", "%") + ":443"
		closed, open := checkAddress("tcp4", address, false), checkAddress("tcp4", address, true)
		if (closed == nil) != (want == always) || (open == nil) != (want != never) {
			t.Errorf("%s: %v, with AllowPrivate %v; want %s", ip, closed, open, want)
		}
	}
	if checkAddress("udp", "8.8.8.8:53", true) == nil {
		t.Error("udp is dialled")
	}
}

// The dialler looks after DNS: localhost is a name until then.
func TestPrivateIsNotDialled(t *testing.T) {
	var got seen
	server := httptest.NewServer(got.wrap(http.NotFoundHandler()))
	defer server.Close()
	_, port, _ := strings.Cut(string(hostOf(server)), ":")
	for _, host := range []string{"127.0.0.1", "localhost"} {
		c := client(t, server, func(c *Config) { c.Host, c.AllowPrivate = provenance.Host(host+":"+port), false })
		_, err := c.Manifest(t.Context(), "team/app", provenance.SHA256Of(nil))
		if provenance.CodeOf(err) != provenance.Unavailable || !strings.Contains(err.Error(), "private") {
			t.Errorf("%s: %v, want a refused address", host, err)
		}
	}
	// Not Insecure: plain HTTP is refused although go-containerregistry would
	// fall back to it on loopback.
	c := client(t, server, func(c *Config) { c.Insecure = false })
	if _, err := c.Manifest(t.Context(), "team/app", provenance.SHA256Of(nil)); provenance.CodeOf(err) != provenance.Unavailable {
		t.Errorf("https wanted: %v", err)
	}
	if len(got.paths) != 0 {
		t.Errorf("requests: %v", got.paths)
	}
}

// caFile holds the certificate of a server of the test.
func caFile(t *testing.T, server *httptest.Server) string {
	t.Helper()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return ca
}

func TestTLS(t *testing.T) {
	body, d := sample()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { send(w, body) }))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // a refused handshake is what we want
	server.StartTLS()
	defer server.Close()
	ca := caFile(t, server)
	trusting := client(t, server, func(c *Config) { c.Insecure, c.CAFile = false, ca })
	if _, err := trusting.Manifest(t.Context(), "team/app", d); err != nil {
		t.Error(err)
	}
	doubting := client(t, server, func(c *Config) { c.Insecure = false })
	if _, err := doubting.Manifest(t.Context(), "team/app", d); provenance.CodeOf(err) != provenance.Unavailable {
		t.Errorf("unknown authority: %v", err)
	}
}

func TestTimeout(t *testing.T) {
	c := client(t, hostile(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }), func(c *Config) { c.Timeout = 100 * time.Millisecond })
	start := time.Now()
	_, err := c.Manifest(t.Context(), "team/app", provenance.SHA256Of(nil))
	if provenance.CodeOf(err) != provenance.Unavailable || time.Since(start) > 5*time.Second {
		t.Errorf("%v after %s", err, time.Since(start))
	}
}
