package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/sigstore/sigstoretest"
	"github.com/waybill-dev/waybill/test/lab"
	"github.com/waybill-dev/waybill/test/sigstore"
)

// suiteCases are the ten of the conformance suite that travel: those that verify, and
// with _fail those that must be set aside.
func suiteCases() []string {
	return []string{
		"happy-path-v0.1", "happy-path-v0.2", "happy-path-v0.3", "happy-path-intoto-in-dsse-v3", "rekor2-happy-path", "rekor2-timestamp-without-embedded-cert",
		"rekor2-checkpoint-cosigned", "set-invalid-signature_fail", "wrong-hashedrekord-entry_fail", "rekor2-timestamp-payload-mismatch_fail",
	}
}

// suite pushes what strangers signed in other years, without a key, beside what they signed, and
// wants it found, verified by the members' peers, and listed where it must not be.
//
// What they signed is no image: most registries refuse it under a manifest's name, and a
// gateway records nothing of the kind. The registry here is go-containerregistry's, which
// "crane registry serve" runs; it notifies nobody, so the test says what it took, in
// distribution's words, and records the push of what was signed itself.
func (x *collecting) suite(t *testing.T) {
	x.t = t
	cases := map[string]sigstoretest.Case{}
	for _, c := range sigstoretest.Suite(t) {
		cases[c.Name] = c
	}
	if len(cases) == 0 {
		t.Skip("NOT RUN: the conformance suite lies not beside the repository")
	}
	roots := map[string]bool{}
	images := map[string]bool{}
	for _, name := range suiteCases() {
		c, found := cases[name]
		if !found {
			t.Fatalf("the suite has no case %s", name)
		}
		if root := "suite-" + hexDigits(provenance.SHA256Of(c.Root))[:8]; !roots[root] {
			roots[root] = true
			body, err := json.Marshal(map[string]any{"name": root, "origin": "the conformance suite", "root": json.RawMessage(c.Root)})
			if err != nil {
				t.Fatal(err)
			}
			for _, org := range []string{"vendor", "security", "platform"} {
				x.propose(org+"/admin", "trusted-root", string(body))
			}
		}
		image := provenance.SHA256Of(c.Artifact)
		if !images[image.String()] {
			images[image.String()] = true
			x.put(t, "/v2/suite/app/manifests/"+image.String(), http.MethodPut, c.Artifact, ociManifest)
			x.recorded(t, image)
		}
		layer := provenance.SHA256Of(c.Bundle)
		x.put(t, "/v2/suite/app/blobs/uploads/?digest="+layer.String(), http.MethodPost, c.Bundle, "application/octet-stream")
		referrer := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"artifactType":"application/vnd.dev.sigstore.bundle.v0.3+json","config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2},"layers":[{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","digest":%q,"size":%d}],"subject":{"mediaType":%q,"digest":%q,"size":%d}}`,
			ociManifest, layer, len(c.Bundle), ociManifest, image, len(c.Artifact))
		x.upload(t, provenance.SHA256Of(referrer), referrer)
	}
	refusals, signatures := 0, map[string]bool{} // some cases wrap one signature in several versions of the format
	for _, name := range suiteCases() {
		if c := cases[name]; c.Fails {
			refusals++
		} else {
			signatures[signatureIn(t, c.Bundle)] = true
		}
	}
	start := time.Now()
	if err := lab.Poll(x.ctx, 60*time.Second, func() error {
		found := 0
		for image := range images {
			list, err := x.evidence(image)
			if err != nil {
				return err
			}
			for _, p := range list {
				s := p.Evidence.Signer
				if s.Kind != policy.SignedByCertificate || s.MSP != "" || !roots[s.Key] || s.Identity != cases["happy-path-v0.3"].Identity || len(p.Evidence.Uses) < 3 {
					t.Fatalf("%+v", p.Evidence)
				}
			}
			found += len(list)
		}
		out, code := x.lab.Waybill(x.ctx, "queue", "list", "--as", "vendor/admin")
		if refused := strings.Count(out, "trusted roots vouches for it"); found != len(signatures) || code != 0 || refused != refusals {
			return fmt.Errorf("%d recorded, want %d; %d set aside, want %d\n%s", found, len(signatures), refused, refusals, out)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d signatures and %d refusals after %s", len(signatures), refusals, time.Since(start).Round(time.Millisecond))
}

func signatureIn(t *testing.T, bundle []byte) string {
	t.Helper()
	var b struct {
		Message struct {
			Signature string `json:"signature"`
		} `json:"messageSignature"`
		Envelope struct {
			Signatures []struct {
				Sig string `json:"sig"`
			} `json:"signatures"`
		} `json:"dsseEnvelope"`
	}
	if err := json.Unmarshal(bundle, &b); err != nil {
		t.Fatal(err)
	}
	if len(b.Envelope.Signatures) > 0 {
		return b.Envelope.Signatures[0].Sig
	}
	return b.Message.Signature
}

const ociManifest = "application/vnd.oci.image.manifest.v1+json"

// recorded brings a push onto the ledger that no gateway would.
func (x *collecting) recorded(t *testing.T, d provenance.Digest) {
	t.Helper()
	push := provenance.Event{
		ID: provenance.NewEventID("suite", "main", d.String()), Action: provenance.Push, Source: "distribution", Repository: "suite/app",
		Digest: d, MediaType: ociManifest, Size: 100, OccurredAt: time.Now().UTC().Truncate(time.Second),
	}
	if err := lab.Poll(x.ctx, 20*time.Second, func() error {
		return record(x.ctx, x.as("vendor/gateway"), x.suiteHost, "suite", 1, nil, push)
	}); err != nil {
		t.Fatal(err)
	}
}

// upload puts a manifest into the suite's registry and tells the gateway.
func (x *collecting) upload(t *testing.T, d provenance.Digest, body []byte) {
	t.Helper()
	x.put(t, "/v2/suite/app/manifests/"+d.String(), http.MethodPut, body, ociManifest)
	event, err := json.Marshal(map[string]any{"events": []any{map[string]any{
		"id": hexDigits(d)[:32], "timestamp": time.Now().UTC().Format(time.RFC3339Nano), "action": "push",
		"target":  map[string]any{"mediaType": ociManifest, "digest": d.String(), "size": len(body), "repository": "suite/app", "url": "http://" + x.suiteHost + "/v2/suite/app/manifests/" + d.String()},
		"request": map[string]any{"id": hexDigits(d)[:32], "host": x.suiteHost, "method": "PUT"}, "actor": map[string]any{}, "source": map[string]any{},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(x.ctx, http.MethodPost, strings.TrimSuffix(x.lab.HookURL(), "main")+"suite", bytes.NewReader(event))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/vnd.docker.distribution.events.v2+json")
	r.Header.Set("Authorization", "Bearer "+lab.Secret)
	x.answered(t, r)
}

func (x *collecting) put(t *testing.T, path, method string, body []byte, mediaType string) {
	t.Helper()
	r, err := http.NewRequestWithContext(x.ctx, method, "http://"+x.suiteHost+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", mediaType)
	x.answered(t, r)
}

func (x *collecting) answered(t *testing.T, r *http.Request) {
	t.Helper()
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil || resp.StatusCode/100 != 2 {
		t.Fatalf("%s %s: %s", r.Method, r.URL, resp.Status)
	}
}

// suiteRegistry starts the registry for what is no image.
func suiteRegistry(t *testing.T) (host string) {
	t.Helper()
	s := httptest.NewServer(registry.New(registry.WithReferrersSupport(true), registry.Logger(log.New(t.Output(), "suite registry: ", 0))))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

// addSuite gives the owner's gateway the suite's registry, before it starts.
func (x *collecting) addSuite() {
	x.suiteHost = suiteRegistry(x.t)
	x.own(x.suiteHost)
	path := filepath.Join(x.lab.Dir, "network", "orgs", lab.Owner, "gateway", "config.yaml")
	b, err := os.ReadFile(path)
	if err != nil {
		x.t.Fatal(err)
	}
	text := strings.Replace(string(b), "connectors:\n", fmt.Sprintf("connectors:\n  - {name: suite, kind: distribution, host: %q, secret_files: [%q]}\n", x.suiteHost, filepath.Join(x.lab.Dir, "secret")), 1)
	text = strings.Replace(text, "registries:\n", fmt.Sprintf("registries:\n  - {host: %q, insecure: true, allow_private: true}\n", x.suiteHost), 1)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		x.t.Fatal(err)
	}
}

func hexDigits(d provenance.Digest) string { return strings.TrimPrefix(d.String(), "sha256:") }

// keyless signs with the real cosign and without a key, below a Sigstore of the test's own that the
// members agreed on: what an identity of a rule signed counts, whatever wraps it, and
// what looks like it does not.
func (x *collecting) keyless(t *testing.T) {
	x.t = t
	s, err := sigstore.New("public", time.Now)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s.Handler())
	t.Cleanup(server.Close)
	files := map[string][]byte{"root.json": s.TrustedRoot(), "v1.json": sigstore.SigningConfig(server.URL, false), "v2.json": sigstore.SigningConfig(server.URL, true)}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(x.home, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, org := range []string{"vendor", "security", "platform"} {
		if out, code := x.lab.Waybill(x.ctx, "trust", "add", "public", "-f", filepath.Join(x.home, "root.json"), "--shared", "--as", org+"/admin"); code != 0 {
			t.Fatalf("exit %d: %s", code, out)
		}
	}
	const issuer, workflow = "https://token.git.example", "https://git.example/team/app/.ci/release.yml@refs/heads/main"
	repo := "collect/keyless"
	text := fmt.Sprintf(`{"apiVersion":"waybill.dev/v1","kind":"ReleasePolicy","metadata":{"name":"keyless"},"spec":{"match":["%s/%s"],"stages":[
		{"name":"production","evidence":[{"name":"signed","type":"signature","signers":[{"issuer":%q,"identity":%q}]}]}]}}`, x.lab.Registry, repo, issuer, workflow)
	for _, org := range []string{"vendor", "security", "platform"} {
		x.propose(org+"/admin", "policy", text)
	}
	for name, c := range map[string]struct {
		id     sigstore.Identity
		config string
		met    bool
	}{
		"a log of v1":       {sigstore.Identity{URI: workflow, Issuer: issuer}, "v1.json", true},
		"a log of v2":       {sigstore.Identity{URI: workflow, Issuer: issuer}, "v2.json", true},
		"another workflow":  {sigstore.Identity{URI: workflow + "-2", Issuer: issuer}, "v1.json", false},
		"another issuer":    {sigstore.Identity{URI: workflow, Issuer: issuer + ".example"}, "v2.json", false},
		"an e-mail address": {sigstore.Identity{Email: "release@git.example", Issuer: issuer}, "v1.json", false},
	} {
		t.Run(name, func(t *testing.T) {
			x.t = t
			digest := x.image(t, repo, strings.NewReplacer(" ", "-", ".", "-").Replace(name))
			if err := os.WriteFile(filepath.Join(x.home, "token"), []byte(s.Token(c.id, time.Minute)), 0o600); err != nil {
				t.Fatal(err)
			}
			x.run(t, x.tools.Cosign, "sign", "--identity-token", "token", "--signing-config", c.config, "--trusted-root", "root.json",
				"--allow-http-registry", "--allow-insecure-registry", x.lab.Registry+"/"+repo+"@"+digest)
			x.wants(t, digest, "bundle signature by /public")
			x.settle()
			out, _ := x.lab.Waybill(x.ctx, "explain", x.lab.Registry+"/"+repo+"@"+digest, "--stage", "production", "--as", "audit/auditor", "-o", "json")
			var v policy.Verdict
			if err := json.Unmarshal([]byte(out), &v); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			for _, r := range v.Reasons {
				if r.Rule == "evidence/signed" && (r.Outcome == policy.Satisfied) != c.met {
					t.Errorf("%+v", r)
				}
			}
		})
	}
}
