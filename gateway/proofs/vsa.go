package proofs

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/proof"
)

// VSAType is the type of the predicate of a verification summary (SLSA 1.2).
const VSAType = "https://slsa.dev/verification_summary/v1"

// resource is an in-toto ResourceDescriptor.
type resource struct {
	Name   string            `json:"name,omitempty"`
	URI    string            `json:"uri,omitempty"`
	Digest map[string]string `json:"digest,omitempty"`
}

// summary is the predicate of a verification summary.
type summary struct {
	Verifier           verifier   `json:"verifier"`
	TimeVerified       string     `json:"timeVerified"`
	ResourceURI        string     `json:"resourceUri"`
	Policy             resource   `json:"policy"`
	InputAttestations  []resource `json:"inputAttestations"`
	VerificationResult string     `json:"verificationResult"`
	VerifiedLevels     []string   `json:"verifiedLevels"`
	SLSAVersion        string     `json:"slsaVersion"`
}

type verifier struct {
	ID string `json:"id"`
}

// VerifierID names a channel, by its name and the hash of its first block, as the verifier of a summary.
func VerifierID(channel string, genesis []byte) string {
	return "waybill:channel/" + channel + "/" + hex.EncodeToString(genesis)
}

// VSA returns the verification summary (an in-toto statement) of a receipt, whose file
// was verified with that report. It passes an image that is allowed, and fails every
// other; the receipt's file is what it rests on, by its hash.
func VSA(report proof.Report, file []byte, verifierID string) ([]byte, error) {
	v := report.Verdict
	if report.Result != proof.Valid || v == nil {
		return nil, provenance.Errorf(provenance.Invalid, "a summary is made of a receipt that holds, and this is %s", report.Result)
	}
	ref, err := provenance.ParseReference(v.Image)
	if err != nil {
		return nil, err
	}
	algorithm, hash, _ := strings.Cut(ref.Digest.String(), ":")
	s := summary{
		Verifier: verifier{verifierID}, TimeVerified: v.AsOf.UTC().Format(time.RFC3339), ResourceURI: "oci://" + v.Image,
		Policy:             resource{URI: "waybill:policy/none"},
		VerificationResult: "FAILED", VerifiedLevels: []string{"FAILED"}, SLSAVersion: "1.2",
	}
	if v.Verdict == string(policy.Allowed) {
		s.VerificationResult, s.VerifiedLevels = "PASSED", []string{"WAYBILL_STAGE_" + v.Stage}
	}
	if p := v.Policy; p != nil {
		s.Policy = resource{URI: fmt.Sprintf("waybill:policy/%s@%d", p.Name, p.Version)}
		if p.Hash != "" {
			s.Policy.Digest = map[string]string{"sha256": p.Hash}
		}
	}
	sum := sha256.Sum256(file)
	s.InputAttestations = []resource{{URI: "waybill:receipt/" + hex.EncodeToString(sum[:]), Digest: map[string]string{"sha256": hex.EncodeToString(sum[:])}}}
	return json.Marshal(map[string]any{
		"_type": "https://in-toto.io/Statement/v1", "predicateType": VSAType, "predicate": s,
		"subject": []resource{{Name: fmt.Sprintf("%s/%s", ref.Host, ref.Repository), Digest: map[string]string{algorithm: hash}}},
	})
}
