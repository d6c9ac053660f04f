package cert

import (
	"crypto/x509"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// Folder is one organisation's folder, as the package org lays it out.
type Folder struct{ dir string }

// Open opens the folder; it is WB_NOT_FOUND if dir is none.
func Open(dir string) (*Folder, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, provenance.Wrap(provenance.Invalid, err, "folder %s", dir)
	}
	f := &Folder{dir: abs}
	if _, err := os.Stat(f.at("ca", "ca.crt")); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, provenance.Errorf(provenance.NotFound, "%s is no organisation's folder: it has no ca/ca.crt", dir)
		}
		return nil, err
	}
	return f, nil
}

// Dir returns the folder, as an absolute path.
func (f *Folder) Dir() string { return f.dir }

func (f *Folder) at(parts ...string) string {
	return filepath.Join(append([]string{f.dir}, parts...)...)
}

// Authority is who signs a certificate.
type Authority string

// The authorities of an organisation: who may sign a transaction and who may open a connection are different questions.
const (
	Enrolment Authority = "enrolment"
	Transport Authority = "tls"
	Self      Authority = "self" // the certificate stands for itself
)

// The nodes that read a pair.
const (
	Peer      = "peer"
	Orderer   = "orderer"
	Chaincode = "chaincode"
	Gateway   = "gateway"
)

// OrdererEnrolment names the pair that the channel pins: consenters know each other by these bytes.
const OrdererEnrolment = "orderer-enrolment"

// Pair is a certificate with its key.
type Pair struct {
	Name      string // admin, peer-tls
	For       string // for people
	Cert, Key string // files
	Authority Authority
	Node      string // who reads it; "" for a person's, who reads it each time
}

// Pairs lists every certificate of the organisation that has a key here, authorities apart: people first, then
// nodes in the order in which they are restarted.
func (f *Folder) Pairs() ([]Pair, error) {
	people, err := filepath.Glob(f.at("people", "*", "cert.pem"))
	if err != nil {
		return nil, err
	}
	slices.Sort(people)
	var all []Pair
	for _, file := range people {
		name := filepath.Base(filepath.Dir(file))
		p := Pair{Name: name, For: "signs for " + name, Cert: file, Key: f.at("people", name, "key.pem"), Authority: Enrolment}
		if name == Gateway {
			p.Node, p.For = Gateway, "signs for the gateway"
		}
		all = append(all, p)
	}
	for _, p := range []Pair{
		{"gateway-tls", "serves the gateway's API", "gateway/tls.crt", "gateway/tls.key", Transport, Gateway},
		{"chaincode-tls", "serves the chaincode process", "chaincode/server.crt", "chaincode/server.key", Transport, Chaincode},
		{"chaincode-client-tls", "the peer dials the chaincode process", "chaincode/client.crt", "chaincode/client.key", Transport, Peer},
		{"peer-enrolment", "signs for the peer", "peer/msp/signcerts/cert.pem", "peer/msp/keystore/priv_sk", Enrolment, Peer},
		{"peer-tls", "serves the peer", "peer/tls/server.crt", "peer/tls/server.key", Transport, Peer},
		{OrdererEnrolment, "signs for the orderer; pinned in the channel", "orderer/msp/signcerts/cert.pem", "orderer/msp/keystore/priv_sk", Enrolment, Orderer},
		{OrdererTLS, "serves the orderer", "orderer/tls/server.crt", "orderer/tls/server.key", Transport, Orderer},
		{"orderer-admin", "joins the orderer to channels", "orderer/admin/client.crt", "orderer/admin/client.key", Self, Orderer},
	} {
		p.Cert, p.Key = f.at(filepath.FromSlash(p.Cert)), f.at(filepath.FromSlash(p.Key))
		if _, err := os.Stat(p.Cert); errors.Is(err, fs.ErrNotExist) {
			continue // an organisation need not run every node
		}
		all = append(all, p)
	}
	return all, nil
}

// Select returns the named pairs, in order; all of them for no name.
func (f *Folder) Select(names []string) ([]Pair, error) {
	all, err := f.Pairs()
	if err != nil || len(names) == 0 {
		return all, err
	}
	for _, name := range names {
		if !slices.ContainsFunc(all, func(p Pair) bool { return p.Name == name }) {
			known := make([]string, len(all))
			for i, p := range all {
				known[i] = p.Name
			}
			return nil, provenance.Errorf(provenance.NotFound, "no certificate is called %q; there are %v", name, known)
		}
	}
	return slices.DeleteFunc(all, func(p Pair) bool { return !slices.Contains(names, p.Name) }), nil
}

// authorityFiles returns where an authority's certificate and key are.
func (f *Folder) authorityFiles(a Authority) (cert, key string) {
	if a == Transport {
		return f.at("ca", "tlsca.crt"), f.at("ca", "tlsca.key")
	}
	return f.at("ca", "ca.crt"), f.at("ca", "ca.key")
}

// chain returns an authority's certificates: those that are trusted, the one that signs first, and behind them what the
// organisation's own PKI has between these and the certificates in use.
func (f *Folder) chain(a Authority) ([]*x509.Certificate, error) {
	file, _ := f.authorityFiles(a)
	all, err := readCerts(file)
	if err != nil {
		return nil, err
	}
	between, err := f.between(a)
	return append(all, between...), err
}

// between returns the intermediate authorities of the organisation's own PKI.
func (f *Folder) between(a Authority) ([]*x509.Certificate, error) {
	dir := "intermediatecerts"
	if a == Transport {
		dir = "tlsintermediatecerts"
	}
	files, err := filepath.Glob(f.at("msp", dir, "*.pem"))
	if err != nil {
		return nil, err
	}
	var all []*x509.Certificate
	for _, file := range files {
		certs, err := readCerts(file)
		if err != nil {
			return nil, err
		}
		all = append(all, certs...)
	}
	return all, nil
}

// relative is a file's name inside the folder, for people.
func (f *Folder) relative(file string) string {
	if rel, err := filepath.Rel(f.dir, file); err == nil {
		return rel
	}
	return file
}
