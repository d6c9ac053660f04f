package contract

import (
	"github.com/hyperledger/fabric-contract-api-go/v2/contractapi"

	"github.com/waybill-dev/waybill/chaincode/state"
)

// WaiverContract keeps exceptions to single rules.
type WaiverContract struct{ contractapi.Contract }

// List returns the waivers of a repository, those that wait for approvals too.
func (WaiverContract) List(tx *Tx, host, repository string) (string, error) {
	h, repo, err := parseRepository(host, repository)
	if err != nil {
		return "", err
	}
	var w state.Waivers
	_, err = state.Read(tx, state.WaiversKey(h, repo), &w)
	return answer(append([]state.Waiver{}, w.Waivers...), err)
}
