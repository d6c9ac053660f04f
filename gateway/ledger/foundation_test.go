package ledger

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hyperledger/fabric-protos-go-apiv2/common"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// signedChain has blocks whose orderers signed the number of the configuration in force.
func signedChain(t *testing.T, last ...uint64) (blocks []*common.Block) {
	t.Helper()
	for i, of := range last {
		b := &common.Block{Header: &common.BlockHeader{Number: uint64(i)}, Metadata: &common.BlockMetadata{}}
		if i > 0 {
			value := must(t, &common.OrdererBlockMetadata{LastConfig: &common.LastConfig{Index: of}})
			b.Metadata.Metadata = [][]byte{must(t, &common.Metadata{Value: value})}
		}
		blocks = append(blocks, b)
	}
	return blocks
}

func TestConfigsWalkBackToTheFirstBlock(t *testing.T) {
	blocks := signedChain(t, 0, 0, 2, 2, 2, 5, 6, 6, 8)
	var fetched []uint64
	fetch := func(_ context.Context, n uint64) ([]byte, error) {
		fetched = append(fetched, n)
		return must(t, blocks[n]), nil
	}
	var k configs
	numbers := func(last uint64) (all []uint64) {
		t.Helper()
		got, genesis, err := k.upTo(t.Context(), last, fetch)
		if err != nil || len(genesis) != 32 {
			t.Fatal(err)
		}
		for _, raw := range got {
			var b common.Block
			if err := decode(raw, &b, "block"); err != nil {
				t.Fatal(err)
			}
			all = append(all, b.GetHeader().GetNumber())
		}
		return all
	}
	for _, x := range []struct {
		last    uint64
		want    []uint64
		fetched []uint64
	}{
		{2, []uint64{0, 2}, []uint64{2, 1, 0}},
		{2, []uint64{0, 2}, nil},
		{6, []uint64{0, 2, 5, 6}, []uint64{6, 5, 5, 4}},
		{8, []uint64{0, 2, 5, 6, 8}, []uint64{8, 7}},
		{5, []uint64{0, 2, 5}, nil}, // a header from before
		{8, []uint64{0, 2, 5, 6, 8}, nil},
	} {
		fetched = nil
		if diff := cmp.Diff(x.want, numbers(x.last)); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff(x.fetched, fetched); diff != "" {
			t.Errorf("up to %d: %s", x.last, diff)
		}
	}
}

func TestConfigsOfALyingPeer(t *testing.T) {
	honest := signedChain(t, 0, 0, 2, 2)
	for name, fetch := range map[string]func(n uint64) *common.Block{
		"another number": func(uint64) *common.Block { return honest[0] },
		"no signatures":  func(n uint64) *common.Block { return &common.Block{Header: &common.BlockHeader{Number: n}} },
		"a later configuration": func(n uint64) *common.Block {
			b := signedChain(t, 0, 0, 0, 3)[3]
			b.Header.Number = n
			return b
		},
	} {
		var k configs
		_, _, err := k.upTo(t.Context(), 3, func(_ context.Context, n uint64) ([]byte, error) { return must(t, fetch(n)), nil })
		if provenance.CodeOf(err) != provenance.Internal {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestConfigsAreBounded(t *testing.T) {
	fetches := 0
	fetch := func(_ context.Context, n uint64) ([]byte, error) {
		fetches++
		value := must(t, &common.OrdererBlockMetadata{LastConfig: &common.LastConfig{Index: n}})
		return must(t, &common.Block{Header: &common.BlockHeader{Number: n}, Metadata: &common.BlockMetadata{Metadata: [][]byte{must(t, &common.Metadata{Value: value})}}}), nil
	}
	var k configs
	if _, _, err := k.upTo(t.Context(), maxConfigs, fetch); provenance.CodeOf(err) != provenance.Full || fetches != 2*maxConfigs {
		t.Errorf("%v after %d", err, fetches)
	}
	if got, _, err := k.upTo(t.Context(), maxConfigs-1, fetch); err != nil || len(got) != maxConfigs {
		t.Errorf("%d, %v", len(got), err)
	}
}
