package cert

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/network/disk"
	"github.com/waybill-dev/waybill/network/org"
)

// request and answer are where a request to the organisation's own PKI goes and comes from.
func (f *Folder) request(p Pair) string { return f.at("csr", p.Name+".csr") }
func (f *Folder) answer(p Pair) string  { return f.at("csr", p.Name+".crt") }

// ask writes a request for a certificate like the old one, and keeps its key beside the pair in use. An answer to an
// earlier request is put away first: it is of another key.
func (f *Folder) ask(p Pair, old *x509.Certificate, key crypto.Signer, text []byte) error {
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		RawSubject: old.RawSubject, DNSNames: old.DNSNames, IPAddresses: old.IPAddresses, EmailAddresses: old.EmailAddresses, URIs: old.URIs,
	}, key)
	if err != nil {
		return fmt.Errorf("make request: %w", err)
	}
	if err := os.Remove(f.answer(p)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := f.stage(p, nil, text); err != nil {
		return err
	}
	return disk.Write(f.request(p), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}), 0o644)
}

// answered takes what somebody signed for the prepared key, if it is there and fits. It returns the prepared generation,
// or "" where that has to be made again, because its certificate has ended meanwhile or its authority signs no more.
func (f *Folder) answered(p Pair, staged string) (string, error) {
	have, err := os.ReadFile(filepath.Join(staged, certFile))
	if err == nil {
		certs, err := parseCerts(have)
		if err != nil || time.Now().After(certs[0].NotAfter) {
			return "", err
		}
		authority, err := f.signer(p.Authority)
		if p.Authority == Self || errors.Is(err, errElsewhere) {
			return staged, nil
		}
		if err != nil || certs[0].CheckSignatureFrom(authority.cert) != nil {
			return "", err
		}
		return staged, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	answer, err := os.ReadFile(f.answer(p))
	if errors.Is(err, fs.ErrNotExist) {
		return staged, nil
	}
	if err != nil {
		return "", err
	}
	chain, err := f.checkAnswer(p, staged, answer)
	if err != nil {
		return "", provenance.Wrap(provenance.Invalid, err, "answer %s", f.relative(f.answer(p)))
	}
	return staged, disk.Write(filepath.Join(staged, certFile), served(p, chain), 0o644)
}

// served is the file of an answer: of TLS with the authorities between it and a root, which the other end has not got; an
// enrolled one alone, with its signature in the form that Fabric keeps: in the other an orderer would not be the one that
// the channel pins.
func served(p Pair, chain []*x509.Certificate) []byte {
	if p.Authority == Enrolment {
		return encodeCert(org.LowS(chain[0], chain[1:]))
	}
	var out []byte
	for _, c := range chain[:len(chain)-1] {
		out = append(out, encodeCert(c.Raw)...)
	}
	return out
}

// checkAnswer wants a certificate of the prepared key, below the organisation's authorities, that says what the old one
// says. It returns the way to the root, the root included.
func (f *Folder) checkAnswer(p Pair, staged string, answer []byte) ([]*x509.Certificate, error) {
	key, err := os.ReadFile(filepath.Join(staged, keyFile))
	if err != nil {
		return nil, err
	}
	if err := fits(answer, key); err != nil {
		return nil, err
	}
	certs, err := parseCerts(answer)
	if err != nil {
		return nil, err
	}
	old, err := readCert(p.Cert)
	if err != nil {
		return nil, err
	}
	if certs[0].Subject.CommonName != old.Subject.CommonName || !slices.Equal(certs[0].Subject.OrganizationalUnit, old.Subject.OrganizationalUnit) {
		return nil, fmt.Errorf("it is of %s, and what it follows is of %s", certs[0].Subject, old.Subject)
	}
	if err := errors.Join(sameHosts(p, old, certs[0]), f.namesWhatWasAsked(p, certs[0])); err != nil {
		return nil, err
	}
	file, _ := f.authorityFiles(p.Authority)
	trusted, err := readCerts(file)
	if err != nil {
		return nil, err
	}
	between, err := f.between(p.Authority)
	if err != nil {
		return nil, err
	}
	if p.Authority == Transport { // of enrolment the others take only those that the channel knows
		between = append(between, certs[1:]...)
	}
	roots, below := x509.NewCertPool(), x509.NewCertPool()
	for _, c := range trusted {
		roots.AddCert(c)
	}
	for _, c := range between {
		below.AddCert(c)
	}
	chains, err := certs[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: below, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	if err != nil {
		return nil, err
	}
	return chains[0], nil
}

// sameHosts wants the names under which the old certificate's server is dialled. Those of this host alone a PKI need not
// put in, but for the chaincode process, which the peer dials by them.
func sameHosts(p Pair, old, fresh *x509.Certificate) error {
	names := slices.Clone(old.DNSNames)
	for _, ip := range old.IPAddresses {
		names = append(names, ip.String())
	}
	for _, name := range names {
		if ip := net.ParseIP(name); p.Name != "chaincode-tls" && (name == "localhost" || ip != nil && ip.IsLoopback()) {
			continue
		}
		if err := fresh.VerifyHostname(name); err != nil {
			return err
		}
	}
	return nil
}
