package api

import (
	"context"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
	"github.com/waybill-dev/waybill/gateway/selftest"
)

// Connectors are this gateway's sources of notifications, for its admins.
type Connectors interface {
	// List lists them in the order of the configuration.
	List() []selftest.Connector
	// Test sends a sample through the hook of one, about a repository of the
	// caller's choice or, when that is empty, of its own. A step that fails is part
	// of the answer. NotFound: no such connector.
	Test(ctx context.Context, name string, repository provenance.Repository) (selftest.Test, error)
}

// ListConnectors implements waybillv1.WaybillServer.
func (s *service) ListConnectors(ctx context.Context, _ *waybillv1.ListConnectorsRequest) (*waybillv1.ListConnectorsResponse, error) {
	out := &waybillv1.ListConnectorsResponse{}
	for _, c := range s.connectors() {
		out.Connectors = append(out.Connectors, &waybillv1.Connector{
			Name: c.Name, Kind: c.Kind, Host: string(c.Host), Path: c.Path, Repositories: c.Repositories, Authentication: c.Authentication, Weakness: c.Weakness,
			Accepted: c.Accepted, Duplicate: c.Duplicate, Ignored: c.Ignored, Refused: c.Refused,
			LastEvent: stamp(c.LastEvent), LastRefused: stamp(c.LastRefused), LastRefusedStatus: int32(c.LastStatus),
		})
	}
	return out, s.at(ctx, &out.Height, &out.Stale)
}

// TestConnector implements waybillv1.WaybillServer.
func (s *service) TestConnector(ctx context.Context, in *waybillv1.TestConnectorRequest) (*waybillv1.TestConnectorResponse, error) {
	if s.cfg.Connectors == nil {
		return nil, provenance.Errorf(provenance.NotFound, "this gateway has no connectors")
	}
	repository := provenance.Repository("")
	if in.GetRepository() != "" {
		var err error
		if repository, err = provenance.ParseRepository(in.GetRepository()); err != nil {
			return nil, err
		}
	}
	t, err := s.cfg.Connectors.Test(ctx, in.GetName(), repository)
	if provenance.CodeOf(err) == provenance.NotFound {
		err = withHint(err, "see: waybill connector list")
	}
	if err != nil {
		return nil, err
	}
	c := t.Connector
	out := &waybillv1.TestConnectorResponse{
		Connector: c.Name, Kind: c.Kind, Host: string(c.Host), Path: c.Path, Outcome: t.Outcome, Settings: t.Settings,
	}
	for _, step := range t.Steps {
		out.Steps = append(out.Steps, &waybillv1.ConnectorStep{Name: step.Name, Result: step.Result, Detail: step.Detail, Advice: step.Advice})
	}
	return out, s.at(ctx, &out.Height, &out.Stale)
}

func (s *service) connectors() []selftest.Connector {
	if s.cfg.Connectors == nil {
		return nil
	}
	return s.cfg.Connectors.List()
}

// weak lists the connectors whose senders could be imitated.
func (s *service) weak() (all []*waybillv1.WeakConnector) {
	for _, c := range s.connectors() {
		if c.Weakness != "" {
			all = append(all, &waybillv1.WeakConnector{Name: c.Name, Kind: c.Kind, Weakness: c.Weakness})
		}
	}
	return all
}

// roles reads a caller's roles off the ledger.
func (s *service) roles(ctx context.Context, who caller) (roles []string, err error) {
	err = s.view(ctx, func(_ moment, r Reads) error {
		roles, err = rolesOf(r, who)
		return err
	})
	return roles, err
}

// ListConnectors asks for the gateway's connectors.
func (c *Client) ListConnectors(ctx context.Context) (*waybillv1.ListConnectorsResponse, error) {
	r, err := c.rpc.ListConnectors(ctx, &waybillv1.ListConnectorsRequest{})
	return r, fromStatus(err)
}

// TestConnector asks the gateway to send itself a sample; it chooses what the
// sample speaks of when repository is empty.
func (c *Client) TestConnector(ctx context.Context, name, repository string) (*waybillv1.TestConnectorResponse, error) {
	r, err := c.rpc.TestConnector(ctx, &waybillv1.TestConnectorRequest{Name: name, Repository: repository})
	return r, fromStatus(err)
}
