package contract

import (
	"github.com/hyperledger/fabric-contract-api-go/v2/contractapi"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
)

// ContextContract keeps what organisations publish for conditions.
type ContextContract struct{ contractapi.Contract }

// ContextEntry is one organisation's variables.
type ContextEntry struct {
	MSP    string                  `json:"msp"`
	Values map[string]policy.Value `json:"values"`
}

// List returns the variables of every organisation that published any.
func (ContextContract) List(tx *Tx) (string, error) {
	entries, err := tx.Scan(maxScan, state.TypeContext)
	if err != nil {
		return "", err
	}
	list := make([]ContextEntry, len(entries))
	for i, e := range entries {
		_, attributes, ok := state.SplitKey(e.Key)
		if !ok || len(attributes) != 1 {
			return "", provenance.Errorf(provenance.Internal, "key %q is no context", e.Key)
		}
		var c state.Context
		if err := state.Decode(e.Value, &c); err != nil {
			return "", err
		}
		list[i] = ContextEntry{MSP: attributes[0], Values: c.Values}
	}
	return answer(list, nil)
}
