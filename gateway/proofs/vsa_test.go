package proofs

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/proof"
)

func report(verdict string) proof.Report {
	return proof.Report{Result: proof.Valid, Channel: "waybill", Verdict: &proof.Verdict{
		Image: "reg.example:5000/team/app@sha256:" + strings.Repeat("ab", 32), Stage: "production", Verdict: verdict, AsOf: time.Unix(60, 5).UTC(),
		Policy: &proof.Policy{Name: "team", Version: 3, Hash: strings.Repeat("cd", 32)},
	}}
}

func TestVSA(t *testing.T) {
	got, err := VSA(report("allowed"), []byte("file"), VerifierID("waybill", []byte{1, 2}))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"_type":"https://in-toto.io/Statement/v1","predicateType":"https://slsa.dev/verification_summary/v1",
	"subject":[{"name":"reg.example:5000/team/app","digest":{"sha256":"` + strings.Repeat("ab", 32) + `"}}],
	"predicate":{"verifier":{"id":"waybill:channel/waybill/0102"},"timeVerified":"1970-01-01T00:01:00Z",
	"resourceUri":"oci://reg.example:5000/team/app@sha256:` + strings.Repeat("ab", 32) + `",
	"policy":{"uri":"waybill:policy/team@3","digest":{"sha256":"` + strings.Repeat("cd", 32) + `"}},
	"inputAttestations":[{"uri":"waybill:receipt/3b9c358f36f0a31b6ad3e14f309c7cf198ac9246e8316f9ce543d5b19ac02b80",
	"digest":{"sha256":"3b9c358f36f0a31b6ad3e14f309c7cf198ac9246e8316f9ce543d5b19ac02b80"}}],
	"verificationResult":"PASSED","verifiedLevels":["WAYBILL_STAGE_production"],"slsaVersion":"1.2"}}`
	if diff := cmp.Diff(parsed(t, want), parsed(t, string(got))); diff != "" {
		t.Error(diff)
	}
}

func parsed(t *testing.T, s string) (v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(s), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// Whatever is not allowed has failed.
func TestVSAFails(t *testing.T) {
	for _, verdict := range []string{"denied", "pending", "quarantined", "unknown", ""} {
		r := report(verdict)
		r.Verdict.Policy = nil
		got, err := VSA(r, []byte("file"), "id")
		if err != nil || !strings.Contains(string(got), `"verificationResult":"FAILED","verifiedLevels":["FAILED"]`) || !strings.Contains(string(got), "waybill:policy/none") {
			t.Errorf("%s: %s, %v", verdict, got, err)
		}
	}
}

// No summary is made of a receipt that does not hold, or of what is none.
func TestVSARefuses(t *testing.T) {
	broken, none, other := report("allowed"), report("allowed"), report("allowed")
	broken.Result, none.Verdict, other.Verdict.Image = proof.Invalid, nil, "no image"
	for _, r := range []proof.Report{broken, none, other} {
		if got, err := VSA(r, nil, "id"); provenance.CodeOf(err) != provenance.Invalid {
			t.Errorf("%s, %v", got, err)
		}
	}
}
