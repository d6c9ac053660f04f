package registry

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// B27: a blob that is not as long as its descriptor says is not what was described.
func TestBlobOfAnotherSize(t *testing.T) {
	body := []byte("a small document")
	c := client(t, hostile(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(body) }), nil)
	for size, want := range map[int64]provenance.Code{int64(len(body)): "", 0: provenance.Invalid, int64(len(body)) - 1: provenance.Invalid, int64(len(body)) + 1: provenance.Invalid, -1: provenance.Invalid} {
		if _, err := c.Blob(t.Context(), "team/app", Descriptor{Digest: provenance.SHA256Of(body), Size: size}); provenance.CodeOf(err) != want {
			t.Errorf("described as %d bytes: %v, want %q", size, err, want)
		}
	}
}

// B28, B35: what an index lists is not followed, however deep it goes; B36: nor
// is a config fetched, however large it says it is.
func TestNothingIsFollowed(t *testing.T) {
	child := fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":2}`, ociIndex, layerDigest)
	index := []byte(`{"schemaVersion":2,"mediaType":"` + ociIndex + `","manifests":[` + child + `,` + strings.Replace(child, "sha256:11", "sha256:12", 1) + `]}`)
	image, _ := sample()
	image = bytes.Replace(image, []byte(`"size":812`), []byte(`"size":52428800`), 1)
	for contentType, body := range map[string][]byte{ociIndex: index, ociManifest: image} {
		var asked atomic.Int32
		c := client(t, hostile(t, func(w http.ResponseWriter, _ *http.Request) {
			asked.Add(1)
			w.Header().Set("Content-Type", contentType)
			_, _ = w.Write(body)
		}), nil)
		if _, err := c.Manifest(t.Context(), "team/app", provenance.SHA256Of(body)); err != nil || asked.Load() != 1 {
			t.Errorf("%s: %v after %d requests", contentType, err, asked.Load())
		}
	}
}

// B29: any number of layers, as long as the manifest is small enough.
func TestManyLayers(t *testing.T) {
	layers := make([]string, 10_000)
	for i := range layers {
		layers[i] = desc(i+2, "")
	}
	body := []byte(strings.Replace(image(""), `[`+desc(2, "")+`]`, "["+strings.Join(layers, ",")+"]", 1))
	c := client(t, hostile(t, func(w http.ResponseWriter, _ *http.Request) { send(w, body) }), nil)
	if f, err := c.Manifest(t.Context(), "team/app", provenance.SHA256Of(body)); err != nil || f.Size != int64(len(body)) {
		t.Errorf("%+v, %v", f, err)
	}
	// What is kept of an artifact is bounded.
	if _, err := c.Artifact(t.Context(), "team/app", provenance.SHA256Of(body)); provenance.CodeOf(err) != provenance.Invalid {
		t.Errorf("as an artifact: %v", err)
	}
}

// B31: what a HEAD says is a hint, and a GET that depends on Accept is decided by its bytes.
func TestHeadAndGetDisagree(t *testing.T) {
	body, d := sample()
	gone := client(t, hostile(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			w.Header().Set("Docker-Content-Digest", d.String())
			return
		}
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `{"errors":[{"code":"MANIFEST_UNKNOWN"}]}`)
	}), nil)
	if said, err := gone.Named(t.Context(), "team/app", "1.0"); err != nil || said != d {
		t.Errorf("HEAD: %s, %v", said, err)
	}
	if _, err := gone.Manifest(t.Context(), "team/app", d); provenance.CodeOf(err) != provenance.NotFound {
		t.Errorf("GET of the digest: %v", err)
	}
	if _, err := gone.Resolve(t.Context(), "team/app", "1.0"); provenance.CodeOf(err) != provenance.NotFound {
		t.Errorf("GET of the tag: %v", err)
	}
	picky := client(t, hostile(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.Header.Get("Accept"), ociIndex) {
			w.Header().Set("Content-Type", ociIndex)
			_, _ = io.WriteString(w, list(1, ""))
			return
		}
		send(w, body)
	}), nil)
	if _, err := picky.Manifest(t.Context(), "team/app", d); provenance.CodeOf(err) != provenance.Invalid {
		t.Errorf("another manifest by Accept: %v", err)
	}
	if got, err := picky.Resolve(t.Context(), "team/app", "1.0"); err != nil || got != provenance.SHA256Of([]byte(list(1, ""))) {
		t.Errorf("the tag names %s, %v; want the bytes that came", got, err)
	}
}

// B34, B36: what is as large as it may be, and made of as many small parts as
// fit, costs a bounded amount of memory and time.
func TestManySmallParts(t *testing.T) {
	fill := func(head, tail string, part func(i int) string) []byte {
		var b bytes.Buffer
		b.WriteString(head)
		for i := 0; b.Len() < MaxManifest-len(tail)-64; i++ {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(part(i))
		}
		b.WriteString(tail)
		return b.Bytes()
	}
	open := strings.TrimSuffix(image(""), "}")
	for name, body := range map[string][]byte{
		"annotations":        fill(open+`,"annotations":{`, "}}", func(i int) string { return fmt.Sprintf(`"%x":""`, i) }),
		"unknown fields":     fill(open+`,"later":{`, "}}", func(i int) string { return fmt.Sprintf(`"%x":0`, i) }),
		"unknown list":       fill(open+`,"later":[`, "]}", func(int) string { return "0" }),
		"list of objects":    fill(open+`,"later":[`, "]}", func(int) string { return "{}" }),
		"list of lists":      fill(open+`,"later":[`, "]}", func(int) string { return "[[]]" }),
		"layers":             fill(strings.Replace(open, `[`+desc(2, "")+`]`, "[", 1), "]}", func(i int) string { return desc(i+2, "") }),
		"empty layers":       fill(strings.Replace(open, `[`+desc(2, "")+`]`, "[", 1), "]}", func(int) string { return "{}" }),
		"layers' annotation": fill(strings.Replace(open, `[`+desc(2, "")+`]`, "[", 1), "]}", func(i int) string { return desc(i+2, `,"annotations":{"a":"b"}`) }),
		"referrers":          fill(strings.TrimSuffix(list(0, ""), "]}"), "]}", func(i int) string { return desc(i+2, "") }),
	} {
		contentType := ociManifest
		if name == "referrers" {
			contentType = ociIndex
		}
		runtime.GC()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		began := time.Now()
		_, err := readArtifact(body, contentType, provenance.SHA256Of(body))
		took := time.Since(began)
		runtime.ReadMemStats(&after)
		used := int64(after.TotalAlloc-before.TotalAlloc) >> 20
		t.Logf("%s: %d MiB allocated, %s: %v", name, used, took.Round(time.Millisecond), err)
		if used > 64 || took > 20*time.Second { // a tenth of a second on a machine that does nothing else
			t.Errorf("%s: %d MiB were allocated in %s", name, used, took)
		}
	}
}

// F20: a registry that goes on for ever, one byte at a time, is left.
func TestTrickle(t *testing.T) {
	for name, start := range map[string]int{"from the start": 0, "at the end": 40} {
		body, d := sample()
		c := client(t, hostile(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", ociManifest)
			_, _ = w.Write(body[:start])
			for r.Context().Err() == nil {
				if _, err := w.Write([]byte{' '}); err != nil {
					return
				}
				_ = http.NewResponseController(w).Flush()
				select {
				case <-r.Context().Done():
				case <-time.After(10 * time.Millisecond):
				}
			}
		}), func(c *Config) { c.Timeout = 300 * time.Millisecond })
		began := time.Now()
		_, err := c.Manifest(t.Context(), "team/app", d)
		if provenance.CodeOf(err) != provenance.Unavailable || time.Since(began) > 5*time.Second {
			t.Errorf("%s: %v after %s", name, err, time.Since(began))
		}
	}
}

// F20: a connection that is reset in the middle of an answer gives nothing.
func TestReset(t *testing.T) {
	body, d := sample()
	c := client(t, hostile(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, out, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = fmt.Fprintf(out, "HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", ociManifest, len(body), body[:40])
		_ = out.Flush()
		_ = conn.(*net.TCPConn).SetLinger(0)
		_ = conn.Close()
	}), nil)
	if _, err := c.Manifest(t.Context(), "team/app", d); provenance.CodeOf(err) != provenance.Unavailable {
		t.Errorf("%v, want Unavailable", err)
	}
	// More than was announced is another answer, and ends the connection; net/http writes a line about it.
	log.SetOutput(io.Discard)
	t.Cleanup(func() { log.SetOutput(os.Stderr) })
	c = client(t, hostile(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, out, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = fmt.Fprintf(out, "HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", ociManifest, len(body), append(body, "HTTP/1.1 200 OK"...))
		_ = out.Flush()
		_ = conn.Close()
	}), nil)
	if f, err := c.Manifest(t.Context(), "team/app", d); err != nil || f.Size != int64(len(body)) {
		t.Errorf("%+v, %v", f, err)
	}
}

// F19: a registry that says how long it wants to be left alone is.
func TestRetryAfter(t *testing.T) {
	body, d := sample()
	for name, wait := range map[string]string{"seconds": "1", "a date": time.Now().Add(1500 * time.Millisecond).UTC().Format(http.TimeFormat)} {
		for _, status := range []int{http.StatusTooManyRequests, http.StatusServiceUnavailable} {
			var asked atomic.Int32
			c := client(t, hostile(t, func(w http.ResponseWriter, _ *http.Request) {
				if asked.Add(1) == 1 {
					w.Header().Set("Retry-After", wait)
					w.WriteHeader(status)
					return
				}
				send(w, body)
			}), nil)
			now := time.Now()
			c.now = func() time.Time { return now }
			for range 3 {
				if _, err := c.Manifest(t.Context(), "team/app", d); provenance.CodeOf(err) != provenance.Unavailable {
					t.Fatalf("%s, %d: %v", name, status, err)
				}
			}
			if asked.Load() != 1 {
				t.Errorf("%s, %d: asked %d times", name, status, asked.Load())
			}
			now = now.Add(2 * time.Second)
			if _, err := c.Manifest(t.Context(), "team/app", d); err != nil {
				t.Errorf("%s, %d: afterwards: %v", name, status, err)
			}
		}
	}
}

func TestParseRetryAfter(t *testing.T) {
	now := time.Date(2026, 3, 2, 9, 15, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"": 0, "0": 0, "-1": 0, "x": 0, "1e3": 0, "7": 7 * time.Second, "86400": maxRetryAfter, "99999999999999999999": 0,
		now.Add(time.Minute).Format(http.TimeFormat): time.Minute, now.Add(-time.Minute).Format(http.TimeFormat): 0, now.AddDate(9, 0, 0).Format(http.TimeFormat): maxRetryAfter,
	} {
		if got := parseRetryAfter(text, now); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}
