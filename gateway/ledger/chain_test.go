package ledger

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
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
)

// The blocks of these tests are put together by hand, message by message, as
// Fabric's peers and orderers do.

const testChaincode = "waybill"

func must(t testing.TB, m proto.Message) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

type person struct {
	cert []byte // PEM
	key  *ecdsa.PrivateKey
}

func newPerson(t testing.TB, name string) person {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name, OrganizationalUnit: []string{"client"}},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return person{cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), key: key}
}

type testTx struct {
	id, chaincode, namespace string
	args                     [][]byte
	writes                   []*kvrwset.KVWrite
	private                  []*kvrwset.KVWriteHash // in our organisation's collection
	alone                    bool                   // nobody else writes in it
	payload                  []byte
	event                    *peer.ChaincodeEvent
	creator                  []byte
	reads                    []*kvrwset.KVRead
	endorsedBy               string
}

var testTime = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

func endorserEnvelope(t testing.TB, tx testTx) []byte {
	if tx.chaincode == "" {
		tx.chaincode = testChaincode
	}
	if tx.namespace == "" {
		tx.namespace = tx.chaincode
	}
	sets := &rwset.TxReadWriteSet{NsRwset: []*rwset.NsReadWriteSet{
		{Namespace: "_lifecycle", Rwset: must(t, &kvrwset.KVRWSet{Writes: []*kvrwset.KVWrite{{Key: "not ours"}}})},
		{Namespace: tx.namespace, Rwset: must(t, &kvrwset.KVRWSet{Reads: tx.reads, Writes: tx.writes}), CollectionHashedRwset: []*rwset.CollectionHashedReadWriteSet{
			{CollectionName: "_implicit_org_VendorMSP", HashedRwset: must(t, &kvrwset.HashedRWSet{HashedWrites: tx.private})},
		}},
	}}
	if tx.alone {
		sets.NsRwset = sets.NsRwset[1:]
	}
	action := &peer.ChaincodeAction{
		Results: must(t, sets), ChaincodeId: &peer.ChaincodeID{Name: tx.chaincode},
		Response: &peer.Response{Status: 200, Payload: tx.payload},
	}
	if tx.event != nil {
		action.Events = must(t, tx.event)
	}
	invocation := &peer.ChaincodeInvocationSpec{ChaincodeSpec: &peer.ChaincodeSpec{
		ChaincodeId: &peer.ChaincodeID{Name: tx.chaincode}, Input: &peer.ChaincodeInput{Args: tx.args},
	}}
	var signatures []*peer.Endorsement
	if tx.endorsedBy != "" {
		signatures = append(signatures, &peer.Endorsement{Endorser: serialised(t, tx.endorsedBy, nil), Signature: []byte("signature of " + tx.endorsedBy)})
	}
	actions := &peer.Transaction{Actions: []*peer.TransactionAction{{Payload: must(t, &peer.ChaincodeActionPayload{
		ChaincodeProposalPayload: must(t, &peer.ChaincodeProposalPayload{Input: must(t, invocation)}),
		Action: &peer.ChaincodeEndorsedAction{Endorsements: signatures, ProposalResponsePayload: must(t, &peer.ProposalResponsePayload{
			Extension: must(t, action),
		})},
	})}}}
	return envelope(t, common.HeaderType_ENDORSER_TRANSACTION, tx.id, tx.creator, must(t, actions))
}

func envelope(t testing.TB, kind common.HeaderType, txID string, creator, data []byte) []byte {
	return must(t, &common.Envelope{Signature: []byte("signature"), Payload: must(t, &common.Payload{
		Header: &common.Header{
			ChannelHeader: must(t, &common.ChannelHeader{
				Type: int32(kind), TxId: txID, ChannelId: "waybill", Timestamp: timestamppb.New(testTime),
			}),
			SignatureHeader: must(t, &common.SignatureHeader{Creator: creator}),
		},
		Data: data,
	})})
}

func serialised(t testing.TB, mspID string, cert []byte) []byte {
	return must(t, &msp.SerializedIdentity{Mspid: mspID, IdBytes: cert})
}

func configEnvelope(t testing.TB, organisations ...*msp.FabricMSPConfig) []byte {
	groups := map[string]*common.ConfigGroup{}
	for _, o := range organisations {
		groups[o.GetName()+"-group"] = &common.ConfigGroup{Values: map[string]*common.ConfigValue{
			"MSP": {Value: must(t, &msp.MSPConfig{Config: must(t, o)})},
		}}
	}
	config := &common.ConfigEnvelope{Config: &common.Config{ChannelGroup: &common.ConfigGroup{Groups: map[string]*common.ConfigGroup{
		"Application": {Groups: groups},
		"Orderer": {
			Groups: map[string]*common.ConfigGroup{"ignored": {}},
			Values: map[string]*common.ConfigValue{"Orderers": {Value: must(t, &common.Orderers{ConsenterMapping: []*common.Consenter{
				{Id: 1, MspId: "VendorMSP", Identity: []byte("consenter"), ServerTlsCert: []byte("tls")},
			}})}},
		},
	}}}}
	return envelope(t, common.HeaderType_CONFIG, "", nil, must(t, config))
}

func fabricBlock(number uint64, previous []byte, flags []byte, data ...[]byte) *common.Block {
	sum := sha256.Sum256(bytes.Join(data, nil))
	return &common.Block{
		Header:   &common.BlockHeader{Number: number, PreviousHash: previous, DataHash: sum[:]},
		Data:     &common.BlockData{Data: data},
		Metadata: &common.BlockMetadata{Metadata: [][]byte{nil, nil, flags, nil, nil}},
	}
}
