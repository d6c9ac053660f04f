package intake

import (
	"encoding/hex"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/delivery"
)

func received() time.Time { return time.Date(2026, 3, 2, 9, 15, 0, 123456789, time.UTC) }

// connectorOf is a connector of each kind, as the fixtures want it.
func connectorOf(t testing.TB, kind string) Connector {
	t.Helper()
	c := Connector{Name: "main", Kind: kind, Host: "reg.example:5000", Secrets: [][]byte{[]byte(secretA), []byte(secretB)}}
	f, ok := formatOf(kind)
	if !ok {
		t.Fatalf("kind %q is not known", kind)
	}
	if f.actors {
		c.OwnActor = "waybill-robot"
	}
	switch kind {
	case "nexus":
		c.Prefixes = map[string]string{"docker-hosted": "", "docker-shared": "docker-shared"}
	case "ecr":
		c.Host = "111122223333.dkr.ecr.eu-west-1.amazonaws.com"
	case "acr", "acr-eventgrid":
		c.Host = "acme.azurecr.io"
	case "alibaba":
		c.Host = "registry.cn-hangzhou.aliyuncs.com"
	case "gar":
		c.Host, c.Secrets, c.OIDC = "europe-docker.pkg.dev", nil, testOIDC(t)
	}
	return c
}

// fixtures lists the payloads of a kind, without ".json".
func fixtures(t testing.TB, kind string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", kind, "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no fixtures of %s: %v", kind, err)
	}
	for i, f := range files {
		files[i] = strings.TrimSuffix(filepath.Base(f), ".json")
	}
	return files
}

// load reads a payload and the headers it was sent with: lines "Name: value" in
// a file beside it, application/json where there is none.
func load(t testing.TB, kind, name string) ([]byte, http.Header) {
	t.Helper()
	path := filepath.Join("testdata", kind, name)
	raw, err := os.ReadFile(path + ".json")
	if err != nil {
		t.Fatal(err)
	}
	header := http.Header{"Content-Type": {"application/json"}}
	lines, err := os.ReadFile(path + ".headers")
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(lines)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		header.Set(key, value)
	}
	return raw, header
}

// messageOf is a payload as a parser gets it.
func messageOf(c *Connector, raw []byte, header http.Header) message {
	mediaType, _, _ := strings.Cut(header.Get("Content-Type"), ";")
	return message{raw: raw, header: header, mediaType: mediaType, now: received(), connector: c, dedup: &dedup{}}
}

// parse reads a fixture as a connector of that kind would.
func parse(t testing.TB, kind, name string) (batch, error) {
	t.Helper()
	c := connectorOf(t, kind)
	raw, header := load(t, kind, name)
	f, _ := formatOf(kind)
	return f.parse(messageOf(&c, raw, header))
}

// TestGolden compares what each stored notification means with its golden
// file. UPDATE_GOLDEN=1 writes them anew; read the difference.
func TestGolden(t *testing.T) {
	type seen struct {
		ID         string           `json:"id"`
		Body       string           `json:"body"`
		Unresolved bool             `json:"unresolved,omitempty"`
		Event      provenance.Event `json:"event"`
	}
	type golden struct {
		Events  []seen         `json:"events"`
		Ignored map[string]int `json:"ignored"`
		Reply   any            `json:"reply,omitempty"`
		// Unusable says why events are kept as they came.
		Unusable []string `json:"unusable,omitempty"`
	}
	for _, kind := range Kinds() {
		for _, name := range fixtures(t, kind) {
			t.Run(kind+"/"+name, func(t *testing.T) {
				b, err := parse(t, kind, name)
				if err != nil {
					t.Fatal(err)
				}
				got := golden{Events: []seen{}, Ignored: b.ignored, Reply: b.reply}
				for i, e := range b.events {
					got.Events = append(got.Events, seen{e.ID.String(), hex.EncodeToString(b.bodies[i][:]), delivery.Delivery{Event: e}.Unresolved(), e})
				}
				for _, u := range b.unusable {
					got.Unusable = append(got.Unusable, u.reason)
				}
				text, err := json.MarshalIndent(got, "", "  ")
				if err != nil {
					t.Fatal(err)
				}
				path := filepath.Join("testdata", kind, name+".golden")
				if os.Getenv("UPDATE_GOLDEN") != "" {
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
}

// Corpus B7: no kind reads the events of another. GitLab's registry speaks
// distribution's own format, so those two read each other.
func TestAnotherKind(t *testing.T) {
	same := func(a, b string) bool {
		return a == b || (a == KindGitLab || a == KindDistribution) && (b == KindGitLab || b == KindDistribution)
	}
	for _, kind := range Kinds() {
		f, _ := formatOf(kind)
		c := connectorOf(t, kind)
		for _, other := range Kinds() {
			if same(kind, other) {
				continue
			}
			for _, name := range fixtures(t, other) {
				raw, header := load(t, other, name)
				m := messageOf(&c, raw, header)
				if !f.types(m.mediaType) {
					continue // 415
				}
				b, err := f.parse(m)
				if err = refusalOf(b, err); err == nil {
					t.Errorf("%s/%s as %s: %d events, ignored %v, no error", other, name, kind, len(b.events), b.ignored)
				} else if provenance.CodeOf(err) != provenance.Invalid {
					t.Errorf("%s/%s as %s: %v, want Invalid", other, name, kind, err)
				}
			}
		}
	}
}

// refusalOf is why nothing is recorded of a message: its parser's error, or that
// of the one event in it.
func refusalOf(b batch, err error) error {
	if err == nil && len(b.events) == 0 && len(b.unusable) > 0 {
		return provenance.Errorf(provenance.Invalid, "%s", b.unusable[0].reason)
	}
	return err
}

func hexOf(b []byte) string { return hex.EncodeToString(b) }
