package api

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"os"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
)

// ClientConfig names a gateway and who asks.
type ClientConfig struct {
	// Address is the gateway's host:port.
	Address string
	// CAFile holds the PEM certificates that sign the gateway's TLS certificate.
	CAFile string
	// CertFile and KeyFile are the caller's own. Both empty: an anonymous
	// caller, whom only some gateways answer.
	CertFile, KeyFile string
	// ServerName overrides the host of Address in the certificate check.
	ServerName string
}

// Client asks one gateway. It is safe for concurrent use.
//
// Every method returns errors with a provenance code: Unavailable when the
// gateway cannot be reached or is stale, Forbidden when the caller may not
// ask, Invalid for a malformed request, NotFound for a thing the ledger does
// not hold. HintOf returns the gateway's advice, if it gave any.
type Client struct {
	conn *grpc.ClientConn
	rpc  waybillv1.WaybillClient
}

// Dial prepares a client. Files are read now; the connection is made by the
// first call, so an unreachable gateway is that call's error.
func Dial(_ context.Context, cfg ClientConfig) (*Client, error) {
	if cfg.Address == "" {
		return nil, provenance.Errorf(provenance.Invalid, "gateway address: none given")
	}
	config := &tls.Config{MinVersion: tls.VersionTLS13, ServerName: cfg.ServerName}
	if cfg.CAFile != "" {
		pem, err := os.ReadFile(cfg.CAFile)
		if err != nil {
			return nil, provenance.Wrap(provenance.Invalid, err, "gateway CA %s", cfg.CAFile)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, provenance.Errorf(provenance.Invalid, "gateway CA %s: no PEM certificate in it", cfg.CAFile)
		}
	}
	if cfg.CertFile != "" || cfg.KeyFile != "" {
		pair, err := tls.LoadX509KeyPair(cfg.CertFile, cfg.KeyFile)
		if err != nil {
			return nil, provenance.Wrap(provenance.Invalid, err, "client certificate %s", cfg.CertFile)
		}
		// Presented whatever CAs the server names: it names none, since it
		// judges callers by the channel's configuration and not by a pool.
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	}
	conn, err := grpc.NewClient(cfg.Address, grpc.WithTransportCredentials(credentials.NewTLS(config)))
	if err != nil {
		return nil, provenance.Wrap(provenance.Invalid, err, "gateway address %s", cfg.Address)
	}
	return &Client{conn: conn, rpc: waybillv1.NewWaybillClient(conn)}, nil
}

// Close ends the connection.
func (c *Client) Close() error { return c.conn.Close() }

// GetStatus asks how the gateway and its ledger are doing.
func (c *Client) GetStatus(ctx context.Context) (*waybillv1.GetStatusResponse, error) {
	r, err := c.rpc.GetStatus(ctx, &waybillv1.GetStatusRequest{})
	return r, fromStatus(err)
}

// GetImage asks about an image: a reference, or a digest alone.
func (c *Client) GetImage(ctx context.Context, image string) (*waybillv1.GetImageResponse, error) {
	r, err := c.rpc.GetImage(ctx, &waybillv1.GetImageRequest{Image: image})
	return r, fromStatus(err)
}

// GetTag asks what a tag names.
func (c *Client) GetTag(ctx context.Context, host provenance.Host, repo provenance.Repository, tag provenance.Tag) (*waybillv1.GetTagResponse, error) {
	r, err := c.rpc.GetTag(ctx, &waybillv1.GetTagRequest{Host: string(host), Repository: string(repo), Tag: string(tag)})
	return r, fromStatus(err)
}

// GetVerdict asks whether an image may run in a stage.
func (c *Client) GetVerdict(ctx context.Context, image, stage string) (*waybillv1.GetVerdictResponse, error) {
	r, err := c.rpc.GetVerdict(ctx, &waybillv1.GetVerdictRequest{Image: image, Stage: stage})
	return r, fromStatus(err)
}

// ListHistory asks for one page of the history of an image, a tag or a repository.
func (c *Client) ListHistory(ctx context.Context, in *waybillv1.ListHistoryRequest) (*waybillv1.ListHistoryResponse, error) {
	r, err := c.rpc.ListHistory(ctx, in)
	return r, fromStatus(err)
}

// ListPromotions asks for one page of promotions.
func (c *Client) ListPromotions(ctx context.Context, in *waybillv1.ListPromotionsRequest) (*waybillv1.ListPromotionsResponse, error) {
	r, err := c.rpc.ListPromotions(ctx, in)
	return r, fromStatus(err)
}

// ListPolicies asks for the active policies and the open votes.
func (c *Client) ListPolicies(ctx context.Context) (*waybillv1.ListPoliciesResponse, error) {
	r, err := c.rpc.ListPolicies(ctx, &waybillv1.ListPoliciesRequest{})
	return r, fromStatus(err)
}

// GetPolicy asks for one version of a policy; version 0 is the active one.
func (c *Client) GetPolicy(ctx context.Context, name string, version int) (*waybillv1.GetPolicyResponse, error) {
	r, err := c.rpc.GetPolicy(ctx, &waybillv1.GetPolicyRequest{Name: name, Version: int32(version)})
	return r, fromStatus(err)
}

// ListMembers asks for the members and their grants.
func (c *Client) ListMembers(ctx context.Context) (*waybillv1.ListMembersResponse, error) {
	r, err := c.rpc.ListMembers(ctx, &waybillv1.ListMembersRequest{})
	return r, fromStatus(err)
}

// ListRegistries asks for the registries and their owners.
func (c *Client) ListRegistries(ctx context.Context) (*waybillv1.ListRegistriesResponse, error) {
	r, err := c.rpc.ListRegistries(ctx, &waybillv1.ListRegistriesRequest{})
	return r, fromStatus(err)
}

// ListDeadLetters asks for one page of the gateway's dead letters.
func (c *Client) ListDeadLetters(ctx context.Context, in *waybillv1.ListDeadLettersRequest) (*waybillv1.ListDeadLettersResponse, error) {
	r, err := c.rpc.ListDeadLetters(ctx, in)
	return r, fromStatus(err)
}

// RetryDeadLetters puts dead letters back into the queue.
func (c *Client) RetryDeadLetters(ctx context.Context, in *waybillv1.RetryDeadLettersRequest) (*waybillv1.RetryDeadLettersResponse, error) {
	r, err := c.rpc.RetryDeadLetters(ctx, in)
	return r, fromStatus(err)
}
