package lab

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"os"

	"github.com/hyperledger/fabric-gateway/pkg/client"
	fabrichash "github.com/hyperledger/fabric-gateway/pkg/hash"
	"github.com/hyperledger/fabric-gateway/pkg/identity"
	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	fabricgateway "github.com/hyperledger/fabric-protos-go-apiv2/gateway"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/proto"

	"github.com/waybill-dev/waybill/network"
)

// Blocks hands out the blocks of an organisation's peer from a height on, whole: the
// gateway's own reader leaves invalid transactions out. It ends with each's error, or
// without one where each says that it has enough.
func (l *Lab) Blocks(ctx context.Context, org string, from uint64, each func(*common.Block) (enough bool, err error)) error {
	c, err := l.Clients.Org(org)
	if err != nil {
		return err
	}
	return Blocks(ctx, c, l.Clients.Channel, from, each)
}

// Blocks does the same for an organisation of whatever network.
func Blocks(ctx context.Context, c network.Client, channel string, from uint64, each func(*common.Block) (enough bool, err error)) (err error) {
	gateway, conn, err := dialPeer(c.PeerAddress, c.PeerTLSCA, c.MSPID, c.People["auditor"].Cert, c.People["auditor"].Key)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, gateway.Close(), conn.Close()) }()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	blocks, err := gateway.GetNetwork(channel).BlockEvents(ctx, client.WithStartBlock(from))
	if err != nil {
		return err
	}
	for raw := range blocks {
		if enough, err := each(raw); enough || err != nil {
			return err
		}
	}
	return fmt.Errorf("peer of %s: the stream of blocks ended", c.Org)
}

func dialPeer(address, tlsCA, msp, certFile, keyFile string) (*client.Gateway, *grpc.ClientConn, error) {
	var parts [3][]byte
	for i, file := range []string{tlsCA, certFile, keyFile} {
		b, err := os.ReadFile(file)
		if err != nil {
			return nil, nil, err
		}
		parts[i] = b
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(parts[0])
	cert, err := identity.CertificateFromPEM(parts[1])
	if err != nil {
		return nil, nil, err
	}
	id, err := identity.NewX509Identity(msp, cert)
	if err != nil {
		return nil, nil, err
	}
	key, err := identity.PrivateKeyFromPEM(parts[2])
	if err != nil {
		return nil, nil, err
	}
	sign, err := identity.NewPrivateKeySign(key)
	if err != nil {
		return nil, nil, err
	}
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(credentials.NewClientTLSFromCert(pool, "")), grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20)))
	if err != nil {
		return nil, nil, err
	}
	gateway, err := client.Connect(id, client.WithSign(sign), client.WithHash(fabrichash.SHA256), client.WithClientConnection(conn))
	if err != nil {
		return nil, nil, errors.Join(err, conn.Close())
	}
	return gateway, conn, nil
}

// Endorse has peers of the organisations compute a call as a person, and returns the
// payload (common.Payload) that would be sent. Nothing is sent.
func (l *Lab) Endorse(ctx context.Context, org, person, chaincode string, orgs []string, fn string, args ...string) (payload []byte, err error) {
	c, err := l.Clients.Org(org)
	if err != nil {
		return nil, err
	}
	gateway, conn, err := dialPeer(c.PeerAddress, c.PeerTLSCA, c.MSPID, c.People[person].Cert, c.People[person].Key)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, gateway.Close(), conn.Close()) }()
	proposal, err := gateway.GetNetwork(l.Clients.Channel).GetContract(chaincode).NewProposal(fn, client.WithArguments(args...), client.WithEndorsingOrganizations(orgs...))
	if err != nil {
		return nil, err
	}
	tx, err := proposal.EndorseWithContext(ctx)
	if err != nil {
		return nil, err
	}
	raw, err := tx.Bytes()
	if err != nil {
		return nil, err
	}
	var prepared fabricgateway.PreparedTransaction
	err = proto.Unmarshal(raw, &prepared)
	return prepared.GetEnvelope().GetPayload(), err
}
