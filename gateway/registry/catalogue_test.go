package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// A real registry that cuts its lists at n, says nothing of it, and ignores
// where one wants to go on.
func TestListingsOfARealRegistry(t *testing.T) {
	server := httptest.NewServer(ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	for i := range 1100 { // more than a page of either
		ref, err := name.NewTag(fmt.Sprintf("%s/team/r%04d:v1", hostOf(server), i), name.Insecure)
		if err != nil {
			t.Fatal(err)
		}
		if err := remote.Write(ref, empty.Image); err != nil {
			t.Fatal(err)
		}
	}
	put := func(tag string) {
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodPut, server.URL+"/v2/team/app/manifests/"+tag, strings.NewReader(`{"schemaVersion":2,"mediaType":"`+ociManifest+`"}`))
		req.Header.Set("Content-Type", ociManifest)
		resp, err := http.DefaultClient.Do(req)
		if err != nil || resp.StatusCode != http.StatusCreated {
			t.Fatal(resp, err)
		}
		_ = resp.Body.Close()
	}
	for i := range 1500 {
		put(fmt.Sprintf("v%04d", i))
	}
	c := client(t, server, nil)
	asked := 0
	pace := func(context.Context) error { asked++; return nil }
	repos, err := c.Catalogue(t.Context(), pace)
	if err != nil || !repos.Complete || len(repos.Names) != 1101 || asked < 3 || !slices.IsSorted(repos.Names) {
		t.Errorf("%d repositories, complete %t, %d requests: %v", len(repos.Names), repos.Complete, asked, err)
	}
	tags, err := c.Tags(t.Context(), "team/app", nil)
	if err != nil || !tags.Complete || len(tags.Names) != 1500 || tags.Names[1499] != "v1499" {
		t.Errorf("%d tags, complete %t: %v", len(tags.Names), tags.Complete, err)
	}
	if _, err := c.Tags(t.Context(), "team/none", nil); provenance.CodeOf(err) != provenance.NotFound {
		t.Errorf("no such repository: %v", err)
	}
	if _, err := c.Tags(t.Context(), "../x", nil); provenance.CodeOf(err) != provenance.Invalid {
		t.Errorf("no repository's name: %v", err)
	}
}

func TestNamedAndServed(t *testing.T) {
	lies := map[string]string{} // path: what is sent instead
	real := ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0)))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if body, ok := lies[r.URL.Path]; ok {
			w.Header().Set("Content-Type", ociManifest)
			w.Header().Set("Docker-Content-Digest", r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:])
			_, _ = io.WriteString(w, body)
			return
		}
		real.ServeHTTP(w, r)
	}))
	defer server.Close()
	image, err := random.Image(64, 1)
	if err != nil {
		t.Fatal(err)
	}
	ref, err := name.NewTag(string(hostOf(server))+"/app:1.0", name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, image); err != nil {
		t.Fatal(err)
	}
	d := digestOf(t, image)
	c := client(t, server, nil)
	if got, err := c.Named(t.Context(), "app", "1.0"); err != nil || got != d {
		t.Errorf("%s, %v", got, err)
	}
	if got, err := c.Named(t.Context(), "app", "2.0"); err != nil || !got.IsZero() {
		t.Errorf("no such tag: %s, %v", got, err)
	}
	if got, err := c.Served(t.Context(), "app", d); err != nil || got != d {
		t.Errorf("%s, %v", got, err)
	}
	if _, err := c.Served(t.Context(), "app", provenance.SHA256Of([]byte("other"))); provenance.CodeOf(err) != provenance.NotFound {
		t.Errorf("no such image: %v", err)
	}
	lies["/v2/app/manifests/"+d.String()] = `{"other":"bytes"}`
	if got, err := c.Served(t.Context(), "app", d); err != nil || got != provenance.SHA256Of([]byte(`{"other":"bytes"}`)) {
		t.Errorf("other bytes: %s, %v", got, err)
	}
	lies["/v2/app/manifests/odd"] = "x" // and a digest that is none
	if got, err := c.Named(t.Context(), "app", "odd"); err != nil || !got.IsZero() {
		t.Errorf("a digest that is none: %s, %v", got, err)
	}
}

// pages is a registry whose lists are made by a function; it counts requests.
func pages(t *testing.T, list func(w http.ResponseWriter, r *http.Request)) (*Client, *int) {
	t.Helper()
	n := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v2/" {
			return
		}
		n++
		list(w, r)
	}))
	t.Cleanup(server.Close)
	return client(t, server, nil), &n
}

func tagsPage(w http.ResponseWriter, tags ...string) {
	_ = json.NewEncoder(w).Encode(map[string]any{"name": "app", "tags": tags})
}

func TestPages(t *testing.T) {
	all := make([]string, 2500)
	for i := range all {
		all[i] = fmt.Sprintf("t%04d", i)
	}
	after := func(r *http.Request) []string {
		i, found := slices.BinarySearch(all, r.URL.Query().Get("last"))
		if found {
			i++
		}
		return all[i:]
	}
	n := func(r *http.Request, most int) int {
		n, err := strconv.Atoi(r.URL.Query().Get("n"))
		if err != nil {
			n = most
		}
		return min(n, most)
	}
	for name, x := range map[string]struct {
		list     func(w http.ResponseWriter, r *http.Request)
		want     int
		complete bool
		odd      int
		code     provenance.Code
		requests int // at most; 0: any
	}{
		"with links, and fewer at a time than were asked for": {want: 2500, complete: true, list: func(w http.ResponseWriter, r *http.Request) {
			page := after(r)
			if most := n(r, 400); len(page) > most {
				page = page[:most]
				w.Header().Set("Link", fmt.Sprintf("</v2/app/tags/list?n=400&last=%s>; rel=\"next\"", page[most-1]))
			}
			tagsPage(w, page...)
		}},
		"without links, but knows how to go on": {want: 2500, complete: true, list: func(w http.ResponseWriter, r *http.Request) {
			page := after(r)
			tagsPage(w, page[:min(len(page), n(r, 1000))]...)
		}},
		"cuts, and does not know how to go on": {want: 1000, list: func(w http.ResponseWriter, r *http.Request) { tagsPage(w, all[:1000]...) }, complete: true, requests: 3},
		"refuses the page size": {want: 2500, complete: true, list: func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Has("n") {
				w.WriteHeader(http.StatusBadRequest)
				return
			}
			tagsPage(w, all...)
		}},
		"refuses everything":  {code: provenance.Invalid, requests: 2, list: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadRequest) }},
		"no tag left":         {complete: true, list: func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"name":"app","tags":null}`) }},
		"names that are none": {want: 1, odd: 2, complete: true, list: func(w http.ResponseWriter, _ *http.Request) { tagsPage(w, "../x", "ok", "a b", "a b") }},
		"leads in circles": {code: provenance.Invalid, requests: 20, list: func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Link", `</v2/app/tags/list?last=a>; rel="next"`)
			tagsPage(w, "a")
		}},
		"circles without news": {code: provenance.Invalid, requests: 20, list: func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Link", fmt.Sprintf(`</v2/app/tags/list?n=1000000000&last=%d>; rel="next"`, len(r.URL.RawQuery)))
			tagsPage(w)
		}},
		"another host": {code: provenance.Invalid, requests: 1, list: func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Link", `<http://169.254.169.254/v2/app/tags/list?last=a>; rel="next"`)
			tagsPage(w, "a")
		}},
		"another scheme": {code: provenance.Invalid, requests: 1, list: func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Link", `<https://`+r.Host+`/v2/app/tags/list?last=a>; rel="next"`)
			tagsPage(w, "a")
		}},
		"another list": {code: provenance.Invalid, requests: 1, list: func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Link", `</v2/secret/tags/list?last=a>; rel="next"`)
			tagsPage(w, "a")
		}},
		"a very long link": {code: provenance.Invalid, requests: 1, list: func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Link", `</v2/app/tags/list?last=`+strings.Repeat("a", 5000)+`>; rel="next"`)
			tagsPage(w, "a")
		}},
		"a very large page": {code: provenance.Invalid, requests: 1, list: func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, `{"tags":[%s"a"]}`, strings.Repeat(`"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",`, 200_000))
		}},
		"not JSON":      {code: provenance.Invalid, list: func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") }},
		"not a list":    {code: provenance.Invalid, list: func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"tags":{"a":1}}`) }},
		"a list twice":  {code: provenance.Invalid, list: func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"tags":["a"],"Tags":["b"]}`) }},
		"in pain":       {code: provenance.Unavailable, list: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }},
		"a proxy's 404": {code: provenance.Unavailable, list: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) }},
	} {
		t.Run(name, func(t *testing.T) {
			c, requests := pages(t, x.list)
			got, err := c.Tags(t.Context(), "app", nil)
			if provenance.CodeOf(err) != x.code {
				t.Fatalf("%v, want %q", err, x.code)
			}
			if len(got.Names) != x.want || got.Complete != x.complete || got.Odd != x.odd {
				t.Errorf("%d names, complete %t, %d odd; want %d, %t, %d", len(got.Names), got.Complete, got.Odd, x.want, x.complete, x.odd)
			}
			if x.requests > 0 && *requests > x.requests {
				t.Errorf("%d requests, want at most %d", *requests, x.requests)
			}
		})
	}
}

// More names than are taken do not grow without end.
func TestListIsBounded(t *testing.T) {
	i := 0
	c, _ := pages(t, func(w http.ResponseWriter, _ *http.Request) {
		names := make([]string, 50_000)
		for j := range names {
			names[j] = fmt.Sprintf("t%d", i)
			i++
		}
		w.Header().Set("Link", fmt.Sprintf(`</v2/app/tags/list?last=%d>; rel="next"`, i))
		tagsPage(w, names...)
	})
	got, err := c.Tags(t.Context(), "app", nil)
	if err != nil || len(got.Names) != MaxListed || got.Complete || i > MaxListed {
		t.Errorf("%d names of %d, complete %t: %v", len(got.Names), i, got.Complete, err)
	}
}

func TestCatalogueRefused(t *testing.T) {
	for status, want := range map[int]provenance.Code{
		http.StatusNotFound: provenance.NotFound, http.StatusMethodNotAllowed: provenance.NotFound, http.StatusBadRequest: provenance.NotFound,
		http.StatusUnauthorized: provenance.Forbidden, http.StatusForbidden: provenance.Forbidden, http.StatusBadGateway: provenance.Unavailable,
	} {
		c, _ := pages(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
		if _, err := c.Catalogue(t.Context(), nil); provenance.CodeOf(err) != want {
			t.Errorf("%d: %v, want %s", status, err, want)
		}
	}
}

// A registry with tokens is asked for one that shows the catalogue.
func TestCatalogueScope(t *testing.T) {
	var scopes []string
	var server *httptest.Server
	server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/token":
			scopes = append(scopes, r.URL.Query().Get("scope"))
			fmt.Fprint(w, `{"token":"t"}`)
		case r.Header.Get("Authorization") != "Bearer t":
			w.Header().Set("WWW-Authenticate", `Bearer realm="`+server.URL+`/token",service="reg"`)
			w.WriteHeader(http.StatusUnauthorized)
		case r.URL.Path == "/v2/_catalog":
			fmt.Fprint(w, `{"repositories":["b","a","b"]}`)
		}
	}))
	defer server.Close()
	got, err := client(t, server, nil).Catalogue(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]provenance.Repository{"a", "b"}, got.Names); diff != "" || !slices.Equal(scopes, []string{"registry:catalog:*"}) {
		t.Errorf("%s, scopes %q", diff, scopes)
	}
}

func FuzzNames(f *testing.F) {
	f.Add([]byte(`{"repositories":["a"],"tags":null}`))
	f.Add([]byte(`{"tags":["a","b"],"name":"x"}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, body []byte) {
		names, err := readNames(body)
		if err != nil && (provenance.CodeOf(err) != provenance.Invalid || names != nil) {
			t.Errorf("%q: %v", names, err)
		}
	})
}
