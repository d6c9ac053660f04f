package network

import (
	"fmt"
	"path/filepath"
)

// nodeOUs makes Fabric read a certificate's role from its organisational unit, so that naming an
// admin needs no change of the channel.
const nodeOUs = `NodeOUs:
  Enable: true
  ClientOUIdentifier: {Certificate: cacerts/ca.pem, OrganizationalUnitIdentifier: client}
  PeerOUIdentifier: {Certificate: cacerts/ca.pem, OrganizationalUnitIdentifier: peer}
  AdminOUIdentifier: {Certificate: cacerts/ca.pem, OrganizationalUnitIdentifier: admin}
  OrdererOUIdentifier: {Certificate: cacerts/ca.pem, OrganizationalUnitIdentifier: orderer}
`

// orgDir is one organisation's folder and where things are in it.
type orgDir string

func (n *Network) orgDir(org string) orgDir { return orgDir(filepath.Join(n.dir, "orgs", org)) }

func (d orgDir) at(parts ...string) string {
	return filepath.Join(append([]string{string(d)}, parts...)...)
}
func (d orgDir) caCert() string                { return d.at("ca", "ca.crt") }
func (d orgDir) tlsCACert() string             { return d.at("ca", "tlsca.crt") }
func (d orgDir) personCert(name string) string { return d.at("people", name, "cert.pem") }
func (d orgDir) personKey(name string) string  { return d.at("people", name, "key.pem") }

// makeCrypto gives the organisation its two authorities and everybody their keys. What exists is
// kept, so it also completes an organisation whose creation was cut short.
//
// Enrolment and TLS have separate authorities: who may open a connection and who may sign a
// transaction are different questions.
func (n *Network) makeCrypto(org Org) error {
	d := n.orgDir(org.Name)
	enrolment, err := openCA(d.caCert(), d.at("ca", "ca.key"), org.Name+" enrolment CA")
	if err != nil {
		return fmt.Errorf("enrolment CA of %s: %w", org.Name, err)
	}
	tls, err := openCA(d.tlsCACert(), d.at("ca", "tlsca.key"), org.Name+" TLS CA")
	if err != nil {
		return fmt.Errorf("TLS CA of %s: %w", org.Name, err)
	}
	if err := d.makeMSP(d.at("msp")); err != nil {
		return fmt.Errorf("MSP of %s: %w", org.Name, err)
	}
	for _, name := range People() {
		unit := "client"
		if name == "admin" {
			unit = "admin"
		}
		// The same certificate opens the gateway's API as a TLS client. It must not say so: Fabric's MSP
		// refuses a certificate that names extended usages without "server"; with none it serves for any.
		l := leaf{commonName: name, unit: unit}
		if err := enrolment.issue(d.personCert(name), d.personKey(name), l); err != nil {
			return fmt.Errorf("enrol %s of %s: %w", name, org.Name, err)
		}
	}
	for _, kind := range []string{"peer", "orderer"} {
		if err := d.makeNode(kind, org.Name+"-"+kind, enrolment, tls); err != nil {
			return fmt.Errorf("keys of %s-%s: %w", org.Name, kind, err)
		}
	}
	type tlsPair struct {
		authority *ca
		cert, key string
		leaf      leaf
	}
	for _, p := range []tlsPair{
		{tls, d.at("chaincode", "server.crt"), d.at("chaincode", "server.key"),
			leaf{commonName: org.Name + "-chaincode", server: true}},
		{tls, d.at("chaincode", "client.crt"), d.at("chaincode", "client.key"),
			leaf{commonName: org.Name + "-peer", client: true}},
		{tls, d.at("gateway", "tls.crt"), d.at("gateway", "tls.key"),
			leaf{commonName: org.Name + "-gateway", server: true}},
		{nil, d.at("orderer", "admin", "client.crt"), d.at("orderer", "admin", "client.key"),
			leaf{commonName: org.Name + " orderer admin", client: true}},
	} {
		if err := p.authority.issue(p.cert, p.key, p.leaf); err != nil {
			return fmt.Errorf("TLS keys of %s: %w", org.Name, err)
		}
	}
	return copyOnce(d.at("chaincode", "ca.crt"), d.tlsCACert())
}

// makeMSP writes what others need to know of the organisation: its authorities and its roles.
func (d orgDir) makeMSP(dir string) error {
	if err := copyOnce(filepath.Join(dir, "cacerts", "ca.pem"), d.caCert()); err != nil {
		return err
	}
	if err := copyOnce(filepath.Join(dir, "tlscacerts", "tlsca.pem"), d.tlsCACert()); err != nil {
		return err
	}
	return writeOnce(filepath.Join(dir, "config.yaml"), []byte(nodeOUs), 0o644)
}

func (d orgDir) makeNode(kind, name string, enrolment, tls *ca) error {
	msp := d.at(kind, "msp")
	if err := d.makeMSP(msp); err != nil {
		return err
	}
	// Fabric finds the key by its fingerprint; the name only has to be a single file there.
	cert, key := filepath.Join(msp, "signcerts", "cert.pem"), filepath.Join(msp, "keystore", "priv_sk")
	if err := enrolment.issue(cert, key, leaf{commonName: name, unit: kind}); err != nil {
		return err
	}
	// Nodes dial each other with the certificate they serve with.
	l := leaf{commonName: name, server: true, client: true}
	if err := tls.issue(d.at(kind, "tls", "server.crt"), d.at(kind, "tls", "server.key"), l); err != nil {
		return err
	}
	return copyOnce(d.at(kind, "tls", "ca.crt"), d.tlsCACert())
}
