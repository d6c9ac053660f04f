package intake

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/delivery"
)

// One bad event of several is kept with its own bytes and its reason, an ignored
// one is counted, and their neighbours are recorded.
func TestUnusableIsKept(t *testing.T) {
	event := func(id, action, repository, digest string) string {
		return fmt.Sprintf(`{"id":%q,"action":%q,"timestamp":"2026-03-02T09:14:00Z","target":{"mediaType":"application/vnd.oci.image.manifest.v1+json","repository":%q,"digest":%q,"tag":"1"}}`, id, action, repository, digest)
	}
	ab := "sha256:" + strings.Repeat("ab", 32)
	odd := event("2", "push", "team/app", "sha384:"+strings.Repeat("ab", 48))
	twins := strings.Replace(event("3", "push", "team/app", ab), `"digest"`, `"Digest":"x","digest"`, 1)
	twice := strings.Replace(event("8", "push", "team/app", ab), `"digest"`, `"digest":"x","digest"`, 1)
	body := `{"events":[` + strings.Join([]string{
		event("1", "push", "team/app", ab), odd, twins, event("4", "push", "elsewhere/app", ab),
		event("5", "push", "elsewhere/app", "sha384:x"), event("6", "pull", "team/app", "md5:x"), event("7", "delete", "team/app", ab), twice,
	}, ",") + `]}`
	s := newSink()
	counted := map[string]int{}
	h := handler(t, s, func(c *Config) {
		c.Connectors[0].Repositories, c.Connectors[0].Pulls = []string{"team/*"}, PullsOff
		c.Metrics = Metrics{Event: func(_, outcome string, n int) { counted[outcome] += n }}
	})
	for range 2 { // a repeat is the same
		s.odd = nil
		w := httptest.NewRecorder()
		h.ServeHTTP(w, post("/hooks/main", []byte(body)))
		if w.Code != 200 || s.count() != 2 {
			t.Fatalf("%d with %d stored: %s", w.Code, s.count(), w.Body)
		}
		got := s.unusable()
		if len(got) != 3 || string(got[0].Body) != odd || string(got[1].Body) != twins || string(got[2].Body) != twice {
			t.Fatalf("kept: %+v", got)
		}
		for i, want := range []string{"events[1]: target.digest: ", "events[2]: body: \"Digest\" and \"digest\"", "events[7]: body: \"digest\" and \"digest\""} {
			if !strings.HasPrefix(got[i].Reason, want) || got[i].Connector != "main" || got[i].Host != "reg.example:5000" || !got[i].ReceivedAt.Equal(received()) {
				t.Errorf("kept as %+v, want %s", got[i], want)
			}
		}
	}
	if counted["accepted"] != 2 || counted["duplicate"] != 2 || counted["unusable"] != 6 || counted["ignored-outside"] != 4 || counted["ignored-off"] != 2 {
		t.Errorf("counted %v", counted)
	}
}

// Nothing that somebody could use is kept beside an event, wherever it was cut.
func TestUnusableKeepsNoSecret(t *testing.T) {
	const token = "eyJhbGciOiJSUzI1NiJ9.secret.secret"
	for _, body := range []string{
		`{"events":[{"id":5,"actor":{"name":"a","user_type":"b","user":"` + token + `"}}]}`,
		`{"events":[{"id":5,"request":{"addr":"` + token + `"}}]}`,
		`{"events":[{"id":5,"actor":{"user" : "` + token + `\"` + token + `"}}]}`,
		`{"callback_url":"` + token + `","SubscribeURL":"` + token + `","Token":"` + token + `","validationCode":"` + token + `","events":[7]`,
		strings.Repeat(" ", delivery.MaxUnusable-40) + `{"events":[{"actor":{"user":"` + token + `"}`,
		strings.Repeat(" ", delivery.MaxUnusable-len(token)-20) + `{"user":"a\` + token + `"`,
	} {
		s := newSink()
		w := httptest.NewRecorder()
		handler(t, s, nil).ServeHTTP(w, post("/hooks/main", []byte(body)))
		got := s.unusable()
		if w.Code != 200 || len(got) == 0 {
			t.Fatalf("%d, %d kept: %s", w.Code, len(got), w.Body)
		}
		for _, u := range got {
			if bytes.Contains(u.Body, []byte("eyJ")) || strings.Contains(u.Reason, "eyJ") {
				t.Errorf("kept: %s (%s)", bytes.TrimSpace(u.Body), u.Reason)
			}
		}
	}
}

// A stranger writes nothing, whatever they send.
func TestStrangersAreNotKept(t *testing.T) {
	for _, kind := range Kinds() {
		c := connectorOf(t, kind)
		for _, body := range [][]byte{[]byte(`{`), bytes.Repeat([]byte{'a'}, 9<<20)} {
			s := newSink()
			r := post("/hooks/main", body, "Content-Type", "", "Content-Type", "application/json", "Authorization", "", "Authorization", "Bearer 0123456789abcdef-z")
			if f, _ := formatOf(kind); f.sign != nil {
				f.sign.apply(r.Header, []byte("0123456789abcdef-z"), body, received())
			}
			w := httptest.NewRecorder()
			handlerOf(t, s, c).ServeHTTP(w, r)
			if w.Code != 401 || len(s.unusable()) > 0 || s.count() > 0 {
				t.Errorf("%s: %d, %d kept", kind, w.Code, len(s.unusable()))
			}
		}
	}
}

// A limit below what is kept is a limit all the same, whether or not the body
// says how long it is.
func TestSmallLimits(t *testing.T) {
	for _, kind := range []string{KindHarbor, KindGHCR} {
		c := connectorOf(t, kind)
		body, header := load(t, kind, good(kind))
		f, _ := formatOf(kind)
		limit := int64(len(body))
		if f.wide {
			limit = (limit + wideBody - 1) / wideBody
		}
		for _, size := range []int{int(limit), int(limit) + wideBody, delivery.MaxUnusable - 1, delivery.MaxUnusable, delivery.MaxUnusable + 1, 5 * delivery.MaxUnusable} {
			if f.wide {
				size = max(size, int(limit*wideBody))
			}
			raw := append(bytes.Clone(body), bytes.Repeat([]byte{' '}, max(0, size-len(body)))...)
			for _, length := range []int64{int64(len(raw)), -1} {
				s := newSink()
				h, err := New(Config{Connectors: []Connector{c}, Sink: s, Now: received, Log: quiet(), MaxBody: limit})
				if err != nil {
					t.Fatal(err)
				}
				r := requestOf(t, c, raw, raw, header)
				r.ContentLength = length
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				over := int64(len(raw)) > h.limit(h.endpoints["main"])
				if got := s.unusable(); w.Code != 200 || (len(got) == 1) != over || (s.count() > 0) == over {
					t.Errorf("%s, %d bytes (said %d), limit %d: %d, %d stored, %d kept", kind, len(raw), length, limit, w.Code, s.count(), len(got))
				} else if over && (got[0].Size != int64(len(raw)) || got[0].Hash != sha256.Sum256(raw)) {
					t.Errorf("%s: kept as %d bytes, %x", kind, got[0].Size, got[0].Hash)
				}
			}
		}
	}
}

// What is on disk is answered for: where it cannot be kept, the sender hears it.
func TestUnusableIsNotPromised(t *testing.T) {
	for code, want := range map[error]int{errFull(): 503, errDown(): 503} {
		s := newSink()
		s.err = code
		w := httptest.NewRecorder()
		handler(t, s, nil).ServeHTTP(w, post("/hooks/main", []byte(`{"events":[7]}`)))
		if w.Code != want || w.Header().Get("Retry-After") == "" {
			t.Errorf("%v: %d", code, w.Code)
		}
	}
}

func errFull() error { return provenance.Errorf(provenance.Full, "full") }
func errDown() error { return provenance.Errorf(provenance.Unavailable, "down") }
