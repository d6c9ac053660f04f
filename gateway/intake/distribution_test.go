package intake

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

func fixture(t testing.TB, name string) []byte {
	t.Helper()
	raw, _ := load(t, KindDistribution, name)
	return raw
}

// distributionOf reads a body as connector "main" would.
func distributionOf(raw []byte, connector string, now time.Time) (batch, error) {
	m := messageOf(&Connector{Name: connector, Kind: KindDistribution, Host: "reg.example:5000"}, raw, nil)
	m.now = now
	b, err := parseDistribution(m)
	return b, refusalOf(b, err)
}

func TestIgnored(t *testing.T) {
	for name, want := range map[string]map[string]int{
		"v2-blob":            {ignoredBlob: 3},
		"v3-blob":            {ignoredBlob: 2},
		"v2-mount":           {ignoredMount: 1},
		"v3-mount":           {ignoredMount: 1},
		"v2-pull-head":       {ignoredHead: 1},
		"v3-pull-head":       {ignoredHead: 1},
		"v3-pull-own":        {ignoredOwn: 1},
		"v3-unknown-nowhere": {ignoredUnknown: 1},
	} {
		b, err := distributionOf(fixture(t, name), "main", received())
		if err != nil || len(b.events) != 0 || !maps.Equal(b.ignored, want) {
			t.Errorf("%s: %d events, ignored %v, %v; want only %v", name, len(b.events), b.ignored, err, want)
		}
	}
	// What a sender may choose itself must not hide a change.
	for _, name := range []string{"v3-push-own-agent", "v3-push-repository-named-blobs"} {
		b, err := distributionOf(fixture(t, name), "main", received())
		if err != nil || len(b.events) != 1 || b.events[0].Action != provenance.Push {
			t.Errorf("%s: %+v, %v; want one push", name, b, err)
		}
	}
}

// A retry may come in another envelope and other white space; it is the same fact.
func TestRetryIsTheSame(t *testing.T) {
	raw := fixture(t, "v3-push-tag")
	var tight map[string]json.RawMessage
	if err := json.Unmarshal(raw, &tight); err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(tight)
	if err != nil {
		t.Fatal(err)
	}
	a, err := distributionOf(raw, "main", received())
	if err != nil {
		t.Fatal(err)
	}
	b, err := distributionOf(again, "main", received().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if string(raw) == string(again) || a.bodies[0] != b.bodies[0] || a.events[0].ID != b.events[0].ID {
		t.Errorf("retry got another name: %x and %x", a.bodies[0], b.bodies[0])
	}
	other, err := distributionOf(raw, "second", received())
	if err != nil || other.events[0].ID == a.events[0].ID {
		t.Errorf("two connectors share an event id (%v)", err)
	}
}

func event(t testing.TB, change func(event, target map[string]any)) []byte {
	t.Helper()
	var doc struct {
		Events []map[string]any `json:"events"`
	}
	if err := json.Unmarshal(fixture(t, "v3-push-tag"), &doc); err != nil {
		t.Fatal(err)
	}
	change(doc.Events[0], doc.Events[0]["target"].(map[string]any))
	raw, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// Corpus B14, B15, B17 and B18: nothing malformed becomes an event.
func TestMalformedNames(t *testing.T) {
	hex64 := strings.Repeat("ab", 32)
	cases := map[string][]string{
		"digest": {"sha256:" + strings.ToUpper(hex64), "SHA256:" + hex64, "sha256:" + hex64[1:], "sha256:" + hex64 + "0", " sha256:" + hex64,
			"sha256:" + hex64 + " ", "sha256:", "sha256:" + hex64[:60] + "%00a", "sha256:../../x", "sha256:" + strings.Repeat("../", 21) + "x",
			"md5:" + hex64[:32], "sha256+b64:" + hex64, "multihash:" + hex64, "sha512:" + hex64, hex64},
		"repository": {"../x", "a//b", "/a", "a/", ".", "a..b", "a/../b", "%2e%2e", `a\b`, "Team/App", strings.Repeat("a", 256), "tеam/app",
			"reg.example:5000/app", "a b", "a\u202eb", "a\u200bb", "a\nb", ""},
		"tag": {strings.Repeat("a", 129), "-a", ".a", "@sha256", "a\n", "latest\r\nX: y", "a b", "a/b", "a\u202e", "sha256:" + hex64},
	}
	for field, values := range cases {
		for _, v := range values {
			raw := event(t, func(_, target map[string]any) { target[field] = v })
			b, err := distributionOf(raw, "main", received())
			if provenance.CodeOf(err) != provenance.Invalid || len(b.events) != 0 {
				t.Errorf("%s %q: %+v, %v; want Invalid", field, v, b.events, err)
			} else if !strings.Contains(err.Error(), "events[0]: target."+field) {
				t.Errorf("%s %q: %v does not name the field", field, v, err)
			}
		}
	}
	// B15, stated: sha512 is a registered algorithm and is its own name.
	wide := "sha512:" + hex64 + hex64
	b, err := distributionOf(event(t, func(_, target map[string]any) { target["digest"] = wide }), "main", received())
	if err != nil || b.events[0].Digest.String() != wide {
		t.Errorf("sha512: %v, %v", b.events, err)
	}
}

func TestOtherFields(t *testing.T) {
	refused := map[string]func(e, target map[string]any){
		"push without digest": func(_, target map[string]any) { target["digest"] = "" },
		"pull without digest": func(e, target map[string]any) { e["action"] = "pull"; delete(target, "digest") },
		"delete nowhere":      func(e, target map[string]any) { e["action"] = "delete"; target["repository"] = "" },
		"id closes a part":    func(e, _ map[string]any) { e["id"] = "a\x1fb" },
		"id too long":         func(e, _ map[string]any) { e["id"] = strings.Repeat("a", 256) },
		"digest is a number":  func(_, target map[string]any) { target["digest"] = 7 },
		"target is a list":    func(e, _ map[string]any) { e["target"] = []any{} },
	}
	for name, change := range refused {
		if b, err := distributionOf(event(t, change), "main", received()); provenance.CodeOf(err) != provenance.Invalid {
			t.Errorf("%s: %+v, %v; want Invalid", name, b.events, err)
		}
	}
	for _, raw := range []string{`{}`, `[]`, `null`, `{"events":null}`, `{"events":{}}`, `{"events":[null]}`, `{"events":["a"]}`, `{"events":[[]]}`} {
		if _, err := distributionOf([]byte(raw), "main", received()); provenance.CodeOf(err) != provenance.Invalid {
			t.Errorf("%s: %v, want Invalid", raw, err)
		}
	}
	if b, err := distributionOf([]byte(`{"events":[]}`), "main", received()); err != nil || len(b.events) != 0 {
		t.Errorf("no events: %v", err)
	}
	// The clock is a claim: a strange one is replaced, not refused.
	for _, at := range []any{"yesterday", "0001-01-01T00:00:00Z", nil} {
		b, err := distributionOf(event(t, func(e, _ map[string]any) { e["timestamp"] = at }), "main", received())
		if err != nil || !b.events[0].OccurredAt.Equal(received().Truncate(time.Millisecond)) {
			t.Errorf("timestamp %v: %v, %v", at, b.events, err)
		}
	}
	b, err := distributionOf(event(t, func(e, _ map[string]any) { e["action"] = "delete" }), "main", received())
	if err != nil || b.events[0].Action != provenance.TagDelete {
		t.Errorf("a delete that names a tag: %+v, %v; want tag-delete", b.events, err)
	}
}
