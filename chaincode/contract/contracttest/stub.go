package contracttest

import (
	"errors"
	"fmt"

	"github.com/hyperledger/fabric-chaincode-go/v2/shim"
	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/ledger/queryresult"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// stub is one transaction's view. It embeds the interface so that a call to
// anything that a contract has no business calling panics the test.
type stub struct {
	shim.ChaincodeStubInterface
	ledger      *Ledger
	proposal    Proposal
	endorsement *Endorsement
	batch       bool
	scanned     bool
	fault       error // what a peer would refuse although the contract went on
}

func (s *stub) GetFunctionAndParameters() (string, []string) {
	return s.proposal.Args[0], s.proposal.Args[1:]
}
func (s *stub) GetStringArgs() []string                  { return s.proposal.Args }
func (s *stub) GetCreator() ([]byte, error)              { return s.proposal.Creator, nil }
func (s *stub) GetTxID() string                          { return s.proposal.TxID }
func (s *stub) GetTransient() (map[string][]byte, error) { return s.proposal.Transient, nil }
func (s *stub) GetTxTimestamp() (*timestamppb.Timestamp, error) {
	return timestamppb.New(s.proposal.At), nil
}
func (s *stub) GetChannelID() string    { return "waybill" }
func (s *stub) StartWriteBatch()        { s.batch = true }
func (s *stub) FinishWriteBatch() error { s.batch = false; return nil }

func (s *stub) read(key string) []byte {
	v := s.ledger.state[key]
	s.endorsement.reads[key] = v.commit
	return v.value
}

func (s *stub) GetState(key string) ([]byte, error) { return s.read(key), nil }

func (s *stub) GetMultipleStates(keys ...string) ([][]byte, error) {
	values := make([][]byte, len(keys))
	for i, k := range keys {
		values[i] = s.read(k)
	}
	return values, nil
}

func (s *stub) wrote() error {
	if s.scanned {
		s.fault = errors.New("a transaction that scans writes")
	}
	return s.fault
}

func (s *stub) PutState(key string, value []byte) error {
	if key == "" || len(value) == 0 {
		return errors.New("empty key or value")
	}
	s.endorsement.Writes[key] = value
	return s.wrote()
}

func (s *stub) SetEvent(name string, payload []byte) error {
	if name == "" {
		return errors.New("an event without a name")
	}
	s.endorsement.Event = payload
	return nil
}

func (s *stub) DelState(key string) error {
	s.endorsement.Writes[key] = nil
	return s.wrote()
}

// SetStateValidationParameter refuses bytes that a peer could not read, which
// would stop the channel, and a policy of nobody, which would let anybody write.
func (s *stub) SetStateValidationParameter(key string, policy []byte) error {
	var envelope common.SignaturePolicyEnvelope
	if err := proto.Unmarshal(policy, &envelope); err != nil || len(envelope.GetIdentities()) == 0 || envelope.GetRule().GetNOutOf().GetN() < 1 {
		s.fault = fmt.Errorf("the endorsement policy of %q: %v, %w", key, &envelope, err)
		return s.fault
	}
	s.endorsement.guards[key] = policy
	return s.wrote()
}

func (s *stub) GetStateValidationParameter(key string) ([]byte, error) {
	s.read(key)
	return s.ledger.guards[key], nil
}

func (s *stub) GetPrivateDataHash(collection, key string) ([]byte, error) {
	b, ok := s.ledger.private[[2]string{collection, key}]
	if !ok {
		return nil, nil
	}
	return sumOf(b), nil
}

func (s *stub) GetPrivateData(collection, key string) ([]byte, error) {
	if collection != "_implicit_org_"+s.proposal.Peer {
		return nil, fmt.Errorf("private data of %s on a peer of %s", collection, s.proposal.Peer)
	}
	return s.ledger.private[[2]string{collection, key}], nil
}

func (s *stub) PutPrivateData(collection, key string, value []byte) error {
	s.endorsement.kept[[2]string{collection, key}] = value
	return s.wrote()
}

func (s *stub) PurgePrivateData(collection, key string) error {
	s.endorsement.kept[[2]string{collection, key}] = nil
	return s.wrote()
}

func (s *stub) GetStateByPartialCompositeKeyWithPagination(objectType string, attributes []string, size int32, bookmark string) (shim.StateQueryIteratorInterface, *peer.QueryResponseMetadata, error) {
	if len(s.endorsement.Writes)+len(s.endorsement.guards)+len(s.endorsement.kept) > 0 {
		return nil, nil, errors.New("a paginated query in a transaction that writes")
	}
	prefix, err := shim.CreateCompositeKey(objectType, attributes)
	if err != nil {
		return nil, nil, err
	}
	s.scanned = true
	it := &iterator{}
	for _, k := range s.ledger.Keys(prefix) {
		switch {
		case k < bookmark:
		case len(it.rows) == int(size):
			return it, queryMetadata(len(it.rows), k), nil
		default:
			it.rows = append(it.rows, &queryresult.KV{Key: k, Value: s.ledger.state[k].value})
		}
	}
	return it, queryMetadata(len(it.rows), ""), nil
}

type iterator struct{ rows []*queryresult.KV }

func (it *iterator) HasNext() bool { return len(it.rows) > 0 }
func (it *iterator) Close() error  { return nil }
func (it *iterator) Next() (*queryresult.KV, error) {
	if len(it.rows) == 0 {
		return nil, errors.New("the iterator is at its end")
	}
	kv := it.rows[0]
	it.rows = it.rows[1:]
	return kv, nil
}
