package registry

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

const docType = "application/spdx+json"

// withImage serves a registry that holds one image of team/app.
func withImage(t *testing.T, handler http.Handler) (*httptest.Server, provenance.Digest) {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	repo, err := name.NewRepository(string(hostOf(server))+"/team/app", name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	image, err := random.Image(512, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(repo.Tag("v1"), image); err != nil {
		t.Fatal(err)
	}
	return server, digestOf(t, image)
}

func inProcess(referrers bool) http.Handler {
	return ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0)), ggcr.WithReferrersSupport(referrers))
}

// A referrer that was pushed is listed, read and hashed, with a referrers API and without one.
func TestPushReferrer(t *testing.T) {
	for name, handler := range map[string]http.Handler{"referrers API": inProcess(true), "fallback tag": inProcess(false)} {
		t.Run(name, func(t *testing.T) {
			server, image := withImage(t, handler)
			c := client(t, server, nil)
			if found, err := c.Referrers(t.Context(), "team/app", image); err != nil || len(found.List) != 0 || !found.Complete {
				t.Fatalf("before: %v, %v", found, err)
			}
			if d, err := c.Resolve(t.Context(), "team/app", "v1"); err != nil || d != image {
				t.Fatalf("resolve: %s, %v", d, err)
			}
			want := map[provenance.Digest][]byte{}
			for i := range 3 {
				blob := fmt.Appendf(nil, `{"spdxVersion":"SPDX-2.3","n":%d}`, i)
				r := Referrer{Subject: image, ArtifactType: docType, Blob: blob, Annotations: map[string]string{"n": fmt.Sprint(i)}}
				d, err := c.Push(t.Context(), "team/app", r)
				if err != nil {
					t.Fatal(err)
				}
				want[d] = blob
				if again, err := c.Push(t.Context(), "team/app", r); err != nil || again != d {
					t.Fatalf("again: %s, %v", again, err)
				}
			}
			found, err := c.Referrers(t.Context(), "team/app", image)
			list := found.List
			if err != nil || len(list) != len(want) {
				t.Fatalf("%d referrers, want %d: %v", len(list), len(want), err)
			}
			for _, entry := range list {
				a, err := c.Artifact(t.Context(), "team/app", entry.Digest)
				if err != nil {
					t.Fatal(err)
				}
				if a.Subject != image || a.ArtifactType != docType || len(a.Layers) != 1 || a.Layers[0].MediaType != docType || a.Annotations["n"] == "" {
					t.Errorf("artifact %+v", a)
				}
				blob, err := c.Blob(t.Context(), "team/app", a.Layers[0])
				if err != nil || !bytes.Equal(blob, want[entry.Digest]) {
					t.Errorf("blob %q, %v", blob, err)
				}
				var copied bytes.Buffer
				sum, err := c.Document(t.Context(), "team/app", a.Layers[0].Digest, &copied)
				if err != nil || "sha256:"+sum != a.Layers[0].Digest.String() || !bytes.Equal(copied.Bytes(), blob) {
					t.Errorf("document %s, %v", sum, err)
				}
			}
		})
	}
}

func TestPushRefuses(t *testing.T) {
	server, image := withImage(t, inProcess(true))
	c := client(t, server, nil)
	good := Referrer{Subject: image, ArtifactType: docType, Blob: []byte("{}x")}
	for name, x := range map[string]struct {
		change func(*Referrer)
		want   provenance.Code
	}{
		"no subject":    {func(r *Referrer) { r.Subject = provenance.Digest{} }, provenance.Invalid},
		"other subject": {func(r *Referrer) { r.Subject = provenance.SHA256Of([]byte("x")) }, provenance.NotFound},
		"no type":       {func(r *Referrer) { r.ArtifactType = "" }, provenance.Invalid},
		"no blob":       {func(r *Referrer) { r.Blob = nil }, provenance.Invalid},
		"large blob":    {func(r *Referrer) { r.Blob = make([]byte, MaxDocument+1) }, provenance.Invalid},
	} {
		r := good
		x.change(&r)
		if _, err := c.Push(t.Context(), "team/app", r); provenance.CodeOf(err) != x.want {
			t.Errorf("%s: %v, want %s", name, err, x.want)
		}
	}
}

// A fallback tag that is something else is not overwritten.
func TestFallbackTagTaken(t *testing.T) {
	server, image := withImage(t, inProcess(false))
	repo, err := name.NewRepository(string(hostOf(server))+"/team/app", name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	other, err := random.Image(64, 1)
	if err != nil {
		t.Fatal(err)
	}
	tag := repo.Tag(string(FallbackTag(image)))
	if err := remote.Write(tag, other); err != nil {
		t.Fatal(err)
	}
	_, err = client(t, server, nil).Push(t.Context(), "team/app", Referrer{Subject: image, ArtifactType: docType, Blob: []byte("x")})
	if provenance.CodeOf(err) != provenance.Conflict {
		t.Errorf("%v, want a conflict", err)
	}
	if d, err := client(t, server, nil).Resolve(t.Context(), "team/app", FallbackTag(image)); err != nil || d != digestOf(t, other) {
		t.Errorf("the tag moved: %s, %v", d, err)
	}
}

func TestHostileBlobs(t *testing.T) {
	body := []byte("a small document")
	d := provenance.SHA256Of(body)
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			t.Error("a blob host was sent credentials")
		}
		_, _ = w.Write(body)
	}))
	defer elsewhere.Close()
	for name, x := range map[string]struct {
		serve  http.HandlerFunc
		change func(*Config)
		want   provenance.Code
	}{
		"good":        {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(body) }, nil, ""},
		"other bytes": {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("A small document")) }, nil, provenance.Invalid},
		"cut": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "99")
			_, _ = w.Write(body)
		}, nil, provenance.Unavailable},
		"too long": {func(w http.ResponseWriter, _ *http.Request) {
			for range MaxDocument/1024 + 1 {
				_, _ = w.Write(make([]byte, 1024))
			}
		}, nil, provenance.Invalid},
		"part": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Range", "bytes 0-1/2")
			_, _ = w.Write(body)
		}, nil, provenance.Invalid},
		"unknown": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(404)
			_, _ = io.WriteString(w, `{"errors":[{"code":"BLOB_UNKNOWN"}]}`)
		}, nil, provenance.NotFound},
		"404": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) }, nil, provenance.Unavailable},
		"sent on": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
		}, nil, provenance.Unavailable},
		"sent on to a blob host": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
		},
			func(c *Config) { c.BlobHosts = []provenance.Host{hostOf(elsewhere)} }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c := client(t, hostile(t, x.serve), func(c *Config) {
				c.Username, c.PasswordFile = "reader", passwordFile(t, "x", 0o600)
				if x.change != nil {
					x.change(c)
				}
			})
			if _, err := c.Document(t.Context(), "team/app", d, io.Discard); provenance.CodeOf(err) != x.want {
				t.Errorf("document: %v, want %q", err, x.want)
			}
			if _, err := c.Blob(t.Context(), "team/app", Descriptor{Digest: d, Size: int64(len(body))}); provenance.CodeOf(err) != x.want {
				t.Errorf("blob: %v, want %q", err, x.want)
			}
		})
	}
	asked := false
	c := client(t, hostile(t, func(http.ResponseWriter, *http.Request) { asked = true }), nil)
	if _, err := c.Blob(t.Context(), "team/app", Descriptor{Digest: d, Size: MaxEnvelope + 1}); provenance.CodeOf(err) != provenance.Invalid || asked {
		t.Errorf("a large blob: %v, asked %t", err, asked)
	}
}

// A list is followed to its end, however short the registry makes its pages: what
// comes last is the signature that somebody looks for.
func TestReferrersToTheEnd(t *testing.T) {
	const pages, each = 64, 8
	subject := provenance.SHA256Of([]byte("image"))
	paced := 0
	c := client(t, hostile(t, func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.URL.Query().Get("page")) // the first has none
		if n+1 < pages {
			w.Header().Set("Link", fmt.Sprintf(`<%s?page=%d>; rel="next"`, r.URL.Path, n+1))
		}
		entries := make([]string, each)
		for i := range entries {
			entries[i] = fmt.Sprintf(`{"mediaType":"%s","digest":"%s","size":1}`, ociManifest, provenance.SHA256Of(fmt.Append(nil, n, i)))
		}
		w.Header().Set("Content-Type", ociIndex)
		_, _ = fmt.Fprintf(w, `{"schemaVersion":2,"mediaType":"%s","manifests":[%s]}`, ociIndex, strings.Join(entries, ","))
	}), nil)
	got, err := c.ListedReferrers(t.Context(), "team/app", subject, func(context.Context) error { paced++; return nil })
	if err != nil || !got.Complete || !got.Supported || len(got.List) != pages*each || got.List[len(got.List)-1].Digest != provenance.SHA256Of(fmt.Append(nil, pages-1, each-1)) {
		t.Fatalf("%d referrers, complete %t: %v", len(got.List), got.Complete, err)
	}
	if paced != pages-1 {
		t.Errorf("the pace was asked %d times for %d pages", paced, pages)
	}
}

func TestHostileReferrers(t *testing.T) {
	subject := provenance.SHA256Of([]byte("image"))
	list := func(n int) string {
		entries := make([]string, n)
		for i := range entries {
			entries[i] = fmt.Sprintf(`{"mediaType":"%s","digest":"%s","size":1}`, ociManifest, provenance.SHA256Of(fmt.Append(nil, i)))
		}
		return `{"schemaVersion":2,"mediaType":"` + ociIndex + `","manifests":[` + strings.Join(entries, ",") + `]}`
	}
	answer := func(w http.ResponseWriter, text string) {
		w.Header().Set("Content-Type", ociIndex)
		_, _ = io.WriteString(w, text)
	}
	for name, x := range map[string]struct {
		serve http.HandlerFunc
		n     int
		want  provenance.Code
	}{
		"two pages": {func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Get("page") == "" {
				w.Header().Set("Link", "<"+r.URL.Path+`?page=2>; rel="next"`)
			}
			answer(w, list(3))
		}, 3, ""},
		"pages without end": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Link", "<"+r.URL.Path+`?page=2>; rel="next"`)
			answer(w, list(1))
		}, 0, provenance.Invalid},
		"next page elsewhere": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Link", `<http://other.example/v2/>; rel="next"`)
			answer(w, list(1))
		}, 0, provenance.Unavailable},
		"one page of many": {func(w http.ResponseWriter, _ *http.Request) { answer(w, list(MaxLayers+1)) }, MaxLayers + 1, ""},
		"too many":         {func(w http.ResponseWriter, _ *http.Request) { answer(w, list(MaxReferrers+1)) }, MaxReferrers, ""},
		"not a list":       {func(w http.ResponseWriter, _ *http.Request) { answer(w, `{"schemaVersion":2}`) }, 0, provenance.Invalid},
		"a manifest":       {func(w http.ResponseWriter, _ *http.Request) { body, _ := sample(); send(w, body) }, 0, provenance.Invalid},
		"key twice": {func(w http.ResponseWriter, _ *http.Request) {
			answer(w, strings.Replace(list(1), `{"schema`, `{"manifests":[],"schema`, 1))
		}, 0, provenance.Invalid},
		"no such digest": {func(w http.ResponseWriter, _ *http.Request) {
			answer(w, strings.Replace(list(1), "sha256:", "md5:", 1))
		}, 0, provenance.Invalid},
		"neither": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(404)
			_, _ = io.WriteString(w, `{"errors":[{"code":"MANIFEST_UNKNOWN"}]}`)
		}, 0, ""},
		"starting": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) }, 0, provenance.Unavailable},
		"broken":   {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }, 0, provenance.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := client(t, hostile(t, x.serve), nil).Referrers(t.Context(), "team/app", subject)
			if provenance.CodeOf(err) != x.want || len(got.List) != x.n {
				t.Errorf("%d referrers, %v; want %d, %q", len(got.List), err, x.n, x.want)
			}
			if cut := x.n == MaxReferrers; err == nil && got.Complete == cut {
				t.Errorf("%d referrers are said to be complete: %t", len(got.List), got.Complete)
			}
		})
	}
}
