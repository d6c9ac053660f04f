package connector

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/delivery"
	"github.com/waybill-dev/waybill/gateway/intake"
	"github.com/waybill-dev/waybill/gateway/queue"
	"github.com/waybill-dev/waybill/gateway/registry"
	"github.com/waybill-dev/waybill/gateway/selftest"
)

const trySecret = "correct-horse-battery-staple"

// emptyRegistry has nothing, in the registry's own words or by failing.
type emptyRegistry struct{ err error }

func (r emptyRegistry) Manifest(context.Context, provenance.Repository, provenance.Digest) (registry.Facts, error) {
	return registry.Facts{}, r.err
}

func (r emptyRegistry) ManifestBytes(ctx context.Context, repo provenance.Repository, d provenance.Digest) (registry.Facts, []byte, error) {
	facts, err := r.Manifest(ctx, repo, d)
	return facts, nil, err
}

func (r emptyRegistry) Resolve(context.Context, provenance.Repository, provenance.Tag) (provenance.Digest, error) {
	return provenance.Digest{}, r.err
}

// testBench is a gateway's hooks over real HTTP, in front of a real queue.
type testBench struct {
	queue    *queue.Queue
	server   *httptest.Server
	err      error // the registry's
	readBack bool
	*Connectors
}

func newTestBench(t *testing.T, c intake.Connector) *testBench {
	t.Helper()
	path := filepath.Join(t.TempDir(), "queue.db")
	if err := queue.Create(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	q, err := queue.Open(t.Context(), path, queue.Options{Lanes: 1, MinFreeBytes: 1, MaxPending: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = q.Close() })
	b := &testBench{queue: q, err: provenance.Errorf(provenance.NotFound, "no such tag"), readBack: true}
	book := NewCounts()
	handler, err := intake.New(intake.Config{
		Connectors: []intake.Connector{c}, Sink: q, SelfTests: q, Log: slog.New(slog.DiscardHandler), Metrics: book.Wrap(intake.Metrics{Request: func(string, int) {}, Event: func(string, string, int) {}}),
	})
	if err != nil {
		t.Fatal(err)
	}
	b.server = httptest.NewServer(handler)
	t.Cleanup(b.server.Close)
	_, client, err := OwnHooks("127.0.0.1:1", "")
	if err != nil {
		t.Fatal(err)
	}
	b.Connectors = &Connectors{All: []intake.Connector{c}, Counts: book, SelfTest: SelfTest{
		Hooks: b.server.URL, Client: client, Handler: handler,
		Registries: func(h provenance.Host) (Registry, bool, bool) {
			return emptyRegistry{b.err}, h == "reg.example:5000", b.readBack
		},
	}}
	return b
}

func harbor() intake.Connector {
	return intake.Connector{Name: "main", Kind: intake.KindHarbor, Host: "reg.example:5000", Secrets: [][]byte{[]byte(trySecret)}}
}

func (b *testBench) test(t *testing.T, repository provenance.Repository) (out selftest.Test, steps string) {
	t.Helper()
	out, err := b.Test(t.Context(), "main", repository)
	if err != nil {
		t.Fatal(err)
	}
	if text := fmt.Sprintf("%+v", out); strings.Contains(text, trySecret) {
		t.Errorf("the secret is in the answer: %s", text)
	}
	for _, s := range out.Steps {
		steps += s.Name + " " + s.Result + "\n"
		if (s.Result == selftest.StepFailed || s.Result == selftest.StepWeak) != (s.Advice != "") {
			t.Errorf("step %s, %s: advice %q", s.Name, s.Result, s.Advice)
		}
	}
	return out, steps
}

// A sample of each kind goes all the way over HTTP to the queue's disk, and
// nothing of it is left there, in the metrics or in the book.
func TestConnectorTest(t *testing.T) {
	for _, kind := range intake.Kinds() {
		c := harbor()
		c.Kind = kind
		switch kind {
		case intake.KindGAR:
			continue
		case intake.KindNexus:
			c.Prefixes = map[string]string{"docker-hosted": ""}
		case intake.KindECR:
			c.Origins = []string{"111122223333/eu-west-1"} // its host is no registry's of Amazon
		}
		b := newTestBench(t, c)
		out, steps := b.test(t, "")
		proof, repeat := selftest.StepOK, selftest.StepOK
		if c.Weak() != "" {
			proof = selftest.StepWeak
		}
		if kind == intake.KindQuay {
			repeat = selftest.StepWeak
		}
		want := "sample ok\nhook ok\nstranger ok\nauthentication " + proof + "\nnotification ok\nrepositories ok\nqueue ok\nanswer ok\nrepeat " + repeat + "\nregistry ok\n"
		if diff := cmp.Diff(want, steps); diff != "" || out.Outcome != selftest.Recorded || out.Settings == "" {
			t.Errorf("%s: %s (-want +got):\n%s\n%+v", kind, out.Outcome, diff, out)
		}
		s, err := b.queue.Stats(t.Context())
		if err != nil || s != (delivery.Stats{}) {
			t.Errorf("%s: %+v, %v", kind, s, err)
		}
		if items, err := b.queue.Lease(t.Context(), 0, 10, time.Minute); err != nil || len(items) != 0 {
			t.Errorf("%s: %d items would be recorded, %v", kind, len(items), err)
		}
		if got := b.List()[0]; got.Accepted+got.Duplicate+got.Ignored+got.Refused != 0 {
			t.Errorf("%s: the book counts a test: %+v", kind, got)
		}
	}
}

// keySet is an issuer's key set, of whose key nobody keeps the other half.
func keySet(t *testing.T) func() ([]byte, error) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	n := base64.RawURLEncoding.EncodeToString(key.N.Bytes())
	return func() ([]byte, error) {
		return fmt.Appendf(nil, `{"keys":[{"kty":"RSA","kid":"k","alg":"RS256","use":"sig","n":"%s","e":"AQAB"}]}`, n), nil
	}
}

// What is wrong is said by the step that meets it, and those after it are not taken.
func TestConnectorTestFails(t *testing.T) {
	narrow := harbor()
	narrow.Repositories = []string{"team-a/*"}
	tokens := harbor()
	tokens.Kind, tokens.Secrets = intake.KindGAR, nil
	tokens.OIDC = intake.OIDC{Audience: "hook", Claims: map[string]string{"email": "push@example.net"}, Keys: keySet(t)}
	elsewhere := harbor()
	elsewhere.Host = "other.example"
	full := func(t *testing.T, b *testBench) {
		_, err := b.queue.Accept(t.Context(), []delivery.Delivery{{Host: "reg.example:5000", Connector: "main", ReceivedAt: time.Now(), Event: provenance.Event{
			ID: provenance.NewEventID("t", "t"), Action: provenance.Push, Source: "harbor", Repository: "a", Digest: provenance.SHA256Of([]byte("m")), OccurredAt: time.Now()}}})
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		connector  intake.Connector
		repository provenance.Repository
		break_     func(*testing.T, *testBench)
		last       selftest.Step // Detail and Advice: parts of them
	}{
		"tokens":      {tokens, "", nil, selftest.Step{Name: "sample", Detail: "only its cloud can sign", Advice: "docs/guides/gar.md"}},
		"hook down":   {harbor(), "", func(_ *testing.T, b *testBench) { b.server.Close() }, selftest.Step{Name: "hook", Detail: "does not answer", Advice: "hooks.listen"}},
		"not its own": {narrow, "team-b/app", nil, selftest.Step{Name: "repositories", Detail: "403", Advice: "repositories of connector main"}},
		"full":        {harbor(), "", full, selftest.Step{Name: "queue", Detail: "503", Advice: "log"}},
		"closed":      {harbor(), "", func(_ *testing.T, b *testBench) { _ = b.queue.Close() }, selftest.Step{Name: "queue", Detail: "503", Advice: "log"}},
		"elsewhere":   {elsewhere, "", nil, selftest.Step{Name: "registry", Detail: "not among the registries", Advice: "registries"}},
		"refused": {harbor(), "", func(_ *testing.T, b *testBench) {
			b.err = provenance.Errorf(provenance.Unavailable, "401 Unauthorized")
		},
			selftest.Step{Name: "registry", Detail: "401", Advice: "password_file"}},
		"broken": {harbor(), "", func(_ *testing.T, b *testBench) {
			b.err = provenance.Errorf(provenance.Internal, "/etc/secret is torn")
		},
			selftest.Step{Name: "registry", Detail: "its log has the details", Advice: "password_file"}},
		"stranger": {harbor(), "", func(t *testing.T, b *testBench) { // something else answers in the gateway's place
			other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }))
			t.Cleanup(other.Close)
			b.Hooks = other.URL
		}, selftest.Step{Name: "hook", Detail: "something else answers", Advice: "hooks.listen"}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newTestBench(t, c.connector)
			if c.break_ != nil {
				c.break_(t, b)
			}
			out, steps := b.test(t, c.repository)
			last := out.Steps[len(out.Steps)-1]
			if out.Outcome != selftest.Failed || last.Name != c.last.Name || last.Result != selftest.StepFailed || !strings.Contains(last.Detail, c.last.Detail) || !strings.Contains(last.Advice, c.last.Advice) {
				t.Errorf("%s: %+v\n%s", out.Outcome, last, steps)
			}
			if n := strings.Count(steps, selftest.StepFailed); n != 1 {
				t.Errorf("%d steps failed:\n%s", n, steps)
			}
		})
	}
	b := newTestBench(t, harbor())
	b.readBack = false
	if out, steps := b.test(t, "team/app"); out.Outcome != selftest.Recorded || !strings.HasSuffix(steps, "registry skipped\n") {
		t.Errorf("not read back: %s", steps)
	}
	if _, err := b.Test(t.Context(), "harbour", ""); provenance.CodeOf(err) != provenance.NotFound {
		t.Errorf("no such connector: %v", err)
	}
}

// The book counts what registries send.
func TestConnectorList(t *testing.T) {
	b := newTestBench(t, harbor())
	post := func(secret, repository string) {
		t.Helper()
		c := harbor()
		c.Secrets = [][]byte{[]byte(secret)}
		r, err := intake.Sample(t.Context(), c, b.server.URL, provenance.Event{ID: provenance.NewEventID("t", "t", "one"), Repository: provenance.Repository(repository), Tag: "1.0",
			Digest: provenance.SHA256Of([]byte("m")), OccurredAt: time.Unix(1_700_000_000, 0)})
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
	}
	post(trySecret, "team/app")
	post(trySecret, "team/app")
	post("somebody-elses-secret", "team/app")
	got := b.List()
	if len(got) != 1 || got[0].LastEvent.IsZero() || got[0].LastRefused.IsZero() || got[0].Weakness == "" {
		t.Fatalf("%+v", got)
	}
	got[0].LastEvent, got[0].LastRefused, got[0].Weakness = time.Time{}, time.Time{}, ""
	want := selftest.Connector{
		Name: "main", Kind: "harbor", Host: "reg.example:5000", Path: "/hooks/main", Authentication: "secret in a header",
		Accepted: 1, Duplicate: 1, Refused: 1, LastStatus: http.StatusUnauthorized,
	}
	if diff := cmp.Diff(want, got[0]); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if !slices.Equal(b.All[0].Secrets[0], []byte(trySecret)) {
		t.Error("the list shares its secrets")
	}
}

// Over TLS the gateway trusts the certificate it was configured with, and no other.
func TestOwnHooks(t *testing.T) {
	dir := t.TempDir()
	issue := func(name string, template x509.Certificate) (file string, pair tls.Certificate) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		template.SerialNumber, template.Subject = big.NewInt(1), pkix.Name{CommonName: name}
		template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
		der, err := x509.CreateCertificate(rand.Reader, &template, &template, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		file = filepath.Join(dir, name)
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return file, tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	}
	ask := func(file string, pair tls.Certificate) error {
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
		server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
		server.StartTLS()
		defer server.Close()
		address, client, err := OwnHooks(strings.TrimPrefix(server.URL, "https://"), file)
		if err != nil {
			t.Fatal(err)
		}
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := client.Do(request)
		if err != nil {
			return err
		}
		return response.Body.Close()
	}
	file, pair := issue("named", x509.Certificate{DNSNames: []string{"hooks.example.net"}})
	if err := ask(file, pair); err != nil {
		t.Errorf("the configured one: %v", err)
	}
	wild, wildPair := issue("wild", x509.Certificate{DNSNames: []string{"*.example.net"}})
	if err := ask(wild, wildPair); err != nil {
		t.Errorf("one for every name of a domain: %v", err)
	}
	if _, other := issue("other", x509.Certificate{DNSNames: []string{"hooks.example.net"}}); ask(file, other) == nil {
		t.Error("another certificate of the same name was trusted")
	}
	for listen, want := range map[string]string{"0.0.0.0:8080": "http://localhost:8080", ":8080": "http://localhost:8080", "[::]:8080": "http://localhost:8080", "127.0.0.1:7058": "http://127.0.0.1:7058"} {
		got, _, err := OwnHooks(listen, "")
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v %s", listen, err, diff)
		}
	}
}
