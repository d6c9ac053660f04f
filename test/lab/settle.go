package lab

import (
	"context"
	"fmt"
	"time"

	"github.com/waybill-dev/waybill/gateway/api"
)

// Settle waits until every organisation's peer, and the index of every gateway
// of the lab that runs, has the blocks that any peer has. An act is final on
// the actor's own peer first: a test that acts as one organisation and asks as
// another settles in between, as people do by taking their time.
func (l *Lab) Settle(ctx context.Context) error {
	heights, err := l.watch()
	if err != nil {
		return err
	}
	return Poll(ctx, 30*time.Second, func() error {
		var most uint64
		for range 2 { // the first that were asked may have been behind the last
			for name, height := range heights {
				h, err := height(ctx)
				if err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
				if most = max(most, h); h < most {
					return fmt.Errorf("%s has %d of %d blocks", name, h, most)
				}
			}
		}
		return nil
	})
}

// watch gives the height of every peer and running gateway. Connections to
// peers are made once and live as long as the lab.
func (l *Lab) watch() (map[string]func(context.Context) (uint64, error), error) {
	l.watching.Lock()
	defer l.watching.Unlock()
	heights := map[string]func(context.Context) (uint64, error){}
	for _, o := range l.Clients.Orgs {
		peer, there := l.peers[o.Org]
		if !there {
			var err error
			if peer, err = l.Dial(o.Org, "auditor"); err != nil {
				return nil, err
			}
			l.peers[o.Org] = peer
		}
		heights[o.Org+"'s peer"] = peer.Height
		if l.GatewayPID(o.Org) == 0 {
			continue
		}
		heights[o.Org+"'s gateway"] = func(ctx context.Context) (uint64, error) {
			c, err := l.API(ctx, o.Org, "auditor")
			if err != nil {
				return 0, err
			}
			defer func() { _ = c.Close() }() // only read from
			s, err := c.GetStatus(ctx)
			return s.GetHeight(), err
		}
	}
	return heights, nil
}

// API connects a person to its own organisation's gateway.
func (l *Lab) API(ctx context.Context, org, person string) (*api.Client, error) {
	o, err := l.Clients.Org(org)
	if err != nil {
		return nil, err
	}
	keys := o.People[person]
	return api.Dial(ctx, api.ClientConfig{Address: o.GatewayAddress, CAFile: o.GatewayTLSCA, CertFile: keys.Cert, KeyFile: keys.Key})
}

func (l *Lab) forget() {
	l.watching.Lock()
	defer l.watching.Unlock()
	for org, peer := range l.peers {
		_ = peer.Close() // only read from
		delete(l.peers, org)
	}
}
