package contract

import (
	"encoding/json"
	"strings"
	"testing"

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
	l.do("admin@SecurityMSP", "proposal:Vote", id, "yes", "")

	// As if the two texts had one id: the stored proposal is found under that of the other.
	p, err := parseChange(state.ProposePolicy, []byte(forgedPolicy("1")))
	if err != nil {
		t.Fatal(err)
	}
	other := proposalIDs(p, 0)[0]
	if other == id {
		t.Fatal("two texts have one id")
	}
	stored := read[state.Proposal](l, state.ProposalKey(id))
	stored.ID = other
	l.state[state.ProposalKey(other)], _ = state.Encode(stored)
	for _, msp := range []string{"VendorMSP", "SecurityMSP"} {
		ballot := read[state.Ballot](l, state.BallotKey(id, msp))
		ballot.Proposal = other
		l.state[state.BallotKey(other, msp)], _ = state.Encode(ballot)
	}
	l.refused(provenance.Conflict, "admin@PlatformMSP", "proposal:Open", "policy", forgedPolicy("1"))
	l.refused(provenance.Internal, "admin@PlatformMSP", "proposal:Vote", other, "yes", "")
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
