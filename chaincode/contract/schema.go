package contract

import (
	"github.com/hyperledger/fabric-contract-api-go/v2/contractapi"

	"github.com/waybill-dev/waybill/chaincode/state"
)

// SchemaContract keeps the schemas of custom evidence types.
type SchemaContract struct{ contractapi.Contract }

// List returns every schema.
func (SchemaContract) List(tx *Tx) (string, error) {
	list := []state.Schema{}
	err := scanInto(tx, &list, state.TypeSchema)
	return answer(list, err)
}
