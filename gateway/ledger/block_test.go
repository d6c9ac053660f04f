package ledger

import (
	"crypto/sha256"
	"encoding/hex"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/ledger/rwset/kvrwset"
	"github.com/hyperledger/fabric-protos-go-apiv2/msp"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/protobuf/proto"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/block"
)

const (
	valid = byte(peer.TxValidationCode_VALID)
	mvcc  = byte(peer.TxValidationCode_MVCC_READ_CONFLICT)
)

func TestDecodeTakesOnlyValidTransactionsOfOurs(t *testing.T) {
	alice := serialised(t, "VendorMSP", newPerson(t, "gateway").cert)
	ours := testTx{id: "tx1", args: [][]byte{[]byte("record:Segment"), []byte("host")}, creator: alice, writes: []*kvrwset.KVWrite{
		{Key: "\x00tag\x00a\x00", Value: []byte("{}")}, {Key: "\x00hold\x00b\x00", IsDelete: true},
	}}
	foreign := testTx{id: "tx2", chaincode: "other", args: [][]byte{[]byte("f")}, creator: alice, writes: []*kvrwset.KVWrite{{Key: "k"}}}
	through := testTx{id: "tx3", chaincode: "other", namespace: testChaincode, args: [][]byte{[]byte("f")}, creator: alice, writes: []*kvrwset.KVWrite{{Key: "k", Value: []byte("v")}}}
	b := fabricBlock(7, []byte("previous"), []byte{mvcc, valid, valid, valid, valid, mvcc},
		endorserEnvelope(t, ours), endorserEnvelope(t, ours), endorserEnvelope(t, foreign), endorserEnvelope(t, through),
		envelope(t, common.HeaderType_MESSAGE, "tx4", nil, nil), []byte("\xff not an envelope, and marked invalid"))
	got, err := Decode(b, testChaincode)
	if err != nil {
		t.Fatal(err)
	}
	who := policy.Person{MSP: "VendorMSP", Name: "gateway"}
	want := []block.Tx{
		{ID: "tx1", Index: 1, Creator: who, At: testTime, Function: "record:Segment", Writes: []block.Write{
			{Key: "\x00tag\x00a\x00", Value: []byte("{}")}, {Key: "\x00hold\x00b\x00", Delete: true},
		}},
		{ID: "tx3", Index: 3, Creator: who, At: testTime, Writes: []block.Write{{Key: "k", Value: []byte("v")}}},
	}
	if diff := cmp.Diff(want, got.Txs); diff != "" {
		t.Fatal(diff)
	}
	if got.Number != 7 || string(got.PreviousHash) != "previous" {
		t.Fatalf("block %d after %q", got.Number, got.PreviousHash)
	}
}

// The bytes of a segment are the event of the transaction that names it, and count by
// their hash alone. An event without such a name is nobody's word.
func TestDecodeSegment(t *testing.T) {
	alice := serialised(t, "VendorMSP", newPerson(t, "gateway").cert)
	bytes := []byte("the bytes of a segment")
	journal := state.JournalKey(testTime, "reg.example", "VendorMSP", "l", 1)
	name, err := state.Encode(state.Segment{Journal: journal, Sum: provenance.SHA256Of(bytes)})
	if err != nil {
		t.Fatal(err)
	}
	named := &kvrwset.KVWrite{Key: state.SegmentKey("reg.example", "VendorMSP", "l", 1), Value: name}
	event := func(chaincode, name, payload string) *peer.ChaincodeEvent {
		return &peer.ChaincodeEvent{ChaincodeId: chaincode, EventName: name, Payload: []byte(payload)}
	}
	for what, tt := range map[string]struct {
		writes []*kvrwset.KVWrite
		event  *peer.ChaincodeEvent
		want   string // the journal's bytes
		code   provenance.Code
	}{
		"in an event":              {[]*kvrwset.KVWrite{named}, event(testChaincode, state.SegmentEvent, string(bytes)), string(bytes), ""},
		"among the writes":         {[]*kvrwset.KVWrite{named, {Key: journal, Value: bytes}}, nil, string(bytes), ""},
		"other bytes":              {[]*kvrwset.KVWrite{named}, event(testChaincode, state.SegmentEvent, "other"), "", provenance.Internal},
		"another chaincode's word": {[]*kvrwset.KVWrite{named}, event("other", state.SegmentEvent, string(bytes)), "", provenance.Internal},
		"no bytes":                 {[]*kvrwset.KVWrite{named}, nil, "", provenance.Internal},
		"an event that names none": {[]*kvrwset.KVWrite{{Key: "k", Value: []byte("v")}}, event(testChaincode, state.SegmentEvent, string(bytes)), "", ""},
		"of another layout":        {[]*kvrwset.KVWrite{{Key: named.Key, Value: bytes}}, nil, "", provenance.Internal},
		"private data and a lie":   {nil, event(testChaincode, state.SegmentEvent, "garbage"), "", ""},
	} {
		tx := testTx{id: "tx", args: [][]byte{[]byte("record:Segment")}, creator: alice, writes: tt.writes, event: tt.event}
		got, err := Decode(fabricBlock(1, nil, []byte{valid}, endorserEnvelope(t, tx)), testChaincode)
		if provenance.CodeOf(err) != tt.code {
			t.Errorf("%s: %v", what, err)
			continue
		}
		read := ""
		for _, tx := range got.Txs {
			for _, w := range tx.Writes {
				if w.Key == journal {
					read += string(w.Value)
				}
			}
		}
		if read != tt.want {
			t.Errorf("%s: the journal has %q", what, read)
		}
	}
}

func TestDecodeRefusesDamage(t *testing.T) {
	alice := serialised(t, "VendorMSP", newPerson(t, "gateway").cert)
	good := endorserEnvelope(t, testTx{id: "tx", args: [][]byte{[]byte("f")}, creator: alice})
	nameless := endorserEnvelope(t, testTx{id: "tx", args: [][]byte{[]byte("f")}, creator: serialised(t, "VendorMSP", []byte("no PEM"))})
	forged := fabricBlock(3, nil, []byte{valid}, good)
	forged.Data.Data[0] = append([]byte{}, good[:len(good)-1]...)
	for name, b := range map[string]*common.Block{
		"nothing":            {},
		"no data":            {Header: &common.BlockHeader{Number: 3}},
		"data hash":          forged,
		"valid and no proto": fabricBlock(3, nil, []byte{valid}, []byte("\xff")),
		"no certificate":     fabricBlock(3, nil, []byte{valid}, nameless),
	} {
		if _, err := Decode(b, testChaincode); provenance.CodeOf(err) != provenance.Internal {
			t.Errorf("%s: error %v", name, err)
		}
	}
	// Without flags nothing is valid, except in block 0.
	if got, err := Decode(fabricBlock(3, nil, nil, good), testChaincode); err != nil || len(got.Txs) != 0 {
		t.Errorf("transactions of a block without flags were taken: %v, %v", got.Txs, err)
	}
}

func TestDecodeOrganisations(t *testing.T) {
	b := fabricBlock(0, nil, nil, configEnvelope(t,
		&msp.FabricMSPConfig{Name: "VendorMSP", RootCerts: [][]byte{[]byte("root")}, IntermediateCerts: [][]byte{[]byte("mid")}},
		&msp.FabricMSPConfig{Name: "AuditMSP", RootCerts: [][]byte{[]byte("r1"), []byte("r2")}, RevocationList: [][]byte{[]byte("crl")}}))
	got, err := Decode(b, testChaincode)
	if err != nil {
		t.Fatal(err)
	}
	want := []block.Organisation{
		{MSPID: "AuditMSP", RootCerts: [][]byte{[]byte("r1"), []byte("r2")}, RevocationLists: [][]byte{[]byte("crl")}},
		{MSPID: "VendorMSP", RootCerts: [][]byte{[]byte("root")}, IntermediateCerts: [][]byte{[]byte("mid")}, Orderers: [][]byte{[]byte("consenter")}, OrderersTLS: [][]byte{[]byte("tls")}},
	}
	if diff := cmp.Diff(want, got.Organisations); diff != "" {
		t.Fatal(diff)
	}
}

// The DER is written out by hand, so that a change of encoding cannot change
// the test with it: SEQUENCE { INTEGER 300, OCTET STRING 'aa', OCTET STRING 'bbcc' }.
func TestHeaderHashIsOfDER(t *testing.T) {
	der, err := hex.DecodeString("300b" + "0202012c" + "0401aa" + "0402bbcc")
	if err != nil {
		t.Fatal(err)
	}
	want := sha256.Sum256(der)
	got, err := headerHash(&common.BlockHeader{Number: 300, PreviousHash: []byte{0xaa}, DataHash: []byte{0xbb, 0xcc}})
	if err != nil || string(got) != string(want[:]) {
		t.Fatalf("hash %x, want %x (%v)", got, want, err)
	}
}

// FuzzDecode: whatever a peer sends, no panic, and nothing of an invalid transaction.
func FuzzDecode(f *testing.F) {
	alice := serialised(f, "VendorMSP", newPerson(f, "gateway").cert)
	f.Add(endorserEnvelope(f, testTx{id: "tx", args: [][]byte{[]byte("f")}, creator: alice, writes: []*kvrwset.KVWrite{{Key: "k"}}}), false)
	f.Add(configEnvelope(f, &msp.FabricMSPConfig{Name: "VendorMSP"}), false)
	f.Add(must(f, fabricBlock(1, nil, []byte{valid}, []byte("x"))), true)
	f.Fuzz(func(t *testing.T, raw []byte, whole bool) {
		if whole {
			var b common.Block
			if proto.Unmarshal(raw, &b) == nil {
				_, _ = Decode(&b, testChaincode)
			}
			return
		}
		_, _ = Decode(fabricBlock(1, nil, []byte{valid}, raw), testChaincode)
		got, err := Decode(fabricBlock(1, nil, []byte{mvcc}, raw), testChaincode)
		if err != nil || len(got.Txs) != 0 || got.Organisations != nil {
			t.Fatalf("an invalid transaction was read: %+v, %v", got, err)
		}
	})
}
