package chaos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/msp"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/protobuf/proto"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/block"
	"github.com/waybill-dev/waybill/gateway/index"
	"github.com/waybill-dev/waybill/gateway/ledger"
	"github.com/waybill-dev/waybill/gateway/queue"
	"github.com/waybill-dev/waybill/test/chaos/check"
	"github.com/waybill-dev/waybill/test/lab"
)

// readPeer reads the blocks of an organisation's peer up to height, whole: the
// gateway's own reader leaves invalid transactions out.
func readPeer(ctx context.Context, l *lab.Lab, org string, height uint64) (p check.Peer, err error) {
	p.Name = org
	err = l.Blocks(ctx, org, 0, func(raw *common.Block) (bool, error) {
		b, err := readBlock(raw, l.Clients.Chaincode)
		if err != nil {
			return false, fmt.Errorf("peer of %s: block %d: %w", org, raw.GetHeader().GetNumber(), err)
		}
		p.Blocks = append(p.Blocks, b)
		return uint64(len(p.Blocks)) >= height, nil
	})
	if err != nil {
		err = fmt.Errorf("%d of %d blocks: %w", len(p.Blocks), height, err)
	}
	return p, err
}

// readBlock is a block with all its transactions and the peer's verdict on each.
func readBlock(raw *common.Block, chaincode string) (check.Block, error) {
	decoded, err := ledger.Decode(raw, chaincode)
	if err != nil {
		return check.Block{}, err
	}
	metadata := raw.GetMetadata().GetMetadata()
	flags := metadata[common.BlockMetadataIndex_TRANSACTIONS_FILTER]
	out := check.Block{Number: decoded.Number, Hash: fmt.Sprintf("%x", decoded.Hash), Previous: fmt.Sprintf("%x", decoded.PreviousHash)}
	if len(metadata) > int(common.BlockMetadataIndex_COMMIT_HASH) {
		out.State = fmt.Sprintf("%x", metadata[common.BlockMetadataIndex_COMMIT_HASH])
	}
	writes := map[int][]check.Event{}
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

func segmentEvents(w block.Write) ([]check.Event, error) {
	name, ok := state.SplitJournal(w.Key)
	if !ok || w.Delete {
		return nil, nil
	}
	events, err := provenance.DecodeSegment(w.Value)
	if err != nil {
		return nil, err
	}
	out := make([]check.Event, len(events))
	for i, e := range events {
		out[i] = check.Event{ID: e.ID.String(), Key: check.Key(e.Action.String(), string(name.Host), string(e.Repository), string(e.Tag), e.Digest.String())}
	}
	return out, nil
}

// readTx reads what a transaction was for, valid or not: of one that records a
// segment, which (fabric-protos, peer/transaction.proto).
func readTx(data []byte) (check.Tx, error) {
	var envelope common.Envelope
	var payload common.Payload
	var header common.ChannelHeader
	err := errors.Join(proto.Unmarshal(data, &envelope), proto.Unmarshal(envelope.GetPayload(), &payload),
		proto.Unmarshal(payload.GetHeader().GetChannelHeader(), &header))
	tx := check.Tx{ID: header.GetTxId()}
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

// readOutbox opens the queue of a gateway that has ended.
func readOutbox(ctx context.Context, l *lab.Lab, org string, lanes int) (o check.Outbox, err error) {
	q, err := queue.Open(ctx, filepath.Join(l.GatewayData(org), "queue.db"), queue.Options{Lanes: lanes})
	if err != nil {
		return o, err
	}
	defer func() { err = errors.Join(err, q.Close()) }()
	s, err := q.Stats(ctx)
	if err != nil {
		return o, err
	}
	o = check.Outbox{Name: org, Waiting: int(s.Pending), Sealed: int(s.Sealed)}
	for after := int64(0); ; {
		letters, err := q.Dead(ctx, after, 1000)
		if err != nil || len(letters) == 0 {
			return o, err
		}
		for _, d := range letters {
			e := d.Event
			o.Dead = append(o.Dead, check.Key(e.Action.String(), string(d.Host), string(e.Repository), string(e.Tag), e.Digest.String()))
			after = d.ID
		}
	}
}

// readIndex reads what a stopped gateway's index tells of every place that the
// ledger or a sender speaks of, and makes one anew with the gateway's own command.
func readIndex(ctx context.Context, l *lab.Lab, org string, places [][2]string) (out check.Index, err error) {
	x, err := index.Open(ctx, filepath.Join(l.GatewayData(org), "index.db"))
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, x.Close()) }()
	out, err = check.Read(ctx, x, org, places)
	if err != nil {
		return out, err
	}
	out.Rebuilt, err = rebuild(ctx, l, org)
	return out, err
}

func rebuild(ctx context.Context, l *lab.Lab, org string) (fingerprint string, err error) {
	folder := filepath.Join(l.Dir, "again-"+org)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return "", err
	}
	if out, code := l.Gateway(ctx, org, []string{"WAYBILL_DATA_DIR=" + folder}, "reindex"); code != 0 {
		return "", fmt.Errorf("reindex: exit %d: %s", code, out)
	}
	x, err := index.Open(ctx, filepath.Join(folder, "index.db"))
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, x.Close()) }()
	return x.Fingerprint(ctx)
}
