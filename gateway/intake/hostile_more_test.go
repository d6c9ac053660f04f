package intake

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// B24: addresses in a payload, of whichever registry, are neither asked nor
// believed: an event is of its connector's host, or of none.
func TestAddressesInPayloads(t *testing.T) {
	var asked atomic.Int32
	spy := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer spy.Close()
	var elsewhere func(any) any
	elsewhere = func(v any) any {
		switch v := v.(type) {
		case map[string]any:
			for k, one := range v {
				v[k] = elsewhere(one)
			}
			if _, ok := v["target"]; ok {
				v["url"] = spy.URL + "/v2/"
			}
		case []any:
			for i, one := range v {
				v[i] = elsewhere(one)
			}
		case string:
			if strings.HasPrefix(v, "http://") || strings.HasPrefix(v, "https://") {
				return spy.URL + "/v2/team-a/billing/manifests/latest"
			}
		}
		return v
	}
	for _, kind := range Kinds() {
		c := connectorOf(t, kind)
		for _, name := range fixtures(t, kind) {
			fixture, header := load(t, kind, name)
			var doc any
			if err := json.Unmarshal(fixture, &doc); err != nil {
				t.Fatal(err)
			}
			raw, err := json.Marshal(elsewhere(doc))
			if err != nil {
				t.Fatal(err)
			}
			s := newSink()
			w := httptest.NewRecorder()
			handlerOf(t, s, c).ServeHTTP(w, requestOf(t, c, raw, raw, header))
			if w.Code != 200 && (w.Code < 400 || s.count() > 0) {
				t.Errorf("%s/%s: %d with %d stored", kind, name, w.Code, s.count())
			}
			for _, d := range s.got {
				if d.Host != c.Host {
					t.Errorf("%s/%s: an event of %s", kind, name, d.Host)
				}
			}
		}
	}
	if asked.Load() > 0 {
		t.Error("an address of a payload was asked")
	}
}

// B8, B12: a body within its limit that is made of as many small parts as fit
// costs a few times its size, in whichever list of a kind they stand.
func TestManySmallParts(t *testing.T) {
	paths := map[string]string{ // where a kind has a list, and what holds it
		KindDistribution: `{"events":[%]}`, KindGitLab: `{"events":[%]}`, KindHarbor: `{"type":"PUSH_ARTIFACT","event_data":{"repository":{"repo_full_name":"a/b"},"resources":[%]}}`,
		KindQuay: `{"repository":"a/b","namespace":"a","name":"b","docker_url":"q/a/b","updated_tags":[%]}`, KindEventGrid: `[%]`,
	}
	for _, kind := range Kinds() {
		c := connectorOf(t, kind)
		f, _ := formatOf(kind)
		limit := DefaultMaxBody
		if f.wide {
			limit *= wideBody
		}
		shell := paths[kind]
		if testing.Short() && f.wide && kind != KindDistribution { // the largest bodies, of one kind
			continue
		}
		if shell == "" {
			shell = `{"x":[%]}`
		}
		for _, part := range []string{"{}", "[]", "0", `""`, `{"a":{"b":{}}}`, `{"digest":"","tag":""}`} {
			var list bytes.Buffer
			for n := 0; list.Len() < limit-len(shell)-2*len(part)-2; n++ {
				if n > 0 {
					list.WriteByte(',')
				}
				list.WriteString(part)
			}
			raw := []byte(strings.Replace(shell, "%", list.String(), 1))
			_, header := load(t, kind, good(kind))
			if kind == KindDistribution {
				header.Set("Content-Type", v3Type)
			}
			r := requestOf(t, c, raw, raw, header)
			s := newSink()
			h := handlerOf(t, s, c)
			w := httptest.NewRecorder()
			runtime.GC()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			began := time.Now()
			h.ServeHTTP(w, r)
			took := time.Since(began)
			runtime.ReadMemStats(&after)
			used := (after.TotalAlloc - before.TotalAlloc) >> 20
			if odd := len(s.unusable()); s.count() > 0 || odd > maxEvents || (w.Code != 200 || odd == 0) && (w.Code != 400 || odd > 0) {
				t.Errorf("%s, list of %s: %d with %d stored, %d kept", kind, part, w.Code, s.count(), odd)
			}
			if bound := uint64(8*limit>>20) + 24; used > bound || took > 10*time.Second {
				t.Errorf("%s, list of %s: %d MiB allocated for %d KiB in %s, at most %d wanted", kind, part, used, len(raw)>>10, took, bound)
			}
		}
	}
}
