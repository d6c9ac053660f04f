package api

import (
	"cmp"
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
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
	// Key is the key itself, where whoever calls had to open its file.
	Key crypto.PrivateKey
	// ServerName overrides the host of Address in the certificate check.
	ServerName string
}

// maxAnswer bounds an answer: the evidence about an image is the largest.
const maxAnswer = 32 << 20

// Client asks one gateway. It is safe for concurrent use.
//
// Every method returns errors with a provenance code: Unavailable when the
// gateway cannot be reached or is stale, Forbidden when the caller may not
// ask, Invalid for a malformed request, NotFound for a thing the ledger does
// not hold, Internal for an answer about something else than was asked: that
// answer is not returned. What it says about the right thing may still be a lie;
// only one's own peer is to be relied on. HintOf returns the gateway's advice, if it gave any.
type Client struct {
	conn *grpc.ClientConn
	rpc  waybillv1.WaybillClient
	at   string
}

// Dial prepares a client. Files are read now; the connection is made by the
// first call, so an unreachable gateway is that call's error.
func Dial(_ context.Context, cfg ClientConfig) (*Client, error) {
	if cfg.Address == "" {
		return nil, provenance.Errorf(provenance.Invalid, "gateway address: none given")
	}
	config := &tls.Config{MinVersion: tls.VersionTLS13, ServerName: cfg.ServerName}
	if cfg.CAFile != "" {
		roots, err := os.ReadFile(cfg.CAFile)
		if err != nil {
			return nil, provenance.Wrap(provenance.Invalid, err, "gateway CA %s", cfg.CAFile)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(roots) {
			return nil, provenance.Errorf(provenance.Invalid, "gateway CA %s: no PEM certificate in it", cfg.CAFile)
		}
	}
	if cfg.CertFile != "" || cfg.KeyFile != "" {
		pair, err := cfg.pair()
		if err != nil {
			return nil, provenance.Wrap(provenance.Invalid, err, "client certificate %s", cfg.CertFile)
		}
		// Presented whatever CAs the server names: it names none, since it
		// judges callers by the channel's configuration and not by a pool.
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	}
	conn, err := grpc.NewClient(cfg.Address, grpc.WithTransportCredentials(credentials.NewTLS(config)),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswer)))
	if err != nil {
		return nil, provenance.Wrap(provenance.Invalid, err, "gateway address %s", cfg.Address)
	}
	return &Client{conn: conn, rpc: allPages{waybillv1.NewWaybillClient(conn)}}, nil
}

func (cfg ClientConfig) pair() (tls.Certificate, error) {
	if cfg.Key == nil {
		return tls.LoadX509KeyPair(cfg.CertFile, cfg.KeyFile)
	}
	text, err := os.ReadFile(cfg.CertFile)
	if err != nil {
		return tls.Certificate{}, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return tls.Certificate{}, errors.New("no PEM certificate in it")
	}
	return tls.Certificate{Certificate: [][]byte{block.Bytes}, PrivateKey: cfg.Key}, nil
}

// AsOf returns a client, over the same connection, whose questions about images, tags,
// verdicts, evidence and policies are as of a height or a time; "" is now.
func (c *Client) AsOf(at string) *Client { return &Client{conn: c.conn, rpc: c.rpc, at: at} }

// Close ends the connection.
func (c *Client) Close() error { return c.conn.Close() }

// GetStatus asks how the gateway and its ledger are doing.
func (c *Client) GetStatus(ctx context.Context) (*waybillv1.GetStatusResponse, error) {
	r, err := c.rpc.GetStatus(ctx, &waybillv1.GetStatusRequest{})
	return r, fromStatus(err)
}

// GetImage asks about an image: a reference, or a digest alone.
func (c *Client) GetImage(ctx context.Context, image string) (*waybillv1.GetImageResponse, error) {
	r, err := c.rpc.GetImage(ctx, &waybillv1.GetImageRequest{Image: image, At: c.at})
	return checked(r, err, func(r *waybillv1.GetImageResponse) error { return cmp.Or(sameMoment(c.at, r), compareImage(image, r)) })
}

// GetTag asks what a tag names.
func (c *Client) GetTag(ctx context.Context, host provenance.Host, repo provenance.Repository, tag provenance.Tag) (*waybillv1.GetTagResponse, error) {
	r, err := c.rpc.GetTag(ctx, &waybillv1.GetTagRequest{Host: string(host), Repository: string(repo), Tag: string(tag), At: c.at})
	return checked(r, err, func(r *waybillv1.GetTagResponse) error {
		return cmp.Or(sameMoment(c.at, r), compareTag(host, repo, tag, r))
	})
}

// GetVerdict asks whether an image may run in a stage.
func (c *Client) GetVerdict(ctx context.Context, image, stage string) (*waybillv1.GetVerdictResponse, error) {
	r, err := c.rpc.GetVerdict(ctx, &waybillv1.GetVerdictRequest{Image: image, Stage: stage, At: c.at})
	return checked(r, err, func(r *waybillv1.GetVerdictResponse) error {
		return cmp.Or(sameMoment(c.at, r), compareVerdict(image, stage, r))
	})
}

// GetReceipt asks for a verdict under the signatures of several organisations.
func (c *Client) GetReceipt(ctx context.Context, in *waybillv1.GetReceiptRequest) (*waybillv1.GetReceiptResponse, error) {
	r, err := c.rpc.GetReceipt(ctx, in)
	return checked(r, err, func(r *waybillv1.GetReceiptResponse) error { return compareReceipt(in, r) })
}

// GetProof asks for the proof of a transaction.
func (c *Client) GetProof(ctx context.Context, in *waybillv1.GetProofRequest) (*waybillv1.GetProofResponse, error) {
	r, err := c.rpc.GetProof(ctx, in)
	return checked(r, err, func(r *waybillv1.GetProofResponse) error { return compareProof(in, r) })
}

// ListHistory asks for one page of the history of an image, a tag or a repository.
func (c *Client) ListHistory(ctx context.Context, in *waybillv1.ListHistoryRequest) (*waybillv1.ListHistoryResponse, error) {
	r, err := c.rpc.ListHistory(ctx, in)
	return checked(r, err, func(r *waybillv1.ListHistoryResponse) error { return compareHistory(in.GetImage(), r) })
}

// FindImages asks which images begin with some digits of a digest, in a host/repository or in all.
func (c *Client) FindImages(ctx context.Context, digits, repository string) (*waybillv1.FindImagesResponse, error) {
	r, err := c.rpc.FindImages(ctx, &waybillv1.FindImagesRequest{Digest: digits, Repository: repository})
	return checked(r, err, func(r *waybillv1.FindImagesResponse) error { return compareFound(digits, repository, r) })
}

// Search asks for one page of what a filter takes.
func (c *Client) Search(ctx context.Context, in *waybillv1.SearchRequest) (*waybillv1.SearchResponse, error) {
	r, err := c.rpc.Search(ctx, in)
	return r, fromStatus(err)
}

// ListEvents asks for what comes after a point of the ledger.
func (c *Client) ListEvents(ctx context.Context, in *waybillv1.ListEventsRequest) (*waybillv1.ListEventsResponse, error) {
	r, err := c.rpc.ListEvents(ctx, in)
	return r, fromStatus(err)
}

// ListPulls asks for one page of the pulls of an image.
func (c *Client) ListPulls(ctx context.Context, in *waybillv1.ListPullsRequest) (*waybillv1.ListPullsResponse, error) {
	r, err := c.rpc.ListPulls(ctx, in)
	return checked(r, err, func(r *waybillv1.ListPullsResponse) error { return comparePulls(in.GetImage(), r) })
}

// ListPromotions asks for one page of promotions.
func (c *Client) ListPromotions(ctx context.Context, in *waybillv1.ListPromotionsRequest) (*waybillv1.ListPromotionsResponse, error) {
	r, err := c.rpc.ListPromotions(ctx, in)
	return checked(r, err, func(r *waybillv1.ListPromotionsResponse) error { return comparePromotions(in, r) })
}

// ListPolicies asks for the active policies and the open votes.
func (c *Client) ListPolicies(ctx context.Context) (*waybillv1.ListPoliciesResponse, error) {
	r, err := c.rpc.ListPolicies(ctx, &waybillv1.ListPoliciesRequest{})
	return r, fromStatus(err)
}

// GetPolicy asks for one version of a policy; version 0 is the active one.
func (c *Client) GetPolicy(ctx context.Context, name string, version int) (*waybillv1.GetPolicyResponse, error) {
	r, err := c.rpc.GetPolicy(ctx, &waybillv1.GetPolicyRequest{Name: name, Version: int32(version), At: c.at})
	return checked(r, err, func(r *waybillv1.GetPolicyResponse) error {
		return cmp.Or(sameMoment(c.at, r), comparePolicy(name, version, r))
	})
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

// ListUnusable asks for one page of what could not be used.
func (c *Client) ListUnusable(ctx context.Context, in *waybillv1.ListUnusableRequest) (*waybillv1.ListUnusableResponse, error) {
	r, err := c.rpc.ListUnusable(ctx, in)
	return r, fromStatus(err)
}

// RemoveUnusable removes what an operator has looked at.
func (c *Client) RemoveUnusable(ctx context.Context, in *waybillv1.RemoveUnusableRequest) (*waybillv1.RemoveUnusableResponse, error) {
	r, err := c.rpc.RemoveUnusable(ctx, in)
	return r, fromStatus(err)
}

// GetEvidence asks for the evidence about an image, of every type when typ is empty.
func (c *Client) GetEvidence(ctx context.Context, image, typ string) (*waybillv1.GetEvidenceResponse, error) {
	r, err := c.rpc.GetEvidence(ctx, &waybillv1.GetEvidenceRequest{Image: image, Type: typ, At: c.at})
	return checked(r, err, func(r *waybillv1.GetEvidenceResponse) error {
		return cmp.Or(sameMoment(c.at, r), compareEvidence(image, typ, r))
	})
}

// GetTree asks for an image with its platforms, referrers and evidence.
func (c *Client) GetTree(ctx context.Context, image string) (*waybillv1.GetTreeResponse, error) {
	r, err := c.rpc.GetTree(ctx, &waybillv1.GetTreeRequest{Image: image, At: c.at})
	return checked(r, err, func(r *waybillv1.GetTreeResponse) error { return cmp.Or(sameMoment(c.at, r), compareTree(image, r)) })
}

// ListPolicyVersions asks for the versions of a policy.
func (c *Client) ListPolicyVersions(ctx context.Context, name string) (*waybillv1.ListPolicyVersionsResponse, error) {
	r, err := c.rpc.ListPolicyVersions(ctx, &waybillv1.ListPolicyVersionsRequest{Name: name})
	return checked(r, err, func(r *waybillv1.ListPolicyVersionsResponse) error {
		return sameEach("policy", name, r.GetVersions(), (*waybillv1.Policy).GetName)
	})
}

// SimulatePolicy asks what a policy (JSON) would say about the last releases; 0 is the default number of them.
func (c *Client) SimulatePolicy(ctx context.Context, policy []byte, releases int) (*waybillv1.SimulatePolicyResponse, error) {
	r, err := c.rpc.SimulatePolicy(ctx, &waybillv1.SimulatePolicyRequest{Policy: string(policy), Releases: int32(releases)})
	return checked(r, err, func(r *waybillv1.SimulatePolicyResponse) error { return compareSimulation(policy, r) })
}

// ListProposals asks for proposals of a status, of every status when it is empty.
func (c *Client) ListProposals(ctx context.Context, status string) (*waybillv1.ListProposalsResponse, error) {
	r, err := c.rpc.ListProposals(ctx, &waybillv1.ListProposalsRequest{Status: status})
	return checked(r, err, func(r *waybillv1.ListProposalsResponse) error {
		return sameEach("status", status, r.GetProposals(), (*waybillv1.Proposal).GetStatus)
	})
}

// GetProposal asks for a proposal and its votes.
func (c *Client) GetProposal(ctx context.Context, id string) (*waybillv1.GetProposalResponse, error) {
	r, err := c.rpc.GetProposal(ctx, &waybillv1.GetProposalRequest{Id: id})
	return checked(r, err, func(r *waybillv1.GetProposalResponse) error { return same("proposal", id, r.GetProposal().GetId()) })
}

// GetInbox asks what waits for the caller and its organisation.
func (c *Client) GetInbox(ctx context.Context) (*waybillv1.GetInboxResponse, error) {
	r, err := c.rpc.GetInbox(ctx, &waybillv1.GetInboxRequest{})
	return r, fromStatus(err)
}

// ListKeys asks for the trust material of an organisation, of every one when msp is empty.
func (c *Client) ListKeys(ctx context.Context, msp string) (*waybillv1.ListKeysResponse, error) {
	r, err := c.rpc.ListKeys(ctx, &waybillv1.ListKeysRequest{Msp: msp})
	return checked(r, err, func(r *waybillv1.ListKeysResponse) error {
		return sameEach("organisation", msp, r.GetKeys(), (*waybillv1.Key).GetMsp)
	})
}

// ListSchemas asks for the schemas of custom evidence.
func (c *Client) ListSchemas(ctx context.Context) (*waybillv1.ListSchemasResponse, error) {
	r, err := c.rpc.ListSchemas(ctx, &waybillv1.ListSchemasRequest{})
	return r, fromStatus(err)
}

// ListWaivers asks for the waivers of a host/repository, of every one when it is empty.
func (c *Client) ListWaivers(ctx context.Context, repository string) (*waybillv1.ListWaiversResponse, error) {
	r, err := c.rpc.ListWaivers(ctx, &waybillv1.ListWaiversRequest{Repository: repository})
	return checked(r, err, func(r *waybillv1.ListWaiversResponse) error { return compareWaivers(repository, r) })
}

// ListContext asks for the context variables of every organisation.
func (c *Client) ListContext(ctx context.Context) (*waybillv1.ListContextResponse, error) {
	r, err := c.rpc.ListContext(ctx, &waybillv1.ListContextRequest{})
	return r, fromStatus(err)
}

// ListLabels asks for the labels of a host/repository, of every one when it is empty.
func (c *Client) ListLabels(ctx context.Context, repository string) (*waybillv1.ListLabelsResponse, error) {
	r, err := c.rpc.ListLabels(ctx, &waybillv1.ListLabelsRequest{Repository: repository})
	return checked(r, err, func(r *waybillv1.ListLabelsResponse) error { return compareLabels(repository, r) })
}
