package ledger

import (
	"testing"

	"github.com/hyperledger/fabric-protos-go-apiv2/gateway"
	"github.com/hyperledger/fabric-protos-go-apiv2/ledger/rwset/kvrwset"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/grpc/codes"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// What lost a race is told so at once, and what writes nothing is not sent.
func TestSubmitOnce(t *testing.T) {
	writes := testTx{writes: []*kvrwset.KVWrite{{Key: "k"}}}
	differ := withDetails(t, codes.Aborted, "failed to collect enough transaction endorsements, see attached details for more info",
		&gateway.ErrorDetail{MspId: "AuditMSP", Address: "peer:7051", Message: "ProposalResponsePayloads do not match"})
	refused := withDetails(t, codes.Aborted, "failed to endorse transaction", &gateway.ErrorDetail{Message: "chaincode response 500, WB_INVALID: no batch"})
	for name, x := range map[string]struct {
		peer *fakePeer
		code provenance.Code
		sent int
	}{
		"valid":         {&fakePeer{endorses: writes}, "", 1},
		"nothing":       {&fakePeer{endorses: testTx{alone: true}}, "", 0},
		"overtaken":     {&fakePeer{endorses: writes, fates: []peer.TxValidationCode{peer.TxValidationCode_MVCC_READ_CONFLICT}}, provenance.Conflict, 1},
		"guarded since": {&fakePeer{endorses: writes, fates: []peer.TxValidationCode{peer.TxValidationCode_ENDORSEMENT_POLICY_FAILURE}}, provenance.Conflict, 1},
		"bad":           {&fakePeer{endorses: writes, fates: []peer.TxValidationCode{peer.TxValidationCode_BAD_RWSET}}, provenance.Internal, 1},
		"peers differ":  {&fakePeer{endorseErr: differ}, provenance.Conflict, 0},
		"refused":       {&fakePeer{endorseErr: refused}, provenance.Invalid, 0},
	} {
		p := x.peer
		result, err := dialFake(t, p).SubmitOnce(t.Context(), map[string][]byte{"pieces": {1}}, "evidence:SubmitBatch")
		if provenance.CodeOf(err) != x.code || len(p.submitted) != x.sent || p.endorsements != 1 || err == nil && string(result.Payload) != "answer" {
			t.Errorf("%s: %+v, %v; %d runs, sent %d times", name, result, err, p.endorsements, len(p.submitted))
		}
	}
}
