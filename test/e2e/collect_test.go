package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/network"
	"github.com/waybill-dev/waybill/test/lab"
)

// TestCollect signs with real clients against a real registry and sends the
// gateway nothing: what it collects, witnesses and releases it finds itself.
func TestCollect(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	tools, err := network.BuildSigningTools(ctx, lab.TestLog{TB: t})
	if err != nil {
		t.Fatal(err)
	}
	l := lab.For(ctx, t)
	x := &collecting{consortium: newConsortium(ctx, t, l), tools: tools, home: t.TempDir()}
	x.start()
	t.Run("every client's signature becomes evidence", x.signatures)
	t.Run("strangers' signatures without a key, years later", x.suite)
	t.Run("cosign without a key", x.keyless)
	t.Run("a signature counts once its key is registered", x.lateKey)
	t.Run("nothing is lost when the gateway is killed", x.killed)
	t.Run("the last rule is met by a signature", x.release)
	t.Run("a bill of materials of 4 MiB", x.large)
	t.Run("many of 4 MiB at once", x.flood)
}

type collecting struct {
	*consortium
	tools     network.SigningTools
	home      string
	suiteHost string
}

func (x *collecting) start() {
	x.own(x.lab.Registry)
	x.addSuite()
	config := filepath.Join(x.lab.Dir, "network", "orgs", "security", "gateway", "config.yaml")
	b, err := os.ReadFile(config)
	if err != nil {
		x.t.Fatal(err)
	}
	text := strings.Replace(string(b), "registries: []", fmt.Sprintf("witness: ['127.0.0.1:*']\nregistries:\n  - {host: %q, insecure: true, allow_private: true}", x.lab.Registry), 1)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		x.t.Fatal(err)
	}
	for _, org := range []string{"vendor", "security"} {
		if err := x.lab.StartGateway(x.ctx, org); err != nil {
			x.t.Fatalf("%v\n%s", err, x.lab.Log("gateway-"+org))
		}
	}
}

// run starts a client with a home of its own and no password.
func (x *collecting) run(t *testing.T, program string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(x.ctx, program, args...)
	cmd.Dir = x.home
	cmd.Env = append(os.Environ(), "HOME="+x.home, "XDG_CONFIG_HOME="+filepath.Join(x.home, ".config"), "COSIGN_PASSWORD=", "COSIGN_YES=true")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", filepath.Base(program), strings.Join(args, " "), err, out)
	}
	return string(out)
}

func (x *collecting) keyPair(t *testing.T, name string) (public string) {
	t.Helper()
	x.run(t, x.tools.Cosign, "generate-key-pair", "--output-key-prefix", name)
	b, err := os.ReadFile(filepath.Join(x.home, name+".pub"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func (x *collecting) image(t *testing.T, repo, name string) string {
	t.Helper()
	if err := x.lab.PushBlob(x.ctx, repo); err != nil {
		t.Fatal(err)
	}
	d, err := x.lab.PushImage(x.ctx, repo, name, repo+name)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func (x *collecting) cosign(t *testing.T, key, image string, newFormat bool, args ...string) {
	t.Helper()
	all := []string{"--key", key + ".key", "--use-signing-config=false", "--tlog-upload=false", fmt.Sprintf("--new-bundle-format=%t", newFormat), "--allow-http-registry", "--allow-insecure-registry"}
	x.run(t, x.tools.Cosign, append(append(args[:1:1], all...), append(args[1:], image)...)...)
}

type piece struct {
	Evidence state.Evidence `json:"evidence"`
	Counts   bool           `json:"counts"`
}

func (x *collecting) evidence(digest string) ([]piece, error) {
	b, err := x.as("audit/auditor").Evaluate(x.ctx, "evidence:List", digest)
	if err != nil {
		return nil, err
	}
	var list []piece
	return list, json.Unmarshal(b, &list)
}

// wants waits until the evidence of an image is as it should be, by format, type and key.
func (x *collecting) wants(t *testing.T, digest string, want ...string) {
	t.Helper()
	start := time.Now()
	err := lab.Poll(x.ctx, 40*time.Second, func() error {
		list, err := x.evidence(digest)
		if err != nil {
			return err
		}
		var got []string
		for _, p := range list {
			got = append(got, fmt.Sprintf("%s %s by %s/%s", p.Evidence.Format, p.Evidence.Type, p.Evidence.Signer.MSP, p.Evidence.Signer.Key))
		}
		for _, w := range want {
			found := false
			for _, g := range got {
				found = found || g == w
			}
			if !found {
				return fmt.Errorf("no %q among %q", w, got)
			}
		}
		if len(got) != len(want) {
			return fmt.Errorf("%d pieces, want %d: %q", len(got), len(want), got)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d pieces after %s", len(want), time.Since(start).Round(time.Millisecond))
}

func (x *collecting) signatures(t *testing.T) {
	x.t = t
	repo := "collect/app"
	x.act("vendor/admin", "key:Add", "release", "public-key", x.keyPair(t, "release"), "", "")
	digest := x.image(t, repo, "v1")
	ref := x.lab.Registry + "/" + repo + "@" + digest
	vex := filepath.Join(x.home, "sbom.json")
	if err := os.WriteFile(vex, []byte(`{"spdxVersion":"SPDX-2.3","SPDXID":"SPDXRef-DOCUMENT","name":"app","dataLicense":"CC0-1.0","documentNamespace":"https://example.com/app","creationInfo":{"created":"2026-01-02T03:04:05Z","creators":["Tool: test"]},"packages":[{"SPDXID":"SPDXRef-a","name":"a","versionInfo":"1","downloadLocation":"NOASSERTION"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	x.cosign(t, "release", ref, false, "sign")
	x.wants(t, digest, "cosign signature by VendorMSP/release")
	x.cosign(t, "release", ref, true, "sign")
	x.cosign(t, "release", ref, false, "attest", "--type", "spdxjson", "--predicate", "sbom.json")
	x.wants(t, digest, "cosign signature by VendorMSP/release", "bundle signature by VendorMSP/release", "dsse sbom by VendorMSP/release")
	x.cosign(t, "release", ref, true, "attest", "--type", "openvex", "--predicate", x.vex(t, digest))
	x.run(t, x.tools.Notation, "cert", "generate-test", "--default", "notary.example")
	certificate, err := os.ReadFile(filepath.Join(x.home, ".config", "notation", "localkeys", "notary.example.crt"))
	if err != nil {
		t.Fatal(err)
	}
	x.act("security/admin", "key:Add", "notary", "certificate-root", string(certificate), "", "")
	x.run(t, x.tools.Notation, "sign", "--insecure-registry", ref)
	x.run(t, x.tools.ORAS, "attach", "--plain-http", "--disable-path-validation", "--artifact-type", "application/spdx+json", ref, "sbom.json:application/spdx+json")
	x.wants(t, digest, "cosign signature by VendorMSP/release", "bundle signature by VendorMSP/release", "dsse sbom by VendorMSP/release",
		"bundle vex by VendorMSP/release", "notation signature by SecurityMSP/notary")
}

func (x *collecting) vex(t *testing.T, digest string) string {
	t.Helper()
	text := `{"@context":"https://openvex.dev/ns/v0.2.0","@id":"https://example.com/vex","author":"a","timestamp":"2026-01-02T03:04:05Z","version":1,"statements":[{"vulnerability":{"name":"CVE-2026-1"},"products":[{"@id":"pkg:oci/app@sha256%3A` + strings.TrimPrefix(digest, "sha256:") + `"}],"status":"not_affected","justification":"component_not_present"}]}`
	if err := os.WriteFile(filepath.Join(x.home, "vex.json"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return "vex.json"
}

func (x *collecting) lateKey(t *testing.T) {
	x.t = t
	repo := "collect/late"
	public := x.keyPair(t, "late")
	digest := x.image(t, repo, "v1")
	x.cosign(t, "late", x.lab.Registry+"/"+repo+"@"+digest, false, "sign")
	if err := lab.Poll(x.ctx, 30*time.Second, func() error {
		out, code := x.lab.Waybill(x.ctx, "queue", "list", "--as", "vendor/admin")
		if code != 0 || !strings.Contains(out, "none of") || !strings.Contains(out, "collect") {
			return fmt.Errorf("exit %d: %s", code, out)
		}
		t.Log(out)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	x.act("security/admin", "key:Add", "late", "public-key", public, "", "")
	x.wants(t, digest, "cosign signature by SecurityMSP/late")
	if out, code := x.lab.Waybill(x.ctx, "queue", "list", "--as", "vendor/admin"); code != 0 || strings.Contains(out, repo) {
		t.Errorf("exit %d: %s", code, out)
	}
}

func (x *collecting) killed(t *testing.T) {
	x.t = t
	repo := "collect/killed"
	var all []string
	for i := range 6 {
		all = append(all, x.image(t, repo, fmt.Sprint("v", i)))
		x.cosign(t, "release", x.lab.Registry+"/"+repo+"@"+all[i], i%2 == 0, "sign")
		if i%2 == 1 {
			if err := x.lab.KillGateway("vendor"); err != nil {
				t.Log(err)
			}
			if err := x.lab.StartGateway(x.ctx, "vendor"); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i, d := range all {
		x.wants(t, d, []string{"bundle", "cosign"}[i%2]+" signature by VendorMSP/release")
	}
}

// ask asks audit's peer for the verdict on an image.
func (x *collecting) ask(t *testing.T, repo, digest string) (v policy.Verdict) {
	t.Helper()
	x.settle() // what vendor's peer has, audit's may not have yet
	b, err := x.as("audit/auditor").Evaluate(x.ctx, "verdict:Ask", x.lab.Registry, repo, digest, "production")
	if err == nil {
		err = json.Unmarshal(b, &v)
	}
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func (x *collecting) release(t *testing.T) {
	x.t = t
	repo := "collect/released"
	text := fmt.Sprintf(`{"apiVersion":"waybill.dev/v1","kind":"ReleasePolicy","metadata":{"name":"collected"},"spec":{"match":["%s/collect/released"],"stages":[
		{"name":"production","approvals":{"min":1,"orgs":["SecurityMSP"]},"evidence":[{"name":"signed","type":"signature","signers":[{"org":"VendorMSP","key":"release"}]}],"witnesses":{"min":2}}]}}`, x.lab.Registry)
	for _, org := range []string{"vendor", "security", "platform"} {
		x.propose(org+"/admin", "policy", text)
	}
	digest := x.image(t, repo, "v1")
	ask := func() policy.Verdict {
		t.Helper()
		return x.ask(t, repo, digest)
	}
	if err := lab.Poll(x.ctx, 30*time.Second, func() error {
		if v := ask(); v.Verdict != policy.Pending {
			return fmt.Errorf("%s", v.Verdict)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	x.act("vendor/release-manager", "promotion:Request", x.lab.Registry, repo, digest, "production")
	v := ask()
	x.act("security/release-manager", "promotion:Approve", approval([]string{x.lab.Registry, repo, digest, "production"}, v, "")...)
	if v := ask(); v.Verdict != policy.Pending {
		t.Fatalf("released without its signature: %+v", v)
	}
	start := time.Now()
	x.cosign(t, "release", x.lab.Registry+"/"+repo+"@"+digest, true, "sign")
	if err := lab.Poll(x.ctx, 40*time.Second, func() error {
		if v := ask(); v.Verdict != policy.Allowed {
			return fmt.Errorf("%+v", v)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	t.Logf("released %s after cosign sign began", time.Since(start).Round(time.Millisecond))
}
