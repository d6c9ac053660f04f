package proof

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/ledger/rwset"
	"github.com/hyperledger/fabric-protos-go-apiv2/ledger/rwset/kvrwset"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/waybill-dev/waybill/network/channel/channeltest"
)

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
	floor := n.blocks[len(n.blocks)-1]
	f, err := NewReceipt("waybill", n.configs(), floor, payload)
	if err != nil { // it is not made of what cannot be read
		f = n.raw(n.configs(), floor)
		f.Transaction = payload
	}
	return f
}
