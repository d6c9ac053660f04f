package org

import (
	"fmt"
	"net"
	"path/filepath"

	"github.com/waybill-dev/waybill/network/disk"
)

// nodeOUs makes Fabric read a certificate's role from its organisational unit, so that naming an
// admin needs no change of the channel. No authority is named: any of the organisation's own may
// give a role, so that another root can come beside the first.
const nodeOUs = `NodeOUs:
  Enable: true
  ClientOUIdentifier: {OrganizationalUnitIdentifier: client}
  PeerOUIdentifier: {OrganizationalUnitIdentifier: peer}
  AdminOUIdentifier: {OrganizationalUnitIdentifier: admin}
  OrdererOUIdentifier: {OrganizationalUnitIdentifier: orderer}
`

// pair is a certificate that the organisation needs: where it and its key are, and what it is for.
type pair struct {
	name      string // of its request: peer, peer-tls, admin
	authority authority
	cert, key string
	leaf      leaf
}

// authority is who signs a certificate.
type authority int

const (
	enrolment authority = iota // who may sign a transaction
	transport                  // who may open a connection
	nobody                     // the certificate stands for itself
)

// pairs lists every certificate of the organisation but those of its authorities. Enrolment and TLS
// have separate authorities: who may open a connection and who may sign a transaction are
// different questions.
func (f *Folder) pairs() []pair {
	var all []pair
	for _, name := range People() {
		unit := "client"
		if name == "admin" {
			unit = "admin"
		}
		// The same certificate opens the gateway's API as a TLS client. It must not say so: Fabric's MSP
		// refuses a certificate that names extended usages without "server"; with none it serves for any.
		all = append(all, pair{name, enrolment, f.personCert(name), f.personKey(name), leaf{commonName: name, unit: unit}})
	}
	org := f.spec.Name
	for _, node := range []struct{ kind, address string }{{"peer", f.spec.Announce.Peer}, {"orderer", f.spec.Announce.Orderer}} {
		msp := f.at(node.kind, "msp")
		all = append(all,
			// Fabric finds the key by its fingerprint; the name only has to be a single file there.
			pair{node.kind + "-enrolment", enrolment, filepath.Join(msp, "signcerts", "cert.pem"), filepath.Join(msp, "keystore", "priv_sk"),
				leaf{commonName: org + "-" + node.kind, unit: node.kind}},
			// Nodes dial each other with the certificate they serve with.
			pair{node.kind + "-tls", transport, f.at(node.kind, "tls", "server.crt"), f.at(node.kind, "tls", "server.key"),
				leaf{commonName: org + "-" + node.kind, server: true, client: true, hosts: hostOf(node.address)}})
	}
	return append(all,
		pair{"chaincode-tls", transport, f.at("chaincode", "server.crt"), f.at("chaincode", "server.key"),
			leaf{commonName: org + "-chaincode", server: true, hosts: hostOf(f.spec.Listen.Chaincode)}},
		pair{"chaincode-client-tls", transport, f.at("chaincode", "client.crt"), f.at("chaincode", "client.key"),
			leaf{commonName: org + "-peer", client: true}},
		pair{"gateway-tls", transport, f.at("gateway", "tls.crt"), f.at("gateway", "tls.key"),
			leaf{commonName: org + "-gateway", server: true, hosts: hostOf(f.spec.Announce.Gateway)}},
		pair{"orderer-admin", nobody, f.at("orderer", "admin", "client.crt"), f.at("orderer", "admin", "client.key"),
			leaf{commonName: org + " orderer admin", client: true}},
	)
}

// hostOf is the host under which a server is dialled, which its certificate must name.
func hostOf(address string) []string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil // Validate has seen the address
	}
	return []string{host}
}

// makeCrypto gives the organisation its two authorities and everybody their keys. What exists is
// kept, so it also completes an organisation whose creation was cut short.
func (f *Folder) makeCrypto() error {
	org := f.spec.Name
	signs, err := openCA(f.caCert(), f.at("ca", "ca.key"), org+" enrolment CA", 0)
	if err != nil {
		return fmt.Errorf("enrolment CA of %s: %w", org, err)
	}
	tls, err := openCA(f.tlsCACert(), f.at("ca", "tlsca.key"), org+" TLS CA", 1) // its successor, while others know this one alone: see cert rollover
	if err != nil {
		return fmt.Errorf("TLS CA of %s: %w", org, err)
	}
	for _, p := range f.pairs() {
		by := map[authority]*ca{enrolment: signs, transport: tls}[p.authority]
		if err := by.issue(p.cert, p.key, p.leaf); err != nil {
			return fmt.Errorf("keys of %s, %s: %w", org, p.name, err)
		}
	}
	for _, dir := range []string{f.at("msp"), f.at("peer", "msp"), f.at("orderer", "msp")} {
		for _, c := range []struct{ to, from string }{
			{filepath.Join(dir, "cacerts", "ca.pem"), f.caCert()},
			{filepath.Join(dir, "tlscacerts", "tlsca.pem"), f.tlsCACert()},
		} {
			if err := disk.CopyOnce(c.to, c.from); err != nil {
				return fmt.Errorf("MSP of %s: %w", org, err)
			}
		}
	}
	return nil
}

// finish writes what is made of certificates that are there: roles, roots for TLS, configuration.
func (f *Folder) finish() error {
	for _, dir := range []string{f.at("msp"), f.at("peer", "msp"), f.at("orderer", "msp")} {
		if err := disk.WriteOnce(filepath.Join(dir, "config.yaml"), []byte(nodeOUs), 0o644); err != nil {
			return err
		}
	}
	for _, file := range []string{f.at("peer", "tls", "ca.crt"), f.at("orderer", "tls", "ca.crt"), f.at("chaincode", "ca.crt")} {
		if err := disk.CopyOnce(file, f.tlsCACert()); err != nil {
			return err
		}
	}
	return f.makeConfig()
}
