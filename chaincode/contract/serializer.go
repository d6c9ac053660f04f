package contract

import (
	"reflect"

	"github.com/hyperledger/fabric-contract-api-go/v2/metadata"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// textSerializer hands arguments and answers on as they are: every transaction takes and
// returns text, which this package reads and writes. The contract API's own would
// hold each to a JSON schema that says it is text, which was an eighth of the work.
type textSerializer struct{}

// FromString implements serializer.TransactionSerializer.
func (textSerializer) FromString(arg string, t reflect.Type, _ *metadata.ParameterMetadata, _ *metadata.ComponentMetadata) (reflect.Value, error) {
	if t != reflect.TypeFor[string]() {
		return reflect.Value{}, provenance.Errorf(provenance.Internal, "a transaction takes a %s: all take text", t)
	}
	return reflect.ValueOf(arg), nil
}

// ToString implements serializer.TransactionSerializer.
func (textSerializer) ToString(v reflect.Value, t reflect.Type, _ *metadata.ReturnMetadata, _ *metadata.ComponentMetadata) (string, error) {
	if t != reflect.TypeFor[string]() {
		return "", provenance.Errorf(provenance.Internal, "a transaction returns a %s: all return text", t)
	}
	return v.String(), nil
}
