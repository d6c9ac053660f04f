package ledger

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"slices"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/gateway"
	"github.com/hyperledger/fabric-protos-go-apiv2/ledger/rwset"
	"github.com/hyperledger/fabric-protos-go-apiv2/ledger/rwset/kvrwset"
	"github.com/hyperledger/fabric-protos-go-apiv2/msp"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/protobuf/proto"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/block"
)

// Decode reads a block. Transactions that the peers marked invalid are left
// out whatever they hold. Bytes that no peer would have committed are
// WB_INTERNAL: an index must stop rather than skip them.
func Decode(b *common.Block, chaincode string) (block.Block, error) {
	header, data := b.GetHeader(), b.GetData().GetData()
	if header == nil || b.GetData() == nil {
		return block.Block{}, provenance.Errorf(provenance.Internal, "block has no header or no data")
	}
	out := block.Block{Number: header.GetNumber(), PreviousHash: header.GetPreviousHash()}
	var err error
	if out.Hash, err = headerHash(header); err != nil {
		return block.Block{}, provenance.Wrap(provenance.Internal, err, "block %d: hash", out.Number)
	}
	if sum := sha256.Sum256(bytes.Join(data, nil)); !bytes.Equal(sum[:], header.GetDataHash()) {
		return block.Block{}, provenance.Errorf(provenance.Internal, "block %d: the data do not hash to the header's data hash", out.Number)
	}
	flags := validity(b)
	for i, envelope := range data {
		// Block 0 is the channel's foundation: nobody could validate it, so its flags say nothing.
		valid := i < len(flags) && flags[i] == byte(peer.TxValidationCode_VALID) || out.Number == 0
		if !valid {
			continue
		}
		if err := add(&out, envelope, i, chaincode); err != nil {
			return block.Block{}, provenance.Wrap(provenance.Internal, err, "block %d, transaction %d", out.Number, i)
		}
	}
	return out, nil
}

// headerHash is Fabric's block hash: SHA-256 over the ASN.1 DER of the header
// (fabric protoutil, BlockHeaderBytes).
func headerHash(h *common.BlockHeader) ([]byte, error) {
	der, err := asn1.Marshal(struct {
		Number       *big.Int
		PreviousHash []byte
		DataHash     []byte
	}{new(big.Int).SetUint64(h.GetNumber()), h.GetPreviousHash(), h.GetDataHash()})
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(der)
	return sum[:], nil
}

func validity(b *common.Block) []byte {
	metadata := b.GetMetadata().GetMetadata()
	if len(metadata) <= int(common.BlockMetadataIndex_TRANSACTIONS_FILTER) {
		return nil
	}
	return metadata[common.BlockMetadataIndex_TRANSACTIONS_FILTER]
}

func add(out *block.Block, raw []byte, index int, chaincode string) error {
	var envelope common.Envelope
	var payload common.Payload
	var channel common.ChannelHeader
	if err := decode(raw, &envelope, "envelope"); err != nil {
		return err
	}
	if err := decode(envelope.GetPayload(), &payload, "payload"); err != nil {
		return err
	}
	if err := decode(payload.GetHeader().GetChannelHeader(), &channel, "channel header"); err != nil {
		return err
	}
	switch common.HeaderType(channel.GetType()) {
	case common.HeaderType_CONFIG:
		if out.Number == 0 && len(channel.GetExtension()) > 0 {
			after, err := provenance.ParsePredecessor(channel.GetExtension())
			if err != nil {
				return provenance.Wrap(provenance.Internal, err, "first block")
			}
			out.After = &after
		}
		organisations, err := decodeOrganisations(payload.GetData())
		out.Organisations = organisations
		return err
	case common.HeaderType_ENDORSER_TRANSACTION:
		tx := block.Tx{ID: channel.GetTxId(), Index: index, At: channel.GetTimestamp().AsTime()}
		ours, err := readTx(&tx, &payload, chaincode)
		if err != nil || !ours {
			return err
		}
		if tx.Creator, err = creator(payload.GetHeader().GetSignatureHeader()); err != nil {
			return err
		}
		out.Txs = append(out.Txs, tx)
	}
	return nil
}

// readTx fills in the function and the writes; ours is false for a transaction
// that neither called the chaincode nor wrote to its namespace.
func readTx(tx *block.Tx, payload *common.Payload, chaincode string) (ours bool, err error) {
	var transaction peer.Transaction
	if err := decode(payload.GetData(), &transaction, "transaction"); err != nil {
		return false, err
	}
	for _, action := range transaction.GetActions() {
		cap, result, sets, err := results(action)
		if err != nil {
			return false, err
		}
		first := len(tx.Writes)
		if result.GetChaincodeId().GetName() == chaincode {
			ours = true
			if tx.Function, err = function(cap.GetChaincodeProposalPayload(), chaincode); err != nil {
				return false, err
			}
		}
		for _, set := range sets.GetNsRwset() {
			if set.GetNamespace() != chaincode {
				continue
			}
			var kv kvrwset.KVRWSet
			if err := decode(set.GetRwset(), &kv, "writes"); err != nil {
				return false, err
			}
			for _, w := range kv.GetWrites() {
				ours = true
				tx.Writes = append(tx.Writes, block.Write{Key: w.GetKey(), Value: w.GetValue(), Delete: w.GetIsDelete()})
			}
		}
		if tx.Function == ImportFunction {
			continue // the bytes of segments are in the channel before
		}
		if err := segmentBytes(tx, first, result.GetEvents(), chaincode); err != nil {
			return false, err
		}
	}
	return ours, nil
}

// segmentBytes adds the bytes of the segment that the writes from first on name, where
// they are the transaction's event (record:Segment), as the write that they stand for.
//
// Only the writes say that there is a segment. A transaction that writes nothing but
// private data of one organisation is valid by the word of that one, and its event
// says whatever that one wants.
func segmentBytes(tx *block.Tx, first int, raw []byte, chaincode string) error {
	for _, w := range tx.Writes[first:] {
		if objectType, _, _ := state.SplitKey(w.Key); objectType != state.TypeSegment || w.Delete {
			continue
		}
		var segment state.Segment
		if err := state.Decode(w.Value, &segment); err != nil {
			return provenance.Wrap(provenance.Internal, err,
				"transaction %s records a segment as a contract of another layout does, which this program cannot read: use the program that the ledger was begun with, or begin a new network", tx.ID)
		}
		if slices.ContainsFunc(tx.Writes[first:], func(o block.Write) bool { return o.Key == segment.Journal }) {
			continue
		}
		var event peer.ChaincodeEvent
		if err := decode(raw, &event, "event"); err != nil {
			return err
		}
		if event.GetChaincodeId() != chaincode || event.GetEventName() != state.SegmentEvent || provenance.SHA256Of(event.GetPayload()) != segment.Sum {
			return provenance.Errorf(provenance.Internal, "transaction %s names a segment whose bytes it does not carry", tx.ID)
		}
		tx.Writes = append(tx.Writes, block.Write{Key: segment.Journal, Value: event.GetPayload()})
	}
	return nil
}

// results takes apart what the endorsers of a transaction signed.
func results(action *peer.TransactionAction) (*peer.ChaincodeActionPayload, *peer.ChaincodeAction, *rwset.TxReadWriteSet, error) {
	var payload peer.ChaincodeActionPayload
	var response peer.ProposalResponsePayload
	var result peer.ChaincodeAction
	var sets rwset.TxReadWriteSet
	if err := decode(action.GetPayload(), &payload, "action"); err != nil {
		return nil, nil, nil, err
	}
	if err := decode(payload.GetAction().GetProposalResponsePayload(), &response, "proposal response"); err != nil {
		return nil, nil, nil, err
	}
	if err := decode(response.GetExtension(), &result, "chaincode action"); err != nil {
		return nil, nil, nil, err
	}
	err := decode(result.GetResults(), &sets, "read-write sets")
	return &payload, &result, &sets, err
}

// writesNothing tells whether an endorsed transaction changes neither the state
// nor private data nor the policy of a key.
func writesNothing(e Endorsed) (bool, error) {
	var prepared gateway.PreparedTransaction
	var payload common.Payload
	var transaction peer.Transaction
	if err := decode(e.Bytes, &prepared, "endorsed transaction"); err != nil {
		return false, err
	}
	if err := decode(prepared.GetEnvelope().GetPayload(), &payload, "payload"); err != nil {
		return false, err
	}
	if err := decode(payload.GetData(), &transaction, "transaction"); err != nil {
		return false, err
	}
	for _, action := range transaction.GetActions() {
		_, _, sets, err := results(action)
		if err != nil {
			return false, err
		}
		for _, set := range sets.GetNsRwset() {
			var public kvrwset.KVRWSet
			if err := decode(set.GetRwset(), &public, "writes"); err != nil || len(public.GetWrites())+len(public.GetMetadataWrites()) > 0 {
				return false, err
			}
			for _, collection := range set.GetCollectionHashedRwset() {
				var hashed kvrwset.HashedRWSet
				if err := decode(collection.GetHashedRwset(), &hashed, "private writes"); err != nil || len(hashed.GetHashedWrites())+len(hashed.GetMetadataWrites()) > 0 {
					return false, err
				}
			}
		}
	}
	return true, nil
}

func function(raw []byte, chaincode string) (string, error) {
	var proposal peer.ChaincodeProposalPayload
	var invocation peer.ChaincodeInvocationSpec
	if err := decode(raw, &proposal, "proposal"); err != nil {
		return "", err
	}
	if err := decode(proposal.GetInput(), &invocation, "invocation"); err != nil {
		return "", err
	}
	spec := invocation.GetChaincodeSpec()
	args := spec.GetInput().GetArgs()
	if spec.GetChaincodeId().GetName() != chaincode || len(args) == 0 {
		return "", nil
	}
	return string(args[0]), nil
}

func creator(raw []byte) (policy.Person, error) {
	var header common.SignatureHeader
	var id msp.SerializedIdentity
	if err := decode(raw, &header, "signature header"); err != nil {
		return policy.Person{}, err
	}
	if err := decode(header.GetCreator(), &id, "creator"); err != nil {
		return policy.Person{}, err
	}
	block, _ := pem.Decode(id.GetIdBytes())
	if block == nil {
		return policy.Person{}, provenance.Errorf(provenance.Internal, "creator of %s: no certificate", id.GetMspid())
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return policy.Person{}, provenance.Wrap(provenance.Internal, err, "creator of %s", id.GetMspid())
	}
	return policy.Person{MSP: id.GetMspid(), Name: cert.Subject.CommonName}, nil
}

func decode(raw []byte, into proto.Message, what string) error {
	if err := proto.Unmarshal(raw, into); err != nil {
		return provenance.Wrap(provenance.Internal, err, "%s", what)
	}
	return nil
}
