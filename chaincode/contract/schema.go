package contract

import (
	"bytes"
	"encoding/json"

	"github.com/hyperledger/fabric-contract-api-go/v2/contractapi"

	"github.com/waybill-dev/waybill/chaincode/evidence"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
)

// SchemaContract keeps the schemas of custom evidence types.
type SchemaContract struct{ contractapi.Contract }

// Add registers the schema of evidence type custom/NAME for the caller's
// organisation. It stands for ever: evidence was checked against it. The same
// again is success without a write, another text or owner a Conflict.
func (SchemaContract) Add(tx *Tx, name, schema string) (string, error) {
	if err := evidence.CheckType(evidence.CustomPrefix + name); err != nil {
		return "", err
	}
	if err := evidence.CheckSchema(json.RawMessage(schema)); err != nil {
		return "", err
	}
	var text bytes.Buffer
	if err := json.Compact(&text, []byte(schema)); err != nil {
		return "", provenance.Errorf(provenance.Invalid, "schema %q: %v", name, err)
	}
	s := state.Schema{Name: name, MSP: tx.caller.MSP, Schema: text.Bytes(), Act: tx.act()}
	key := state.SchemaKey(name)
	var old state.Schema
	found, err := state.Read(tx, key, &old)
	switch {
	case err != nil:
		return "", err
	case found && old.MSP == s.MSP && bytes.Equal(old.Schema, s.Schema):
		return answer(old, nil)
	case found:
		return "", provenance.Errorf(provenance.Conflict, "the schema of custom/%s was registered by %s and does not change", name, old.By)
	}
	return answer(s, tx.put(key, s))
}

// List returns every schema.
func (SchemaContract) List(tx *Tx) (string, error) {
	list := []state.Schema{}
	err := scanInto(tx, &list, state.TypeSchema)
	return answer(list, err)
}
