package main

import (
	"context"
	"io"

	"github.com/waybill-dev/waybill/gateway/api"
	"github.com/waybill-dev/waybill/gateway/provision"
	"github.com/waybill-dev/waybill/network"
)

// realDoors lead to real peers, gateways and processes.
func realDoors() doors {
	return doors{
		clients:   network.LoadClients,
		reachable: reachable,
		peer: func(c network.Clients, p person) (peer, error) {
			return provision.Dial(c, p.org, p.name)
		},
		answers: func(ctx context.Context, address, caFile string, p person) (answers, error) {
			return api.Dial(ctx, api.ClientConfig{Address: address, CAFile: caFile, CertFile: p.keys.Cert, KeyFile: p.keys.Key})
		},
		open: func(dir string) (fabric, error) { return network.Open(dir) },
		network: func(dir string, portBase int, progress io.Writer) (fabric, error) {
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

var _ answers = (*api.Client)(nil)
