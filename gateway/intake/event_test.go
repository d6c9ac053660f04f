package intake

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/delivery"
)

// spoil changes the texts and numbers of a document.
func spoil(v any, text func(string) string, number func(float64) float64) any {
	switch v := v.(type) {
	case map[string]any:
		for k, one := range v {
			v[k] = spoil(one, text, number)
		}
	case []any:
		for i, one := range v {
			v[i] = spoil(one, text, number)
		}
	case string:
		return text(v)
	case float64:
		return number(v)
	}
	return v
}

// stored sends a notification of a kind and returns what came of it.
func stored(t *testing.T, c Connector, doc any, header http.Header) (int, []delivery.Delivery) {
	t.Helper()
	raw, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	s, w := newSink(), httptest.NewRecorder()
	handlerOf(t, s, c).ServeHTTP(w, requestOf(t, c, raw, raw, header))
	return w.Code, s.got
}

// eachFixture runs f with every real payload of every kind, and with what is
// stored of it as it stands.
func eachFixture(t *testing.T, f func(t *testing.T, c Connector, read func() any, header http.Header, plain []delivery.Delivery)) {
	t.Helper()
	for _, kind := range Kinds() {
		c := connectorOf(t, kind)
		c.Pulls = PullsChannel
		for _, name := range fixtures(t, kind) {
			fixture, header := load(t, kind, name)
			read := func() (doc any) {
				if err := json.Unmarshal(fixture, &doc); err != nil {
					t.Fatal(err)
				}
				return doc
			}
			if _, plain := stored(t, c, read(), header); len(plain) > 0 {
				t.Run(kind+"/"+name, func(t *testing.T) { f(t, c, read, header, plain) })
			}
		}
	}
}

// checkResolved tells whether an event may stand on the ledger once its tag is
// looked up.
func checkResolved(e provenance.Event) error {
	if e.Digest.IsZero() && (e.Action == provenance.Push || e.Action == provenance.Pull) {
		e.Digest = sum("looked up")
	}
	return e.Check()
}

// What a registry says of who did it, and from where, is text of strangers: it
// is recorded so that it can be read, and never a reason to lose the push.
func TestClaimedTextIsCleaned(t *testing.T) {
	const evil = "\u202e\u0007\u2028"
	seen := map[string]bool{}
	eachFixture(t, func(t *testing.T, c Connector, read func() any, header http.Header, plain []delivery.Delivery) {
		claims := map[string]bool{}
		for _, d := range plain {
			for _, text := range []string{d.Event.Actor, d.Event.UserAgent} {
				claims[text] = text != ""
			}
		}
		spoilt := 0
		code, got := stored(t, c, spoil(read(), func(s string) string {
			if claims[s] {
				spoilt++
				return s + evil
			}
			return s
		}, func(n float64) float64 { return n }), header)
		if code != http.StatusOK || len(got) != len(plain) {
			t.Fatalf("%d with %d of %d stored", code, len(got), len(plain))
		}
		for i, d := range got {
			if err := checkResolved(d.Event); err != nil {
				t.Error(err)
			}
			if want := plain[i].Event.Actor; want != "" && spoilt > 0 && d.Event.Actor != want+strings.Repeat("\ufffd", 3) {
				t.Errorf("actor %q, of %q", d.Event.Actor, want)
			}
			seen[c.Kind] = seen[c.Kind] || spoilt > 0 && strings.Contains(d.Event.Actor+d.Event.UserAgent, "\ufffd")
		}
	})
	for _, kind := range []string{KindDistribution, KindGitLab, KindHarbor, KindZot, KindGHCR, KindDockerHub, KindNexus, KindGeneric} {
		if !seen[kind] {
			t.Errorf("%s: no claim was put to the test", kind)
		}
	}
}

// Names are exact: one that holds more than its grammar is refused, not mended.
func TestClaimedNamesAreRefused(t *testing.T) {
	for _, evil := range []string{"\u202e", "\u0007", "\u2066", "\ufffd"} {
		eachFixture(t, func(t *testing.T, c Connector, read func() any, header http.Header, plain []delivery.Delivery) {
			names := map[string]bool{}
			for _, d := range plain {
				names[string(d.Event.Repository)], names[string(d.Event.Tag)] = true, d.Event.Tag != ""
			}
			code, got := stored(t, c, spoil(read(), func(s string) string {
				if s != "" && names[s] {
					return s + evil
				}
				return s
			}, func(n float64) float64 { return n }), header)
			if code == http.StatusInternalServerError {
				t.Error(code)
			}
			// A registry may write one name in many fields, of which one counts.
			for _, d := range got {
				if err := checkResolved(d.Event); err != nil || strings.Contains(string(d.Event.Repository)+string(d.Event.Tag), evil) {
					t.Errorf("%d: stored %s:%s, %v", code, d.Event.Repository, d.Event.Tag, err)
				}
			}
		})
	}
}

// An event is dated when it was received at the latest: one from the future
// would never grow old, and the contract refuses the whole segment for it.
func TestClaimedFuture(t *testing.T) {
	last := time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
	dated := map[string]bool{}
	for _, at := range []time.Time{last, received().Add(time.Hour), received().Add(3 * time.Second)} {
		eachFixture(t, func(t *testing.T, c Connector, read func() any, header http.Header, plain []delivery.Delivery) {
			changed := false
			code, got := stored(t, c, spoil(read(), func(s string) string {
				if _, err := time.Parse(time.RFC3339Nano, s); err == nil {
					changed = true
					return at.Format(time.RFC3339Nano)
				}
				if _, err := time.Parse(nexusTime, s); err == nil {
					changed = true
					return at.Format(nexusTime)
				}
				if _, err := time.Parse(alibabaTime, s); err == nil {
					changed = true
					return at.Add(alibabaOffset * time.Second).Format(alibabaTime)
				}
				return s
			}, func(n float64) float64 {
				if n > 1e9 && n < 1e10 {
					changed = true
					return float64(at.Unix())
				}
				return n
			}), header)
			if code != http.StatusOK || len(got) != len(plain) {
				t.Fatalf("%d with %d of %d stored", code, len(got), len(plain))
			}
			for _, d := range got {
				if d.Event.OccurredAt.After(received()) {
					t.Errorf("dated %s, received %s", d.Event.OccurredAt, received())
				}
				if changed && d.Event.OccurredAt.Equal(received().Truncate(time.Millisecond)) {
					dated[c.Kind] = true
				}
			}
		})
	}
	for _, kind := range Kinds() {
		if none := kind == KindQuay || kind == KindArtifactory; dated[kind] == none { // these two send no date
			t.Errorf("%s: no date was put to the test", kind)
		}
	}
}
