package sigstore_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/sigstore"
	"github.com/waybill-dev/waybill/chaincode/sigstore/sigstoretest"
)

var (
	start  = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC) // when the test's Sigstore began
	signed = start.AddDate(1, 2, 3)                      // when it signed
	now    = start.AddDate(9, 0, 0)                      // long after the certificate
)

const (
	workflow = "https://github.com/team/app/.github/workflows/release.yml@refs/heads/main"
	actions  = "https://token.actions.githubusercontent.com"
)

func github() sigstoretest.Who {
	return sigstoretest.Who{URI: workflow, Issuer: actions, Claims: map[int]string{
		1: actions, 2: "push", 6: "refs/heads/main", 9: workflow, 11: "github-hosted", 12: "https://github.com/team/app", 22: "public",
	}}
}

// fixture is a Sigstore with one signature by one of its certificates.
type fixture struct {
	*sigstoretest.Sigstore
	t      testing.TB
	key    *ecdsa.PrivateKey
	signed sigstoretest.Signed
}

func newFixture(t testing.TB, who sigstoretest.Who) *fixture {
	t.Helper()
	f := &fixture{Sigstore: sigstoretest.New(t, start), t: t, key: sigstoretest.Key(t)}
	payload := []byte(`{"_type":"https://in-toto.io/Statement/v1"}`)
	message := fmt.Appendf(nil, "DSSEv1 28 application/vnd.in-toto+json %d %s", len(payload), payload)
	f.signed = sigstoretest.Signed{
		Certificate: f.Certificate(f.key.Public(), signed, who), Message: message, Payload: payload,
		Signature: sigstoretest.Sign(t, f.key, message),
	}
	return f
}

// entry takes the signature into the log of the kind's generation.
func (f *fixture) entry(kind, version string) map[string]any {
	log := f.V1
	if version == "0.0.2" && kind != "intoto" {
		log = f.V2
	}
	return log.Entry(kind, version, f.signed.Body(f.t, kind, version), signed.Add(time.Second))
}

func (f *fixture) stamp(at time.Time) []byte {
	return f.Timestamp(f.signed.Signature, at, sigstoretest.Stamp{})
}

// root is the fixture's trusted root after some changes.
func (f *fixture) root(change ...func(document map[string]any)) *sigstore.TrustedRoot {
	f.t.Helper()
	doc := f.Document()
	for _, c := range change {
		c(doc)
	}
	r, err := sigstore.ParseTrustedRoot(sigstoretest.JSON(f.t, doc))
	if err != nil {
		f.t.Fatal(err)
	}
	return r
}

// material is the signature with entries and timestamps in a bundle.
func (f *fixture) material(entries []map[string]any, stamps ...[]byte) sigstore.Material {
	f.t.Helper()
	m, err := f.read(entries, stamps...)
	if err != nil {
		f.t.Fatal(err)
	}
	return m
}

func (f *fixture) read(entries []map[string]any, stamps ...[]byte) (sigstore.Material, error) {
	var tokens []any
	for _, s := range stamps {
		tokens = append(tokens, map[string]any{"signedTimestamp": base64.StdEncoding.EncodeToString(s)})
	}
	var doc map[string]any
	text := sigstoretest.JSON(f.t, map[string]any{"tlogEntries": entries, "timestampVerificationData": map[string]any{"rfc3161Timestamps": tokens}})
	if err := json.Unmarshal(text, &doc); err != nil {
		f.t.Fatal(err)
	}
	m, err := sigstore.Bundle(doc, sigstore.V03)
	return f.complete(m), err
}

func (f *fixture) complete(m sigstore.Material) sigstore.Material {
	m.Signature, m.Certificate, m.Message = f.signed.Signature, f.signed.Certificate.Raw, f.signed.Message
	m.PayloadType, m.Payload = "application/vnd.in-toto+json", f.signed.Payload
	m.Verifies = func(public crypto.PublicKey) bool {
		sum := sha256.Sum256(f.signed.Message)
		key, ok := public.(*ecdsa.PublicKey)
		return ok && ecdsa.VerifyASN1(key, sum[:], m.Signature)
	}
	return m
}

func without(member string) func(map[string]any) {
	return func(document map[string]any) { delete(document, member) }
}

// refused wants an Invalid refusal with a word in it.
func refused(t *testing.T, r *sigstore.TrustedRoot, m sigstore.Material, want string) {
	t.Helper()
	v, err := r.Verify(m, now)
	if err == nil || !strings.Contains(err.Error(), want) || provenance.CodeOf(err) != provenance.Invalid {
		t.Errorf("%v, %+v: want refused with %q", err, v, want)
	}
}

func TestEveryKindOfEntry(t *testing.T) {
	for kind, stamped := range map[string]bool{
		"hashedrekord 0.0.1": false, "dsse 0.0.1": false, "intoto 0.0.1": false, "intoto 0.0.2": false,
		"hashedrekord 0.0.2": true, "dsse 0.0.2": true,
	} {
		t.Run(kind, func(t *testing.T) {
			f := newFixture(t, github())
			name, version, _ := strings.Cut(kind, " ")
			var stamps [][]byte
			when, uses := signed.Add(time.Second), 3
			if stamped {
				when, uses = signed.Add(2*time.Second), 4
				stamps = append(stamps, f.stamp(when))
			}
			m := f.material([]map[string]any{f.entry(name, version)}, stamps...)
			v, err := f.root().Verify(m, now)
			if err != nil {
				t.Fatal(err)
			}
			if v.Identity != workflow || v.Issuer != actions || len(v.Times) != 1 || !v.Times[0].Equal(when) || len(v.Uses) != uses {
				t.Errorf("%+v", v)
			}
			want := map[string]string{
				"githubWorkflowTrigger": "push", "githubWorkflowRef": "refs/heads/main", "buildSignerURI": workflow,
				"runnerEnvironment": "github-hosted", "sourceRepositoryURI": "https://github.com/team/app", "sourceRepositoryVisibilityAtSigning": "public",
			}
			if fmt.Sprint(v.Claims) != fmt.Sprint(want) {
				t.Errorf("claims %v", v.Claims)
			}
			anchors := f.root().Anchors()
			for _, u := range v.Uses {
				if !slices.ContainsFunc(anchors, func(a sigstore.Anchor) bool { return a.ID == u.ID }) {
					t.Errorf("it relied on %s, which is no anchor", u.ID)
				}
			}
			// The body is bound: of another payload, signature or certificate it is another's.
			other := m
			other.Message, other.Payload = append(bytes.Clone(m.Message), ' '), append(bytes.Clone(m.Payload), ' ')
			refused(t, f.root(), other, "another signature, certificate or content")
			g := &fixture{Sigstore: f.Sigstore, t: t, key: f.key, signed: f.signed}
			g.signed.Signature = sigstoretest.Sign(t, f.key, f.signed.Message)
			again := g.complete(m)
			again.Entries = m.Entries
			if kind == "intoto 0.0.1" { // it has no signature; whoever makes another has the key
				if _, err := f.root().Verify(again, now); err != nil {
					t.Error(err)
				}
			} else {
				refused(t, f.root(), again, "another signature, certificate or content")
			}
			g.signed.Certificate = f.Certificate(f.key.Public(), signed, github())
			renewed := g.complete(m)
			renewed.Signature = m.Signature
			refused(t, f.root(), renewed, "another signature, certificate or content")
		})
	}
}

// Without logs in the root a timestamp is enough; without a CT log, no SCT is demanded.
func TestTheRootDemands(t *testing.T) {
	f := newFixture(t, github())
	at := signed.Add(time.Minute)
	stampOnly := f.material(nil, f.stamp(at))
	refused(t, f.root(), stampOnly, "no entry of a transparency log")
	v, err := f.root(without("tlogs")).Verify(stampOnly, now)
	if err != nil || len(v.Uses) != 3 || !v.Times[0].Equal(at) {
		t.Errorf("%v, %+v", err, v)
	}
	who := github()
	who.NoSCT = true
	g := newFixture(t, who)
	plain := g.material(nil, g.stamp(at))
	refused(t, g.root(without("tlogs")), plain, "no well-formed certificate timestamps")
	if v, err := g.root(without("tlogs"), without("ctlogs")).Verify(plain, now); err != nil || len(v.Uses) != 2 {
		t.Errorf("%v, %+v", err, v)
	}
	refused(t, g.root(without("tlogs"), without("ctlogs")), g.material(nil), "no time of signing")
	// An entry of the second generation says no time.
	refused(t, f.root(), f.material([]map[string]any{f.entry("hashedrekord", "0.0.2")}), "no time of signing")
	// With both, both times hold and both are relied on.
	both := f.material([]map[string]any{f.entry("dsse", "0.0.1"), f.entry("hashedrekord", "0.0.2")}, f.stamp(at))
	if v, err := f.root().Verify(both, now); err != nil || len(v.Times) != 2 || len(v.Uses) != 7 {
		t.Errorf("%v, %+v", err, v)
	}
}

// twin is the other signature that everybody can make of an ECDSA signature.
func twin(t *testing.T, key *ecdsa.PrivateKey, signature []byte) []byte {
	t.Helper()
	var pair struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(signature, &pair); err != nil {
		t.Fatal(err)
	}
	pair.S.Sub(key.Params().N, pair.S)
	der, err := asn1.Marshal(pair)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func certs(list ...*x509.Certificate) []*x509.Certificate { return list }
