package contract

import (
	"github.com/hyperledger/fabric-contract-api-go/v2/contractapi"

	"github.com/waybill-dev/waybill/chaincode/state"
)

// ProposalContract carries changes that organisations vote on.
type ProposalContract struct{ contractapi.Contract }

// List returns the proposals, open ones first.
func (ProposalContract) List(tx *Tx) (string, error) {
	list := []state.Proposal{}
	err := scanInto(tx, &list, state.TypeProposal)
	return answer(list, err)
}
