package proof

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"math/big"
	"testing"
	"time"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/ledger/rwset"
	"github.com/hyperledger/fabric-protos-go-apiv2/ledger/rwset/kvrwset"
	"github.com/hyperledger/fabric-protos-go-apiv2/msp"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/protobuf/proto"

	"github.com/waybill-dev/waybill/network/channel"
	"github.com/waybill-dev/waybill/network/channel/channeltest"
)

const (
	testHost   = "registry.example"
	testRepo   = "team/app"
	testDigest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
)

// network is a channel whose keys are in memory: four organisations, of each a peer, an
// orderer, a client and an admin.
type network struct {
	t      testing.TB
	orgs   map[string]*testOrg // by MSP id
	blocks [][]byte            // as an orderer has them
	config *common.Config
	at     time.Time
}

type testOrg struct {
	channeltest.Org
	msp          string
	peer, client channeltest.Pair
}

func testNetwork(t testing.TB) *network {
	t.Helper()
	n := &network{t: t, orgs: map[string]*testOrg{}, at: time.Now().UTC().Truncate(time.Second)}
	var found []channel.Descriptor
	for i, name := range []string{"audit", "platform", "security", "vendor"} {
		o := channeltest.New(t, name, 7000+10*i)
		org := &testOrg{Org: o, msp: o.Descriptor.MSPID}
		org.peer, org.client = org.issue(t, name+"-peer", "peer"), org.issue(t, "gateway", "client")
		n.orgs[org.msp] = org
		found = append(found, o.Descriptor)
	}
	b, err := channel.Found(channel.Parameters{}, found)
	n.check(err)
	_, n.config, err = channel.ConfigOf(b)
	n.check(err)
	n.blocks = [][]byte{n.marshal(b)}
	return n
}

func (o *testOrg) issue(t testing.TB, name string, roles ...string) channeltest.Pair {
	return o.Enrolment.Issue(t, func(c *x509.Certificate) {
		c.Subject = channeltest.Named(name, "")
		c.Subject.OrganizationalUnit = roles
	})
}

func (n *network) check(err error) {
	n.t.Helper()
	if err != nil {
		n.t.Fatal(err)
	}
}

func (n *network) marshal(m proto.Message) []byte {
	n.t.Helper()
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	n.check(err)
	return b
}

func (n *network) pin() []byte {
	h, err := HeaderHash(n.blocks[0])
	n.check(err)
	return h
}

func identityOf(mspID string, p channeltest.Pair) []byte {
	b, _ := proto.Marshal(&msp.SerializedIdentity{Mspid: mspID, IdBytes: []byte(p.PEM())})
	return b
}

// sign signs as Fabric does: with the lower s, or the higher one.
func sign(t testing.TB, key *ecdsa.PrivateKey, high bool, parts ...[]byte) []byte {
	t.Helper()
	sum := sha256.Sum256(bytes.Join(parts, nil))
	r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	order := key.Params().N
	if (s.Cmp(new(big.Int).Rsh(order, 1)) > 0) != high {
		s.Sub(order, s)
	}
	b, err := asn1.Marshal(struct{ R, S *big.Int }{r, s})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// blockOptions is how a block is made that is not as it has to be.
type blockOptions struct {
	number     uint64 // 0: the next
	lastConfig uint64 // 0: the last
	signers    []signer
	change     func(*common.Block)
}

// signer is an orderer that signs under an id.
type signer struct {
	id   uint32
	pair channeltest.Pair
	high bool
}

// quorum are the first three orderers.
func (n *network) quorum() []signer {
	var list []signer
	for i, name := range []string{"AuditMSP", "PlatformMSP", "SecurityMSP", "VendorMSP"} {
		list = append(list, signer{id: uint32(i + 1), pair: n.orgs[name].OrdererAgent}) //nolint:gosec // G115: at most 4
	}
	return list[:3]
}

// last is the number of the newest block and of the one with the configuration.
func (n *network) last() (number, config uint64, hash []byte) {
	var b common.Block
	for i, raw := range n.blocks {
		n.check(proto.Unmarshal(raw, &b))
		if _, _, err := channel.ConfigOf(&b); err == nil || i == 0 {
			config = b.GetHeader().GetNumber()
		}
	}
	hash, err := HeaderHash(n.blocks[len(n.blocks)-1])
	n.check(err)
	return b.GetHeader().GetNumber(), config, hash
}

// block puts a block of envelopes on the chain.
func (n *network) block(o blockOptions, envelopes ...[]byte) []byte {
	n.t.Helper()
	number, config, previous := n.last()
	if o.number == 0 {
		o.number = number + 1
	}
	if o.lastConfig == 0 {
		o.lastConfig = config
	}
	if o.signers == nil {
		o.signers = n.quorum()
	}
	hash := sha256.Sum256(bytes.Join(envelopes, nil))
	b := &common.Block{Header: &common.BlockHeader{Number: o.number, PreviousHash: previous, DataHash: hash[:]}, Data: &common.BlockData{Data: envelopes}}
	md := &common.Metadata{Value: n.marshal(&common.OrdererBlockMetadata{LastConfig: &common.LastConfig{Index: o.lastConfig}, ConsenterMetadata: []byte("view")})}
	der := (&block{number: o.number, previous: previous, dataHash: hash[:]}).der()
	for _, s := range o.signers {
		id := n.marshal(&common.IdentifierHeader{Identifier: s.id, Nonce: []byte("nonce")})
		md.Signatures = append(md.Signatures, &common.MetadataSignature{IdentifierHeader: id, Signature: sign(n.t, s.pair.Key, s.high, md.GetValue(), id, der)})
	}
	b.Metadata = &common.BlockMetadata{Metadata: [][]byte{n.marshal(md), {}, {0}, {}, []byte("commit hash")}}
	if o.change != nil {
		o.change(b)
	}
	raw := n.marshal(b)
	n.blocks = append(n.blocks, raw)
	return raw
}

// configure puts a changed configuration on the chain.
func (n *network) configure(o blockOptions, change func(*common.Config)) []byte {
	n.t.Helper()
	n.config = proto.Clone(n.config).(*common.Config)
	n.config.Sequence++
	if change != nil {
		change(n.config)
	}
	number, _, _ := n.last()
	if o.number == 0 {
		o.number = number + 1
	}
	if o.lastConfig == 0 {
		o.lastConfig = o.number
	}
	return n.block(o, n.configEnvelope())
}

func (n *network) configEnvelope() []byte {
	header := &common.Header{
		ChannelHeader:   n.marshal(&common.ChannelHeader{Type: int32(common.HeaderType_CONFIG), ChannelId: "waybill"}),
		SignatureHeader: n.marshal(&common.SignatureHeader{Nonce: []byte("nonce")}),
	}
	payload := n.marshal(&common.Payload{Header: header, Data: n.marshal(&common.ConfigEnvelope{Config: n.config})})
	return n.marshal(&common.Envelope{Payload: payload, Signature: []byte("of an orderer")})
}

// configs are the configuration blocks.
func (n *network) configs() [][]byte {
	var list [][]byte
	for i, raw := range n.blocks {
		var b common.Block
		n.check(proto.Unmarshal(raw, &b))
		if _, _, err := channel.ConfigOf(&b); err == nil || i == 0 {
			list = append(list, raw)
		}
	}
	return list
}

// act is a call that records something.
func (n *network) act() call {
	set := &kvrwset.KVRWSet{Writes: []*kvrwset.KVWrite{{Key: key("hold", testDigest, "PlatformMSP"), Value: []byte("{}")}, {Key: "gone", IsDelete: true}}}
	return call{
		chaincode: "waybill", args: [][]byte{[]byte("quarantine:Set"), []byte(testDigest), {0xff}}, at: n.at, status: 200, endorsers: n.three(),
		results: &rwset.TxReadWriteSet{NsRwset: []*rwset.NsReadWriteSet{{Namespace: "waybill", Rwset: n.marshal(set)}}},
	}
}

// envelope is a payload with its creator's signature.
func (n *network) envelope(payload []byte) []byte {
	return n.marshal(&common.Envelope{Payload: payload, Signature: sign(n.t, n.orgs["PlatformMSP"].client.Key, false, payload)})
}

// status is a call that asks for the status of a transaction.
func (n *network) status(envelope []byte, id string, code int32) call {
	var e common.Envelope
	n.check(proto.Unmarshal(envelope, &e))
	return call{
		chaincode: statusChaincode, args: [][]byte{[]byte(statusFunction), []byte("waybill"), []byte(id)}, at: n.at, status: 200, endorsers: n.three(),
		results: &rwset.TxReadWriteSet{}, response: n.marshal(&peer.ProcessedTransaction{TransactionEnvelope: &e, ValidationCode: code}),
	}
}

// transaction makes the proof of an act in a block with others.
func (n *network) transaction(c call, code int32, change func(*call)) File {
	n.t.Helper()
	other, _ := n.make(n.act())
	payload, id := n.make(c)
	envelope := n.envelope(payload)
	raw := n.block(blockOptions{}, n.envelope(other), envelope)
	s := n.status(envelope, id, code)
	if change != nil {
		change(&s)
	}
	status, _ := n.make(s)
	f, err := NewTransaction("waybill", n.configs(), n.blocks[len(n.blocks)-1], raw, id, status)
	n.check(err)
	return f
}

func (n *network) verify(f File) Report {
	return Verify(f.Marshal(), Options{Genesis: n.pin(), At: n.at})
}

// refused wants a file refused for a reason, and for no other.
func refused(t *testing.T, name string, r Report, want Result, why string) {
	t.Helper()
	last := Step{}
	if len(r.Steps) > 0 {
		last = r.Steps[len(r.Steps)-1]
	}
	if r.Result != want || last.OK || !bytes.Contains([]byte(last.Detail), []byte(why)) || len(r.Proven) > 0 {
		t.Errorf("%s: %s: %s\nwant %s: %s", name, r.Result, fmt.Sprint(last), want, why)
	}
}
