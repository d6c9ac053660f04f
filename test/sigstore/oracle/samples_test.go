package oracle

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/testing/ca"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/waybill-dev/waybill/chaincode/sigstore/sigstoretest"
	own "github.com/waybill-dev/waybill/test/sigstore"
)

const artifact = "the bytes of a manifest"

func statement() []byte {
	return fmt.Appendf(nil, `{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"app","digest":{"sha256":%q}}],"predicateType":"https://in-toto.io/attestation/test-result/v0.1","predicate":{"result":"PASSED","configuration":[]}}`, hexOf([]byte(artifact)))
}

// samples are the bundles that everything starts from; each verifies, or does not, as
// its source says.
func samples(t *testing.T) []sample {
	t.Helper()
	all := append(ownSamples(t), virtualSamples(t)...)
	all = append(all, librarySamples(t)...)
	for _, c := range sigstoretest.Suite(t) {
		if c.Key == "" {
			all = append(all, sample{"suite " + c.Name, c.Bundle, c.Root, digestOf(c.Artifact), time.Now()})
		}
	}
	return all
}

// ownSamples are of the own Sigstore, of two generations of its authorities.
func ownSamples(t *testing.T) []sample {
	t.Helper()
	now := time.Now().Add(-48 * time.Hour)
	s, err := own.New("own", func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	identities := []own.Identity{
		{URI: "https://git.example/team/app/.ci/release@refs/heads/main", Issuer: "https://token.git.example", Claims: map[int]string{3: "abc", 9: "https://git.example/b", 11: "hosted"}},
		{Email: "a@example.com", Issuer: "https://accounts.example"},
		{Other: "robot!example.com", Issuer: "https://accounts.example"},
	}
	kinds := map[string]own.Evidence{
		"v1": {V1: true}, "promise": {Promise: true, Version: "0.1", Chain: true}, "v0.2": {V1: true, Version: "0.2", Chain: true},
		"v1 stamped": {V1: true, Stamp: true}, "v2": {V2: true, Stamp: true}, "v1 and v2": {V1: true, V2: true, Stamp: true}, "no SCT": {V1: true, NoSCT: true}, "stamp": {Stamp: true},
		"nothing": {}, "intoto": {V1: true, Kind: "intoto 0.0.2"}, "older intoto": {V1: true, Kind: "intoto 0.0.1"}, "hashed envelope": {V1: true, Kind: "hashedrekord 0.0.1"},
	}
	var all []sample
	for generation := range 2 {
		i := 0
		for name, with := range kinds {
			signed, err := s.Sign(identities[i%3], []byte(artifact), with)
			if err != nil {
				t.Fatal(err)
			}
			attested, err := s.Attest(identities[i%3], statement(), with)
			if err != nil {
				t.Fatal(err)
			}
			name = fmt.Sprintf("own %d %s", generation, name)
			all = append(all, sample{name: name, bundle: signed}, sample{name: name + " dsse", bundle: attested})
			i++
			now = now.Add(7 * time.Minute)
		}
		for _, kind := range []own.Kind{own.CA, own.CTLog, own.RekorV1, own.RekorV2, own.TSA} {
			if err := s.Rotate(kind); err != nil {
				t.Fatal(err)
			}
		}
		now = now.Add(time.Minute)
	}
	roots := [][]byte{s.TrustedRoot(), s.TrustedRoot(own.RekorV1, own.RekorV2), s.TrustedRoot(own.CTLog), s.TrustedRoot(own.TSA), s.TrustedRoot(own.CA)}
	var out []sample
	for i, b := range all {
		for j, root := range roots {
			if j == 0 || i%len(roots) == j {
				out = append(out, sample{fmt.Sprintf("%s root %d", b.name, j), b.bundle, root, digestOf([]byte(artifact)), time.Now()})
			}
		}
	}
	return out
}

// virtualSamples are of the library's own test Sigstore.
func virtualSamples(t *testing.T) []sample {
	t.Helper()
	s, err := ca.NewVirtualSigstore()
	if err != nil {
		t.Fatal(err)
	}
	const identity, issuer = "a@example.com", "https://accounts.example"
	message, err1 := s.Sign(identity, issuer, []byte(artifact))
	attested, err2 := s.Attest(identity, issuer, statement())
	included, err3 := s.AttestAtTime(identity, issuer, statement(), time.Now().Add(5*time.Minute), true)
	today, err4 := s.AttestHashedRekordV2(identity, issuer, statement())
	early, err5 := s.SignAtTime(identity, issuer, []byte(artifact), time.Now().Add(-time.Hour))
	for _, err := range []error{err1, err2, err3, err4, err5} {
		if err != nil {
			t.Fatal(err)
		}
	}
	root := virtualRoot(t, s)
	var out []sample
	for name, e := range map[string]*ca.TestEntity{"message": message, "dsse": attested, "dsse included": included, "dsse v2": today, "early": early} {
		for _, version := range []string{"0.1", "0.3"} {
			out = append(out, sample{"virtual " + name + " " + version, virtualBundle(t, e, version), root, digestOf([]byte(artifact)), time.Now().Add(10 * time.Minute)})
		}
	}
	return out
}

type object = map[string]any

func virtualBundle(t *testing.T, e *ca.TestEntity, version string) []byte {
	t.Helper()
	verification, err1 := e.VerificationContent()
	content, err2 := e.SignatureContent()
	stamps, err3 := e.Timestamps()
	entries, err4 := e.TlogEntries()
	for _, err := range []error{err1, err2, err3, err4} {
		if err != nil {
			t.Fatal(err)
		}
	}
	logged := []any{}
	for _, entry := range entries {
		text, err := protojson.Marshal(entry.TransparencyLogEntry())
		if err != nil {
			t.Fatal(err)
		}
		logged = append(logged, json.RawMessage(text))
	}
	stamped := []any{}
	for _, s := range stamps {
		stamped = append(stamped, object{"signedTimestamp": s})
	}
	material := object{"tlogEntries": logged, "timestampVerificationData": object{"rfc3161Timestamps": stamped}}
	cert := object{"rawBytes": verification.Certificate().Raw}
	mediaType := "application/vnd.dev.sigstore.bundle.v0.3+json"
	if version == "0.1" {
		material["x509CertificateChain"], mediaType = object{"certificates": []any{cert}}, "application/vnd.dev.sigstore.bundle+json;version=0.1"
	} else {
		material["certificate"] = cert
	}
	b := object{"mediaType": mediaType, "verificationMaterial": material}
	if envelope := content.EnvelopeContent(); envelope != nil {
		raw := envelope.RawEnvelope()
		b["dsseEnvelope"] = object{"payload": raw.Payload, "payloadType": raw.PayloadType, "signatures": []any{object{"sig": raw.Signatures[0].Sig}}}
	} else {
		m := content.MessageSignatureContent()
		b["messageSignature"] = object{"messageDigest": object{"algorithm": m.DigestAlgorithm(), "digest": m.Digest()}, "signature": content.Signature()}
	}
	text, err := json.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// virtualRoot leaves the CT log out: the library's test certificates have no SCT.
func virtualRoot(t *testing.T, s *ca.VirtualSigstore) []byte {
	t.Helper()
	window := object{"start": time.Now().Add(-5 * time.Hour).UTC().Format(time.RFC3339), "end": time.Now().Add(2 * time.Hour).UTC().Format(time.RFC3339)}
	chain := func(certs ...*x509.Certificate) object {
		list := []any{}
		for _, c := range certs {
			list = append(list, object{"rawBytes": c.Raw})
		}
		return object{"certificates": list}
	}
	fulcio, isFulcio := s.FulcioCertificateAuthorities()[0].(*root.FulcioCertificateAuthority)
	tsa, isTSA := s.TimestampingAuthorities()[0].(*root.SigstoreTimestampingAuthority)
	if !isFulcio || !isTSA {
		t.Fatal("the library's authorities are of other types")
	}
	tlogs := []any{}
	for _, l := range s.RekorLogs() {
		der, err := x509.MarshalPKIXPublicKey(l.PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		id := sha256.Sum256(der)
		tlogs = append(tlogs, object{"baseUrl": l.BaseURL, "hashAlgorithm": "SHA2_256", "logId": object{"keyId": id[:]}, "publicKey": object{"rawBytes": der, "keyDetails": "PKIX_ECDSA_P256_SHA_256", "validFor": window}})
	}
	subject := object{"organization": "sigstore.dev", "commonName": "sigstore"}
	text, err := json.Marshal(object{
		"mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1", "tlogs": tlogs, "ctlogs": []any{},
		"certificateAuthorities": []any{object{"subject": subject, "uri": "https://ca.example", "certChain": chain(fulcio.Intermediates[0], fulcio.Root), "validFor": window}},
		"timestampAuthorities":   []any{object{"subject": subject, "uri": "https://tsa.example", "certChain": chain(tsa.Leaf, tsa.Intermediates[0], tsa.Root), "validFor": window}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// librarySamples are the bundles and roots that the library is tested with, from the
// module cache.
func librarySamples(t *testing.T) []sample {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/sigstore/sigstore-go").Output()
	if err != nil {
		t.Fatal(err)
	}
	dir := strings.TrimSpace(string(out))
	read := func(path ...string) []byte {
		b, err := os.ReadFile(filepath.Join(append([]string{dir}, path...)...))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	public, scaffolding := read("pkg", "testing", "data", "trusted-roots", "public-good.json"), read("pkg", "testing", "data", "trusted-roots", "scaffolding.json")
	var all []sample
	for _, name := range []string{"othername", "dsse-2sigs", "dsse", "sigstore.js@2.0.0-provenance"} {
		b := read("pkg", "testing", "data", "bundles", name+".sigstore.json")
		digest := namedIn(b)
		all = append(all, sample{"library " + name, b, public, digest, time.Now()}, sample{"library " + name + " below another", b, scaffolding, digest, time.Now()})
	}
	for _, name := range []string{"bundle-publish", "bundle-provenance"} {
		b := read("examples", name+".json")
		all = append(all, sample{"library " + name, b, read("examples", "trusted-root-public-good.json"), namedIn(b), time.Now()})
	}
	return all
}

// namedIn is the digest that a bundle is about, as it says itself.
func namedIn(text []byte) string {
	var b struct {
		DsseEnvelope     struct{ Payload []byte }
		MessageSignature struct{ MessageDigest struct{ Digest []byte } }
	}
	if json.Unmarshal(text, &b) != nil {
		return digestOf(nil)
	}
	if len(b.DsseEnvelope.Payload) == 0 {
		return "sha256:" + hex.EncodeToString(b.MessageSignature.MessageDigest.Digest)
	}
	var s struct {
		Subject []struct{ Digest map[string]string }
	}
	if json.Unmarshal(b.DsseEnvelope.Payload, &s) == nil && len(s.Subject) > 0 {
		for _, algorithm := range []string{"sha256", "sha512"} {
			if d := s.Subject[0].Digest[algorithm]; d != "" {
				return algorithm + ":" + d
			}
		}
	}
	return digestOf(nil)
}
