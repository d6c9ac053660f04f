package org

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"

	"github.com/waybill-dev/waybill/network/disk"
)

// RequestsDir is where the organisation's requests are, and where the answers of its PKI go.
func (f *Folder) RequestsDir() string { return f.at("csr") }

func (f *Folder) requestPath(p pair) string { return f.at("csr", p.name+".csr") }

// makeRequests gives everybody a key and a certificate request, instead of a certificate. Nobody
// outside sees a key. The orderer's admin listener takes one certificate that stands for itself: it is
// made here in any case.
func (f *Folder) makeRequests() error {
	for _, p := range f.pairs() {
		if p.authority == nobody {
			if err := (*ca)(nil).issue(p.cert, p.key, p.leaf); err != nil {
				return fmt.Errorf("keys of %s, %s: %w", f.spec.Name, p.name, err)
			}
			continue
		}
		if err := f.request(p); err != nil {
			return fmt.Errorf("request for %s of %s: %w", p.name, f.spec.Name, err)
		}
	}
	return nil
}

func (f *Folder) request(p pair) error {
	// A certificate without its key is an error: a new key would not be the certificate's.
	if _, err := havePair(p.cert, p.key); err != nil {
		return err
	}
	have, err := disk.Exists(p.key)
	if err != nil {
		return err
	}
	if !have {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return err
		}
		if err := writeKey(p.key, key); err != nil {
			return err
		}
	}
	if have, err := disk.Exists(f.requestPath(p)); err != nil || have {
		return err
	}
	key, err := readKey(p.key)
	if err != nil {
		return err
	}
	template := &x509.CertificateRequest{Subject: pkix.Name{CommonName: p.leaf.commonName}}
	if p.leaf.unit != "" {
		template.Subject.OrganizationalUnit = []string{p.leaf.unit}
	}
	if p.leaf.server {
		template.DNSNames, template.IPAddresses = p.leaf.names()
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, template, key)
	if err != nil {
		return err
	}
	return disk.Write(f.requestPath(p), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}), 0o644)
}
