package cert

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

const (
	// DefaultLifetime is how long a renewed certificate holds unless somebody says otherwise.
	DefaultLifetime = 2 * 365 * 24 * time.Hour
	// authorityLifetime is that of a new authority.
	authorityLifetime = 10 * 365 * 24 * time.Hour
	// clockSkew backdates certificates, so that a machine slightly behind accepts a new one.
	clockSkew = 5 * time.Minute
	// shortest is the least that a lifetime may be: what is renewed has to reach the nodes before it ends.
	shortest = time.Minute
)

// signer is an authority whose key is here.
type signer struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// errElsewhere says that an authority's key is not in the folder: the organisation's own PKI signs.
var errElsewhere = errors.New("the authority's key is not here")

// signer opens an authority; it is errElsewhere where the key is somebody else's.
func (f *Folder) signer(a Authority) (signer, error) {
	certPath, keyPath := f.authorityFiles(a)
	cert, err := readCert(certPath)
	if err != nil {
		return signer{}, err
	}
	raw, err := os.ReadFile(keyPath)
	if errors.Is(err, fs.ErrNotExist) {
		return signer{cert: cert}, errElsewhere
	}
	if err != nil {
		return signer{}, err
	}
	key, err := parseKey(raw)
	if err != nil {
		return signer{}, fmt.Errorf("key %s: %w", keyPath, err)
	}
	if !publicEqual(key.Public(), cert.PublicKey) {
		return signer{}, provenance.Errorf(provenance.Invalid, "%s is not the key of %s", f.relative(keyPath), f.relative(certPath))
	}
	return signer{cert, key}, nil
}

// like is the template of a certificate that says the same as old for another key: whoever reads roles, names and
// usages from it sees no difference.
func like(old *x509.Certificate, key crypto.PublicKey, from, until time.Time) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("make serial number: %w", err)
	}
	ski, err := keyID(key)
	if err != nil {
		return nil, err
	}
	t := &x509.Certificate{
		SerialNumber: serial, RawSubject: old.RawSubject, Subject: old.Subject, SubjectKeyId: ski, NotBefore: from, NotAfter: until,
		KeyUsage: old.KeyUsage, ExtKeyUsage: old.ExtKeyUsage, UnknownExtKeyUsage: old.UnknownExtKeyUsage,
		DNSNames: old.DNSNames, IPAddresses: old.IPAddresses, EmailAddresses: old.EmailAddresses, URIs: old.URIs,
		BasicConstraintsValid: old.BasicConstraintsValid, IsCA: old.IsCA, MaxPathLen: old.MaxPathLen, MaxPathLenZero: old.MaxPathLenZero,
	}
	for _, e := range old.Extensions {
		if e.Id.Equal(attributes) {
			t.ExtraExtensions = append(t.ExtraExtensions, e)
		}
	}
	return t, nil
}

// attributes is where Fabric's CA writes what a person may do; a renewed certificate keeps them.
var attributes = asn1.ObjectIdentifier{1, 2, 3, 4, 5, 6, 7, 8, 1} //nolint:gochecknoglobals // a constant of a type that cannot be one

// keyID is the key's identifier as Fabric's key store reckons it.
func keyID(key crypto.PublicKey) ([]byte, error) {
	ec, ok := key.(*ecdsa.PublicKey)
	if !ok {
		return nil, errors.New("not an ECDSA key")
	}
	point, err := ec.Bytes()
	if err != nil {
		return nil, fmt.Errorf("encode public key: %w", err)
	}
	sum := sha256.Sum256(point)
	return sum[:], nil
}

// window is from when until when a new certificate holds: never longer than its authority.
func window(now time.Time, lifetime time.Duration, authority *x509.Certificate) (from, until time.Time) {
	from = now.Add(-clockSkew).UTC().Truncate(time.Second)
	until = now.Add(lifetime).UTC().Truncate(time.Second)
	if authority != nil {
		if from.Before(authority.NotBefore) {
			from = authority.NotBefore
		}
		if until.After(authority.NotAfter) {
			until = authority.NotAfter
		}
	}
	return from, until
}

func newKey() (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	return key, nil
}

// sign signs until the signature's S is in the lower half of the group. Fabric rewrites the others to that form, after
// which an identity that is pinned byte for byte, as BFT consenters are, no longer equals its own file.
func (s signer) sign(template *x509.Certificate, key crypto.PublicKey) ([]byte, error) {
	for {
		der, err := x509.CreateCertificate(rand.Reader, template, s.cert, key, s.key)
		if err != nil {
			return nil, fmt.Errorf("sign certificate of %s: %w", template.Subject.CommonName, err)
		}
		ec, ok := s.key.Public().(*ecdsa.PublicKey)
		if !ok {
			return der, nil
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("parse certificate of %s: %w", template.Subject.CommonName, err)
		}
		var sig struct{ R, S *big.Int }
		if _, err := asn1.Unmarshal(cert.Signature, &sig); err != nil {
			return nil, fmt.Errorf("parse signature on certificate of %s: %w", template.Subject.CommonName, err)
		}
		if sig.S.Cmp(new(big.Int).Rsh(ec.Params().N, 1)) <= 0 {
			return der, nil
		}
	}
}

func encodeCert(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func encodeKey(key crypto.PrivateKey) ([]byte, error) {
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}), nil
}

func readCert(file string) (*x509.Certificate, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	certs, err := parseCerts(raw)
	if err != nil {
		return nil, fmt.Errorf("certificate %s: %w", file, err)
	}
	return certs[0], nil
}

// parseCerts reads all certificates of a PEM file, at least one.
func parseCerts(raw []byte) ([]*x509.Certificate, error) {
	var all []*x509.Certificate
	for block, rest := pem.Decode(raw); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		all = append(all, cert)
	}
	if len(all) == 0 {
		return nil, errors.New("no certificate in it")
	}
	return all, nil
}

func parseKey(raw []byte) (crypto.Signer, error) {
	block, _ := pem.Decode(raw)
	if block == nil {
		return nil, errors.New("no PEM in it")
	}
	if block.Type == "EC PRIVATE KEY" {
		return x509.ParseECPrivateKey(block.Bytes)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	s, ok := key.(crypto.Signer)
	if !ok {
		return nil, errors.New("not a key that signs")
	}
	return s, nil
}

func publicEqual(a, b crypto.PublicKey) bool {
	key, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && key.Equal(b)
}

// readPair reads a pair's files as they are.
func readPair(p Pair) (cert, key []byte, err error) {
	if cert, err = os.ReadFile(p.Cert); err != nil {
		return nil, nil, err
	}
	key, err = os.ReadFile(p.Key)
	return cert, key, err
}

// fits says whether a certificate is the key's. An encrypted key cannot be asked.
func fits(cert, key []byte) error {
	if encrypted(key) {
		return nil
	}
	_, err := tls.X509KeyPair(cert, key)
	return err
}

// encrypted tells whether a key needs a passphrase.
func encrypted(key []byte) bool {
	block, _ := pem.Decode(key)
	return block != nil && (block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "")
}
