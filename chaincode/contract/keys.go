package contract

import (
	"github.com/hyperledger/fabric-contract-api-go/v2/contractapi"

	"github.com/waybill-dev/waybill/chaincode/state"
)

// KeyContract keeps the trust material that organisations answer for.
type KeyContract struct{ contractapi.Contract }

// List returns every key, withdrawn ones too.
func (KeyContract) List(tx *Tx) (string, error) {
	list := []state.TrustKey{}
	err := scanInto(tx, &list, state.TypeKey)
	return answer(list, err)
}
