package gateway

import (
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/intake"
	"github.com/waybill-dev/waybill/gateway/record"
)

// openHooks makes the hooks, and what admins see of the connectors behind them.
func (g *rooms) openHooks(clients registries) (*connectors, error) {
	all, err := readConnectors(g.cfg)
	if err != nil {
		return nil, err
	}
	address, client, err := ownHooks(g.cfg.Hooks.Listen, g.cfg.Hooks.TLSCert)
	if err != nil {
		return nil, err
	}
	book := newBook()
	g.hooks, err = intake.New(intake.Config{
		Connectors: all, Sink: g.queue, Trials: g.queue, MaxBody: g.cfg.Hooks.MaxBody, Log: g.cfg.Log,
		Metrics: book.wrap(g.metrics.intake()), Children: childrenIn(g.index),
	})
	if err != nil {
		return nil, err
	}
	return &connectors{all: all, book: book, trier: trier{
		hooks: address, client: client, handler: g.hooks,
		registries: func(host provenance.Host) (reader record.Registry, configured, readBack bool) {
			c := clients[host]
			return c.client, c.client != nil, c.readBack
		},
	}}, nil
}
