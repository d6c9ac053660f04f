package oracle

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"

	own "github.com/waybill-dev/waybill/test/sigstore"
)

// TestKit: what the own Sigstore signs is what the others' library verifies, with
// every kind of evidence, and nothing without.
func TestKit(t *testing.T) {
	now := time.Now().Add(-24 * time.Hour)
	s, err := own.New("kit", func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	artifact := []byte("a manifest")
	statement := fmt.Appendf(nil, `{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"a","digest":{"sha256":"%064x"}}],"predicateType":"https://example.com/x","predicate":{}}`, 7)
	identities := []own.Identity{
		{URI: "https://git.example/team/app/.ci/release@refs/heads/main", Issuer: "https://token.git.example", Claims: map[int]string{3: "abc", 9: "https://git.example/b", 11: "hosted"}},
		{Email: "a@example.com", Issuer: "https://accounts.example"},
		{Other: "robot!example", Issuer: "https://accounts.example"},
	}
	for i, with := range []own.Evidence{{V1: true}, {Promise: true, Version: "0.1", Chain: true}, {V1: true, Version: "0.2", Chain: true}, {V2: true, Stamp: true}, {Stamp: true}, {V1: true, V2: true, Stamp: true}} {
		for _, dsse := range []bool{true, false} {
			var text []byte
			if dsse {
				text, err = s.Attest(identities[i%3], statement, with)
			} else {
				text, err = s.Sign(identities[i%3], artifact, with)
			}
			if err != nil {
				t.Fatal(err)
			}
			trusted, err := root.NewTrustedRootFromJSON(s.TrustedRoot())
			if err != nil {
				t.Fatal(err)
			}
			options := []verify.VerifierOption{verify.WithObserverTimestamps(1), verify.WithSignedCertificateTimestamps(1)}
			if with.V1 || with.V2 || with.Promise {
				options = append(options, verify.WithTransparencyLog(1))
			}
			v, err := verify.NewVerifier(trusted, options...)
			if err != nil {
				t.Fatal(err)
			}
			b := &bundle.Bundle{}
			if err := b.UnmarshalJSON(text); err != nil {
				t.Fatal(err)
			}
			policy := verify.WithArtifact(bytes.NewReader(artifact))
			if dsse {
				policy = verify.WithoutArtifactUnsafe()
			}
			result, err := v.Verify(b, verify.NewPolicy(policy, verify.WithoutIdentitiesUnsafe()))
			if err != nil {
				t.Errorf("%+v dsse %v: %v\n%s", with, dsse, err, text)
				continue
			}
			if got := result.Signature.Certificate; got.Issuer != identities[i%3].Issuer {
				t.Errorf("%+v", got)
			}
		}
	}
}
