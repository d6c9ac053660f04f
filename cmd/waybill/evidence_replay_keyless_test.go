package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/evidence"
	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/test/sigstore"
)

// What a certificate says besides, who vouched for a signature and when it was made
// decide as much as facts do: a replay compares them.
func TestReplayOfKeylessEvidence(t *testing.T) {
	s := newSigstore(t, "public")
	subject := parsed(t, digestA)
	statement := fmt.Appendf(nil, `{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"app","digest":{"sha256":"%s"}}],"predicateType":"https://in-toto.io/attestation/test-result/v0.1","predicate":{"result":"PASSED"}}`,
		strings.TrimPrefix(digestA, "sha256:"))
	bundle, err := s.Attest(sigstore.Identity{
		URI: "https://git.example/team/app/.ci/release.yml@refs/heads/main", Issuer: "https://token.ci.example", Claims: map[int]string{11: "hosted"},
	}, statement, sigstore.Evidence{V1: true})
	if err != nil {
		t.Fatal(err)
	}
	key, err := evidence.ParseKey("public", string(evidence.TrustedRoot), string(s.TrustedRoot()))
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2027, 3, 2, 9, 0, 0, 0, time.UTC)
	result, err := evidence.Verify(evidence.Request{Subject: subject, Format: evidence.FormatBundle, Envelope: bundle, Now: at}, &key)
	if err != nil {
		t.Fatal(err)
	}
	piece := func() state.Evidence {
		e := state.Evidence{
			Digest: subject, Type: result.Type, Format: string(evidence.FormatBundle), Facts: result.Facts, Document: result.Document, MadeAt: result.MadeAt, RootVersion: 1, Act: state.Act{At: at},
			Signer: policy.Signer{Kind: policy.SignedByCertificate, Key: "public", Identity: result.Identity, Issuer: result.Issuer}, Claims: map[string]string{},
		}
		for name, text := range result.Claims {
			e.Claims[name] = text
		}
		for _, u := range result.Uses {
			e.Uses = append(e.Uses, state.Use{ID: u.ID, At: u.At})
		}
		return e
	}
	r := replay{root: func(string, string, int) (*evidence.Key, error) { return &key, nil }}
	for name, c := range map[string]struct {
		change func(*state.Evidence)
		want   replayOutcome
	}{
		"as recorded":          {func(*state.Evidence) {}, replayReproduced},
		"another claim":        {func(e *state.Evidence) { e.Claims["runnerEnvironment"] = "own" }, replayDiffers},
		"a claim more":         {func(e *state.Evidence) { e.Claims["buildTrigger"] = "push" }, replayDiffers},
		"no claims":            {func(e *state.Evidence) { e.Claims = nil }, replayDiffers},
		"another authority":    {func(e *state.Evidence) { e.Uses[0].ID = strings.Repeat("ab", 32) }, replayDiffers},
		"an authority less":    {func(e *state.Evidence) { e.Uses = e.Uses[1:] }, replayDiffers},
		"another time":         {func(e *state.Evidence) { e.Uses[0].At = e.Uses[0].At.Add(time.Second) }, replayDiffers},
		"another date of it":   {func(e *state.Evidence) { e.MadeAt = at }, replayDiffers},
		"another identity":     {func(e *state.Evidence) { e.Signer.Identity += "x" }, replayDiffers},
		"of no root's version": {func(e *state.Evidence) { e.Signer.Key = "" }, replayDiffers},
	} {
		e := piece()
		c.change(&e)
		if got, why := r.judge(e, bundle); got != c.want {
			t.Errorf("%s: %s %s", name, got, why)
		}
	}
}
