package network

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"os"
	"text/template"
)

//go:embed templates
var templates embed.FS

type peerConfig struct {
	ID, MSPID, Dir, Address, ChaincodeListen, Ops, Builder string
}

type ordererConfig struct {
	ID, MSPID, Dir, Host, Admin, Ops string
	Port                             int
	ClusterRoots                     []string
}

type channelConfig struct {
	Host       string
	Consenters []consenter
	Orgs       []channelOrg
}

// Majority is how many organisations are more than half.
func (c channelConfig) Majority() int { return len(c.Orgs)/2 + 1 }

// With returns the organisations and a role of their MSPs, of which a template makes principals.
func (c channelConfig) With(role string) principals { return principals{Orgs: c.Orgs, Role: role} }

type principals struct {
	Orgs []channelOrg
	Role string
}

type consenter struct {
	ID, Port   int
	MSPID, Dir string
}

type channelOrg struct {
	MSPID, MSPDir         string
	OrdererPort, PeerPort int
}

// render fills in one of the embedded templates. Paths are rendered bare, so New refuses a
// directory whose name would need quoting.
func render(name string, data any) ([]byte, error) {
	t, err := template.New(name).Option("missingkey=error").ParseFS(templates, "templates/"+name)
	if err != nil {
		return nil, fmt.Errorf("parse template %s: %w", name, err)
	}
	var out bytes.Buffer
	if err := t.Execute(&out, data); err != nil {
		return nil, fmt.Errorf("render %s: %w", name, err)
	}
	return out.Bytes(), nil
}

// makeConfig writes the nodes' configuration. It is rendered anew each time: it holds no secret
// and no state, and a newer Waybill may know better values.
func (n *Network) makeConfig() error {
	var roots []string
	for _, o := range n.topology.Orgs {
		roots = append(roots, n.orgDir(o.Name).tlsCACert())
	}
	for i, o := range n.topology.Orgs {
		d, p := n.orgDir(o.Name), n.topology.Ports(i)
		core, err := render("core.yaml.tmpl", peerConfig{
			ID: o.Name + "-peer", MSPID: o.MSPID, Dir: d.at("peer"),
			Address: address(p.Peer), ChaincodeListen: address(p.PeerChaincode), Ops: address(p.PeerOps),
			Builder: d.at("builder"),
		})
		if err != nil {
			return err
		}
		orderer, err := render("orderer.yaml.tmpl", ordererConfig{
			ID: o.Name + "-orderer", MSPID: o.MSPID, Dir: d.at("orderer"),
			Host: Host, Port: p.Orderer, Admin: address(p.OrdererAdmin), Ops: address(p.OrdererOps),
			ClusterRoots: roots,
		})
		if err != nil {
			return err
		}
		if err := writeFile(d.at("peer", "core.yaml"), core, 0o644); err != nil {
			return err
		}
		if err := writeFile(d.at("orderer", "orderer.yaml"), orderer, 0o644); err != nil {
			return err
		}
		if err := n.makeBuilder(o, p); err != nil {
			return fmt.Errorf("chaincode builder of %s: %w", o.Name, err)
		}
	}
	return nil
}

// channelYAML renders what the first block is made from.
func (n *Network) channelYAML() ([]byte, error) {
	c := channelConfig{Host: Host}
	for i, o := range n.topology.Orgs {
		d, p := n.orgDir(o.Name), n.topology.Ports(i)
		c.Consenters = append(c.Consenters, consenter{ID: i + 1, Port: p.Orderer, MSPID: o.MSPID, Dir: d.at("orderer")})
		c.Orgs = append(c.Orgs, channelOrg{MSPID: o.MSPID, MSPDir: d.at("msp"), OrdererPort: p.Orderer, PeerPort: p.Peer})
	}
	return render("configtx.yaml.tmpl", c)
}

// makeBuilder writes the three programs a peer runs to install chaincode. The address and keys of
// the organisation's own chaincode process come from a file beside them and not from the package,
// so that every organisation installs the same package and the package ids agree.
func (n *Network) makeBuilder(org Org, ports Ports) error {
	d := n.orgDir(org.Name)
	pem := map[string]string{}
	for _, name := range []string{"client.crt", "client.key", "ca.crt"} {
		raw, err := os.ReadFile(d.at("chaincode", name))
		if err != nil {
			return err
		}
		pem[name] = string(raw)
	}
	connection, err := json.MarshalIndent(map[string]any{
		"address":              address(ports.Chaincode),
		"dial_timeout":         "5s",
		"tls_required":         true,
		"client_auth_required": true,
		"client_key":           pem["client.key"],
		"client_cert":          pem["client.crt"],
		"root_cert":            pem["ca.crt"],
	}, "", "  ")
	if err != nil {
		return fmt.Errorf("encode connection.json: %w", err)
	}
	if err := writeFile(d.at("builder", "connection.json"), connection, 0o600); err != nil {
		return err
	}
	for _, step := range []string{"detect", "build", "release"} {
		script, err := templates.ReadFile("templates/builder/" + step)
		if err != nil {
			return err
		}
		if err := writeFile(d.at("builder", "bin", step), script, 0o755); err != nil {
			return err
		}
	}
	return nil
}
