package org

import "os"

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
	APIAddress     string // where the API listens; announced is Client.GatewayAddress
	MetricsAddress string
	IntakeAddress  string
}

// People returns the names of the people enrolled in every organisation.
func People() []string {
	return []string{"admin", "gateway", "publisher", "scanner", "release-manager", "auditor"}
}

// Client returns the organisation as its own people see it: those whom every organisation has, and
// whoever else has a folder below people/.
func (f *Folder) Client() Client { return ClientOf(f.dir, f.spec) }

// ClientOf is Client of a folder that may not be there yet.
func ClientOf(dir string, spec Spec) Client {
	f := &Folder{dir: dir, spec: spec}
	c := Client{
		Org: f.spec.Name, MSPID: f.spec.MSPID,
		PeerAddress: f.spec.Announce.Peer, PeerTLSCA: f.tlsCACert(),
		GatewayAddress: f.spec.Announce.Gateway, GatewayTLSCA: f.tlsCACert(),
		EnrolmentCA: f.caCert(),
		People:      map[string]Identity{},
	}
	names := People()
	// Nothing there yet, or not ours to read: then nobody else is.
	if others, err := os.ReadDir(f.at("people")); err == nil {
		for _, p := range others {
			if p.IsDir() {
				names = append(names, p.Name())
			}
		}
	}
	for _, name := range names {
		c.People[name] = Identity{Cert: f.personCert(name), Key: f.personKey(name)}
	}
	return c
}

func (f *Folder) gatewayPaths() GatewayPaths {
	return GatewayPaths{
		Dir: f.at("gateway"), Config: f.at("gateway", "config.yaml"),
		TLSCert: f.at("gateway", "tls.crt"), TLSKey: f.at("gateway", "tls.key"),
		Genesis: f.GenesisPath(), Channel: f.spec.Channel, Chaincode: f.spec.Chaincode,
		APIAddress:     f.spec.Listen.Gateway,
		MetricsAddress: f.spec.Listen.GatewayMetrics, IntakeAddress: f.spec.Listen.Hooks,
	}
}
