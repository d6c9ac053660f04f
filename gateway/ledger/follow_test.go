package ledger

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/block"
)

func chain(t *testing.T, n int) []*common.Block {
	t.Helper()
	var blocks []*common.Block
	var previous []byte
	for number := range n {
		b := fabricBlock(uint64(number), previous, []byte{mvcc}, []byte{byte(number)})
		if number == 0 {
			b = fabricBlock(0, nil, nil, configEnvelope(t))
		}
		blocks = append(blocks, b)
		var err error
		if previous, err = headerHash(b.GetHeader()); err != nil {
			t.Fatal(err)
		}
	}
	return blocks
}

// streamOf serves blocks, at most some per connection, then breaks off.
func streamOf(blocks []*common.Block, perConnection int) func(context.Context, uint64) (<-chan *common.Block, error) {
	calls := 0
	return func(_ context.Context, from uint64) (<-chan *common.Block, error) {
		if calls++; calls%3 == 0 {
			return nil, errors.New("connection refused")
		}
		out := make(chan *common.Block, perConnection)
		for i := int(from); i < len(blocks) && i < int(from)+perConnection; i++ {
			out <- blocks[i]
		}
		close(out)
		return out, nil
	}
}

func follow(t *testing.T, blocks []*common.Block, from uint64, apply func(block.Block) error) error {
	t.Helper()
	f := follower{
		stream: streamOf(blocks, 2), chaincode: testChaincode, apply: apply, next: from,
		log: slog.New(slog.DiscardHandler), backoff: retry{base: time.Millisecond, max: time.Millisecond}, seen: &atomic.Pointer[common.Block]{},
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	return f.run(ctx)
}

func TestBlocksReconnectsAfterTheLastApplied(t *testing.T) {
	done := errors.New("enough")
	var got []uint64
	err := follow(t, chain(t, 9), 2, func(b block.Block) error {
		got = append(got, b.Number)
		if b.Number == 8 {
			return done
		}
		return nil
	})
	if !errors.Is(err, done) {
		t.Fatal(err)
	}
	for i, number := range got {
		if number != uint64(i+2) {
			t.Fatalf("applied %v", got)
		}
	}
}

func TestBlocksStopsAtABrokenChain(t *testing.T) {
	gap := chain(t, 5)
	gap[3] = gap[4]
	fork := chain(t, 5)
	fork[3] = fabricBlock(3, []byte("another history"), []byte{mvcc}, []byte{3})
	for name, blocks := range map[string][]*common.Block{"gap": gap, "fork": fork} {
		last := uint64(0)
		err := follow(t, blocks, 0, func(b block.Block) error { last = b.Number; return nil })
		if provenance.CodeOf(err) != provenance.Internal || last != 2 {
			t.Errorf("%s: stopped after block %d with %v", name, last, err)
		}
	}
}

func TestBlocksEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	f := follower{
		stream: func(ctx context.Context, _ uint64) (<-chan *common.Block, error) {
			out := make(chan *common.Block)
			context.AfterFunc(ctx, func() { close(out) })
			cancel()
			return out, nil
		},
		apply: func(block.Block) error { return nil }, log: slog.New(slog.DiscardHandler), backoff: retry{base: time.Millisecond, max: time.Millisecond}, seen: &atomic.Pointer[common.Block]{},
	}
	if err := f.run(ctx); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}
