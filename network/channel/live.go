package channel

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	admin "github.com/hyperledger/fabric-admin-sdk/pkg/channel"
	"github.com/hyperledger/fabric-admin-sdk/pkg/identity"
	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/msp"
	"github.com/hyperledger/fabric-protos-go-apiv2/orderer"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/proto"
)

// maxMessage is how large a message of a node may be: a block and what goes around it.
const maxMessage = 100 << 20

// Dial prepares a connection to a node; it comes about when it is first used. roots vouch for the node.
func Dial(address string, roots *x509.CertPool) (*grpc.ClientConn, error) {
	return grpc.NewClient(address,
		grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12})),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)))
}

// DialFile is Dial with the file that the roots are in.
func DialFile(address, file string) (*grpc.ClientConn, error) {
	raw, err := os.ReadFile(file) //nolint:gosec // the caller's own file
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(raw) {
		return nil, fmt.Errorf("%s: no certificate in it", file)
	}
	return Dial(address, roots)
}

// ReadSigner reads a person's certificate, and the key unless it is given: one that was encrypted in its file.
func ReadSigner(mspID, certFile, keyFile string, key crypto.PrivateKey) (Signer, error) {
	raw, err := os.ReadFile(certFile) //nolint:gosec // the caller's own file
	if err != nil {
		return Signer{}, err
	}
	cert, err := parseCertificate(string(raw))
	if err != nil {
		return Signer{}, fmt.Errorf("%s: %w", certFile, err)
	}
	if key == nil {
		pair, err := tls.LoadX509KeyPair(certFile, keyFile)
		if err != nil {
			return Signer{}, fmt.Errorf("read the key of %s: %w", mspID, err)
		}
		key = pair.PrivateKey
	}
	signs, ok := key.(crypto.Signer)
	if !ok {
		return Signer{}, fmt.Errorf("%s: not a key that signs", keyFile)
	}
	return Signer{MSPID: mspID, Cert: cert, Key: signs}, nil
}

// Member is a channel as somebody of one of its organisations reaches it: through the own peer, and the orderers
// that the configuration names.
type Member struct {
	Signer
	name string
	peer *grpc.ClientConn
}

// Connect prepares a Member. The peer is asked when something is.
func Connect(name string, s Signer, peerAddress, peerRoots string) (*Member, error) {
	conn, err := DialFile(peerAddress, peerRoots)
	if err != nil {
		return nil, err
	}
	return &Member{Signer: s, name: name, peer: conn}, nil
}

// Close ends the connection to the peer.
func (m *Member) Close() error { return m.peer.Close() }

func (s Signer) identity() (identity.SigningIdentity, error) {
	return identity.NewPrivateKeySigningIdentity(s.MSPID, s.Cert, s.Key)
}

// Current asks the peer for the channel's configuration, and in which block it is.
func (m *Member) Current(ctx context.Context) (*common.Config, uint64, error) {
	block, err := m.ConfigBlock(ctx)
	if err != nil {
		return nil, 0, err
	}
	got, config, err := ConfigOf(block)
	if err != nil {
		return nil, 0, err
	}
	if got != m.name {
		return nil, 0, fmt.Errorf("asked for the configuration of channel %s, got that of %s", m.name, got)
	}
	return config, block.GetHeader().GetNumber(), nil
}

// ConfigBlock asks the peer for the block with the configuration in force.
func (m *Member) ConfigBlock(ctx context.Context) (*common.Block, error) {
	id, err := m.identity()
	if err != nil {
		return nil, err
	}
	block, err := admin.GetConfigBlock(ctx, m.peer, id, m.name)
	if err != nil {
		return nil, fmt.Errorf("ask for the configuration of channel %s: %w", m.name, err)
	}
	return block, nil
}

// node is an orderer as the channel names it.
type node struct {
	mspID string
	at    Endpoint
	roots *x509.CertPool
}

// orderers are the channel's consenters, each with the roots of its organisation.
func orderers(config *common.Config) ([]node, error) {
	list, err := consenters(config)
	if err != nil {
		return nil, err
	}
	var out []node
	for _, c := range list {
		n := node{mspID: c.GetMspId(), at: Endpoint{c.GetHost(), int(c.GetPort())}, roots: x509.NewCertPool()}
		org := config.GetChannelGroup().GetGroups()[ordererGroup].GetGroups()[n.mspID]
		outer, m := &msp.MSPConfig{}, &msp.FabricMSPConfig{}
		if proto.Unmarshal(org.GetValues()[mspKey].GetValue(), outer) != nil || proto.Unmarshal(outer.GetConfig(), m) != nil {
			return nil, fmt.Errorf("the authorities of %s: %w", n.mspID, errUnknown)
		}
		for _, list := range [][][]byte{m.GetTlsRootCerts(), m.GetTlsIntermediateCerts()} {
			for _, text := range list {
				n.roots.AppendCertsFromPEM(text)
			}
		}
		out = append(out, n)
	}
	return out, nil
}

// askOrderer bounds one question to one orderer.
const askOrderer = 5 * time.Second

// Down lists the consenters that do not answer, or have an older configuration than the current one. Those of
// organisations in leaving are not asked: what goes need not be up.
func (m *Member) Down(ctx context.Context, config *common.Config, leaving ...string) ([]string, error) {
	nodes, err := orderers(config)
	if err != nil {
		return nil, err
	}
	said := make([]string, len(nodes))
	var all errgroup.Group
	for i, n := range nodes {
		if slices.Contains(leaving, n.mspID) {
			continue
		}
		all.Go(func() error {
			if err := m.ask(ctx, config, n); err != nil {
				said[i] = fmt.Sprintf("the orderer of %s (%s): %v", n.mspID, n.at, err)
			}
			return nil
		})
	}
	_ = all.Wait() // what is wrong is in said
	var down []string
	for _, text := range said {
		if text != "" {
			down = append(down, text)
		}
	}
	return down, nil
}

func (m *Member) ask(ctx context.Context, config *common.Config, n node) error {
	ctx, cancel := context.WithTimeout(ctx, askOrderer)
	defer cancel()
	id, err := m.identity()
	if err != nil {
		return err
	}
	conn, err := Dial(n.at.String(), n.roots)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // it was only read from
	block, err := admin.GetConfigBlockFromOrderer(ctx, conn, id, m.name, tls.Certificate{Certificate: [][]byte{m.Cert.Raw}})
	if err != nil {
		return fmt.Errorf("does not answer: %w", err)
	}
	_, its, err := ConfigOf(block)
	if err != nil {
		return err
	}
	if its.GetSequence() < config.GetSequence() {
		return fmt.Errorf("is behind: it has configuration %d, and %d is in force", its.GetSequence(), config.GetSequence())
	}
	return nil
}

// inForceWithin is how long a configuration update takes to come into force at most, with one orderer that took it.
const inForceWithin = 15 * time.Second

// Submit hands an update with its signatures to one orderer after the other, until the peer has it in force. It is
// the orderers' word, with their reason, if none takes it.
func (m *Member) Submit(ctx context.Context, config *common.Config, update []byte, signatures []*common.ConfigSignature) (uint64, error) {
	envelope, err := m.Envelope(m.name, update, signatures)
	if err != nil {
		return 0, err
	}
	nodes, err := orderers(config)
	if err != nil {
		return 0, err
	}
	var refused []error
	taken := false
	for _, n := range nodes {
		if err := broadcast(ctx, n, envelope); err != nil {
			refused = append(refused, fmt.Errorf("the orderer of %s (%s): %w", n.mspID, n.at, err))
			continue
		}
		taken = true
		block, err := m.awaitInForce(ctx, update)
		if err == nil {
			return block, nil
		}
		refused = append(refused, fmt.Errorf("the orderer of %s (%s) took it: %w", n.mspID, n.at, err))
	}
	if taken { // that the others refuse it may be because they have it, and the peer is behind
		if block, err := m.awaitInForce(ctx, update); err == nil {
			return block, nil
		}
	}
	return 0, errors.Join(refused...)
}

func broadcast(ctx context.Context, n node, envelope *common.Envelope) error {
	ctx, cancel := context.WithTimeout(ctx, 2*askOrderer)
	defer cancel()
	conn, err := Dial(n.at.String(), n.roots)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // the answer was read
	stream, err := orderer.NewAtomicBroadcastClient(conn).Broadcast(ctx)
	if err != nil {
		return err
	}
	if err := stream.Send(envelope); err != nil {
		return err
	}
	answer, err := stream.Recv()
	if err != nil {
		return err
	}
	if answer.GetStatus() != common.Status_SUCCESS {
		return fmt.Errorf("%s: %s", answer.GetStatus(), answer.GetInfo())
	}
	return nil
}

// awaitInForce asks the peer until an update is in force, and returns the block of the configuration then.
func (m *Member) awaitInForce(ctx context.Context, update []byte) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, inForceWithin)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		config, block, err := m.Current(ctx)
		if err == nil {
			if _, err := Apply(m.name, config, update); errors.Is(err, ErrInForce) {
				return block, nil
			}
		}
		select {
		case <-ctx.Done():
			return 0, errors.New("it is not in force yet; ask again with: waybill channel config")
		case <-tick.C:
		}
	}
}
