package oracle

import (
	"bytes"
	"cmp"
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/hyperledger/fabric-lib-go/bccsp/factory"
	"github.com/hyperledger/fabric-lib-go/common/flogging"
	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric/common/deliverclient"
	"github.com/hyperledger/fabric/protoutil"
	"google.golang.org/protobuf/proto"

	"github.com/waybill-dev/waybill/proof"
)

// chain is that of a real network (TestProofs in test/e2e keeps it).
func chain(t *testing.T) (blocks []*common.Block) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "..", "proof", "testdata", "network", "chain.pb"))
	if err != nil {
		t.Fatal(err)
	}
	var list common.BlockData
	if err := proto.Unmarshal(b, &list); err != nil {
		t.Fatal(err)
	}
	for _, raw := range list.GetData() {
		k := &common.Block{}
		if err := proto.Unmarshal(raw, k); err != nil {
			t.Fatal(err)
		}
		if len(blocks) > 0 { // a file has them in order; Fabric takes any
			signatures(t, k, func(m *common.Metadata) {
				slices.SortFunc(m.GetSignatures(), func(a, b *common.MetadataSignature) int { return cmp.Compare(idOf(t, a), idOf(t, b)) })
			})
		}
		blocks = append(blocks, k)
	}
	return blocks
}

func idOf(t *testing.T, s *common.MetadataSignature) uint32 {
	t.Helper()
	var id common.IdentifierHeader
	if err := proto.Unmarshal(s.GetIdentifierHeader(), &id); err != nil {
		t.Fatal(err)
	}
	return id.GetIdentifier()
}

// fabrics is Fabric's own word on whether a block may follow.
type fabrics struct {
	t      *testing.T
	blocks []*common.Block
}

// verify asks an assistant that has followed the chain up to the block before.
func (f fabrics) verify(k *common.Block, after int) error {
	f.t.Helper()
	a, err := deliverclient.NewBlockVerificationAssistant(f.blocks[0], f.blocks[0], factory.GetDefault(), flogging.MustGetLogger("oracle"))
	if err != nil {
		f.t.Fatal(err)
	}
	for _, before := range f.blocks[1:after] {
		if protoutil.IsConfigBlock(before) {
			if err := a.UpdateConfig(before); err != nil {
				f.t.Fatal(err)
			}
		}
		a.UpdateBlockHeader(before)
	}
	return a.VerifyBlock(k)
}

// ours is what package proof says of a block: as the floor of a file, or as a configuration.
func ours(t *testing.T, blocks []*common.Block, k *common.Block, pin []byte) bool {
	t.Helper()
	f := proof.File{Version: proof.Version, Kind: proof.KindTransaction, Channel: "waybill", TransactionID: "none", Status: []byte{1}}
	for i, b := range blocks {
		if i == 0 || protoutil.IsConfigBlock(b) && b.GetHeader().GetNumber() < k.GetHeader().GetNumber() {
			f.Config = append(f.Config, bare(t, b, i > 0))
		}
	}
	configures := protoutil.IsConfigBlock(k)
	if configures {
		f.Config = append(f.Config, bare(t, k, true))
		f = proof.File{Version: proof.Version, Kind: proof.KindConfig, Channel: f.Channel, Config: f.Config}
	} else {
		f.Block = bare(t, k, true)
		f.Floor = &proof.Header{Header: marshal(t, k.GetHeader())}
		if list := k.GetMetadata().GetMetadata(); len(list) > 0 {
			f.Floor.Metadata = list[0]
		}
	}
	r := proof.Verify(f.Marshal(), proof.Options{Genesis: pin})
	if configures {
		return r.Result == proof.Valid
	}
	for _, s := range r.Steps { // what follows the block is not there, and fails
		if s.ID == "block" {
			return s.OK
		}
	}
	return false
}

// bare is a block with the orderers' signatures alone.
func bare(t *testing.T, b *common.Block, signed bool) []byte {
	c := &common.Block{Header: b.GetHeader(), Data: b.GetData()}
	if list := b.GetMetadata().GetMetadata(); signed && len(list) > 0 {
		c.Metadata = &common.BlockMetadata{Metadata: list[:1]}
	}
	return marshal(t, c)
}

func marshal(t *testing.T, m proto.Message) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestSameBlocksSameAnswers(t *testing.T) {
	if err := factory.InitFactories(nil); err != nil {
		t.Fatal(err)
	}
	flogging.ActivateSpec("fatal")
	blocks := chain(t)
	pin, err := proof.HeaderHash(marshal(t, blocks[0]))
	if err != nil {
		t.Fatal(err)
	}
	theirs := fabrics{t, blocks}
	for i, k := range blocks[1:] {
		if err := theirs.verify(k, i+1); err != nil {
			t.Fatalf("block %d: Fabric refuses it: %v", i+1, err)
		}
		if !ours(t, blocks, k, pin) {
			t.Errorf("block %d: Fabric takes it, and we refuse it", i+1)
		}
	}
	count := map[string]int{}
	stricter := map[string]int{}
	r := rand.New(rand.NewPCG(5, 6))
	for range 60 {
		for what, change := range changes {
			at := 1 + r.IntN(len(blocks)-1)
			k := proto.Clone(blocks[at]).(*common.Block)
			change(t, r, k, blocks)
			if proto.Equal(k, blocks[at]) {
				continue
			}
			fabric, mine := theirs.verify(k, at) == nil, ours(t, blocks, k, pin)
			switch {
			case fabric == mine:
				count[what]++
			case fabric:
				stricter[what]++
			default:
				t.Errorf("%s: block %d: Fabric refuses it, and we take it", what, at)
			}
		}
	}
	b, _ := json.Marshal(map[string]any{"alike": count, "only we refuse": stricter})
	t.Logf("%s", b)
	for what := range stricter {
		if !mayDiffer[what] {
			t.Errorf("%s: Fabric takes it, and we refuse it: not among the differences that are known", what)
		}
	}
}

// mayDiffer are the changes that Fabric lets pass, as they say the same or nothing: a proof has one form.
var mayDiffer = map[string]bool{
	"a signature twice":           true, // Fabric counts it once
	"signatures in another order": true,
	"a signature of nobody":       true, // Fabric passes over it
}

// signatures changes the orderers' signatures of a block.
func signatures(t *testing.T, k *common.Block, change func(*common.Metadata)) {
	var m common.Metadata
	if err := proto.Unmarshal(k.GetMetadata().GetMetadata()[0], &m); err != nil {
		t.Fatal(err)
	}
	change(&m)
	k.Metadata.Metadata[0] = marshal(t, &m)
}

func flip(r *rand.Rand, b []byte) []byte {
	b = bytes.Clone(b)
	if len(b) > 0 {
		b[r.IntN(len(b))] ^= 1 << r.IntN(8)
	}
	return b
}

var changes = map[string]func(t *testing.T, r *rand.Rand, k *common.Block, all []*common.Block){
	"number": func(_ *testing.T, _ *rand.Rand, k *common.Block, _ []*common.Block) { k.Header.Number++ },
	"previous hash": func(_ *testing.T, r *rand.Rand, k *common.Block, _ []*common.Block) {
		k.Header.PreviousHash = flip(r, k.Header.PreviousHash)
	},
	"data hash": func(_ *testing.T, r *rand.Rand, k *common.Block, _ []*common.Block) {
		k.Header.DataHash = flip(r, k.Header.DataHash)
	},
	"data": func(_ *testing.T, r *rand.Rand, k *common.Block, _ []*common.Block) {
		k.Data.Data[0] = flip(r, k.Data.Data[0])
	},
	"data cut elsewhere": func(_ *testing.T, r *rand.Rand, k *common.Block, _ []*common.Block) {
		whole := k.GetData().GetData()[0]
		at := 1 + r.IntN(len(whole)-1)
		k.Data.Data = append([][]byte{whole[:at], whole[at:]}, k.GetData().GetData()[1:]...)
	},
	"no data": func(_ *testing.T, _ *rand.Rand, k *common.Block, _ []*common.Block) { k.Data.Data = nil },
	"another block's signatures": func(_ *testing.T, r *rand.Rand, k *common.Block, all []*common.Block) {
		k.Metadata.Metadata[0] = all[1+r.IntN(len(all)-1)].GetMetadata().GetMetadata()[0]
	},
	"a bit of the signatures": func(_ *testing.T, r *rand.Rand, k *common.Block, _ []*common.Block) {
		k.Metadata.Metadata[0] = flip(r, k.Metadata.Metadata[0])
	},
	"a bit of a signature": func(t *testing.T, r *rand.Rand, k *common.Block, _ []*common.Block) {
		signatures(t, k, func(m *common.Metadata) {
			s := m.GetSignatures()[r.IntN(len(m.GetSignatures()))]
			s.Signature = flip(r, s.GetSignature())
		})
	},
	"what is signed beside": func(t *testing.T, r *rand.Rand, k *common.Block, _ []*common.Block) {
		signatures(t, k, func(m *common.Metadata) { m.Value = flip(r, m.GetValue()) })
	},
	"a signature less": func(t *testing.T, r *rand.Rand, k *common.Block, _ []*common.Block) {
		signatures(t, k, func(m *common.Metadata) { m.Signatures = m.GetSignatures()[1:] })
	},
	"one in the place of another": func(t *testing.T, r *rand.Rand, k *common.Block, _ []*common.Block) {
		signatures(t, k, func(m *common.Metadata) { m.Signatures[1] = m.GetSignatures()[0] })
	},
	"a signature twice": func(t *testing.T, r *rand.Rand, k *common.Block, _ []*common.Block) {
		signatures(t, k, func(m *common.Metadata) { m.Signatures = append(m.Signatures, m.GetSignatures()[0]) })
	},
	"signatures in another order": func(t *testing.T, r *rand.Rand, k *common.Block, _ []*common.Block) {
		signatures(t, k, func(m *common.Metadata) {
			m.Signatures[0], m.Signatures[2] = m.GetSignatures()[2], m.GetSignatures()[0]
		})
	},
	"a signature of nobody": func(t *testing.T, r *rand.Rand, k *common.Block, _ []*common.Block) {
		signatures(t, k, func(m *common.Metadata) {
			id := marshal(t, &common.IdentifierHeader{Identifier: 99})
			m.Signatures = append(m.Signatures, &common.MetadataSignature{IdentifierHeader: id, Signature: []byte("x")})
		})
	},
	"another's id": func(t *testing.T, r *rand.Rand, k *common.Block, _ []*common.Block) {
		signatures(t, k, func(m *common.Metadata) {
			m.Signatures[0].IdentifierHeader = m.GetSignatures()[1].GetIdentifierHeader()
		})
	},
	"no metadata": func(_ *testing.T, _ *rand.Rand, k *common.Block, _ []*common.Block) { k.Metadata.Metadata = nil },
}
