package org

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/waybill-dev/waybill/network/disk"
)

// Answers are where the organisation's PKI put what it answered.
type Answers struct {
	Dir   string // one NAME.crt for each NAME.csr; default: beside the requests
	CA    string // PEM: the enrolment authorities, roots and intermediates
	TLSCA string // PEM: those of TLS
}

// chain is one kind of authorities.
type chain struct{ roots, intermediates []*x509.Certificate }

// Import takes the answers of the organisation's PKI to all requests of Create, once it has compared
// each with its request: the key, the name, the role, the hosts, and that it is below the
// authorities. Nothing is written before all are right; what is wrong is said of all at once.
func (f *Folder) Import(ctx context.Context, answers Answers) error {
	unlock, err := f.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if !f.spec.ExternalCA {
		return errors.New("this organisation has authorities of its own (org init without --csr)")
	}
	if answers.Dir == "" {
		answers.Dir = f.RequestsDir()
	}
	chains := map[authority]chain{}
	for kind, file := range map[authority]string{enrolment: answers.CA, transport: answers.TLSCA} {
		if chains[kind], err = readChain(file); err != nil {
			return err
		}
	}
	var errs []error
	certs := map[string][]byte{} // PEM, by where it goes
	for _, p := range f.pairs() {
		if p.authority == nobody {
			continue
		}
		c := chains[p.authority]
		cert, err := checkAnswer(p, filepath.Join(answers.Dir, p.name+".crt"), c)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", p.name, err))
			continue
		}
		certs[p.cert] = encodeChain(p, cert, c)
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for kind, dirs := range map[authority][2]string{enrolment: {"cacerts", "intermediatecerts"}, transport: {"tlscacerts", "tlsintermediatecerts"}} {
		if err := f.writeAuthorities(kind, chains[kind], dirs); err != nil {
			return err
		}
	}
	for file, raw := range certs {
		if err := disk.Write(file, raw, 0o644); err != nil {
			return err
		}
	}
	return f.finish()
}

// readChain reads authorities: those that vouch for themselves are roots.
func readChain(file string) (chain, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return chain{}, err
	}
	var c chain
	for block, rest := pem.Decode(raw); block != nil; block, rest = pem.Decode(rest) {
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return chain{}, fmt.Errorf("%s: %w", file, err)
		}
		switch {
		case !cert.IsCA:
			return chain{}, fmt.Errorf("%s: %s is no authority", file, cert.Subject)
		case bytes.Equal(cert.RawIssuer, cert.RawSubject):
			c.roots = append(c.roots, cert)
		default:
			c.intermediates = append(c.intermediates, cert)
		}
	}
	if len(c.roots) == 0 {
		return chain{}, fmt.Errorf("%s: no root certificate, which vouches for itself", file)
	}
	return c, nil
}

func (c chain) verify(cert *x509.Certificate, usages ...x509.ExtKeyUsage) error {
	opts := x509.VerifyOptions{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool()}
	for _, root := range c.roots {
		opts.Roots.AddCert(root)
	}
	for _, between := range c.intermediates {
		opts.Intermediates.AddCert(between)
	}
	for _, usage := range usages {
		opts.KeyUsages = []x509.ExtKeyUsage{usage}
		if _, err := cert.Verify(opts); err != nil {
			return err
		}
	}
	return nil
}

// checkAnswer compares a certificate with what was asked for.
func checkAnswer(p pair, file string, c chain) (*x509.Certificate, error) {
	cert, err := readCert(file)
	if err != nil {
		return nil, err
	}
	key, err := ReadKey(p.key, func() ([]byte, error) { return nil, errors.New("the key was encrypted before its certificate came") })
	if err != nil {
		return nil, err
	}
	if !key.PublicKey.Equal(cert.PublicKey) {
		return nil, fmt.Errorf("%s is of another key than its request", file)
	}
	roles := slices.DeleteFunc(slices.Clone(cert.Subject.OrganizationalUnit), func(unit string) bool {
		return !slices.Contains([]string{"admin", "client", "orderer", "peer"}, unit)
	})
	wanted := []string{}
	if p.leaf.unit != "" {
		wanted = append(wanted, p.leaf.unit)
	}
	switch {
	case cert.IsCA:
		return nil, errors.New("it is an authority's certificate (CA flag)")
	case cert.KeyUsage != 0 && cert.KeyUsage&x509.KeyUsageDigitalSignature == 0:
		return nil, errors.New("it may not sign (key usage digitalSignature)")
	case p.authority == enrolment && cert.Subject.CommonName != p.leaf.commonName:
		return nil, fmt.Errorf("its common name is %q, want %q: it is who acts", cert.Subject.CommonName, p.leaf.commonName)
	case p.authority == enrolment && !slices.Equal(roles, wanted):
		return nil, fmt.Errorf("its roles (organisational units) are %q, want %q", roles, wanted)
	case time.Until(cert.NotAfter) < 0:
		return nil, fmt.Errorf("it expired at %s", cert.NotAfter.UTC().Format(time.RFC3339))
	}
	// The request names this machine as well, which a PKI need not put in.
	for _, host := range p.leaf.hosts {
		if err := cert.VerifyHostname(host); err != nil {
			return nil, err
		}
	}
	if err := c.verify(cert, p.usages()...); err != nil {
		return nil, fmt.Errorf("%w (key usages that are named must do for %s)", err, p.name)
	}
	return cert, nil
}

// usages are what a certificate must do for. Fabric verifies everybody it enrols as a server, and the
// gateway's API people as clients: such a certificate names both, or none.
func (p pair) usages() []x509.ExtKeyUsage {
	var all []x509.ExtKeyUsage
	if p.leaf.server || p.authority == enrolment {
		all = append(all, x509.ExtKeyUsageServerAuth)
	}
	if p.leaf.client || p.authority == enrolment {
		all = append(all, x509.ExtKeyUsageClientAuth)
	}
	return all
}

// encodeChain is the file of a certificate: for TLS with the authorities below the roots, which the
// other end has not; an enrolled one alone, as Fabric wants it.
func encodeChain(p pair, cert *x509.Certificate, c chain) []byte {
	if p.authority == enrolment {
		return []byte(encodeBlock(certificateBlock, LowS(cert, slices.Concat(c.roots, c.intermediates))))
	}
	out := encodeBlock(certificateBlock, cert.Raw)
	for _, between := range c.intermediates {
		out += encodeBlock(certificateBlock, between.Raw)
	}
	return []byte(out)
}

// LowS returns the certificate, which one of the issuers signed, with its signature in the form that Fabric
// rewrites signatures to: see signLowS. Of an ECDSA signature (r, s) also (r, -s) is one, over the same bytes.
func LowS(cert *x509.Certificate, issuers []*x509.Certificate) []byte {
	var sig struct{ R, S *big.Int }
	var whole struct {
		TBS, Algorithm asn1.RawValue
		Signature      asn1.BitString
	}
	for _, issuer := range issuers {
		key, ok := issuer.PublicKey.(*ecdsa.PublicKey)
		if !ok || cert.CheckSignatureFrom(issuer) != nil {
			continue
		}
		n := key.Params().N
		if _, err := asn1.Unmarshal(cert.Signature, &sig); err != nil || sig.S.Cmp(new(big.Int).Rsh(n, 1)) <= 0 {
			return cert.Raw
		}
		sig.S.Sub(n, sig.S)
		raw, err := asn1.Marshal(sig)
		if err != nil {
			return cert.Raw // of two numbers that were read from one
		}
		if _, err := asn1.Unmarshal(cert.Raw, &whole); err != nil {
			return cert.Raw
		}
		whole.Signature = asn1.BitString{Bytes: raw, BitLength: 8 * len(raw)}
		if der, err := asn1.Marshal(whole); err == nil {
			return der
		}
	}
	return cert.Raw
}

// writeAuthorities keeps the authorities where a local CA would have its certificate, and in the MSPs.
func (f *Folder) writeAuthorities(kind authority, c chain, dirs [2]string) error {
	file := map[authority]string{enrolment: f.caCert(), transport: f.tlsCACert()}[kind]
	var roots string
	for _, root := range c.roots {
		roots += encodeBlock(certificateBlock, root.Raw)
	}
	if err := disk.Write(file, []byte(roots), 0o644); err != nil {
		return err
	}
	for _, msp := range []string{f.at("msp"), f.at("peer", "msp"), f.at("orderer", "msp")} {
		for i, certs := range [2][]*x509.Certificate{c.roots, c.intermediates} {
			for n, cert := range certs {
				name := filepath.Join(msp, dirs[i], fmt.Sprintf("ca-%d.pem", n+1))
				if err := disk.Write(name, []byte(encodeBlock(certificateBlock, cert.Raw)), 0o644); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
