package network

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	admin "github.com/hyperledger/fabric-admin-sdk/pkg/identity"
	"github.com/hyperledger/fabric-gateway/pkg/client"
	"github.com/hyperledger/fabric-gateway/pkg/hash"
	"github.com/hyperledger/fabric-gateway/pkg/identity"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
)

// conn is one organisation's doors, opened as its admin.
type conn struct {
	org       Org
	peer      Node
	orderer   Node
	chaincode Node

	grpc      *grpc.ClientConn
	admin     admin.SigningIdentity
	gateway   *client.Gateway
	contract  *client.Contract
	http      *http.Client // the orderer's admin listener
	adminAddr string
}

type conns []*conn

func (cs conns) close() {
	for _, c := range cs {
		c.close()
	}
}

func (c *conn) close() {
	_ = c.gateway.Close()
	_ = c.grpc.Close()
	c.http.CloseIdleConnections()
}

func (n *Network) dialAll() (conns, error) {
	var cs conns
	for i := range n.topology.Orgs {
		c, err := n.dial(i)
		if err != nil {
			cs.close()
			return nil, err
		}
		cs = append(cs, c)
	}
	return cs, nil
}

// dial does not wait for the nodes: connections come about when first used.
func (n *Network) dial(i int) (*conn, error) {
	o := n.topology.Orgs[i]
	d := n.orgDir(o.Name)
	c := &conn{
		org: o, peer: n.node(i, o, KindPeer), orderer: n.node(i, o, KindOrderer),
		chaincode: n.node(i, o, KindChaincode),
		adminAddr: address(n.topology.Ports(i).OrdererAdmin),
	}
	fail := func(err error) (*conn, error) { return nil, fmt.Errorf("prepare to dial %s: %w", o.Name, err) }
	cert, err := readCert(d.personCert("admin"))
	if err != nil {
		return fail(err)
	}
	key, err := readKey(d.personKey("admin"))
	if err != nil {
		return fail(err)
	}
	if c.admin, err = admin.NewPrivateKeySigningIdentity(o.MSPID, cert, key); err != nil {
		return fail(err)
	}
	roots, err := certPool(d.tlsCACert())
	if err != nil {
		return fail(err)
	}
	adminTLS, err := tls.LoadX509KeyPair(d.at("orderer", "admin", "client.crt"), d.at("orderer", "admin", "client.key"))
	if err != nil {
		return fail(err)
	}
	c.http = &http.Client{
		Timeout: 10 * time.Second,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{
			RootCAs: roots, Certificates: []tls.Certificate{adminTLS}, MinVersion: tls.VersionTLS12,
		}},
	}
	id, err := identity.NewX509Identity(o.MSPID, cert)
	if err != nil {
		return fail(err)
	}
	sign, err := identity.NewPrivateKeySign(key)
	if err != nil {
		return fail(err)
	}
	c.grpc, err = grpc.NewClient(c.peer.Address,
		grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12})),
		// A peer that is just starting refuses connections; gRPC's own second between attempts would
		// be added to every start.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: pollEvery, Multiplier: 1, MaxDelay: pollEvery},
			MinConnectTimeout: 2 * time.Second,
		}),
		// The chaincode's own metadata may be large.
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(100<<20)),
	)
	if err != nil {
		return fail(err)
	}
	c.gateway, err = client.Connect(id, client.WithSign(sign), client.WithHash(hash.SHA256),
		client.WithClientConnection(c.grpc))
	if err != nil {
		return fail(errors.Join(err, c.grpc.Close()))
	}
	c.contract = c.gateway.GetNetwork(n.topology.Channel).GetContract(n.topology.Chaincode)
	return c, nil
}

func certPool(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("read %s: no certificate in it", file)
	}
	return pool, nil
}
