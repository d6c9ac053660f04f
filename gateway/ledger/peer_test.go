package ledger

import (
	"context"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hyperledger/fabric-gateway/pkg/identity"
	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/gateway"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"
)

// fakePeer answers the gateway service in the process, over real gRPC.
type fakePeer struct {
	gateway.UnimplementedGatewayServer
	t  *testing.T
	mu sync.Mutex

	endorseErr, submitErr, statusErr error
	endorseErrs                      int                     // how often endorseErr comes; 0 is always
	fates                            []peer.TxValidationCode // of the next commit statuses; VALID after them
	submitted                        []*common.Envelope
	endorsements                     int
	proposed                         []*peer.SignedProposal
	asked                            []string // organisations that the last call named
	endorses                         testTx   // what an endorsed transaction does

	// attests is what the peer of one organisation answers, the first time, the second and so on; it may block.
	// What ends with " of another" bears the signature of VendorMSP's peer.
	attests func(org string, time int) (string, error)
	times   map[string]int
}

func (p *fakePeer) Endorse(_ context.Context, r *gateway.EndorseRequest) (*gateway.EndorseResponse, error) {
	if p.attests != nil {
		return p.attest(r)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.endorsements++
	p.proposed = append(p.proposed, r.GetProposedTransaction())
	p.asked = r.GetEndorsingOrganizations()
	if p.endorseErr != nil && (p.endorseErrs == 0 || p.endorsements <= p.endorseErrs) {
		return nil, p.endorseErr
	}
	var e common.Envelope
	tx := p.endorses
	tx.id, tx.args, tx.payload = r.GetTransactionId(), [][]byte{[]byte("f")}, []byte("answer")
	raw := endorserEnvelope(p.t, tx)
	if err := proto.Unmarshal(raw, &e); err != nil {
		return nil, err
	}
	e.Signature = nil
	return &gateway.EndorseResponse{PreparedTransaction: &e}, nil
}

// attest answers as the peer of the one organisation that was named.
func (p *fakePeer) attest(r *gateway.EndorseRequest) (*gateway.EndorseResponse, error) {
	org := r.GetEndorsingOrganizations()[0]
	p.mu.Lock()
	if p.times == nil {
		p.times = map[string]int{}
	}
	p.times[org]++
	p.asked, p.proposed = append(p.asked, org), append(p.proposed, r.GetProposedTransaction())
	time := p.times[org]
	p.mu.Unlock()
	answer, err := p.attests(org, time)
	if err != nil {
		return nil, err
	}
	tx := p.endorses
	tx.endorsedBy = org
	tx.id, tx.payload = r.GetTransactionId(), []byte(strings.TrimSuffix(answer, " of another"))
	if strings.HasSuffix(answer, " of another") {
		tx.endorsedBy = "VendorMSP"
	}
	var e common.Envelope
	err = proto.Unmarshal(endorserEnvelope(p.t, tx), &e)
	return &gateway.EndorseResponse{PreparedTransaction: &e}, err
}

func (p *fakePeer) Evaluate(_ context.Context, r *gateway.EvaluateRequest) (*gateway.EvaluateResponse, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = r.GetTargetOrganizations()
	return &gateway.EvaluateResponse{Result: &peer.Response{Status: 200, Payload: []byte("answer")}}, nil
}

func (p *fakePeer) Submit(_ context.Context, r *gateway.SubmitRequest) (*gateway.SubmitResponse, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.submitted = append(p.submitted, r.GetPreparedTransaction())
	return &gateway.SubmitResponse{}, p.submitErr
}

func (p *fakePeer) CommitStatus(ctx context.Context, r *gateway.SignedCommitStatusRequest) (*gateway.CommitStatusResponse, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var request gateway.CommitStatusRequest
	if err := proto.Unmarshal(r.GetRequest(), &request); err != nil || request.GetChannelId() != "waybill" || len(r.GetSignature()) == 0 || len(request.GetIdentity()) == 0 {
		return nil, status.Error(codes.InvalidArgument, "bad commit status request")
	}
	if p.statusErr != nil {
		return nil, p.statusErr
	}
	fate := peer.TxValidationCode_VALID
	if len(p.fates) > 0 {
		fate, p.fates = p.fates[0], p.fates[1:]
	}
	return &gateway.CommitStatusResponse{Result: fate, BlockNumber: 42}, nil
}

func dialFake(t *testing.T, p *fakePeer) *Client {
	t.Helper()
	p.t = t
	listener := bufconn.Listen(1 << 20)
	server := grpc.NewServer()
	gateway.RegisterGatewayServer(server, p)
	var wg sync.WaitGroup
	wg.Go(func() { _ = server.Serve(listener) }) // ends with Stop
	conn, err := grpc.NewClient("passthrough:///fake", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) { return listener.Dial() }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(); server.Stop(); wg.Wait() })
	alice := newPerson(t, "gateway")
	cert, err := identity.CertificateFromPEM(alice.cert)
	if err != nil {
		t.Fatal(err)
	}
	id, err := identity.NewX509Identity("VendorMSP", cert)
	if err != nil {
		t.Fatal(err)
	}
	sign, err := identity.NewPrivateKeySign(alice.key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := newClient(Config{MSPID: "VendorMSP", Channel: "waybill", Chaincode: testChaincode}.withDefaults(), conn, id, sign)
	if err != nil {
		t.Fatal(err)
	}
	c.retry = retry{attempts: 4, base: time.Millisecond, max: 2 * time.Millisecond}
	return c
}

func withDetails(t *testing.T, code codes.Code, message string, details ...*gateway.ErrorDetail) error {
	t.Helper()
	s := status.New(code, message)
	for _, d := range details {
		var err error
		if s, err = s.WithDetails(d); err != nil {
			t.Fatal(err)
		}
	}
	return s.Err()
}

// proposal is what a client asked to be endorsed.
type proposal struct {
	id        string
	at        time.Time
	args      []string
	transient map[string][]byte
}

func readProposal(t *testing.T, signed *peer.SignedProposal) (out proposal) {
	t.Helper()
	var p peer.Proposal
	var header common.Header
	var channel common.ChannelHeader
	var payload peer.ChaincodeProposalPayload
	var call peer.ChaincodeInvocationSpec
	for _, part := range []struct {
		raw  func() []byte
		into proto.Message
	}{
		{signed.GetProposalBytes, &p}, {func() []byte { return p.GetHeader() }, &header}, {func() []byte { return header.GetChannelHeader() }, &channel},
		{func() []byte { return p.GetPayload() }, &payload}, {func() []byte { return payload.GetInput() }, &call},
	} {
		if err := proto.Unmarshal(part.raw(), part.into); err != nil {
			t.Fatal(err)
		}
	}
	for _, a := range call.GetChaincodeSpec().GetInput().GetArgs() {
		out.args = append(out.args, string(a))
	}
	out.id, out.at, out.transient = channel.GetTxId(), channel.GetTimestamp().AsTime(), payload.GetTransientMap()
	return out
}
