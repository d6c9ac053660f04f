package contract

import (
	"bytes"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
)

// forgedPolicy is a valid policy of the name that network uses, with min approvals.
func forgedPolicy(min string) string {
	return `{"apiVersion":"waybill.dev/v1","kind":"ReleasePolicy","metadata":{"name":"forged"},"spec":{"match":["reg.example:5000/forged/**"],"stages":[{"name":"staging","approvals":{"min":` + min + `}}]}}`
}

// TestVotesForOneTextAreNoneForAnother: what comes into force is the text that
// was voted on. Under ids of 64 bits two texts with one id were found in minutes,
// and the last caller's came into force on the votes that the first was given.
func TestVotesForOneTextAreNoneForAnother(t *testing.T) {
	l := network(t)
	var view ProposalView
	if err := json.Unmarshal([]byte(l.do("admin@VendorMSP", "proposal:Open", "policy", forgedPolicy("3"))), &view); err != nil {
		t.Fatal(err)
	}
	id := view.Proposal.ID
	if len(id) != 64 {
		t.Errorf("a proposal is named by %q, not by a whole hash", id)
	}
	loose := sha256.Sum256([]byte(forgedPolicy("1")))
	for _, seen := range []string{hex.EncodeToString(loose[:]), "", l.hash(id)[:63]} {
		l.refused(provenance.Stale, "admin@SecurityMSP", "proposal:Vote", id, seen, "yes", "")
	}
	l.do("admin@SecurityMSP", "proposal:Vote", id, l.hash(id), "yes", "")

	// As if the two texts had one id: the stored proposal is found under that of the other.
	p, err := parseChange(state.ProposePolicy, []byte(forgedPolicy("1")))
	if err != nil {
		t.Fatal(err)
	}
	other := state.ProposalID(p.hash(0), 1)
	if other == id {
		t.Fatal("two texts have one id")
	}
	stored := read[state.Proposal](l, state.ProposalKey(id))
	l.state[state.ProposalTextKey(other)] = l.state[state.ProposalTextKey(id)]
	stored.ID = other
	l.state[state.ProposedKey(p.hash(0))], _ = state.Encode(state.Proposed{Round: 1, Latest: other})
	l.state[state.ProposalKey(other)], _ = state.Encode(stored)
	for _, msp := range []string{"VendorMSP", "SecurityMSP"} {
		ballot := read[state.Ballot](l, state.BallotKey(id, msp))
		ballot.Proposal = other
		l.state[state.BallotKey(other, msp)], _ = state.Encode(ballot)
	}
	l.refused(provenance.Conflict, "admin@PlatformMSP", "proposal:Open", "policy", forgedPolicy("1"))
	l.refused(provenance.Internal, "admin@PlatformMSP", "proposal:Vote", other, l.hash(other), "yes", "")
	if strings.Contains(l.do("admin@PlatformMSP", "policy:List"), "forged") {
		t.Error("a policy that nobody voted for is in force")
	}
}

// TestNothingRunsOutsideTheTable: the contract API's own contract asks nobody
// who calls.
func TestNothingRunsOutsideTheTable(t *testing.T) {
	l := network(t)
	for _, name := range []string{"org.hyperledger.fabric:GetMetadata", "GetMetadata", "member:GetName", "record:segment", ""} {
		l.refused(provenance.Forbidden, "stranger@ElsewhereMSP", name)
	}
}

// TestSignersDoNotRunTogether: whoever chooses an identity cannot make it look
// like another signer.
func TestSignersDoNotRunTogether(t *testing.T) {
	a := policy.Signer{Kind: policy.SignedByCertificate, MSP: "VendorMSP", Key: "root", Issuer: "https://a", Identity: "b|c"}
	b := policy.Signer{Kind: policy.SignedByCertificate, MSP: "VendorMSP", Key: "root", Issuer: "https://a|b", Identity: "c"}
	if state.SignerID(a) == state.SignerID(b) {
		t.Errorf("%+v and %+v are one signer", a, b)
	}
}

// TestAnOldSignatureIsNoNewWord: whoever may hand in evidence brings an old clean
// scan, which names no time, in another envelope (another space, the signature's
// mirror, another signature beside it, another format) after a newer one that
// failed. It is the word that was recorded before, not a newer one.
func TestAnOldSignatureIsNoNewWord(t *testing.T) {
	l := network(t)
	l.govern(signedRule)
	l.pushed("v1")
	key := l.key("SecurityMSP", "scan", "")
	clean := signed(t, stated("v1", "vuln-scan", scanned(0), ""), key)
	bring := func(envelope []byte, format string) Submitted {
		t.Helper()
		l.now = l.now.Add(time.Minute)
		return l.brings(brought{"gateway@VendorMSP", "v1", "", format, "SecurityMSP", "scan", envelope})
	}
	first := bring(clean, "dsse")
	l.do("publisher@VendorMSP", about("promotion:Request", "v1", "staging")...)
	bring(signed(t, stated("v1", "vuln-scan", scanned(3), ""), key), "dsse")
	expect(t, "the newer scan fails", l.ask("v1", "staging"), policy.Denied, "evidence/scan", policy.Violated)

	var envelope struct {
		PayloadType string              `json:"payloadType"`
		Payload     string              `json:"payload"`
		Signatures  []map[string]string `json:"signatures"`
	}
	if err := json.Unmarshal(clean, &envelope); err != nil {
		t.Fatal(err)
	}
	sig, err := base64.StdEncoding.DecodeString(envelope.Signatures[0]["sig"])
	if err != nil {
		t.Fatal(err)
	}
	var rs struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(sig, &rs); err != nil {
		t.Fatal(err)
	}
	rs.S.Sub(elliptic.P256().Params().N, rs.S)
	mirror, err := asn1.Marshal(rs)
	if err != nil {
		t.Fatal(err)
	}
	again := func(change func()) []byte {
		t.Helper()
		kept := envelope.Signatures
		change()
		b, err := json.Marshal(envelope)
		envelope.Signatures = kept
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	mirrored := again(func() { envelope.Signatures = []map[string]string{{"sig": base64.StdEncoding.EncodeToString(mirror)}} })
	for name, replayed := range map[string][]byte{
		"spaced":   append(bytes.Clone(clean), ' '),
		"mirrored": mirrored,
		"beside": again(func() {
			envelope.Signatures = append([]map[string]string{{"sig": "AAAA"}}, envelope.Signatures...)
		}),
	} {
		if s := bring(replayed, "dsse"); !s.Known || s.Counts || s.ID != first.ID {
			t.Errorf("%s: %+v", name, s)
		}
	}
	bundle := fmt.Appendf(nil, `{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":{"publicKey":{"hint":""}},"dsseEnvelope":%s}`, clean)
	if s := bring(bundle, "bundle"); !s.Known || s.Counts {
		t.Errorf("as a bundle: %+v", s)
	}
	expect(t, "after all that", l.ask("v1", "staging"), policy.Denied, "evidence/scan", policy.Violated)
	// Signed anew it is a new word.
	if s := bring(signed(t, stated("v1", "vuln-scan", scanned(0), ""), key), "dsse"); s.Known || !s.Counts {
		t.Errorf("signed anew: %+v", s)
	}
	expect(t, "scanned again", l.ask("v1", "staging"), policy.Pending, "evidence/scan", policy.Satisfied)
}
