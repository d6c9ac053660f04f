package gateway

import (
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/connector"
	"github.com/waybill-dev/waybill/gateway/intake"
)

// openHooks makes the hooks, and what admins see of the connectors behind them.
func (g *service) openHooks(clients registries) (*connector.Connectors, error) {
	all, err := readConnectors(g.cfg)
	if err != nil {
		return nil, err
	}
	address, client, err := connector.OwnHooks(g.cfg.Hooks.Listen, g.cfg.Hooks.TLSCert)
	if err != nil {
		return nil, err
	}
	counts := connector.NewCounts()
	g.hooks, err = intake.New(intake.Config{
		Connectors: all, Sink: g.queue, SelfTests: g.queue, MaxBody: g.cfg.Hooks.MaxBody, Log: g.cfg.Log,
		Metrics: counts.Wrap(g.metrics.Intake()), Children: childrenIn(g.index),
	})
	if err != nil {
		return nil, err
	}
	return &connector.Connectors{All: all, Counts: counts, SelfTest: connector.SelfTest{
		Hooks: address, Client: client, Handler: g.hooks,
		Registries: func(host provenance.Host) (reader connector.Registry, configured, readBack bool) {
			c := clients[host]
			return c.client, c.client != nil, c.readBack
		},
	}}, nil
}
