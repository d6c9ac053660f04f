package ledger

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hyperledger/fabric-protos-go-apiv2/gateway"
	"github.com/hyperledger/fabric-protos-go-apiv2/ledger/rwset/kvrwset"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
)

// Peers at different heights answer differently for a moment; nothing was sent.
// One that does not know yet what the request is about refuses it, which is not
// the ledger's word. What the first peer refuses is, and what our only one does.
func TestSubmitRunsAgainWhenPeersDisagree(t *testing.T) {
	says := func(message, detail string) error {
		return withDetails(t, codes.Aborted, message, &gateway.ErrorDetail{MspId: "AuditMSP", Address: "peer:7051", Message: detail})
	}
	const first, others = "failed to endorse transaction, see attached details for more info", "failed to collect enough transaction endorsements, see attached details for more info"
	const unknown = "chaincode response 500, WB_CONFLICT: no promotion is open"
	for name, err := range map[string]error{"answers differ": says(others, "ProposalResponsePayloads do not match"), "one refuses": says(others, unknown)} {
		p := &fakePeer{endorseErr: err, endorseErrs: 2}
		if got, err := dialFake(t, p).Submit(t.Context(), "promotion:Approve"); err != nil || got.Block != 42 || p.endorsements != 3 {
			t.Errorf("%s: %+v, %v after %d runs", name, got, err, p.endorsements)
		}
		p = &fakePeer{endorseErr: err}
		_, err := dialFake(t, p).Submit(t.Context(), "promotion:Approve")
		if provenance.CodeOf(err) != provenance.Unavailable || !strings.Contains(err.Error(), "AuditMSP peer:7051: ") || p.endorsements != 4 {
			t.Errorf("%s: %v after %d runs", name, err, p.endorsements)
		}
	}
	p := &fakePeer{endorseErr: says(first, unknown)}
	if _, err := dialFake(t, p).Submit(t.Context(), "promotion:Approve"); provenance.CodeOf(err) != provenance.Conflict || p.endorsements != 1 {
		t.Errorf("the first peer refuses: %v after %d runs", err, p.endorsements)
	}
	p = &fakePeer{endorseErr: says(others, unknown)}
	if _, err := dialFake(t, p).SubmitPrivate(t.Context(), nil, "record:Clients"); provenance.CodeOf(err) != provenance.Conflict || p.endorsements != 1 {
		t.Errorf("our only peer refuses: %v after %d runs", err, p.endorsements)
	}
}

// Ours alone never satisfies the policy of a transaction that writes nothing,
// such as one that finds private data kept already: sent, it would fail for ever.
func TestPrivateThatWritesNothingIsNotSent(t *testing.T) {
	for name, tt := range map[string]struct {
		does testTx
		sent int
	}{
		"nothing":      {testTx{alone: true}, 0},
		"private data": {testTx{alone: true, private: []*kvrwset.KVWriteHash{{KeyHash: []byte("k")}}}, 1},
		"state":        {testTx{alone: true, writes: []*kvrwset.KVWrite{{Key: "k"}}}, 1},
	} {
		p := &fakePeer{endorses: tt.does}
		result, err := dialFake(t, p).SubmitPrivate(t.Context(), nil, "record:Clients", "a")
		if err != nil || len(p.submitted) != tt.sent || string(result.Payload) != "answer" {
			t.Errorf("%s: sent %d times, %q, %v", name, len(p.submitted), result.Payload, err)
		}
	}
}

// What is private goes to our own organisation's peers and to no other.
func TestPrivateStaysAtHome(t *testing.T) {
	p := &fakePeer{}
	c := dialFake(t, p)
	secret := map[string][]byte{"clients": []byte("x")}
	if _, err := c.SubmitPrivate(t.Context(), secret, "record:Clients", "a"); err != nil || len(p.asked) != 1 || p.asked[0] != c.config.MSPID {
		t.Errorf("submitted to %q: %v", p.asked, err)
	}
	if _, err := c.EvaluateOwn(t.Context(), "record:ReadClients", "a"); err != nil || len(p.asked) != 1 || p.asked[0] != c.config.MSPID {
		t.Errorf("asked %q: %v", p.asked, err)
	}
	if _, err := c.SubmitTransient(t.Context(), secret, "evidence:Submit", "a"); err != nil || len(p.asked) != 0 {
		t.Errorf("what is for everybody names %q: %v", p.asked, err)
	}
}

// A peer that is asked without a name may pass the question on to another
// organisation's; what a person signs must not come from there.
func TestEvaluateOwnNamesOnlyOurOrganisation(t *testing.T) {
	p := &fakePeer{}
	c := dialFake(t, p)
	if _, err := c.Evaluate(t.Context(), "verdict:Ask", "a"); err != nil || len(p.asked) != 0 {
		t.Errorf("Evaluate names %q: %v", p.asked, err)
	}
	if got, err := c.EvaluateOwn(t.Context(), "verdict:Ask", "a"); err != nil || string(got) != "answer" || len(p.asked) != 1 || p.asked[0] != "VendorMSP" {
		t.Errorf("EvaluateOwn: %q of %q, %v", got, p.asked, err)
	}
}

func TestSubmitRunsAgainAfterALostRace(t *testing.T) {
	p := &fakePeer{fates: []peer.TxValidationCode{peer.TxValidationCode_MVCC_READ_CONFLICT, peer.TxValidationCode_PHANTOM_READ_CONFLICT}}
	got, err := dialFake(t, p).Submit(t.Context(), "tag:Set", "a")
	if err != nil || string(got.Payload) != "answer" || got.Block != 42 || p.endorsements != 3 {
		t.Fatalf("%+v, %v after %d runs", got, err, p.endorsements)
	}
	p = &fakePeer{}
	for range 10 {
		p.fates = append(p.fates, peer.TxValidationCode_MVCC_READ_CONFLICT)
	}
	if _, err := dialFake(t, p).Submit(t.Context(), "tag:Set"); provenance.CodeOf(err) != provenance.Conflict || p.endorsements != 4 {
		t.Fatalf("%v after %d runs", err, p.endorsements)
	}
	// A vote that changes who must endorse may stand in the same block; and one rogue
	// peer's signatures, which count for nothing, must not keep others' acts out.
	const tooFew = peer.TxValidationCode_ENDORSEMENT_POLICY_FAILURE
	p = &fakePeer{fates: []peer.TxValidationCode{tooFew, tooFew, tooFew}}
	if _, err := dialFake(t, p).Submit(t.Context(), "tag:Set"); err != nil || p.endorsements != 4 {
		t.Fatalf("%v after %d runs", err, p.endorsements)
	}
	p = &fakePeer{fates: []peer.TxValidationCode{tooFew, tooFew, tooFew, tooFew}}
	if _, err := dialFake(t, p).Submit(t.Context(), "tag:Set"); provenance.CodeOf(err) != provenance.Internal || p.endorsements != 4 {
		t.Fatalf("%v after %d runs", err, p.endorsements)
	}
}

// A tick of the ledger's clock between the endorsement of an honest act and its
// commit makes it invalid. It is endorsed again without anybody asking: the same
// act, as a new transaction that is dated after the tick. So it is where some of
// the peers have the tick already and others do not.
func TestSubmitCrossesATick(t *testing.T) {
	for name, p := range map[string]*fakePeer{
		"between endorsement and commit": {fates: []peer.TxValidationCode{peer.TxValidationCode_MVCC_READ_CONFLICT}},
		"between two peers": {endorseErrs: 1, endorseErr: withDetails(t, codes.Aborted, "failed to collect enough transaction endorsements",
			&gateway.ErrorDetail{Address: "peer", MspId: "OpsMSP", Message: "ProposalResponsePayloads do not match"})},
	} {
		args := []string{"reg.example", "team/app", "sha256:00", "prod", "1", "prod@3", "ab", "", "reviewed"}
		secret := map[string][]byte{"why": []byte("it is due")}
		if _, err := dialFake(t, p).SubmitTransient(t.Context(), secret, "promotion:Approve", args...); err != nil || len(p.proposed) != 2 {
			t.Fatalf("%s: %v after %d runs", name, err, len(p.proposed))
		}
		first, second := readProposal(t, p.proposed[0]), readProposal(t, p.proposed[1])
		if first.id == second.id || !second.at.After(first.at) {
			t.Errorf("%s: the same transaction again: %+v, %+v", name, first, second)
		}
		if want := append([]string{"promotion:Approve"}, args...); !slices.Equal(first.args, want) || !slices.Equal(second.args, want) {
			t.Errorf("%s: asked for %q, then for %q", name, first.args, second.args)
		}
		if string(first.transient["why"]) != "it is due" || string(second.transient["why"]) != "it is due" {
			t.Errorf("%s: the transient values are lost", name)
		}
	}
}

func TestEndorsedIsSentByteForByte(t *testing.T) {
	p := &fakePeer{}
	c := dialFake(t, p)
	endorsed, err := c.Endorse(t.Context(), "record:Segment", []string{"h"}, map[string][]byte{"segment": {1}})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // now, and as after a restart
		if err := c.SubmitEndorsed(t.Context(), endorsed); err != nil {
			t.Fatal(err)
		}
	}
	if len(p.submitted) != 2 || !proto.Equal(p.submitted[0], p.submitted[1]) || len(p.submitted[0].GetSignature()) == 0 {
		t.Fatalf("sent %v", p.submitted)
	}
	endorsed.TxID = "another"
	if err := c.SubmitEndorsed(t.Context(), endorsed); provenance.CodeOf(err) != provenance.Internal {
		t.Fatalf("bytes of another transaction were sent: %v", err)
	}
}

func TestAlreadyProcessedIsNoFailure(t *testing.T) {
	p := &fakePeer{submitErr: withDetails(t, codes.Unavailable, "insufficient number of orderers could successfully process transaction to satisfy quorum requirement",
		&gateway.ErrorDetail{Address: "orderer:7050", MspId: "AuditMSP", Message: "received unsuccessful response from orderer: status=SERVICE_UNAVAILABLE, info=failed to submit request: request already processed"})}
	got, err := dialFake(t, p).Submit(t.Context(), "tag:Set")
	if err != nil || got.Block != 42 {
		t.Fatalf("%+v, %v", got, err)
	}
}

func TestCommitStatusLooksBehindTheSecondCopy(t *testing.T) {
	p := &fakePeer{fates: []peer.TxValidationCode{peer.TxValidationCode_DUPLICATE_TXID}}
	if got, err := dialFake(t, p).CommitStatus(t.Context(), "tx"); err != nil || !got.Valid || got.Code != "VALID" {
		t.Fatalf("%+v, %v", got, err)
	}
}

func TestErrors(t *testing.T) {
	down := &gateway.ErrorDetail{Address: "peer0.security:7051", MspId: "SecurityMSP", Message: "connection refused"}
	says := func(text string) *gateway.ErrorDetail {
		return &gateway.ErrorDetail{Address: "peer0.audit:7051", MspId: "AuditMSP", Message: text}
	}
	refused := says("received unsuccessful response from orderer: status=FORBIDDEN, info=implicit policy evaluation failed")
	for _, c := range []struct {
		name string
		err  error
		code provenance.Code
		text string
	}{
		{"contract", withDetails(t, codes.Aborted, "failed to endorse transaction, see attached details for more info", down, says("chaincode response 500, WB_FORBIDDEN: role gateway is missing")), provenance.Forbidden, "role gateway is missing"},
		{"contract in message", withDetails(t, codes.Unknown, "evaluate call to endorser returned error: chaincode response 500, WB_NOT_FOUND: no such tag"), provenance.NotFound, "no such tag"},
		{"orderers", withDetails(t, codes.Unavailable, "insufficient number of orderers", down), provenance.Unavailable, "SecurityMSP peer0.security:7051: connection refused"},
		{"signer", withDetails(t, codes.Unavailable, "insufficient number of orderers", refused, refused), provenance.Forbidden, "do not accept who signed it"},
		{"one orderer's word", withDetails(t, codes.Unavailable, "insufficient number of orderers", refused, down), provenance.Unavailable, "FORBIDDEN"},
		{"no combination", withDetails(t, codes.FailedPrecondition, "no combination of peers can be derived which satisfy the endorsement policy"), provenance.Unavailable, "too few organisations"},
		{"busy", withDetails(t, codes.Unknown, "too many requests for /gateway.Gateway, exceeding concurrency limit (500)"), provenance.Unavailable, "busy"},
		{"chaincode down", withDetails(t, codes.Aborted, "failed to collect enough transaction endorsements", down), provenance.Unavailable, "SecurityMSP"},
		{"deadline", withDetails(t, codes.DeadlineExceeded, "endorse timeout"), provenance.Unavailable, "deadline"},
		{"denied", withDetails(t, codes.PermissionDenied, "access denied"), provenance.Forbidden, "access denied"},
		{"other", withDetails(t, codes.DataLoss, "hm"), provenance.Internal, "hm"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := dialFake(t, &fakePeer{endorseErr: c.err}).Endorse(t.Context(), "record:Segment", nil, nil)
			if provenance.CodeOf(err) != c.code || !strings.Contains(err.Error(), c.text) || strings.Contains(err.Error(), "\n") {
				t.Fatalf("error %v, want %s and %q on one line", err, c.code, c.text)
			}
		})
	}
}

func TestDialChecksItsFiles(t *testing.T) {
	dir := t.TempDir()
	alice := newPerson(t, "gateway")
	write := func(name string, b []byte, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	sec1, err := x509.MarshalECPrivateKey(alice.key)
	if err != nil {
		t.Fatal(err)
	}
	key := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: sec1})
	cert := write("cert.pem", alice.cert, 0o644)
	good := Config{MSPID: "VendorMSP", CertFile: cert, PeerTLSCAFile: cert, KeyFile: write("key.pem", key, 0o600), PeerAddress: "127.0.0.1:1", Channel: "waybill", Chaincode: "waybill"}
	c, err := Dial(good)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := c.Evaluate(ctx, "tag:Get"); provenance.CodeOf(err) != provenance.Unavailable {
		t.Errorf("no peer there: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	loose := good
	loose.KeyFile = write("loose.pem", key, 0o644)
	absent := good
	absent.CertFile = filepath.Join(dir, "absent.pem")
	swapped := good
	swapped.PeerTLSCAFile = good.KeyFile
	for name, config := range map[string]Config{"key readable by others": loose, "no certificate": absent, "no CA": swapped} {
		if _, err := Dial(config); provenance.CodeOf(err) != provenance.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}
