package main

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/network"
)

// ask opens a gateway's API to read from: --gateway, or the organisation's own,
// or (with a notice) another organisation's. Nothing is signed and no exit code
// is decided by what it says.
func (a *app) ask(ctx context.Context) (gatewayAPI, error) {
	client, _, err := a.askWhom(ctx)
	return client, err
}

// askWhom is ask, and says whose gateway it is.
func (a *app) askWhom(ctx context.Context) (gatewayAPI, network.Client, error) {
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
		if me, err = findIdentity(c, host.Org+"/"+auditor); err != nil {
			return nil, host, err
		}
	}
	if me, err = a.unlocked(me); err != nil {
		return nil, host, err
	}
	client, err := a.backends.gateway(ctx, address, host.GatewayTLSCA, me, a.at)
	if err != nil {
		return nil, host, fmt.Errorf("reach the gateway at %s: %w", address, err)
	}
	return client, host, nil
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
	if a.backends.reachable(ctx, me.org.GatewayAddress) {
		return me.org, me.org.GatewayAddress, nil
	}
	for _, o := range c.Orgs {
		if a.ownOnly && a.as != "" {
			break
		}
		if a.backends.reachable(ctx, o.GatewayAddress) {
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
		"start one with: %s run --config %s (the first time: init, then run)", a.siblingProgram("waybill-gateway"), a.gatewayConfig(me.org.Org))
}

// gatewayConfig is where network up put an organisation's gateway configuration.
func (a *app) gatewayConfig(org string) string {
	return filepath.Join(a.dir, "orgs", org, "gateway", "config.yaml")
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
