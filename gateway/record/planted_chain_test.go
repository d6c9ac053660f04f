package record_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/ledger/rwset"
	"github.com/hyperledger/fabric-protos-go-apiv2/ledger/rwset/kvrwset"
	"github.com/hyperledger/fabric-protos-go-apiv2/msp"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/ledger"
	"github.com/waybill-dev/waybill/gateway/ledger/ledgertest"
	"github.com/waybill-dev/waybill/test/chaos/check"
)

const chainCode = "waybill"

// writtenChain is the fake ledger with the blocks it leaves behind: each ordered
// transaction is a block of Fabric's own messages, the invalid ones with their
// validation code, so that the real decoder reads them.
type writtenChain struct {
	*ledgertest.Ledger
	t       *testing.T
	creator []byte

	mu     sync.Mutex
	blocks []*common.Block
	txs    []check.Tx
	last   []byte // hash of the last block
}

func newChain(t *testing.T) *writtenChain {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "gateway"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	c := &writtenChain{Ledger: ledgertest.New(), t: t}
	c.creator = c.bytes(&msp.SerializedIdentity{Mspid: "VendorMSP", IdBytes: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})})
	c.add(peer.TxValidationCode_VALID, check.Tx{ID: "genesis", Valid: true}, nil)
	return c
}

// SubmitEndorsed orders the transaction and cuts a block where it is new.
func (c *writtenChain) SubmitEndorsed(ctx context.Context, e ledger.Endorsed) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, known := c.fate(e.TxID)
	err := c.Ledger.SubmitEndorsed(ctx, e)
	code, ordered := c.fate(e.TxID)
	if !ordered || known {
		return err
	}
	var in ledgertest.Tx
	if err := json.Unmarshal(e.Bytes, &in); err != nil {
		return err
	}
	tx := check.Tx{ID: e.TxID, Valid: code == "VALID", Segment: in.Key}
	var writes []*kvrwset.KVWrite
	if in.Absent { // else the contract finds the segment there, and writes nothing
		name := strings.Fields(strings.Trim(in.Key, "[]"))
		seq, err := strconv.ParseUint(name[2], 10, 64)
		if err != nil {
			return err
		}
		writes = []*kvrwset.KVWrite{{Key: state.JournalKey(time.Time{}, provenance.Host(name[0]), "VendorMSP", name[1], seq), Value: in.Bytes}}
		events, err := provenance.DecodeSegment(in.Bytes)
		if err != nil {
			return err
		}
		for _, event := range events {
			tx.Events = append(tx.Events, check.Event{ID: event.ID.String(), Key: eventKey(provenance.Host(name[0]), event)})
		}
	}
	c.add(peer.TxValidationCode(peer.TxValidationCode_value[code]), tx, writes)
	return err
}

func (c *writtenChain) fate(txID string) (code string, ordered bool) {
	c.Mu.Lock()
	defer c.Mu.Unlock()
	code, ordered = c.Outcomes[txID]
	return code, ordered
}

func eventKey(host provenance.Host, e provenance.Event) string {
	return check.Key(e.Action.String(), string(host), string(e.Repository), string(e.Tag), e.Digest.String())
}

// add cuts a block of one transaction.
func (c *writtenChain) add(code peer.TxValidationCode, tx check.Tx, writes []*kvrwset.KVWrite) {
	sets := &rwset.TxReadWriteSet{NsRwset: []*rwset.NsReadWriteSet{{Namespace: chainCode, Rwset: c.bytes(&kvrwset.KVRWSet{Writes: writes})}}}
	invocation := &peer.ChaincodeInvocationSpec{ChaincodeSpec: &peer.ChaincodeSpec{
		ChaincodeId: &peer.ChaincodeID{Name: chainCode}, Input: &peer.ChaincodeInput{Args: [][]byte{[]byte("record:Segment")}},
	}}
	action := &peer.ChaincodeAction{Results: c.bytes(sets), ChaincodeId: &peer.ChaincodeID{Name: chainCode}, Response: &peer.Response{Status: 200}}
	transaction := &peer.Transaction{Actions: []*peer.TransactionAction{{Payload: c.bytes(&peer.ChaincodeActionPayload{
		ChaincodeProposalPayload: c.bytes(&peer.ChaincodeProposalPayload{Input: c.bytes(invocation)}),
		Action:                   &peer.ChaincodeEndorsedAction{ProposalResponsePayload: c.bytes(&peer.ProposalResponsePayload{Extension: c.bytes(action)})},
	})}}}
	envelope := c.bytes(&common.Envelope{Payload: c.bytes(&common.Payload{
		Header: &common.Header{
			ChannelHeader: c.bytes(&common.ChannelHeader{
				Type: int32(common.HeaderType_ENDORSER_TRANSACTION), TxId: tx.ID, ChannelId: "waybill", Timestamp: timestamppb.Now(),
			}),
			SignatureHeader: c.bytes(&common.SignatureHeader{Creator: c.creator}),
		},
		Data: c.bytes(transaction),
	})})
	sum := sha256.Sum256(envelope)
	block := &common.Block{
		Header:   &common.BlockHeader{Number: uint64(len(c.blocks)), PreviousHash: c.last, DataHash: sum[:]},
		Data:     &common.BlockData{Data: [][]byte{envelope}},
		Metadata: &common.BlockMetadata{Metadata: [][]byte{nil, nil, {byte(code)}, nil, nil}},
	}
	decoded, err := ledger.Decode(block, chainCode)
	if err != nil {
		c.t.Error(err)
		return
	}
	c.blocks, c.txs, c.last = append(c.blocks, block), append(c.txs, tx), decoded.Hash
}

func (c *writtenChain) bytes(m proto.Message) []byte {
	b, err := proto.Marshal(m)
	if err != nil {
		c.t.Error(err)
	}
	return b
}

// block returns a copy of a block, or nil where it is not cut yet.
func (c *writtenChain) block(number uint64) *common.Block {
	c.mu.Lock()
	defer c.mu.Unlock()
	if number >= uint64(len(c.blocks)) {
		return nil
	}
	return proto.CloneOf(c.blocks[number])
}

// writes tells whether a block has anything that an index takes.
func (c *writtenChain) writes(number uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.txs[number].Valid && len(c.txs[number].Events) > 0
}

func (c *writtenChain) height() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return uint64(len(c.blocks))
}

// peer is the chain as the checker reads it.
func (c *writtenChain) peer() check.Peer {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := check.Peer{Name: "vendor"}
	var last []byte
	for i, b := range c.blocks {
		decoded, err := ledger.Decode(b, chainCode)
		if err != nil || !bytes.Equal(decoded.PreviousHash, last) {
			c.t.Errorf("block %d: %v", i, err)
		}
		p.Blocks = append(p.Blocks, check.Block{Number: b.GetHeader().GetNumber(), Hash: string(decoded.Hash), Previous: string(last), Txs: []check.Tx{c.txs[i]}})
		last = decoded.Hash
	}
	return p
}
