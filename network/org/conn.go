package org

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	sdk "github.com/hyperledger/fabric-admin-sdk/pkg/identity"
	"github.com/hyperledger/fabric-gateway/pkg/client"
	"github.com/hyperledger/fabric-gateway/pkg/hash"
	"github.com/hyperledger/fabric-gateway/pkg/identity"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
)

// conn is the organisation's doors, opened as one of its people.
type conn struct {
	grpc      *grpc.ClientConn
	signer    sdk.SigningIdentity
	gateway   *client.Gateway
	contract  *client.Contract
	http      *http.Client // the orderer's admin listener
	adminAddr string
}

func (c *conn) close() {
	_ = c.gateway.Close()
	_ = c.grpc.Close()
	c.http.CloseIdleConnections()
}

// dial does not wait for the nodes: connections come about when first used.
func (f *Folder) dial(person string) (*conn, error) {
	c := &conn{adminAddr: f.spec.Listen.OrdererAdmin}
	fail := func(err error) (*conn, error) { return nil, fmt.Errorf("prepare to dial %s: %w", f.spec.Name, err) }
	cert, key, err := f.person(person)
	if err != nil {
		return fail(err)
	}
	if c.signer, err = sdk.NewPrivateKeySigningIdentity(f.spec.MSPID, cert, key); err != nil {
		return fail(err)
	}
	roots, err := certPool(f.tlsCACert())
	if err != nil {
		return fail(err)
	}
	adminTLS, err := tls.LoadX509KeyPair(f.at("orderer", "admin", "client.crt"), f.at("orderer", "admin", "client.key"))
	if err != nil {
		return fail(err)
	}
	// The admin listener is for this host, and shows the certificate of the orderer.
	orderer, _, err := splitAddress(f.spec.Announce.Orderer)
	if err != nil {
		return fail(err)
	}
	c.http = &http.Client{
		Timeout: 10 * time.Second,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{
			RootCAs: roots, ServerName: orderer, Certificates: []tls.Certificate{adminTLS}, MinVersion: tls.VersionTLS12,
		}},
	}
	id, err := identity.NewX509Identity(f.spec.MSPID, cert)
	if err != nil {
		return fail(err)
	}
	sign, err := identity.NewPrivateKeySign(key)
	if err != nil {
		return fail(err)
	}
	c.grpc, err = grpc.NewClient(f.spec.Announce.Peer,
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
	c.contract = c.gateway.GetNetwork(f.spec.Channel).GetContract(f.spec.Chaincode)
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
