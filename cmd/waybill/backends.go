package main

import (
	"context"
	"io"

	"github.com/waybill-dev/waybill/gateway/api"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
	"github.com/waybill-dev/waybill/network"
	"github.com/waybill-dev/waybill/network/provision"
)

// gatewayAPI is a gateway's API, topic by topic: *api.Client, or a test's fake.
type gatewayAPI interface {
	imageAPI
	findAPI
	pastAPI
	memberAPI
	queueAPI
	unusableAPI
	policyAPI
	proposalAPI
	evidenceAPI
	settingAPI
	sweepAPI
	connectorAPI
	statusAPI
	proofAPI
	io.Closer
}

// statusAPI are the questions about the gateway itself and whom it waits for.
type statusAPI interface {
	GetStatus(ctx context.Context) (*waybillv1.GetStatusResponse, error)
	GetInbox(ctx context.Context) (*waybillv1.GetInboxResponse, error)
}

// imageAPI are the questions about one image.
type imageAPI interface {
	tagReader
	GetImage(ctx context.Context, image string) (*waybillv1.GetImageResponse, error)
	GetVerdict(ctx context.Context, image, stage string) (*waybillv1.GetVerdictResponse, error)
	GetTree(ctx context.Context, image string) (*waybillv1.GetTreeResponse, error)
}

// findAPI finds what is not known by its name.
type findAPI interface {
	FindImages(ctx context.Context, digits, repository string) (*waybillv1.FindImagesResponse, error)
	Search(ctx context.Context, in *waybillv1.SearchRequest) (*waybillv1.SearchResponse, error)
	ListEvents(ctx context.Context, in *waybillv1.ListEventsRequest) (*waybillv1.ListEventsResponse, error)
}

// pastAPI are the questions about what happened.
type pastAPI interface {
	ListHistory(ctx context.Context, in *waybillv1.ListHistoryRequest) (*waybillv1.ListHistoryResponse, error)
	ListPulls(ctx context.Context, in *waybillv1.ListPullsRequest) (*waybillv1.ListPullsResponse, error)
	ListPromotions(ctx context.Context, in *waybillv1.ListPromotionsRequest) (*waybillv1.ListPromotionsResponse, error)
}

// memberAPI are the questions about who takes part with what.
type memberAPI interface {
	ListMembers(ctx context.Context) (*waybillv1.ListMembersResponse, error)
	ListRegistries(ctx context.Context) (*waybillv1.ListRegistriesResponse, error)
}

// unusableAPI is about what nothing could be made of.
type unusableAPI interface {
	ListUnusable(ctx context.Context, in *waybillv1.ListUnusableRequest) (*waybillv1.ListUnusableResponse, error)
	RemoveUnusable(ctx context.Context, in *waybillv1.RemoveUnusableRequest) (*waybillv1.RemoveUnusableResponse, error)
}

// queueAPI is about what the gateway set aside.
type queueAPI interface {
	ListDeadLetters(ctx context.Context, in *waybillv1.ListDeadLettersRequest) (*waybillv1.ListDeadLettersResponse, error)
	RetryDeadLetters(ctx context.Context, in *waybillv1.RetryDeadLettersRequest) (*waybillv1.RetryDeadLettersResponse, error)
}

// policyAPI are the questions about policies.
type policyAPI interface {
	policySimulator
	ListPolicies(ctx context.Context) (*waybillv1.ListPoliciesResponse, error)
	GetPolicy(ctx context.Context, name string, version int) (*waybillv1.GetPolicyResponse, error)
	ListPolicyVersions(ctx context.Context, name string) (*waybillv1.ListPolicyVersionsResponse, error)
}

// policySimulator says what a policy would have decided.
type policySimulator interface {
	SimulatePolicy(ctx context.Context, policy []byte, releases int) (*waybillv1.SimulatePolicyResponse, error)
}

// proposalAPI are the questions about votes.
type proposalAPI interface {
	ListProposals(ctx context.Context, status string) (*waybillv1.ListProposalsResponse, error)
	GetProposal(ctx context.Context, id string) (*waybillv1.GetProposalResponse, error)
}

// evidenceAPI are the questions about evidence, and about whose counts.
type evidenceAPI interface {
	GetEvidence(ctx context.Context, image, typ string) (*waybillv1.GetEvidenceResponse, error)
	ListKeys(ctx context.Context, msp string) (*waybillv1.ListKeysResponse, error)
	ListSchemas(ctx context.Context) (*waybillv1.ListSchemasResponse, error)
}

// settingAPI are the questions about what members say beside the rules.
type settingAPI interface {
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
	channel   func(network.Clients, person) (channelMember, error)
	// gateway reaches the gateway at address, whose certificate caFile vouches for, as p.
	// Its answers are as of at, "" for now.
	gateway func(ctx context.Context, address, caFile string, p person, at string) (gatewayAPI, error)
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
			return provision.Dial(c, p.org, p.name, p.openKey())
		},
		channel: connectChannel,
		gateway: func(ctx context.Context, address, caFile string, p person, at string) (gatewayAPI, error) {
			c, err := api.Dial(ctx, api.ClientConfig{Address: address, CAFile: caFile, CertFile: p.keys.Cert, KeyFile: p.keys.Key, Key: p.openKey()})
			if err != nil {
				return nil, err
			}
			return c.AsOf(at), nil
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
