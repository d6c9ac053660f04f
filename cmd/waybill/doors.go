package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
	"github.com/waybill-dev/waybill/network"
)

// answers is a gateway's API: *api.Client, or a test's fake.
type answers interface {
	tags
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
	ruleAnswers
	sweepAnswers
	connectorAnswers
	io.Closer
}

// ruleAnswers are the questions about rules, votes and evidence.
type ruleAnswers interface {
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

// doors lead out of the process. Tests put others in.
type doors struct {
	clients func(dir string) (network.Clients, error)
	// reachable tells whether something listens at an address.
	reachable func(ctx context.Context, address string) bool
	peer      func(network.Clients, person) (peer, error)
	// answers reaches the gateway at address, whose certificate caFile vouches for, as p.
	answers func(ctx context.Context, address, caFile string, p person) (answers, error)
	// open opens a network that is there; network also prepares a new one.
	open    func(dir string) (fabric, error)
	network func(dir string, portBase int, progress io.Writer) (fabric, error)
}

// reachable is a plain connection: a gateway that is not running refuses it at once.
func reachable(ctx context.Context, address string) bool {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return false
	}
	_ = conn.Close() // nothing was sent
	return true
}

// ask opens a gateway's API to read from: --gateway, or the organisation's own,
// or (with a notice) another organisation's. Nothing is signed and no exit code
// is decided by what it says.
func (a *app) ask(ctx context.Context) (answers, error) {
	door, _, err := a.askWhom(ctx)
	return door, err
}

// askWhom is ask, and says whose gateway it is.
func (a *app) askWhom(ctx context.Context) (answers, network.Client, error) {
	c, err := a.clients()
	if err != nil {
		return nil, network.Client{}, err
	}
	me, err := a.reader(c)
	if err != nil {
		return nil, network.Client{}, err
	}
	host, address, err := a.gatewayOf(ctx, c, me)
	if err != nil {
		return nil, host, err
	}
	if a.as == "" {
		// Every gateway takes its own organisation's auditor.
		if me, err = find(c, host.Org+"/"+auditor); err != nil {
			return nil, host, err
		}
	}
	door, err := a.doors.answers(ctx, address, host.GatewayTLSCA, me)
	if err != nil {
		return nil, host, fmt.Errorf("reach the gateway at %s: %w", address, err)
	}
	return door, host, nil
}

// gatewayOf chooses the gateway and the organisation that runs it.
func (a *app) gatewayOf(ctx context.Context, c network.Clients, me person) (network.Client, string, error) {
	if a.gateway != "" {
		host := me.org
		for _, o := range c.Orgs {
			if o.GatewayAddress == a.gateway {
				host = o
			}
		}
		return host, a.gateway, nil
	}
	if a.doors.reachable(ctx, me.org.GatewayAddress) {
		return me.org, me.org.GatewayAddress, nil
	}
	for _, o := range c.Orgs {
		if a.ownOnly && a.as != "" {
			break
		}
		if a.doors.reachable(ctx, o.GatewayAddress) {
			a.notice("%s's gateway is not running; %s's answers", me.org.Org, o.Org)
			return o, o.GatewayAddress, nil
		}
	}
	return network.Client{}, "", a.noGateway(me)
}

// noGateway says how to start one: the caller's own.
func (a *app) noGateway(me person) error {
	what := "no organisation's gateway is running"
	if a.ownOnly && a.as != "" {
		what = me.org.Org + "'s gateway is not running, and another's queue is not its own"
	}
	return hint(provenance.Errorf(provenance.Unavailable, "%s", what),
		"start one with: %s run --config %s (the first time: init, then run)", a.beside("waybill-gateway"), a.gatewayConfig(me.org.Org))
}

// gatewayConfig is where network up put an organisation's gateway configuration.
func (a *app) gatewayConfig(org string) string {
	return filepath.Join(a.dir, "orgs", org, "gateway", "config.yaml")
}
