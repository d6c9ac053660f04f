package intake

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// Corpus B1 to B4 for every kind that signs: what each sender's signature must
// be, and that nothing else will do.
func TestSignatures(t *testing.T) {
	for _, kind := range []string{KindGHCR, KindArtifactory, KindNexus, KindGeneric} {
		f, _ := formatOf(kind)
		g, c := f.sign, connectorOf(t, kind)
		raw, header := load(t, kind, good(kind))
		now := strconv.FormatInt(received().Unix(), 10)
		stamp := ""
		if g.stamped {
			stamp = now
		}
		right := g.prefix + hexOf(g.sum([]byte(secretA), stamp, raw))
		right2 := g.prefix + hexOf(g.sum([]byte(secretB), stamp, raw))
		otherForm := "sha256=" + right // with a prefix, or without
		if g.prefix != "" {
			otherForm = strings.TrimPrefix(right, g.prefix)
		}
		wrong := g.prefix + strings.Repeat("0", 2*g.hash().Size())
		for _, x := range []struct {
			name   string
			values []string
			raw    []byte
			status int
		}{
			{"right", []string{right}, raw, 200},
			{"right, of the second secret", []string{right2}, raw, 200},
			{"right, in capitals", []string{g.prefix + strings.ToUpper(right[len(g.prefix):])}, raw, 200},
			{"none", nil, raw, 401},
			{"empty", []string{""}, raw, 401},
			{"prefix only", []string{g.prefix}, raw, 401},
			{"wrong", []string{wrong}, raw, 401},
			{"of another secret", []string{g.prefix + hexOf(g.sum([]byte("0123456789abcdef-c"), stamp, raw))}, raw, 401},
			{"cut short", []string{right[:len(right)-2]}, raw, 401},
			{"half a digit", []string{right[:len(right)-1]}, raw, 401},
			{"too long", []string{right + "00"}, raw, 401},
			{"not hex", []string{g.prefix + strings.Repeat("g", 2*g.hash().Size())}, raw, 401},
			{"another form", []string{otherForm}, raw, 401},
			{"the secret itself", []string{secretA}, raw, 401},
			{"body changed", []string{right}, bytes.Replace(raw, []byte("1.4.0"), []byte("1.4.1"), 1), 401},
			{"body laid out anew", []string{right}, bytes.ReplaceAll(raw, []byte("\n"), nil), 401},
			{"two headers, one right", []string{wrong, right}, raw, 200},
			{"joined headers, one right", []string{wrong + ", " + right}, raw, 200},
			{"four, the last right", []string{wrong, wrong, "x", right}, raw, 200},
			{"four wrong", []string{wrong, wrong, wrong, wrong}, raw, 401},
			{"five, the first right", []string{right, wrong, wrong, wrong, wrong}, raw, 400},
			{"a thousand", []string{strings.Repeat(wrong+",", 999) + right}, raw, 400},
		} {
			r := httptest.NewRequest(http.MethodPost, "/hooks/main", bytes.NewReader(x.raw))
			r.Header = header.Clone()
			if g.stamped {
				r.Header.Set(TimestampHeader, stamp)
			}
			for _, v := range x.values {
				r.Header.Add(g.header, v)
			}
			s := newSink()
			w := httptest.NewRecorder()
			handlerOf(t, s, c).ServeHTTP(w, r)
			if w.Code != x.status || (s.count() > 0) != (x.status == 200) {
				t.Errorf("%s, %s: %d with %d stored, want %d", kind, x.name, w.Code, s.count(), x.status)
			}
		}
	}
}

// A signature is good for five minutes either way, and for its own time only.
func TestTimestamp(t *testing.T) {
	g := genericFormat().sign
	for offset, ok := range map[time.Duration]bool{
		0: true, -maxSkew: true, maxSkew: true, -maxSkew - time.Second: false, maxSkew + time.Second: false, -24 * time.Hour: false,
	} {
		h := http.Header{}
		h.Set(TimestampHeader, strconv.FormatInt(received().Add(offset).Unix(), 10))
		h.Set(SignatureHeader, g.prefix+strings.Repeat("0", 64))
		now := received().Truncate(time.Second)
		if _, got, _ := g.read(h, now); got != ok {
			t.Errorf("%v: read %v, want %v", offset, got, ok)
		}
	}
	h := http.Header{}
	h.Add(TimestampHeader, "1772442900")
	h.Add(TimestampHeader, "1772442900")
	if _, ok, _ := g.read(h, received()); ok {
		t.Error("two times were read")
	}
}

// No kind lets a stranger in: neither without proof nor with another kind's.
func TestStrangers(t *testing.T) {
	for _, kind := range Kinds() {
		c := connectorOf(t, kind)
		f, _ := formatOf(kind)
		raw, header := load(t, kind, good(kind))
		for name, change := range map[string]func(r *http.Request){
			"nothing":       func(*http.Request) {},
			"bearer":        func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+secretA+"x") },
			"secret header": func(r *http.Request) { r.Header.Set(SecretHeader, secretA+"x") },
			"empty bearer":  func(r *http.Request) { r.Header.Set("Authorization", "Bearer ") },
			"basic, empty":  func(r *http.Request) { r.SetBasicAuth("", "") },
			"digest":        func(r *http.Request) { r.Header.Set("Authorization", "Digest "+secretA) },
			"both": func(r *http.Request) {
				r.Header.Set(SecretHeader, secretA)
				r.Header.Set("Authorization", "Bearer "+secretA)
			},
			"query": func(r *http.Request) { r.URL.RawQuery = "secret=" + secretA },
			"signature of nothing": func(r *http.Request) {
				if f.sign != nil {
					f.sign.apply(r.Header, []byte(secretA), nil, received())
				}
			},
			"hash of a secret": func(r *http.Request) {
				if f.sign != nil {
					f.sign.apply(r.Header, nil, raw, received())
				}
			},
		} {
			r := httptest.NewRequest(http.MethodPost, "/hooks/main", bytes.NewReader(raw))
			r.Header = header.Clone()
			change(r)
			s := newSink()
			w := httptest.NewRecorder()
			handlerOf(t, s, c).ServeHTTP(w, r)
			if w.Code != http.StatusUnauthorized || s.count() != 0 || w.Header().Get("WWW-Authenticate") == "" {
				t.Errorf("%s, %s: %d with %d stored, want 401", kind, name, w.Code, s.count())
			}
		}
	}
}

func TestConsent(t *testing.T) {
	secret, oidc := connectorOf(t, KindEventGrid), connectorOf(t, KindEventGrid)
	oidc.Secrets, oidc.OIDC = nil, testOIDC(t)
	ask := func(c Connector, path, origin string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodOptions, path, nil)
		if origin != "" {
			r.Header.Set("WebHook-Request-Origin", origin)
			r.Header.Set("WebHook-Request-Rate", "120")
		}
		w := httptest.NewRecorder()
		handlerOf(t, newSink(), c).ServeHTTP(w, r)
		return w
	}
	for _, c := range []struct {
		name, path, origin string
		connector          Connector
		status             int
	}{
		{"secret in the path", "/hooks/main/" + secretA, "eventgrid.azure.net", secret, 200},
		{"no secret", "/hooks/main", "eventgrid.azure.net", secret, 401},
		{"wrong secret", "/hooks/main/" + secretA + "x", "eventgrid.azure.net", secret, 401},
		{"somebody else", "/hooks/main/" + secretA, "evil.example", secret, 403},
		{"tokens", "/hooks/main", "EventGrid.azure.net", oidc, 200},
		{"tokens, somebody else", "/hooks/main", "eventgrid.azure.net.evil.example", oidc, 401},
		{"tokens and a path", "/hooks/main/" + secretA, "eventgrid.azure.net", oidc, 401},
	} {
		w := ask(c.connector, c.path, c.origin)
		if w.Code != c.status || (w.Header().Get("WebHook-Allowed-Origin") == eventGridOrigin) != (c.status == 200) {
			t.Errorf("%s: %d, allowed %q; want %d", c.name, w.Code, w.Header().Get("WebHook-Allowed-Origin"), c.status)
		}
	}
	if w := ask(connectorOf(t, KindHarbor), "/hooks/main", "eventgrid.azure.net"); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("another kind answers OPTIONS with %d", w.Code)
	}
	// A token delivers; nothing does not.
	raw, header := load(t, KindEventGrid, "push-tag")
	for authorization, status := range map[string]int{"Bearer " + token(t, rs256(), goodClaims()): 200, "Bearer " + secretA: 401, "": 401} {
		r := httptest.NewRequest(http.MethodPost, "/hooks/main", bytes.NewReader(raw))
		r.Header = header.Clone()
		r.Header.Set("Authorization", authorization)
		w := httptest.NewRecorder()
		handlerOf(t, newSink(), oidc).ServeHTTP(w, r)
		if w.Code != status {
			t.Errorf("%.20q: %d, want %d: %s", authorization, w.Code, status, w.Body)
		}
	}
}

func TestWeak(t *testing.T) {
	strong := map[string]bool{KindGHCR: true, KindArtifactory: true, KindGeneric: true, KindGAR: true, KindGitea: true}
	for _, kind := range Kinds() {
		if got := connectorOf(t, kind).Weak(); (got == "") != strong[kind] {
			t.Errorf("%s: weak %q", kind, got)
		}
	}
	c := connectorOf(t, KindEventGrid)
	c.OIDC = testOIDC(t)
	if c.Weak() == "" {
		t.Error("a secret beside tokens makes nothing stronger")
	}
	if c.Secrets = nil; c.Weak() != "" {
		t.Errorf("tokens alone: %q", c.Weak())
	}
}

// A gateway hands empty settings over as empty maps and lists: they say nothing.
func TestEmptyOptions(t *testing.T) {
	for _, kind := range Kinds() {
		c := connectorOf(t, kind)
		c.Origins, c.Repositories = []string{}, []string{}
		if len(c.Prefixes) == 0 {
			c.Prefixes = map[string]string{}
		}
		if kind != KindGAR {
			c.OIDC = OIDC{Issuers: []string{}, Claims: map[string]string{}}
		}
		d := deskOf(t, kind)
		d.connector, d.handler = c, handlerOf(t, d.sink, c)
		d.expect(kind, d.send(good(kind), hostile{Headers: map[string]string{"Content-Type": typeOf(kind)}}), 200, 1)
	}
}

func TestOptionsRefused(t *testing.T) {
	for _, c := range []struct {
		name, kind string
		change     func(*Connector)
		want       string
	}{
		{"secrets of gar", KindGAR, func(c *Connector) { c.Secrets = [][]byte{[]byte(secretA)} }, "has no secrets"},
		{"gar without oidc", KindGAR, func(c *Connector) { c.OIDC = OIDC{} }, "key set is missing"},
		{"gar without audience", KindGAR, func(c *Connector) { c.OIDC.Audience = "" }, "audience is missing"},
		{"gar without claims", KindGAR, func(c *Connector) { c.OIDC.Claims = nil }, "at least one claim"},
		{"oidc of quay", KindQuay, func(c *Connector) { c.OIDC = testOIDC(t) }, "oidc is not for it"},
		{"nothing for event grid", KindEventGrid, func(c *Connector) { c.Secrets = nil }, "0 secrets"},
		{"slash in an address", KindQuay, func(c *Connector) { c.Secrets = [][]byte{[]byte("0123456789abcdef/a")} }, "survive in an address"},
		{"percent in an address", KindDockerHub, func(c *Connector) { c.Secrets = [][]byte{[]byte("0123456789abcdef%2f")} }, "survive in an address"},
		{"origins of quay", KindQuay, func(c *Connector) { c.Origins = []string{"x"} }, "no origin"},
		{"actor of quay", KindQuay, func(c *Connector) { c.OwnActor = "x" }, "no actor"},
		{"prefix of zot for harbor", KindHarbor, func(c *Connector) { c.TypePrefix = "x" }, "no type prefix"},
		{"storage of ecr", KindECR, func(c *Connector) { c.Prefixes = map[string]string{"a": ""} }, "no storage repositories"},
		{"nexus without", KindNexus, func(c *Connector) { c.Prefixes = nil }, "want a prefix for each"},
		{"prefix climbs", KindNexus, func(c *Connector) { c.Prefixes = map[string]string{"a": ".."} }, `prefix of "a"`},
	} {
		connector := connectorOf(t, c.kind)
		c.change(&connector)
		_, err := New(Config{Connectors: []Connector{connector}, Sink: newSink(), Log: quiet()})
		if provenance.CodeOf(err) != provenance.Invalid || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "0123456789abcdef") {
			t.Errorf("%s: %v, want Invalid with %q", c.name, err, c.want)
		}
	}
}
