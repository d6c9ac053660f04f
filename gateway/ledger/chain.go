package ledger

import (
	"context"
	"strconv"
	"strings"
	"sync"

	"github.com/hyperledger/fabric-gateway/pkg/client"
	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"google.golang.org/protobuf/proto"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// queryChaincode is the peer's own, which answers from its blocks.
const queryChaincode = "qscc"

// maxConfigs bounds the configuration blocks that are fetched and kept, as proofs
// have at most that many. A channel with more has no proofs from its first block.
const maxConfigs = 1024

// Foundation is what every proof of a channel rests on.
type Foundation struct {
	// Genesis is the hash of the first block's header, as the own peer has it.
	Genesis []byte
	// Config are the configuration blocks (common.Block), the first block with them,
	// up to the one in force at Floor.
	Config [][]byte
	// Floor is a recent block without its data (common.Block), and Number its number.
	Floor  []byte
	Number uint64
}

// Foundation returns the channel's configuration blocks and its newest header, as
// the organisation's own peer has them. Whoever relies on them verifies them:
// they are signed by the orderers.
func (c *Client) Foundation(ctx context.Context) (Foundation, error) {
	newest, err := c.newest(ctx)
	if err != nil {
		return Foundation{}, err
	}
	last, err := lastConfig(newest)
	if err != nil {
		return Foundation{}, err
	}
	f := Foundation{Number: newest.GetHeader().GetNumber()}
	if f.Config, f.Genesis, err = c.configs.upTo(ctx, last, c.Block); err != nil {
		return Foundation{}, err
	}
	if f.Floor, err = proto.Marshal(newest); err != nil {
		return Foundation{}, provenance.Wrap(provenance.Internal, err, "block %d", f.Number)
	}
	return f, nil
}

// Block returns a block as the organisation's own peer has it (common.Block, its
// metadata with it).
func (c *Client) Block(ctx context.Context, number uint64) ([]byte, error) {
	return c.query(ctx, "GetBlockByNumber", strconv.FormatUint(number, 10))
}

// BlockOf returns the block that a transaction is in; WB_NOT_FOUND where the
// organisation's own peer knows of none.
func (c *Client) BlockOf(ctx context.Context, txID string) ([]byte, error) {
	b, err := c.query(ctx, "GetBlockByTxID", txID)
	if err != nil && strings.Contains(err.Error(), "no such transaction ID") {
		err = provenance.Errorf(provenance.NotFound, "no transaction %s on the ledger", line(txID))
	}
	return b, err
}

// AttestStatus is Attest of what became of a transaction: peer.ProcessedTransaction,
// which has its envelope and its validation code.
func (c *Client) AttestStatus(ctx context.Context, txID string, orgs []string, need int, accept Accept) (Attestation, error) {
	return c.Attest(ctx, Question{Chaincode: queryChaincode, Fn: "GetTransactionByID", Args: []string{c.config.Channel, txID}}, orgs, need, accept)
}

func (c *Client) query(ctx context.Context, fn, arg string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, c.config.Evaluate)
	defer cancel()
	answer, err := c.as.Load().network.GetContract(queryChaincode).EvaluateWithContext(ctx, fn,
		client.WithArguments(c.config.Channel, arg), client.WithEndorsingOrganizations(c.config.MSPID))
	return answer, translate(err, fn)
}

// newest is the newest block without its data: the one that was followed last, where
// that is it, or else as the peer has it.
func (c *Client) newest(ctx context.Context) (*common.Block, error) {
	height, err := c.Height(ctx)
	if err != nil {
		return nil, err
	}
	if height == 0 {
		return nil, provenance.Errorf(provenance.Unavailable, "the peer has no block yet")
	}
	if seen := c.seen.Load(); seen != nil && seen.GetHeader().GetNumber()+1 >= height {
		return seen, nil
	}
	raw, err := c.Block(ctx, height-1)
	if err != nil {
		return nil, err
	}
	var b common.Block
	err = decode(raw, &b, "block")
	return &common.Block{Header: b.GetHeader(), Metadata: b.GetMetadata()}, err
}

// configs are a channel's configuration blocks, which never change: each is fetched once.
type configs struct {
	mu      sync.Mutex
	numbers []uint64 // ascending
	blocks  [][]byte
	genesis []byte
}

// upTo returns the configuration blocks from the first block to the one numbered last.
// Every block names the configuration that was in force before it, so that the way
// is from the newest to the first, or to where it is known.
func (k *configs) upTo(ctx context.Context, last uint64, fetch func(context.Context, uint64) ([]byte, error)) ([][]byte, []byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	known := len(k.numbers)
	for known > 0 && k.numbers[known-1] > last {
		known-- // a header from before the newest configuration
	}
	var numbers []uint64
	var blocks [][]byte
	for at := last; known == 0 || at > k.numbers[known-1]; {
		if len(numbers) == maxConfigs {
			return nil, nil, provenance.Errorf(provenance.Full, "the channel has more than %d configuration blocks: there are no proofs from its first block on", maxConfigs)
		}
		raw, err := fetch(ctx, at)
		if err != nil {
			return nil, nil, err
		}
		numbers, blocks = append(numbers, at), append(blocks, raw)
		if at == 0 {
			if k.genesis, err = hashOf(raw); err != nil {
				return nil, nil, err
			}
			break
		}
		if raw, err = fetch(ctx, at-1); err != nil {
			return nil, nil, err
		}
		var before common.Block
		if err := decode(raw, &before, "block"); err != nil {
			return nil, nil, err
		}
		if before.GetHeader().GetNumber() != at-1 {
			return nil, nil, provenance.Errorf(provenance.Internal, "the peer gave block %d, want %d", before.GetHeader().GetNumber(), at-1)
		}
		if at, err = lastConfig(&before); err != nil {
			return nil, nil, err
		}
	}
	all, of := append([][]byte{}, k.blocks[:known]...), append([]uint64{}, k.numbers[:known]...)
	for i := len(numbers) - 1; i >= 0; i-- {
		all, of = append(all, blocks[i]), append(of, numbers[i])
	}
	if len(of) > len(k.numbers) {
		k.numbers, k.blocks = of, all
	}
	return all, k.genesis, nil
}

func hashOf(raw []byte) ([]byte, error) {
	var b common.Block
	if err := decode(raw, &b, "block"); err != nil {
		return nil, err
	}
	return headerHash(b.GetHeader())
}

// lastConfig returns the number of the configuration block that a block's orderers
// signed as the one in force; 0 for block 0, which nobody signs.
func lastConfig(b *common.Block) (uint64, error) {
	number := b.GetHeader().GetNumber()
	if number == 0 {
		return 0, nil
	}
	metadata := b.GetMetadata().GetMetadata()
	if len(metadata) <= int(common.BlockMetadataIndex_SIGNATURES) {
		return 0, provenance.Errorf(provenance.Internal, "block %d has no signatures", number)
	}
	var signatures common.Metadata
	var ordered common.OrdererBlockMetadata
	if err := decode(metadata[common.BlockMetadataIndex_SIGNATURES], &signatures, "signatures of a block"); err != nil {
		return 0, err
	}
	if err := decode(signatures.GetValue(), &ordered, "orderers' metadata"); err != nil {
		return 0, err
	}
	last := ordered.GetLastConfig().GetIndex()
	if last > number {
		return 0, provenance.Errorf(provenance.Internal, "block %d names block %d, which is later, as its configuration", number, last)
	}
	return last, nil
}
