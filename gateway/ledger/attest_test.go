package ledger

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/gateway"
	"github.com/hyperledger/fabric-protos-go-apiv2/ledger/rwset/kvrwset"
	"github.com/hyperledger/fabric-protos-go-apiv2/msp"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// four are a channel's organisations; VendorMSP is the client's own.
func four() []string { return []string{"AuditMSP", "PlatformMSP", "SecurityMSP", "VendorMSP"} }

func attestOf(t *testing.T, need int, answers func(org string, time int) (string, error)) (Attestation, *fakePeer, error) {
	t.Helper()
	return attestUnless(t, "", need, answers)
}

// attestUnless does not accept what an organisation signed.
func attestUnless(t *testing.T, bad string, need int, answers func(org string, time int) (string, error)) (Attestation, *fakePeer, error) {
	t.Helper()
	p := &fakePeer{attests: answers, endorses: testTx{alone: true, reads: []*kvrwset.KVRead{
		{Key: "a", Version: &kvrwset.Version{BlockNum: 7}}, {Key: "b"}, {Key: "c", Version: &kvrwset.Version{BlockNum: 9}},
	}}}
	a, err := dialFake(t, p).Attest(t.Context(), Question{Fn: "verdict:Ask", Args: []string{"x"}}, four(), need, func(_ context.Context, a Attestation) error {
		if string(a.Result) == "unknown here" {
			return provenance.Errorf(provenance.Unavailable, "behind")
		}
		for _, e := range endorsersIn(t, a.Payload) {
			if strings.HasPrefix(e, bad) && bad != "" {
				return provenance.Errorf(provenance.Internal, "a bad signature")
			}
		}
		return nil
	})
	return a, p, err
}

func down() error { return status.Error(codes.Unavailable, "connection refused") }

func TestAttestGathersSignatures(t *testing.T) {
	a, p, err := attestOf(t, 3, func(string, int) (string, error) { return "allowed", nil })
	if err != nil {
		t.Fatal(err)
	}
	// The own organisation's peer first, and nobody more than needed.
	if diff := cmp.Diff([]string{"AuditMSP", "PlatformMSP", "VendorMSP"}, a.Orgs); diff != "" || len(p.asked) != 3 {
		t.Errorf("asked %v: %s", p.asked, diff)
	}
	if string(a.Result) != "allowed" || a.Newest != 9 || len(p.submitted) != 0 {
		t.Errorf("%+v, sent %d", a, len(p.submitted))
	}
	if diff := cmp.Diff([]string{"AuditMSP", "PlatformMSP", "VendorMSP"}, endorsersIn(t, a.Payload)); diff != "" {
		t.Error(diff)
	}
	for _, other := range p.proposed[1:] {
		if !proto.Equal(&peer.SignedProposal{ProposalBytes: p.proposed[0].GetProposalBytes()}, &peer.SignedProposal{ProposalBytes: other.GetProposalBytes()}) {
			t.Error("they were asked different questions")
		}
	}
}

func endorsersIn(t *testing.T, raw []byte) (names []string) {
	t.Helper()
	var payload common.Payload
	var tx peer.Transaction
	var action peer.ChaincodeActionPayload
	if err := errors.Join(proto.Unmarshal(raw, &payload), proto.Unmarshal(payload.GetData(), &tx), proto.Unmarshal(tx.GetActions()[0].GetPayload(), &action)); err != nil {
		t.Fatal(err)
	}
	for _, e := range action.GetAction().GetEndorsements() {
		var who msp.SerializedIdentity
		if err := proto.Unmarshal(e.GetEndorser(), &who); err != nil {
			t.Fatal(err)
		}
		names = append(names, who.GetMspid())
	}
	return names
}

// One that is down, lies or refuses keeps nobody's receipt from being made.
func TestAttestPassesOver(t *testing.T) {
	refused := withDetails(t, codes.Aborted, "failed to collect enough transaction endorsements, see attached details for more info",
		&gateway.ErrorDetail{MspId: "AuditMSP", Message: "chaincode response 500, WB_NOT_FOUND: nothing"})
	for name, answer := range map[string]func() (string, error){
		"down":    func() (string, error) { return "", down() },
		"lies":    func() (string, error) { return "denied", nil },
		"refuses": func() (string, error) { return "", refused },
		"repeats": func() (string, error) { return "allowed of another", nil },
	} {
		for _, bad := range four()[:3] { // VendorMSP's own is no other's
			a, p, err := attestOf(t, 3, func(org string, _ int) (string, error) {
				if org == bad {
					return answer()
				}
				return "allowed", nil
			})
			if err != nil || len(a.Orgs) != 3 || slices.Contains(a.Orgs, bad) || string(a.Result) != "allowed" || len(p.asked) > 4 {
				t.Errorf("%s %s: %v %v, asked %v", bad, name, a.Orgs, err, p.asked)
			}
		}
	}
}

// Whoever signs the same as the others, and signs it badly, is passed over as well.
func TestAttestPassesOverBadSignatures(t *testing.T) {
	for _, bad := range four() {
		a, p, err := attestUnless(t, bad, 3, func(string, int) (string, error) { return "allowed", nil })
		if err != nil || len(a.Orgs) != 3 || slices.Contains(a.Orgs, bad) || len(p.asked) > 4 {
			t.Errorf("%s: %v %v, asked %v", bad, a.Orgs, err, p.asked)
		}
	}
	_, _, err := attestUnless(t, "AuditMSP", 4, func(string, int) (string, error) { return "allowed", nil })
	if provenance.CodeOf(err) != provenance.Unavailable || !strings.Contains(err.Error(), "AuditMSP: ") || !strings.Contains(err.Error(), "does not hold") {
		t.Errorf("all are needed: %v", err)
	}
	// That the own peer is behind is nobody's bad signature.
	_, p, err := attestOf(t, 3, func(string, int) (string, error) { return "unknown here", nil })
	if provenance.CodeOf(err) != provenance.Unavailable || len(p.asked) != 3 {
		t.Errorf("%v, asked %v", err, p.asked)
	}
}

func TestAttestPassesOverTheSlow(t *testing.T) {
	t.Parallel()
	over := make(chan struct{})
	defer close(over)
	began := time.Now()
	a, _, err := attestOf(t, 3, func(org string, _ int) (string, error) {
		if org == "AuditMSP" {
			<-over
		}
		return "allowed", nil
	})
	if took := time.Since(began); err != nil || took < hedge || took > 3*hedge || slices.Contains(a.Orgs, "AuditMSP") {
		t.Errorf("after %s: %v, %v", took, a.Orgs, err)
	}
}

// Peers at different heights differ for a moment, and are asked again.
func TestAttestAsksAgain(t *testing.T) {
	a, p, err := attestOf(t, 3, func(org string, time int) (string, error) {
		if time == 1 && (org == "AuditMSP" || org == "VendorMSP") {
			return "pending", nil
		}
		return "allowed", nil
	})
	if err != nil || string(a.Result) != "allowed" || len(a.Orgs) != 3 {
		t.Errorf("%+v, %v", a, err)
	}
	if again := string(p.proposed[0].GetProposalBytes()) == string(p.proposed[len(p.proposed)-1].GetProposalBytes()); again {
		t.Error("the second question has the time of the first")
	}
}

func TestAttestSaysWhoDisagrees(t *testing.T) {
	_, p, err := attestOf(t, 3, func(org string, _ int) (string, error) {
		switch org {
		case "AuditMSP":
			return "", down()
		case "SecurityMSP":
			return "denied", nil
		}
		return "allowed", nil
	})
	if provenance.CodeOf(err) != provenance.Unavailable || !errors.Is(err, errDisagree) || p.times["SecurityMSP"] != attestRuns {
		t.Fatalf("%v after %d runs", err, p.times["SecurityMSP"])
	}
	for _, want := range []string{"PlatformMSP, VendorMSP agree", "SecurityMSP agree", "AuditMSP: ", "connection refused"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in %v", want, err)
		}
	}
}

func TestAttestErrors(t *testing.T) {
	refused := withDetails(t, codes.Aborted, "failed to collect enough transaction endorsements, see attached details for more info",
		&gateway.ErrorDetail{MspId: "AuditMSP", Message: "chaincode response 500, WB_INVALID: stage: want a name"})
	for name, x := range map[string]struct {
		need   int
		answer func(org string, time int) (string, error)
		code   provenance.Code
		runs   int
	}{
		"the contract refuses": {3, func(string, int) (string, error) { return "", refused }, provenance.Invalid, 1},
		"all are down":         {3, func(string, int) (string, error) { return "", down() }, provenance.Unavailable, 1},
		"two are down": {3, func(org string, _ int) (string, error) {
			if org < "S" {
				return "", down()
			}
			return "allowed", nil
		}, provenance.Unavailable, 1},
		"nobody":        {0, nil, provenance.Invalid, 0},
		"more than all": {5, nil, provenance.Invalid, 0},
	} {
		_, p, err := attestOf(t, x.need, x.answer)
		if provenance.CodeOf(err) != x.code || p.times["AuditMSP"] != x.runs {
			t.Errorf("%s: %v after %d runs", name, err, p.times["AuditMSP"])
		}
	}
}
