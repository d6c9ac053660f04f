package intake

import (
	"encoding/hex"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

const dir = "testdata/distribution"

func received() time.Time { return time.Date(2026, 3, 2, 9, 15, 0, 123456789, time.UTC) }

func fixture(t testing.TB, name string) []byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(dir, name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// TestGolden compares what each stored notification means with its golden
// file. WAYBILL_UPDATE_GOLDEN=1 writes them anew; read the difference.
func TestGolden(t *testing.T) {
	type seen struct {
		ID    string           `json:"id"`
		Body  string           `json:"body"`
		Event provenance.Event `json:"event"`
	}
	type golden struct {
		Events  []seen         `json:"events"`
		Ignored map[string]int `json:"ignored"`
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil || len(files) < 20 {
		t.Fatalf("%d fixtures, %v", len(files), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		t.Run(name, func(t *testing.T) {
			b, err := parseDistribution(fixture(t, name), "main", received())
			if err != nil {
				t.Fatal(err)
			}
			got := golden{Events: []seen{}, Ignored: b.ignored}
			for i, e := range b.events {
				got.Events = append(got.Events, seen{e.ID.String(), hex.EncodeToString(b.bodies[i][:]), e})
			}
			text, err := json.MarshalIndent(got, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, name+".golden")
			if os.Getenv("WAYBILL_UPDATE_GOLDEN") != "" {
				if err := os.WriteFile(path, append(text, '\n'), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(text)+"\n"); diff != "" {
				t.Errorf("meaning changed (-want +got):\n%s", diff)
			}
		})
	}
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
		b, err := parseDistribution(fixture(t, name), "main", received())
		if err != nil || len(b.events) != 0 || !maps.Equal(b.ignored, want) {
			t.Errorf("%s: %d events, ignored %v, %v; want only %v", name, len(b.events), b.ignored, err, want)
		}
	}
	// What a sender may choose itself must not hide a change.
	for _, name := range []string{"v3-push-own-agent", "v3-push-repository-named-blobs"} {
		b, err := parseDistribution(fixture(t, name), "main", received())
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
	a, err := parseDistribution(raw, "main", received())
	if err != nil {
		t.Fatal(err)
	}
	b, err := parseDistribution(again, "main", received().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if string(raw) == string(again) || a.bodies[0] != b.bodies[0] || a.events[0].ID != b.events[0].ID {
		t.Errorf("retry got another name: %x and %x", a.bodies[0], b.bodies[0])
	}
	other, err := parseDistribution(raw, "second", received())
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
			b, err := parseDistribution(raw, "main", received())
			if provenance.CodeOf(err) != provenance.Invalid || len(b.events) != 0 {
				t.Errorf("%s %q: %+v, %v; want Invalid", field, v, b.events, err)
			} else if !strings.Contains(err.Error(), "events[0]: target."+field) {
				t.Errorf("%s %q: %v does not name the field", field, v, err)
			}
		}
	}
	// B15, stated: sha512 is a registered algorithm and is its own name.
	wide := "sha512:" + hex64 + hex64
	b, err := parseDistribution(event(t, func(_, target map[string]any) { target["digest"] = wide }), "main", received())
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
		if b, err := parseDistribution(event(t, change), "main", received()); provenance.CodeOf(err) != provenance.Invalid {
			t.Errorf("%s: %+v, %v; want Invalid", name, b.events, err)
		}
	}
	for _, raw := range []string{`{}`, `[]`, `null`, `{"events":null}`, `{"events":{}}`, `{"events":[null]}`, `{"events":["a"]}`, `{"events":[[]]}`} {
		if _, err := parseDistribution([]byte(raw), "main", received()); provenance.CodeOf(err) != provenance.Invalid {
			t.Errorf("%s: %v, want Invalid", raw, err)
		}
	}
	if b, err := parseDistribution([]byte(`{"events":[]}`), "main", received()); err != nil || len(b.events) != 0 {
		t.Errorf("no events: %v", err)
	}
	// The clock is a claim: a strange one is replaced, not refused.
	for _, at := range []any{"yesterday", "0001-01-01T00:00:00Z", nil} {
		b, err := parseDistribution(event(t, func(e, _ map[string]any) { e["timestamp"] = at }), "main", received())
		if err != nil || !b.events[0].OccurredAt.Equal(received().Truncate(time.Millisecond)) {
			t.Errorf("timestamp %v: %v, %v", at, b.events, err)
		}
	}
	b, err := parseDistribution(event(t, func(e, _ map[string]any) { e["action"] = "delete" }), "main", received())
	if err != nil || b.events[0].Action != provenance.TagDelete {
		t.Errorf("a delete that names a tag: %+v, %v; want tag-delete", b.events, err)
	}
}

func FuzzDistribution(f *testing.F) {
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil || len(files) == 0 {
		f.Fatal("no fixtures", err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		b, err := parseDistribution(raw, "main", received())
		if err != nil {
			if provenance.CodeOf(err) != provenance.Invalid || len(b.events) != 0 {
				t.Fatalf("error %v with %d events", err, len(b.events))
			}
			return
		}
		if len(b.events) != len(b.bodies) {
			t.Fatalf("%d events, %d bodies", len(b.events), len(b.bodies))
		}
		for _, e := range b.events {
			if err := e.Check(); err != nil {
				t.Fatalf("event would not stand on the ledger: %v", err)
			}
			if e.Repository == "" {
				t.Fatal("event without a repository")
			}
			// It must survive the road to the ledger unchanged.
			bytes, err := provenance.EncodeSegment([]provenance.Event{e})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := provenance.DecodeSegment(bytes); err != nil {
				t.Fatal(err)
			}
		}
	})
}
