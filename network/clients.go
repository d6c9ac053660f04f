package network

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// Clients is what programs outside this package need to know of a network. In clients.json paths
// are relative to its directory, so the directory can be moved; LoadClients makes them absolute.
type Clients struct {
	Channel   string   `json:"channel"`
	Chaincode string   `json:"chaincode"`
	Genesis   string   `json:"genesis"` // the first block: its header hash is the trust root of proofs
	Orgs      []Client `json:"orgs"`
}

// Client is one organisation as its own people see it.
type Client struct {
	Org            string              `json:"org"`
	MSPID          string              `json:"mspid"`
	PeerAddress    string              `json:"peerAddress"`
	PeerTLSCA      string              `json:"peerTLSCA"`
	GatewayAddress string              `json:"gatewayAddress"`
	GatewayTLSCA   string              `json:"gatewayTLSCA"`
	EnrolmentCA    string              `json:"enrolmentCA"` // signs the people's certificates
	People         map[string]Identity `json:"people"`
}

// Identity is where a person's certificate and key are.
type Identity struct {
	Cert string `json:"cert"`
	Key  string `json:"key"`
}

// GatewayPaths is what a gateway's configuration is written from, beside the Client; all paths are
// absolute.
type GatewayPaths struct {
	Dir            string // the gateway's own folder, for its databases
	Config         string // where the configuration goes
	TLSCert        string // serves the API
	TLSKey         string
	Genesis        string
	Channel        string
	Chaincode      string
	MetricsAddress string
	IntakeAddress  string
}

// Org returns the named organisation.
func (c Clients) Org(name string) (Client, error) {
	for _, o := range c.Orgs {
		if o.Org == name {
			return o, nil
		}
	}
	return Client{}, fmt.Errorf("organisation %q is not in this network", name)
}

// LoadClients reads the clients.json of the network in dir.
func LoadClients(dir string) (Clients, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return Clients{}, err
	}
	raw, err := os.ReadFile(filepath.Join(dir, "clients.json"))
	if err != nil {
		return Clients{}, err
	}
	var c Clients
	if err := json.Unmarshal(raw, &c); err != nil {
		return Clients{}, fmt.Errorf("read clients.json in %s: %w", dir, err)
	}
	return c.mapPaths(func(p string) (string, error) { return filepath.Join(dir, p), nil })
}

// Clients returns what LoadClients would read.
func (n *Network) Clients() Clients {
	c := Clients{
		Channel: n.topology.Channel, Chaincode: n.topology.Chaincode, Genesis: n.genesisPath(),
	}
	for i, o := range n.topology.Orgs {
		d, p := n.orgDir(o.Name), n.topology.Ports(i)
		client := Client{
			Org: o.Name, MSPID: o.MSPID,
			PeerAddress: address(p.Peer), PeerTLSCA: d.tlsCACert(),
			GatewayAddress: address(p.GatewayAPI), GatewayTLSCA: d.tlsCACert(),
			EnrolmentCA: d.caCert(),
			People:      map[string]Identity{},
		}
		for _, name := range People() {
			client.People[name] = Identity{Cert: d.personCert(name), Key: d.personKey(name)}
		}
		c.Orgs = append(c.Orgs, client)
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

// writeClients writes clients.json, and each gateway's configuration if the caller said how and
// none is there: a person may have changed it since.
func (n *Network) writeClients() error {
	rel, err := n.Clients().mapPaths(func(p string) (string, error) { return filepath.Rel(n.dir, p) })
	if err != nil {
		return fmt.Errorf("write clients.json: %w", err)
	}
	raw, err := json.MarshalIndent(rel, "", "  ")
	if err != nil {
		return fmt.Errorf("write clients.json: %w", err)
	}
	if err := writeFile(filepath.Join(n.dir, "clients.json"), append(raw, '\n'), 0o644); err != nil {
		return err
	}
	if n.opts.GatewayConfig == nil {
		return nil
	}
	for i, client := range n.Clients().Orgs {
		paths := n.gatewayPaths(i)
		config, err := n.opts.GatewayConfig(client, paths)
		if err != nil {
			return fmt.Errorf("gateway configuration of %s: %w", client.Org, err)
		}
		if err := writeOnce(paths.Config, config, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func (n *Network) gatewayPaths(i int) GatewayPaths {
	d, p := n.orgDir(n.topology.Orgs[i].Name), n.topology.Ports(i)
	return GatewayPaths{
		Dir: d.at("gateway"), Config: d.at("gateway", "config.yaml"),
		TLSCert: d.at("gateway", "tls.crt"), TLSKey: d.at("gateway", "tls.key"),
		Genesis: n.genesisPath(), Channel: n.topology.Channel, Chaincode: n.topology.Chaincode,
		MetricsAddress: address(p.GatewayMetrics), IntakeAddress: address(p.GatewayIntake),
	}
}
