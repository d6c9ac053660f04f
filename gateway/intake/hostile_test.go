package intake

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// hostile is a line of testdata/hostile: a request made of a good fixture, and
// the status it must get. common.json is put to every kind, <kind>.json to one.
type hostile struct {
	Name    string            `json:"name"`
	Fixture string            `json:"fixture"` // instead of the kind's first
	Method  string            `json:"method"`
	Path    string            `json:"path"`
	Headers map[string]string `json:"headers"` // "" removes one
	// The body: Head, then Body as often as Times says (or the fixture, where
	// there is no Body), then Tail.
	Body  *string `json:"body"`
	Times int     `json:"times"`
	Head  string  `json:"head"`
	Tail  string  `json:"tail"`
	// First stands for the fixture's first brace; Set puts values at dotted
	// paths ("-" removes one); Replace is a text and what stands for it.
	First   string         `json:"first"`
	Set     map[string]any `json:"set"`
	Replace []string       `json:"replace"`
	Gzip    bool           `json:"gzip"`
	// Unsigned changes the body after it was signed, as a proxy might.
	Unsigned bool `json:"unsigned"`
	Status   int  `json:"status"`
	Stored   int  `json:"stored"`
	Unusable int  `json:"unusable"` // so many are kept as they came
	// Refused is a body that some kinds' senders could not have sent and others
	// could: 400 there, kept here; never more than one of the two.
	Refused bool `json:"refused"`
	// Read lists the kinds that read it all the same; for the others it is Refused.
	Read []string `json:"read"`

	made []byte // a large body, made once for all kinds
}

// good is the fixture of each kind that common.json spoils.
func good(kind string) string {
	switch kind {
	case KindDistribution:
		return "v3-push-tag"
	case KindQuay, KindDockerHub, KindAlibaba:
		return "push"
	case KindArtifactory:
		return "push-index"
	case KindNexus:
		return "created"
	}
	return "push-tag"
}

func readHostile(t testing.TB, name string) (out []hostile) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", "hostile", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&out); err != nil || len(out) == 0 {
		t.Fatalf("%s: %d lines, %v", name, len(out), err)
	}
	for i := range out {
		if out[i].Body != nil {
			out[i].made, _ = out[i].body(t, nil)
		}
	}
	return out
}

// body makes the bytes that were meant and those that are sent.
func (h hostile) body(t testing.TB, fixture []byte) (meant, sent []byte) {
	t.Helper()
	out := fixture
	switch {
	case h.made != nil:
		return h.made, h.made
	case h.Body != nil:
		out = bytes.Repeat([]byte(*h.Body), max(h.Times, 1))
	case len(h.Set) > 0:
		var doc any
		if err := json.Unmarshal(fixture, &doc); err != nil {
			t.Fatal(err)
		}
		for path, value := range h.Set {
			set(t, doc, path, value)
		}
		var err error
		if out, err = json.Marshal(doc); err != nil {
			t.Fatal(err)
		}
	case h.First != "":
		out = bytes.Replace(fixture, []byte("{"), []byte(h.First), 1)
	}
	if len(h.Replace) == 2 {
		if !bytes.Contains(out, []byte(h.Replace[0])) {
			t.Fatalf("%q is not in the fixture", h.Replace[0])
		}
		out = bytes.ReplaceAll(out, []byte(h.Replace[0]), []byte(h.Replace[1]))
	}
	out = append(append([]byte(h.Head), out...), h.Tail...)
	if h.Gzip {
		out = zipped(t, out)
	}
	if h.Unsigned {
		return fixture, out
	}
	return out, out
}

// set puts a value at a dotted path of a decoded document.
func set(t testing.TB, doc any, path string, value any) {
	t.Helper()
	parts := strings.Split(path, ".")
	for i, part := range parts {
		last := i == len(parts)-1
		switch at := doc.(type) {
		case map[string]any:
			if last && value == "-" {
				delete(at, part)
			} else if last {
				at[part] = value
			}
			doc = at[part]
		case []any:
			n, err := strconv.Atoi(part)
			if err != nil || n >= len(at) {
				t.Fatalf("%s: no such element", path)
			}
			if last {
				at[n] = value
			}
			doc = at[n]
		default:
			t.Fatalf("%s: %s is not there", path, part)
		}
	}
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// handlerOf serves one connector, "main".
func handlerOf(t testing.TB, s Sink, c Connector) *Handler {
	t.Helper()
	h, err := New(Config{Connectors: []Connector{c}, Sink: s, Now: received, Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// requestOf is a delivery to connector "main" as its kind's sender makes it,
// proved over the bytes in meant.
func requestOf(t testing.TB, c Connector, raw, meant []byte, header http.Header) *http.Request {
	t.Helper()
	f, _ := formatOf(c.Kind)
	path := Prefix + c.Name
	if f.secret&inURL != 0 && f.secret&inHeader == 0 {
		path += "/" + string(c.Secrets[0])
	}
	r := httptest.NewRequest(http.MethodPost, path, bytes.NewReader(raw))
	r.Header = header.Clone()
	switch {
	case f.sign != nil:
		f.sign.apply(r.Header, c.Secrets[0], meant, received())
	case f.tokens && len(c.Secrets) == 0:
		r.Header.Set("Authorization", "Bearer "+token(t, rs256(), goodClaims()))
	case f.secret&inHeader != 0:
		r.Header.Set("Authorization", "Bearer "+string(c.Secrets[0]))
	}
	return r
}

// TestHostile is the corpus of bad requests (B1 to B19 where they are about
// bodies): each gets its status, none is stored, none costs more than a few
// times the limit.
func TestHostile(t *testing.T) {
	common := readHostile(t, "common")
	for _, kind := range Kinds() {
		cases := common
		if kind != KindDistribution { // it has TestStatuses beside
			cases = append(cases[:len(cases):len(cases)], readHostile(t, kind)...)
		}
		for _, c := range cases {
			t.Run(kind+"/"+c.Name, func(t *testing.T) { c.run(t, kind) })
		}
	}
}

func (h hostile) run(t *testing.T, kind string) {
	connector := connectorOf(t, kind)
	name := good(kind)
	if h.Fixture != "" {
		name = h.Fixture
	}
	fixture, header := load(t, kind, name)
	if kind == KindDistribution {
		header.Set("Content-Type", v3Type)
	}
	meant, raw := h.body(t, fixture)
	r := requestOf(t, connector, raw, meant, header)
	for k, v := range h.Headers {
		r.Header.Del(k)
		if v != "" {
			r.Header.Set(k, v)
		}
	}
	if h.Method != "" {
		r.Method = h.Method
	}
	if h.Path != "" {
		r.URL.Path, r.URL.RawQuery, _ = strings.Cut(h.Path, "?")
	}
	want, stored := h.Status, h.Stored
	if h.Name == "good" {
		stored = 1
	}
	if len(h.Read) > 0 {
		if h.Refused = !slices.Contains(h.Read, kind); !h.Refused {
			stored = 1
		}
	}
	if h.Headers["Content-Type"] == "text/plain" && kind == KindECR {
		want = http.StatusBadRequest // Amazon SNS says so of JSON, and nobody else
	}
	s := newSink()
	serve := handlerOf(t, s, connector)
	w := httptest.NewRecorder()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	serve.ServeHTTP(w, r)
	runtime.ReadMemStats(&after)
	odd := len(s.unusable())
	switch {
	case h.Refused:
		if s.count() != stored || (w.Code != http.StatusOK || odd != 1) && (w.Code != http.StatusBadRequest || odd != 0) {
			t.Fatalf("%d with %d stored, %d kept: %s", w.Code, s.count(), odd, w.Body)
		}
	case w.Code != want || s.count() != stored || odd != h.Unusable:
		t.Fatalf("%d with %d stored, %d kept; want %d with %d, %d: %s", w.Code, s.count(), odd, want, stored, h.Unusable, w.Body)
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 96<<20 {
		t.Errorf("%d bytes were allocated for it", used)
	}
	if strings.Contains(w.Body.String(), "0123456789abcdef") {
		t.Errorf("the answer repeats a secret: %s", w.Body)
	}
	var answer map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || (w.Code == http.StatusOK) == (answer["code"] != nil) {
		t.Errorf("answer %s: %v", w.Body, err)
	}
}

// names says where the names stand in a kind's payload, and which of the bad
// ones below are good there.
type names struct {
	Fixture    string   `json:"fixture"`
	Digest     string   `json:"digest"`
	Repository string   `json:"repository"`
	Tag        string   `json:"tag"`
	Accepts    []string `json:"accepts"`
}

// Corpus B13 to B18 for every kind: no malformed name becomes an event.
func TestNames(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join("testdata", "hostile", "names.table"))
	var table map[string]names
	if err = errors.Join(err, json.Unmarshal(raw, &table)); err != nil {
		t.Fatal(err)
	}
	hex64 := strings.Repeat("ab", 32)
	bad := map[string][]string{
		"digest": {"sha256:" + strings.ToUpper(hex64), "SHA256:" + hex64, "sha256:" + hex64[1:], "sha256:" + hex64 + "0", " sha256:" + hex64,
			"sha256:" + hex64 + " ", "sha256:", "sha256:" + hex64[:60] + "%00a", "sha256:../../x", "md5:" + hex64[:32], "sha256+b64:" + hex64,
			"multihash:" + hex64, "sha512:" + hex64, hex64, provenance.SHA256Of(nil).String()},
		"repository": {"../x", "a//b", "/a", "a/", ".", "a..b", "a/../b", "%2e%2e", `a\b`, "Team/App", strings.Repeat("a", 256), "tеam/app",
			"reg.example:5000/app", "a b", "a\u202eb", "a\u200bb", "a\nb"},
		"tag": {strings.Repeat("a", 129), "-a", ".a", "@sha256", "a\n", "latest\r\nX: y", "a b", "a/b", "a\u202e", "sha256:" + hex64[1:], "sha256:" + strings.ToUpper(hex64)},
	}
	for _, kind := range Kinds() {
		where, ok := table[kind]
		if !ok {
			t.Errorf("%s: testdata/hostile/names.table says nothing of it", kind)
			continue
		}
		f, _ := formatOf(kind)
		c := connectorOf(t, kind)
		fixture, header := load(t, kind, where.Fixture)
		for field, path := range map[string]string{"digest": where.Digest, "repository": where.Repository, "tag": where.Tag} {
			for _, value := range bad[field] {
				if path == "" {
					continue
				}
				var doc any
				if err := json.Unmarshal(fixture, &doc); err != nil {
					t.Fatal(err)
				}
				set(t, doc, path, value)
				if kind == KindQuay && field == "repository" {
					namespace, name, _ := strings.Cut(value, "/")
					set(t, doc, "namespace", namespace)
					set(t, doc, "name", name)
				}
				if kind == KindArtifactory && field == "repository" {
					set(t, doc, path, value+"/1.4.0/list.manifest.json")
				}
				body, err := json.Marshal(doc)
				if err != nil {
					t.Fatal(err)
				}
				b, err := f.parse(messageOf(&c, body, header))
				err = refusalOf(b, err)
				want := provenance.Invalid
				for _, a := range where.Accepts {
					if a == value || a == "hex" && value == hex64 {
						want = ""
					}
				}
				if provenance.CodeOf(err) != want || (len(b.events) > 0) != (want == "") {
					t.Errorf("%s: %s %q: %d events, %v; want code %q", kind, field, value, len(b.events), err, want)
				}
			}
		}
	}
}
