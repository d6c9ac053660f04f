package org

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"time"

	"github.com/waybill-dev/waybill/network/disk"
)

const (
	caLifetime   = 10 * 365 * 24 * time.Hour
	leafLifetime = 2 * 365 * 24 * time.Hour
	// clockSkew backdates certificates, so that a machine slightly behind accepts a new one.
	clockSkew = 5 * time.Minute
)

// ca is one certificate authority of one organisation.
type ca struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// leaf says what a certificate is for.
type leaf struct {
	commonName string
	unit       string   // Fabric reads the role from it: client, admin, peer or orderer
	server     bool     // it also proves a TLS server on this machine
	client     bool     // it also proves a TLS client
	hosts      []string // under which the server is dialled: addresses and names
}

// openCA reads the authority kept in certFile and keyFile, or makes it when neither exists. One
// without the other is an error: a new key would orphan every certificate already issued.
// below is how many authorities it may have below it.
func openCA(certFile, keyFile, commonName string, below int) (*ca, error) {
	have, err := havePair(certFile, keyFile)
	if err != nil {
		return nil, err
	}
	if have {
		return readCA(certFile, keyFile)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make key of %s: %w", commonName, err)
	}
	template, err := newTemplate(commonName, "", key, caLifetime)
	if err != nil {
		return nil, err
	}
	template.IsCA = true
	template.BasicConstraintsValid = true
	template.MaxPathLen, template.MaxPathLenZero = below, below == 0
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature
	der, err := signLowS(template, template, key, key)
	if err != nil {
		return nil, err
	}
	if err := writePair(certFile, keyFile, der, key); err != nil {
		return nil, err
	}
	return readCA(certFile, keyFile)
}

func readCA(certFile, keyFile string) (*ca, error) {
	cert, err := readCert(certFile)
	if err != nil {
		return nil, err
	}
	key, err := readKey(keyFile)
	if err != nil {
		return nil, err
	}
	return &ca{cert: cert, key: key}, nil
}

// issue writes a new key and its certificate unless both exist already.
func (a *ca) issue(certFile, keyFile string, l leaf) error {
	have, err := havePair(certFile, keyFile)
	if err != nil || have {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("make key of %s: %w", l.commonName, err)
	}
	template, err := newTemplate(l.commonName, l.unit, key, leafLifetime)
	if err != nil {
		return err
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	if l.server {
		template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
		template.DNSNames, template.IPAddresses = l.names()
	}
	if l.client {
		template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageClientAuth)
	}
	parent, signer := template, key // with no authority the certificate vouches for itself
	if a != nil {
		parent, signer = a.cert, a.key
	}
	der, err := signLowS(template, parent, key, signer)
	if err != nil {
		return err
	}
	return writePair(certFile, keyFile, der, key)
}

// names returns what a server's certificate names: where others reach it, and this machine.
func (l leaf) names() (dns []string, ips []net.IP) {
	seen := map[string]bool{}
	for _, host := range append([]string{"localhost", "127.0.0.1", "::1"}, l.hosts...) {
		if seen[host] {
			continue
		}
		seen[host] = true
		if ip := net.ParseIP(host); ip != nil {
			ips = append(ips, ip)
		} else {
			dns = append(dns, host)
		}
	}
	return dns, ips
}

func newTemplate(commonName, unit string, key *ecdsa.PrivateKey, lifetime time.Duration) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("make serial number for %s: %w", commonName, err)
	}
	point, err := key.PublicKey.Bytes()
	if err != nil {
		return nil, fmt.Errorf("encode public key of %s: %w", commonName, err)
	}
	ski := sha256.Sum256(point)
	subject := pkix.Name{CommonName: commonName}
	if unit != "" {
		subject.OrganizationalUnit = []string{unit}
	}
	from := time.Now().Add(-clockSkew).UTC().Truncate(time.Second)
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      subject,
		SubjectKeyId: ski[:],
		NotBefore:    from,
		NotAfter:     from.Add(lifetime),
	}, nil
}

// signLowS signs until the signature's S is in the lower half of the group. Fabric rewrites the
// others to that form, after which an identity that is pinned byte for byte, as BFT consenters
// are, no longer equals its own file.
func signLowS(template, parent *x509.Certificate, key, signer *ecdsa.PrivateKey) ([]byte, error) {
	half := new(big.Int).Rsh(elliptic.P256().Params().N, 1)
	for {
		der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
		if err != nil {
			return nil, fmt.Errorf("sign certificate of %s: %w", template.Subject.CommonName, err)
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("parse certificate of %s: %w", template.Subject.CommonName, err)
		}
		var sig struct{ R, S *big.Int }
		if _, err := asn1.Unmarshal(cert.Signature, &sig); err != nil {
			return nil, fmt.Errorf("parse signature on certificate of %s: %w", template.Subject.CommonName, err)
		}
		if sig.S.Cmp(half) <= 0 {
			return der, nil
		}
	}
}

func havePair(certFile, keyFile string) (bool, error) {
	cert, err := disk.Exists(certFile)
	if err != nil {
		return false, err
	}
	key, err := disk.Exists(keyFile)
	if err != nil {
		return false, err
	}
	if cert && !key {
		return false, fmt.Errorf("certificate %s is there but its key %s is not", certFile, keyFile)
	}
	// A key alone is what a crash between the two writes leaves; nothing was ever signed for it.
	return cert && key, nil
}

// writePair writes the key first: see havePair.
func writePair(certFile, keyFile string, der []byte, key *ecdsa.PrivateKey) error {
	if err := writeKey(keyFile, key); err != nil {
		return err
	}
	return disk.Write(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644)
}

func writeKey(file string, key *ecdsa.PrivateKey) error {
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("encode key %s: %w", file, err)
	}
	return disk.Write(file, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}), 0o600)
}

func readPEM(file string) ([]byte, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(raw)
	if block == nil {
		return nil, fmt.Errorf("read %s: no PEM in it", file)
	}
	return block.Bytes, nil
}

func readCert(file string) (*x509.Certificate, error) {
	der, err := readPEM(file)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("parse certificate %s: %w", file, err)
	}
	return cert, nil
}

func readKey(file string) (*ecdsa.PrivateKey, error) {
	der, err := readPEM(file)
	if err != nil {
		return nil, err
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("parse key %s: %w", file, err)
	}
	ec, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return nil, errors.New("key " + file + " is not an ECDSA key")
	}
	return ec, nil
}
