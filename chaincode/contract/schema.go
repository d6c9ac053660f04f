package contract

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/hyperledger/fabric-contract-api-go/v2/contractapi"

	"github.com/waybill-dev/waybill/chaincode/evidence"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/chaincode/strictjson"
)

// SchemaContract keeps the schemas of custom evidence types.
type SchemaContract struct{ contractapi.Contract }

// Add registers the schema of evidence type custom/MSP/NAME, MSP being the
// caller's organisation: nobody takes a name away from another. It stands for
// ever: evidence was checked against it. The same again is success without a
// write, another text a Conflict.
func (SchemaContract) Add(tx *Tx, name, schema string) (string, error) {
	if err := evidence.CheckType(evidence.CustomPrefix + name); err != nil {
		return "", err
	}
	if err := evidence.CheckSchema(json.RawMessage(schema)); err != nil {
		return "", err
	}
	tree, err := strictjson.Decode([]byte(schema), strictjson.Limits{})
	if err != nil {
		return "", err
	}
	if err := checkTexts("schema "+name, tree); err != nil {
		return "", err
	}
	var text bytes.Buffer
	if err := json.Compact(&text, []byte(schema)); err != nil {
		return "", provenance.Errorf(provenance.Invalid, "schema %q: %v", name, err)
	}
	s := state.Schema{Name: name, MSP: tx.caller.MSP, Schema: text.Bytes(), Act: tx.act()}
	key := state.SchemaKey(tx.caller.MSP, name)
	var old state.Schema
	found, err := state.Read(tx, key, &old)
	switch {
	case err != nil:
		return "", err
	case found && old.MSP == s.MSP && bytes.Equal(old.Schema, s.Schema):
		return answer(old, nil)
	case found:
		return "", provenance.Errorf(provenance.Conflict, "the schema of custom/%s/%s was registered by %s and does not change", old.MSP, name, old.By)
	}
	return answer(s, tx.put(key, s))
}

// checkTexts refuses a document in which some text is none.
func checkTexts(what string, v any) error {
	switch v := v.(type) {
	case string:
		return provenance.CheckText(what, strings.ReplaceAll(v, "\n", " "), len(v))
	case []any:
		for _, e := range v {
			if err := checkTexts(what, e); err != nil {
				return err
			}
		}
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) { // which text is named must not depend on the peer
			if err := checkTexts(what, name); err != nil {
				return err
			}
			if err := checkTexts(what, v[name]); err != nil {
				return err
			}
		}
	}
	return nil
}

// List returns every schema.
func (SchemaContract) List(tx *Tx) (string, error) {
	list := []state.Schema{}
	err := scanInto(tx, &list, state.TypeSchema)
	return answer(list, err)
}
