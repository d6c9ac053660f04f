package main

import (
	"context"
	"io"

	"github.com/waybill-dev/waybill/gateway/api"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
	"github.com/waybill-dev/waybill/network/provision"
	"github.com/waybill-dev/waybill/network"
)

// gatewayAPI is a gateway's API: *api.Client, or a test's fake.
type gatewayAPI interface {
	tagReader
	GetStatus(ctx context.Context) (*waybillv1.GetStatusResponse, error)
	GetImage(ctx context.Context, image string) (*waybillv1.GetImageResponse, error)
	GetVerdict(ctx context.Context, image, stage string) (*waybillv1.GetVerdictResponse, error)
	ListHistory(ctx context.Context, in *waybillv1.ListHistoryRequest) (*waybillv1.ListHistoryResponse, error)
	ListPulls(ctx context.Context, in *waybillv1.ListPullsRequest) (*waybillv1.ListPullsResponse, error)
	ListPromotions(ctx context.Context, in *waybillv1.ListPromotionsRequest) (*waybillv1.ListPromotionsResponse, error)
	ListPolicies(ctx context.Context) (*waybillv1.ListPoliciesResponse, error)
	GetPolicy(ctx context.Context, name string, version int) (*waybillv1.GetPolicyResponse, error)
	ListMembers(ctx context.Context) (*waybillv1.ListMembersResponse, error)
	ListRegistries(ctx context.Context) (*waybillv1.ListRegistriesResponse, error)
	ListDeadLetters(ctx context.Context, in *waybillv1.ListDeadLettersRequest) (*waybillv1.ListDeadLettersResponse, error)
	RetryDeadLetters(ctx context.Context, in *waybillv1.RetryDeadLettersRequest) (*waybillv1.RetryDeadLettersResponse, error)
	rulesAPI
	sweepAPI
	connectorAPI
	io.Closer
}

// rulesAPI are the questions about rules, votes and evidence.
type rulesAPI interface {
	GetEvidence(ctx context.Context, image, typ string) (*waybillv1.GetEvidenceResponse, error)
	GetTree(ctx context.Context, image string) (*waybillv1.GetTreeResponse, error)
	ListPolicyVersions(ctx context.Context, name string) (*waybillv1.ListPolicyVersionsResponse, error)
	SimulatePolicy(ctx context.Context, policy []byte, releases int) (*waybillv1.SimulatePolicyResponse, error)
	ListProposals(ctx context.Context, status string) (*waybillv1.ListProposalsResponse, error)
	GetProposal(ctx context.Context, id string) (*waybillv1.GetProposalResponse, error)
	GetInbox(ctx context.Context) (*waybillv1.GetInboxResponse, error)
	ListKeys(ctx context.Context, msp string) (*waybillv1.ListKeysResponse, error)
	ListSchemas(ctx context.Context) (*waybillv1.ListSchemasResponse, error)
	ListWaivers(ctx context.Context, repository string) (*waybillv1.ListWaiversResponse, error)
	ListContext(ctx context.Context) (*waybillv1.ListContextResponse, error)
	ListLabels(ctx context.Context, repository string) (*waybillv1.ListLabelsResponse, error)
}

// backends are what is outside of the process. Tests put others in.
type backends struct {
	clients func(dir string) (network.Clients, error)
	// reachable tells whether something listens at an address.
	reachable func(ctx context.Context, address string) bool
	peer      func(network.Clients, person) (peer, error)
	// gateway reaches the gateway at address, whose certificate caFile vouches for, as p.
	gateway func(ctx context.Context, address, caFile string, p person) (gatewayAPI, error)
	// open opens a network that is there; network also prepares a new one.
	open    func(dir string) (localNetwork, error)
	network func(dir string, portBase int, progress io.Writer) (localNetwork, error)
}

// liveBackends are real peers, gateways and processes.
func liveBackends() backends {
	return backends{
		clients:   network.LoadClients,
		reachable: reachable,
		peer: func(c network.Clients, p person) (peer, error) {
			return provision.Dial(c, p.org, p.name)
		},
		gateway: func(ctx context.Context, address, caFile string, p person) (gatewayAPI, error) {
			return api.Dial(ctx, api.ClientConfig{Address: address, CAFile: caFile, CertFile: p.keys.Cert, KeyFile: p.keys.Key})
		},
		open: func(dir string) (localNetwork, error) { return network.Open(dir) },
		network: func(dir string, portBase int, progress io.Writer) (localNetwork, error) {
			return network.New(network.Options{
				Dir: dir, Topology: network.Topology{PortBase: portBase}, Progress: progress,
				Provision: func(ctx context.Context, n *network.Network) error {
					return provision.Members(ctx, n.Clients())
				},
				GatewayConfig: provision.GatewayConfig,
			})
		},
	}
}

var _ gatewayAPI = (*api.Client)(nil)
