package contract

import (
	"regexp"

	"github.com/hyperledger/fabric-contract-api-go/v2/contractapi"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/chaincode/strictjson"
)

// ContextContract keeps what organisations publish for conditions.
type ContextContract struct{ contractapi.Contract }

// ContextEntry is one organisation's variables.
type ContextEntry struct {
	MSP    string                  `json:"msp"`
	Values map[string]policy.Value `json:"values"`
}

const maxValue = 256 // bytes of a context variable's JSON, or of a label

// variableName is what conditions can say after "context.".
var variableName = regexp.MustCompile(`^[a-z][A-Za-z0-9_]{0,62}$`)

// Set publishes a variable of the caller's organisation: a boolean, an integer
// or a text, as JSON. "null" removes it. The same value again is success
// without a write: since when it holds does not move.
func (ContextContract) Set(tx *Tx, name, value string) (string, error) {
	if !variableName.MatchString(name) {
		return "", provenance.Errorf(provenance.Invalid, "context variable %q: want a lower-case letter, then letters, digits and '_'", clip(name))
	}
	v, err := strictjson.Decode([]byte(value), strictjson.Limits{Bytes: maxValue})
	if err != nil {
		return "", err
	}
	switch v := v.(type) {
	case nil, bool, int64:
	case string:
		if err := provenance.CheckText("context variable "+name, v, maxValue); err != nil {
			return "", err
		}
	default:
		return "", provenance.Errorf(provenance.Invalid, "context variable %s: want a JSON boolean, integer or string", name)
	}
	key := state.ContextKey(tx.caller.MSP)
	var c state.Context
	if _, err := state.Read(tx, key, &c); err != nil {
		return "", err
	}
	old, set := c.Values[name]
	if (v == nil && !set) || (set && old.Value == v) {
		return answer(ContextEntry{MSP: tx.caller.MSP, Values: values(c)}, nil)
	}
	if !set && len(c.Values) >= state.MaxContext {
		return "", provenance.Errorf(provenance.Conflict, "%s publishes %d variables already", tx.caller.MSP, state.MaxContext)
	}
	c.Values, c.Act = values(c), tx.act()
	if v == nil {
		delete(c.Values, name)
	} else {
		c.Values[name] = c.Values[name].Next(v, tx.now)
	}
	return answer(ContextEntry{MSP: tx.caller.MSP, Values: c.Values}, tx.put(key, c))
}

func values(c state.Context) map[string]policy.Value {
	if c.Values == nil {
		return map[string]policy.Value{}
	}
	return c.Values
}

// List returns the variables of every organisation that published any.
func (ContextContract) List(tx *Tx) (string, error) {
	entries, err := tx.scanAll(state.TypeContext)
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
		list[i] = ContextEntry{MSP: attributes[0], Values: values(c)}
	}
	return answer(list, nil)
}
