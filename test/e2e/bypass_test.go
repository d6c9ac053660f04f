package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/ledger"
	"github.com/waybill-dev/waybill/test/lab"
)

const (
	bypassHost = "registry.bypass.example"
	bypassRepo = "team/app"
)

// TestBypass tries every way around the rules that we know of, on a real
// network: each has to fail, and to say by a code why.
func TestBypass(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	l := lab.For(ctx, t)
	c := newConsortium(ctx, t, l)
	c.own(bypassHost)
	text := fmt.Sprintf(`{"apiVersion":"waybill.dev/v1","kind":"ReleasePolicy","metadata":{"name":"bypass"},"spec":{"match":["%s/**"],"stages":[
	  {"name":"production","approvals":{"min":2,"orgs":["SecurityMSP"]},"evidence":[{"name":"scan","type":"vuln-scan","signers":[{"org":"SecurityMSP"}],"condition":"facts.critical == 0"}]}]}}`, bypassHost)
	for _, who := range []string{"vendor/admin", "security/admin", "audit/admin"} {
		c.propose(who, "policy", text)
	}
	t.Run("approvals", c.approvals)
	t.Run("evidence", c.tampered)
	t.Run("replay", c.replayed)
}

// push records pushes of images, by their names.
func (c *consortium) push(seq int, names ...string) {
	c.t.Helper()
	var digests []provenance.Digest
	var manifests [][]byte
	for _, name := range names {
		digests, manifests = append(digests, imageOf(name)), append(manifests, manifestOf(name))
	}
	c.pushed(seq, manifests, digests...)
}

// pushed records pushes of images whose manifests may not be to be had.
func (c *consortium) pushed(seq int, manifests [][]byte, digests ...provenance.Digest) {
	c.t.Helper()
	var events []provenance.Event
	for _, d := range digests {
		events = append(events, provenance.Event{
			ID: provenance.NewEventID("bypass", "main", d.String()), Action: provenance.Push, Source: "distribution", Repository: bypassRepo,
			Digest: d, MediaType: "application/vnd.oci.image.manifest.v1+json", Size: 100, OccurredAt: time.Now().UTC().Truncate(time.Second),
		})
	}
	err := lab.Poll(c.ctx, 20*time.Second, func() error {
		return record(c.ctx, c.as("vendor/gateway"), bypassHost, "lane-0", seq, manifests, events...)
	})
	if err != nil {
		c.t.Fatal(err)
	}
	c.settle()
}

// settle waits until every organisation's peer has the blocks that any of them has.
func (c *consortium) settle() {
	c.t.Helper()
	if err := c.lab.Settle(c.ctx); err != nil {
		c.t.Fatal(err)
	}
}

// refused wants a transaction refused by code, whoever's peers endorse it.
func (c *consortium) refused(name string, want provenance.Code, err error) {
	c.t.Helper()
	if got := provenance.CodeOf(err); err == nil || got != want {
		c.t.Errorf("%s: %v, want %s", name, err, want)
		return
	}
	c.t.Logf("%-62s %s", name, want)
}

func (c *consortium) verdict(d provenance.Digest) (v policy.Verdict) {
	c.t.Helper()
	c.settle()
	b, err := c.as("audit/auditor").Evaluate(c.ctx, "verdict:Ask", bypassHost, bypassRepo, d.String(), "production")
	if err == nil {
		err = json.Unmarshal(b, &v)
	}
	if err != nil {
		c.t.Fatal(err)
	}
	return v
}

// approved is how the quorum of an image stands.
func (c *consortium) approved(d provenance.Digest) string {
	for _, r := range c.verdict(d).Reasons {
		if r.Rule == "approvals" {
			return r.Detail
		}
	}
	return ""
}

const (
	cleanScan = `{"SchemaVersion":2,"CreatedAt":"2026-01-0%dT08:00:00Z","ArtifactName":"app","ArtifactType":"container_image","Trivy":{"Version":"0.68.1"},"Results":[{"Target":"app","Class":"lang-pkgs","Type":"gobinary"}]}`
	badScan   = `{"SchemaVersion":2,"CreatedAt":"2026-01-0%dT08:00:00Z","ArtifactName":"app","ArtifactType":"container_image","Trivy":{"Version":"0.68.1"},"Results":[{"Target":"app","Class":"os-pkgs","Type":"debian","Vulnerabilities":[{"VulnerabilityID":"CVE-2026-1","PkgName":"a","InstalledVersion":"1","Severity":"CRITICAL"}]}]}`
)

func (c *consortium) submit(who string, d provenance.Digest, typ, format, keyMSP, key, envelope string) error {
	_, err := c.as(who).SubmitTransient(c.ctx, map[string][]byte{"envelope": []byte(envelope)}, "evidence:Submit",
		bypassHost, bypassRepo, d.String(), typ, format, keyMSP, key, "")
	return err
}

func (c *consortium) approvals(t *testing.T) {
	c.t = t
	image, other := imageOf("image"), imageOf("other")
	c.push(1, "image", "other")
	for i, d := range []provenance.Digest{image, other} {
		if err := c.submit("security/scanner", d, "vuln-scan", "plain", "", "", fmt.Sprintf(cleanScan, 1+i)); err != nil {
			t.Fatal(err)
		}
		c.act("platform/release-manager", "promotion:Request", bypassHost, bypassRepo, d.String(), "production")
	}
	approve := func(who string, d provenance.Digest, seen policy.Verdict) error {
		_, err := c.as(who).Submit(c.ctx, "promotion:Approve", approval([]string{bypassHost, bypassRepo, d.String(), "production"}, seen, "")...)
		return err
	}
	seen := c.verdict(image)
	blind, otherText := seen, seen
	blind.EvidenceSet = ""
	otherText.Policy = &policy.Version{Name: seen.Policy.Name, Version: seen.Policy.Version, Hash: strings.Repeat("ab", 32)}
	c.refused("self-approval: the organisation that recorded the push", provenance.Forbidden, approve("vendor/release-manager", image, seen))
	c.refused("approval by the requester", provenance.Forbidden, approve("platform/release-manager", image, seen))
	c.refused("approval by somebody without the role", provenance.Forbidden, approve("audit/publisher", image, seen))
	c.act("audit/admin", "member:Grant", "publisher", "release-manager")
	c.act("audit/admin", "member:Grant", "publisher", "robot")
	c.settle()
	c.refused("approval by a robot", provenance.Forbidden, approve("audit/publisher", image, seen))
	c.refused("approval that names no evidence", provenance.Invalid, approve("security/release-manager", image, blind))
	c.refused("approval under the name of a policy with another text", provenance.Stale, approve("security/release-manager", image, otherText))
	c.refused("approval of another digest replayed", provenance.Stale, approve("security/release-manager", other, seen))

	if err := approve("security/release-manager", image, seen); err != nil {
		t.Fatal(err)
	}
	c.reEnrolled(image, seen)
	c.act("security/admin", "member:Grant", "admin", "release-manager")
	c.settle()
	if err := approve("security/admin", image, seen); err != nil && provenance.CodeOf(err) != provenance.Forbidden {
		t.Error(err)
	}
	if got := c.approved(image); !strings.HasPrefix(got, "1 of 2 approvals (SecurityMSP)") {
		t.Errorf("two people of one organisation: %s", got)
	} else {
		t.Logf("%-62s %s", "two people of one organisation", got)
	}

	// The evidence changes between review and approval, and under an approval.
	if err := c.submit("security/scanner", image, "vuln-scan", "plain", "", "", fmt.Sprintf(badScan, 2)); err != nil {
		t.Fatal(err)
	}
	c.refused("approval before the evidence changed", provenance.Stale, approve("audit/release-manager", image, seen))
	if got := c.approved(image); !strings.HasPrefix(got, "0 of 2") || !strings.Contains(got, "stale") {
		t.Errorf("a worse scan leaves an approval standing: %s", got)
	}
	if err := c.submit("security/scanner", image, "vuln-scan", "plain", "", "", fmt.Sprintf(cleanScan, 1)); err != nil {
		t.Fatal(err) // recorded already: success without a write
	}
	if v := c.verdict(image); v.Verdict != policy.Denied {
		t.Errorf("an old clean scan came back: %s", v.Verdict)
	}

	c.refused("forged organisation: another's key named", provenance.NotFound, c.submit("vendor/publisher", image, "signature", "dsse", "SecurityMSP", "release", "{}"))
	forged := provenance.Event{ID: provenance.NewEventID("b", "m", "x"), Action: provenance.Push, Source: "distribution", Repository: bypassRepo, Digest: other}
	c.refused("forged organisation: another's registry", provenance.Forbidden, record(c.ctx, c.as("audit/gateway"), bypassHost, "lane-1", 1, nil, forged))
	c.act("security/admin", "member:Grant", "zoe", "release-manager")
	_, err := c.as("vendor/admin").Submit(c.ctx, "member:Revoke", "zoe", "release-manager")
	c.refused("an admin takes another organisation's grant", provenance.NotFound, err)
	_, err = c.as("vendor/release-manager").Submit(c.ctx, "member:Grant", "release-manager", "admin")
	c.refused("a role given to oneself", provenance.Forbidden, err)

	weak := fmt.Sprintf(`{"apiVersion":"waybill.dev/v1","kind":"ReleasePolicy","metadata":{"name":"bypass"},"spec":{"match":["%s/**"],"stages":[{"name":"production","approvals":{"min":1,"exclude":[]}}]}}`, bypassHost)
	c.propose("vendor/admin", "policy", weak)
	c.propose("platform/admin", "policy", weak)
	if v := c.verdict(image); v.Policy == nil || v.Policy.Version != 1 {
		t.Errorf("two of four changed the policy: %+v", v.Policy)
	} else {
		t.Logf("%-62s still %s version %d", "policy change by a minority", v.Policy.Name, v.Policy.Version)
	}
	_, err = c.as("vendor/release-manager").Submit(c.ctx, "release:Release", bypassHost, bypassRepo, image.String(), "production")
	if v := c.verdict(image); err != nil || v.Verdict == policy.Allowed {
		t.Errorf("released against the rules: %v, %s", err, v.Verdict)
	}
}

// reEnrolled approves as the same person with a new key and certificate: one person, counted once.
func (c *consortium) reEnrolled(image provenance.Digest, seen policy.Verdict) {
	c.t.Helper()
	org, err := c.lab.Clients.Org("security")
	if err != nil {
		c.t.Fatal(err)
	}
	old := readCertificate(c.t, org.People["release-manager"].Cert)
	ca := filepath.Join(c.lab.Dir, "network", "orgs", "security", "ca")
	cert, key := enrol(c.t, filepath.Join(ca, "ca.crt"), filepath.Join(ca, "ca.key"), old.Subject)
	door, err := ledger.Dial(ledger.Config{
		MSPID: org.MSPID, CertFile: cert, KeyFile: key, PeerAddress: org.PeerAddress, PeerTLSCAFile: org.PeerTLSCA,
		Channel: c.lab.Clients.Channel, Chaincode: c.lab.Clients.Chaincode, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = door.Close() }()
	if _, err := door.Submit(c.ctx, "promotion:Approve", approval([]string{bypassHost, bypassRepo, image.String(), "production"}, seen, "")...); err != nil {
		c.t.Errorf("the new certificate is not taken: %v", err)
	}
	if got := c.approved(image); !strings.HasPrefix(got, "1 of 2 approvals (SecurityMSP)") {
		c.t.Errorf("re-enrolled: %s", got)
	} else {
		c.t.Logf("%-62s %s", "same person twice through re-enrolment", got)
	}
}

func hexOf(d provenance.Digest) string { return strings.TrimPrefix(d.String(), "sha256:") }

func readCertificate(t *testing.T, file string) *x509.Certificate {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(b)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// enrol lets an organisation's authority certify a new key under a subject it has certified before.
func enrol(t *testing.T, caCert, caKey string, subject pkix.Name) (certFile, keyFile string) {
	t.Helper()
	authority := readCertificate(t, caCert)
	b, err := os.ReadFile(caKey)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(b)
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	signer, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		t.Fatalf("the authority's key is a %T", parsed)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: subject, NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature,
	}
	half := new(big.Int).Rsh(elliptic.P256().Params().N, 1)
	for { // Fabric takes certificates only with the smaller of the two signatures ECDSA allows
		der, err := x509.CreateCertificate(rand.Reader, template, authority, &key.PublicKey, signer)
		if err != nil {
			t.Fatal(err)
		}
		made, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		var sig struct{ R, S *big.Int }
		if _, err := asn1.Unmarshal(made.Signature, &sig); err != nil {
			t.Fatal(err)
		}
		if sig.S.Cmp(half) > 0 {
			continue
		}
		private, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
		for file, content := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: private}} {
			if err := os.WriteFile(file, pem.EncodeToMemory(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return certFile, keyFile
	}
}
