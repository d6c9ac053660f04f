package contract

import (
	"maps"
	"slices"

	"github.com/hyperledger/fabric-chaincode-go/v2/shim"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// overlay is the stub of a transaction that does many things one after the other,
// each of which may be refused: each reads what those before it wrote, and writes
// nothing until it is known to stand. It knows PutState alone of all that writes.
type overlay struct {
	shim.ChaincodeStubInterface
	read    map[string][]byte // as the ledger has them: what a transaction sees does not change
	kept    map[string][]byte
	pending map[string][]byte // by the one thing that is being done
}

func newOverlay(stub shim.ChaincodeStubInterface) *overlay {
	return &overlay{stub, map[string][]byte{}, map[string][]byte{}, map[string][]byte{}}
}

// GetMultipleStates implements shim.ChaincodeStubInterface. Of each key the peer is asked once.
func (o *overlay) GetMultipleStates(keys ...string) ([][]byte, error) {
	var ask []string
	asked := map[string]bool{}
	for _, k := range keys {
		if _, ok := o.find(k); !ok && !asked[k] {
			ask, asked[k] = append(ask, k), true
		}
	}
	if len(ask) > 0 {
		values, err := o.ChaincodeStubInterface.GetMultipleStates(ask...)
		if err != nil {
			return nil, err
		}
		for i, k := range ask {
			o.read[k] = values[i]
		}
	}
	values := make([][]byte, len(keys))
	for i, k := range keys {
		values[i], _ = o.find(k)
	}
	return values, nil
}

func (o *overlay) find(key string) ([]byte, bool) {
	for _, m := range []map[string][]byte{o.pending, o.kept, o.read} {
		if v, ok := m[key]; ok {
			return v, true
		}
	}
	return nil, false
}

// PutState implements shim.ChaincodeStubInterface.
func (o *overlay) PutState(key string, value []byte) error {
	o.pending[key] = value
	return nil
}

// DelState and SetStateValidationParameter would write at once, whatever becomes of
// what is being done.
func (o *overlay) DelState(string) error { return errNotKept() }

// SetStateValidationParameter implements shim.ChaincodeStubInterface.
func (o *overlay) SetStateValidationParameter(string, []byte) error { return errNotKept() }

func errNotKept() error {
	return provenance.Errorf(provenance.Internal, "a batch only writes records")
}

// drop forgets what was written since keep or drop.
func (o *overlay) drop() { clear(o.pending) }

// keep lets it stand, and tells whether there was any.
func (o *overlay) keep() bool {
	wrote := len(o.pending) > 0
	maps.Copy(o.kept, o.pending)
	clear(o.pending)
	return wrote
}

// flush writes what stands, each key once, in one message to the peer.
func (o *overlay) flush() error {
	o.keep()
	if len(o.kept) == 0 {
		return nil
	}
	o.StartWriteBatch()
	for _, k := range slices.Sorted(maps.Keys(o.kept)) {
		if err := o.ChaincodeStubInterface.PutState(k, o.kept[k]); err != nil {
			return provenance.Wrap(provenance.Internal, err, "write %s", readable(k))
		}
	}
	// Writes are buffered until here; their errors surface only now.
	if err := o.FinishWriteBatch(); err != nil {
		return provenance.Wrap(provenance.Internal, err, "write a batch")
	}
	return nil
}
