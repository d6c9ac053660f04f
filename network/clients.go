package network

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/network/disk"
	"github.com/waybill-dev/waybill/network/org"
)

// Clients is what programs outside this package need to know of a network. In clients.json paths
// are relative to its directory, so the directory can be moved; LoadClients makes them absolute.
type Clients struct {
	Channel   string `json:"channel"`
	Chaincode string `json:"chaincode"`
	Genesis   string `json:"genesis"` // the first block: its header hash is the trust root of proofs
	// After is the channel that this one goes on from.
	After *provenance.Predecessor `json:"after,omitempty"`
	Orgs  []Client                `json:"orgs"`
}

// What package org says of one organisation.
type (
	Client       = org.Client
	Identity     = org.Identity
	GatewayPaths = org.GatewayPaths
)

// People returns the names of the people enrolled in every organisation.
func People() []string { return org.People() }

// Org returns the named organisation.
func (c Clients) Org(name string) (Client, error) {
	for _, o := range c.Orgs {
		if o.Org == name {
			return o, nil
		}
	}
	return Client{}, fmt.Errorf("organisation %q is not in this network", name)
}

// LoadClients reads the clients.json of the network in dir. Where dir is one organisation's folder,
// there is that organisation and no other.
func LoadClients(dir string) (Clients, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return Clients{}, err
	}
	raw, err := os.ReadFile(filepath.Join(dir, "clients.json"))
	if errors.Is(err, fs.ErrNotExist) {
		if f, openErr := org.Open(dir, org.Options{}); openErr == nil {
			return ClientsOf(f), nil
		}
	}
	if err != nil {
		return Clients{}, err
	}
	var c Clients
	if err := json.Unmarshal(raw, &c); err != nil {
		return Clients{}, fmt.Errorf("read clients.json in %s: %w", dir, err)
	}
	return c.mapPaths(func(p string) (string, error) { return filepath.Join(dir, p), nil })
}

// ClientsOf returns what one organisation's folder knows of a network: itself.
func ClientsOf(f *org.Folder) Clients {
	s := f.Spec()
	return Clients{Channel: s.Channel, Chaincode: s.Chaincode, Genesis: f.GenesisPath(), After: s.After, Orgs: []Client{f.Client()}}
}

// Clients returns what LoadClients would read.
func (n *Network) Clients() Clients {
	c := Clients{
		Channel: n.topology.Channel, Chaincode: n.topology.Chaincode, Genesis: n.genesisPath(),
	}
	for i, o := range n.topology.Orgs {
		c.Orgs = append(c.Orgs, org.ClientOf(n.orgDir(o.Name), n.topology.spec(i, n.state)))
	}
	return c
}

// Profile returns one organisation as its own people see it.
func (n *Network) Profile(org string) (Client, error) { return n.Clients().Org(org) }

func (c Clients) mapPaths(f func(string) (string, error)) (Clients, error) {
	var firstErr error
	to := func(p string) string {
		out, err := f(p)
		if err != nil && firstErr == nil {
			firstErr = err
		}
		return out
	}
	out := c
	out.Genesis = to(c.Genesis)
	out.Orgs = nil
	for _, o := range c.Orgs {
		o.PeerTLSCA, o.GatewayTLSCA, o.EnrolmentCA = to(o.PeerTLSCA), to(o.GatewayTLSCA), to(o.EnrolmentCA)
		people := map[string]Identity{}
		for name, id := range o.People {
			people[name] = Identity{Cert: to(id.Cert), Key: to(id.Key)}
		}
		o.People = people
		out.Orgs = append(out.Orgs, o)
	}
	return out, firstErr
}

// writeClients writes clients.json.
func (n *Network) writeClients() error {
	rel, err := n.Clients().mapPaths(func(p string) (string, error) { return filepath.Rel(n.dir, p) })
	if err != nil {
		return fmt.Errorf("write clients.json: %w", err)
	}
	raw, err := json.MarshalIndent(rel, "", "  ")
	if err != nil {
		return fmt.Errorf("write clients.json: %w", err)
	}
	return disk.Write(filepath.Join(n.dir, "clients.json"), append(raw, '\n'), 0o644)
}
