package policy

import (
	"bytes"
	"encoding/json"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// UnmarshalJSON reads a value as the contract wrote it. Its integer becomes an
// int64, as conditions expect it; encoding/json alone would make it a float.
func (v *Value) UnmarshalJSON(b []byte) error {
	var record struct {
		Value any       `json:"value"`
		At    time.Time `json:"at"`
		Past  []Value   `json:"past"`
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	if err := dec.Decode(&record); err != nil {
		return err
	}
	if n, ok := record.Value.(json.Number); ok {
		i, err := n.Int64()
		if err != nil {
			return provenance.Errorf(provenance.Invalid, "context value %.40q: want an integer of 64 bits", n.String())
		}
		record.Value = i
	}
	v.Value, v.At, v.Past = record.Value, record.At, record.Past
	return nil
}

// MaxPast bounds how many values of before a context variable keeps.
const MaxPast = 64

// Next returns what a variable is once value is published at a moment. The
// value that it had already leaves it as it is: it has been that since At, and
// to say it again every night must not make a rule that fails by it younger.
func (v Value) Next(value any, at time.Time) Value {
	switch {
	case v.Value == nil && v.At.IsZero():
		return Value{Value: value, At: at}
	case v.Value == value:
		return v
	}
	past := append([]Value{{Value: v.Value, At: v.At}}, v.Past...)
	return Value{Value: value, At: at, Past: past[:min(len(past), MaxPast)]}
}

// then returns what the variable was at a moment; without a value where
// nothing had been published.
func (v Value) then(at time.Time) Value {
	if !v.At.After(at) {
		return v
	}
	for _, old := range v.Past {
		if !old.At.After(at) {
			return old
		}
	}
	return Value{}
}
