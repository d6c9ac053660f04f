package proof

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"encoding/json"
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
	"google.golang.org/protobuf/types/known/timestamppb"

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

// call is a proposal and what peers make of it.
type call struct {
	creator   []byte // serialised; nil: a client of the platform
	chaincode string
	args      [][]byte
	at        time.Time
	status    int32
	response  []byte
	results   *rwset.TxReadWriteSet
	endorsers []endorser
	header    func(*common.ChannelHeader)
	proposal  func(*peer.ChaincodeInvocationSpec)
	action    func(*peer.ChaincodeAction)
	signature []byte // header of the action; nil: the transaction's
	hash      []byte // of the proposal; nil: as it is
	payload   func(*common.Payload)
	tx        func(*peer.Transaction)
}

type endorser struct {
	msp  string
	pair channeltest.Pair
	high bool
	over []byte // signed in place of what the others signed
}

// three are peers of three organisations.
func (n *network) three() []endorser {
	var list []endorser
	for _, id := range []string{"AuditMSP", "SecurityMSP", "VendorMSP"} {
		list = append(list, endorser{msp: id, pair: n.orgs[id].peer})
	}
	return list
}

// make makes the payload of a call.
func (n *network) make(c call) (payload []byte, id string) {
	n.t.Helper()
	if c.creator == nil {
		c.creator = identityOf("PlatformMSP", n.orgs["PlatformMSP"].client)
	}
	nonce := make([]byte, 24)
	_, err := rand.Read(nonce)
	n.check(err)
	sum := sha256.Sum256(append(bytes.Clone(nonce), c.creator...))
	id = hex.EncodeToString(sum[:])
	cc := &peer.ChaincodeID{Name: c.chaincode}
	ch := &common.ChannelHeader{
		Type: int32(common.HeaderType_ENDORSER_TRANSACTION), ChannelId: "waybill", TxId: id, Timestamp: timestamppb.New(c.at),
		Extension: n.marshal(&peer.ChaincodeHeaderExtension{ChaincodeId: cc}),
	}
	if c.header != nil {
		c.header(ch)
	}
	header := &common.Header{ChannelHeader: n.marshal(ch), SignatureHeader: n.marshal(&common.SignatureHeader{Creator: c.creator, Nonce: nonce})}
	spec := &peer.ChaincodeInvocationSpec{ChaincodeSpec: &peer.ChaincodeSpec{Type: peer.ChaincodeSpec_GOLANG, ChaincodeId: cc, Input: &peer.ChaincodeInput{Args: c.args}}}
	if c.proposal != nil {
		c.proposal(spec)
	}
	proposal := n.marshal(&peer.ChaincodeProposalPayload{Input: n.marshal(spec)})
	if c.hash == nil {
		h := sha256.Sum256(bytes.Join([][]byte{header.GetChannelHeader(), header.GetSignatureHeader(), proposal}, nil))
		c.hash = h[:]
	}
	action := &peer.ChaincodeAction{Results: n.marshal(c.results), Response: &peer.Response{Status: c.status, Payload: c.response}, ChaincodeId: &peer.ChaincodeID{Name: c.chaincode, Version: "1"}}
	if c.action != nil {
		c.action(action)
	}
	prp := n.marshal(&peer.ProposalResponsePayload{ProposalHash: c.hash, Extension: n.marshal(action)})
	endorsed := &peer.ChaincodeEndorsedAction{ProposalResponsePayload: prp}
	for _, e := range c.endorsers {
		who, over := identityOf(e.msp, e.pair), prp
		if e.over != nil {
			over = e.over
		}
		endorsed.Endorsements = append(endorsed.Endorsements, &peer.Endorsement{Endorser: who, Signature: sign(n.t, e.pair.Key, e.high, over, who)})
	}
	if c.signature == nil {
		c.signature = header.GetSignatureHeader()
	}
	tx := &peer.Transaction{Actions: []*peer.TransactionAction{{
		Header: c.signature, Payload: n.marshal(&peer.ChaincodeActionPayload{ChaincodeProposalPayload: proposal, Action: endorsed}),
	}}}
	if c.tx != nil {
		c.tx(tx)
	}
	p := &common.Payload{Header: header, Data: n.marshal(tx)}
	if c.payload != nil {
		c.payload(p)
	}
	return n.marshal(p), id
}

// question is a call of verdict:Ask, answered as allowed.
func (n *network) question() call {
	v, err := json.Marshal(map[string]any{
		"image": testHost + "/" + testRepo + "@" + testDigest, "digest": testDigest, "stage": "production", "verdict": "allowed", "height": 0, "reasons": []any{},
	})
	n.check(err)
	return call{
		chaincode: "waybill", args: [][]byte{[]byte(ask), []byte(testHost), []byte(testRepo), []byte(testDigest), []byte("production")}, at: n.at,
		status: 200, response: v, endorsers: n.three(), results: n.results("waybill", testReads()),
	}
}

// testReads is what the answer rests on: which keys, and in which block they were written.
func testReads() map[string]uint64 {
	q := question{host: testHost, repository: testRepo, digest: testDigest, stage: "production"}
	q.hash, _ = hex.DecodeString(testDigest[7:])
	keys := map[string]uint64{
		key("members"): 3, key("policies"): 4, key("clock"): 5, key("labels", testHost, testRepo): 0, q.placeKey(): 6,
		key("promotion", q.stage, q.host, q.repository, q.digest): 7, key("released", q.stage, q.host, q.repository, q.digest): 7,
	}
	for _, msp := range []string{"AuditMSP", "SecurityMSP", "VendorMSP"} {
		keys[key("hold", testDigest, msp)], keys[key("evset", testDigest, msp)] = 0, 0
		keys[key("witness", testDigest, testHost, testRepo, msp)], keys[key("waivers", testHost, testRepo, msp)] = 0, 0
	}
	keys[key("evset", testDigest, "SecurityMSP")] = 8
	return keys
}

func (n *network) results(chaincode string, keys map[string]uint64) *rwset.TxReadWriteSet {
	set := &kvrwset.KVRWSet{}
	for k, h := range keys {
		r := &kvrwset.KVRead{Key: k}
		if h > 0 {
			r.Version = &kvrwset.Version{BlockNum: h}
		}
		set.Reads = append(set.Reads, r)
	}
	return &rwset.TxReadWriteSet{NsRwset: []*rwset.NsReadWriteSet{{Namespace: "_lifecycle", Rwset: n.marshal(&kvrwset.KVRWSet{})}, {Namespace: chaincode, Rwset: n.marshal(set)}}}
}

// receipt makes a receipt of a call, with the newest block as its floor.
func (n *network) receipt(c call) File {
	n.t.Helper()
	payload, _ := n.make(c)
	f, err := NewReceipt("waybill", n.configs(), n.blocks[len(n.blocks)-1], payload)
	n.check(err)
	return f
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
