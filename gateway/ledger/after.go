package ledger

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"slices"

	"github.com/hyperledger/fabric-gateway/pkg/client"
	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/gateway"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/block"
)

// After is the channel that the ledger's own goes on from, where its quorum was lost. The zero value is none.
type After struct {
	Channel string
	Height  uint64 // how many blocks it has
	Header  string // SHA-256 of the last one's header, in hexadecimal
}

// AfterOf is what a first block names; nil: none.
func AfterOf(p *provenance.Predecessor) After {
	if p == nil {
		return After{}
	}
	return After{Channel: p.Channel, Height: p.Height, Header: p.Header}
}

// ImportFunction writes the state of the channel before.
const ImportFunction = "genesis:Import"

var errEnd = errors.New("the channel before has ended")

// before hands on the blocks of the channel before, up to its last one, whose hash it compares with the one that is named.
func (c *Client) before(ctx context.Context, from uint64, apply func(block.Block) error) error {
	after := c.config.After
	stream := func(ctx context.Context, from uint64) (<-chan *common.Block, error) {
		return c.as.Load().gateway.GetNetwork(after.Channel).BlockEvents(ctx, client.WithStartBlock(from))
	}
	f := follower{stream: stream, chaincode: c.config.Chaincode, next: from, log: c.log, backoff: c.retry, apply: func(b block.Block) error {
		if b.Number == after.Height-1 && hex.EncodeToString(b.Hash) != after.Header {
			return provenance.Errorf(provenance.Internal, "channel %s ends with block hash %x at this peer, and channel %s goes on from %s", after.Channel, b.Hash, c.config.Channel, after.Header)
		}
		if err := apply(b); err != nil || b.Number < after.Height-1 {
			return err
		}
		return errEnd
	}}
	if err := f.run(ctx); !errors.Is(err, errEnd) {
		return err
	}
	return nil
}

// counted numbers a block on from the channel before, and ties the first one to that one's last.
func (c *Client) counted(b block.Block) (block.Block, error) {
	after := c.config.After
	if after == (After{}) {
		return b, nil
	}
	if b.Number == 0 {
		if b.After == nil || b.After.Channel != after.Channel || b.After.Height != after.Height || b.After.Header != after.Header {
			return b, provenance.Errorf(provenance.Internal, "the first block of channel %s does not go on from block %d of channel %s", c.config.Channel, after.Height-1, after.Channel)
		}
		header, err := hex.DecodeString(after.Header)
		if err != nil {
			return b, provenance.Wrap(provenance.Invalid, err, "channel before")
		}
		b.PreviousHash = bytes.Clone(header)
	}
	b.Number += after.Height
	for i := range b.Txs {
		if tx := &b.Txs[i]; tx.Function == ImportFunction {
			tx.Writes = slices.DeleteFunc(tx.Writes, told)
		}
	}
	return b, nil
}

// told tells whether an imported key is a segment: the channel before has told of it, in a block of its own.
func told(w block.Write) bool {
	objectType, _, _ := state.SplitKey(w.Key)
	return objectType == state.TypeJournal
}

// foreign tells whether an envelope was made for another channel, as one that was sealed before the ledger went on in
// this one: no orderer of that one will ever take it.
func (c *Client) foreign(e Endorsed) (bool, error) {
	var prepared gateway.PreparedTransaction
	var payload common.Payload
	var header common.ChannelHeader
	if err := decode(e.Bytes, &prepared, "stored transaction"); err != nil {
		return false, err
	}
	if err := decode(prepared.GetEnvelope().GetPayload(), &payload, "payload"); err != nil {
		return false, err
	}
	if err := decode(payload.GetHeader().GetChannelHeader(), &header, "channel header"); err != nil {
		return false, err
	}
	return header.GetChannelId() != c.config.Channel, nil
}
