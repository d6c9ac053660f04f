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
	v.Value, v.At = record.Value, record.At
	return nil
}
