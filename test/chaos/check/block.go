package check

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/msp"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/protobuf/proto"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/block"
	"github.com/waybill-dev/waybill/gateway/ledger"
)

// ReadBlock is a block with all its transactions and the peer's verdict on each.
func ReadBlock(raw *common.Block, chaincode string) (Block, error) {
	decoded, err := ledger.Decode(raw, chaincode)
	if err != nil {
		return Block{}, err
	}
	metadata := raw.GetMetadata().GetMetadata()
	flags := metadata[common.BlockMetadataIndex_TRANSACTIONS_FILTER]
	out := Block{Number: decoded.Number, Hash: fmt.Sprintf("%x", decoded.Hash), Previous: fmt.Sprintf("%x", decoded.PreviousHash)}
	if len(metadata) > int(common.BlockMetadataIndex_COMMIT_HASH) {
		out.State = fmt.Sprintf("%x", metadata[common.BlockMetadataIndex_COMMIT_HASH])
	}
	writes := map[int][]Event{}
	for _, tx := range decoded.Txs {
		for _, w := range tx.Writes {
			events, err := segmentEvents(w)
			if err != nil {
				return out, err
			}
			writes[tx.Index] = append(writes[tx.Index], events...)
		}
	}
	for i, data := range raw.GetData().GetData() {
		tx, err := readTx(data)
		if err != nil {
			return out, fmt.Errorf("transaction %d: %w", i, err)
		}
		tx.Valid = decoded.Number == 0 || i < len(flags) && flags[i] == byte(peer.TxValidationCode_VALID)
		tx.Events = writes[i]
		out.Txs = append(out.Txs, tx)
	}
	return out, nil
}

func segmentEvents(w block.Write) ([]Event, error) {
	name, ok := state.SplitJournal(w.Key)
	if !ok || w.Delete {
		return nil, nil
	}
	events, err := provenance.DecodeSegment(w.Value)
	if err != nil {
		return nil, err
	}
	out := make([]Event, len(events))
	for i, e := range events {
		out[i] = Event{ID: e.ID.String(), Key: Key(e.Action.String(), string(name.Host), string(e.Repository), string(e.Tag), e.Digest.String())}
	}
	return out, nil
}

// readTx reads what a transaction was for, valid or not: of one that records a
// segment, which (fabric-protos, peer/transaction.proto).
func readTx(data []byte) (Tx, error) {
	var envelope common.Envelope
	var payload common.Payload
	var header common.ChannelHeader
	err := errors.Join(proto.Unmarshal(data, &envelope), proto.Unmarshal(envelope.GetPayload(), &payload),
		proto.Unmarshal(payload.GetHeader().GetChannelHeader(), &header))
	tx := Tx{ID: header.GetTxId()}
	if err != nil || common.HeaderType(header.GetType()) != common.HeaderType_ENDORSER_TRANSACTION {
		return tx, err
	}
	var signature common.SignatureHeader
	var creator msp.SerializedIdentity
	if err := errors.Join(proto.Unmarshal(payload.GetHeader().GetSignatureHeader(), &signature), proto.Unmarshal(signature.GetCreator(), &creator)); err != nil {
		return tx, err
	}
	var transaction peer.Transaction
	if err := proto.Unmarshal(payload.GetData(), &transaction); err != nil {
		return tx, err
	}
	for _, action := range transaction.GetActions() {
		var whole peer.ChaincodeActionPayload
		var proposal peer.ChaincodeProposalPayload
		var invocation peer.ChaincodeInvocationSpec
		if err := errors.Join(proto.Unmarshal(action.GetPayload(), &whole), proto.Unmarshal(whole.GetChaincodeProposalPayload(), &proposal),
			proto.Unmarshal(proposal.GetInput(), &invocation)); err != nil {
			return tx, err
		}
		args := invocation.GetChaincodeSpec().GetInput().GetArgs()
		if len(args) < 4 || string(args[0]) != "record:Segment" {
			continue
		}
		seq, err := strconv.ParseUint(string(args[3]), 10, 64)
		if err != nil {
			return tx, err
		}
		tx.Segment = state.SegmentKey(provenance.Host(args[1]), creator.GetMspid(), string(args[2]), seq)
	}
	return tx, nil
}
