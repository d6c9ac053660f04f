// Package channeltest makes organisations for tests: authorities, people and nodes whose keys are in memory.
package channeltest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/network/channel"
)

// Org is one organisation.
type Org struct {
	Descriptor   channel.Descriptor
	Enrolment    Pair // its authority
	TLS          Pair
	Admin        Pair
	OrdererAgent Pair // what its orderer signs with
}

// Pair is a certificate and its key.
type Pair struct {
	Cert *x509.Certificate
	Key  *ecdsa.PrivateKey
}

// PEM returns the certificate's.
func (p Pair) PEM() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.Cert.Raw}))
}

// New makes an organisation whose nodes are at ports of 127.0.0.1 from base on.
func New(t testing.TB, name string, base int) Org {
	t.Helper()
	o := Org{Enrolment: Authority(t, name+" enrolment CA"), TLS: Authority(t, name+" TLS CA")}
	o.Admin = o.Enrolment.Issue(t, func(c *x509.Certificate) { c.Subject = Named("admin", "admin") })
	o.OrdererAgent = o.Enrolment.Issue(t, func(c *x509.Certificate) { c.Subject = Named(name+"-orderer", "orderer") })
	node := o.TLS.Issue(t, Server(name+"-orderer"))
	o.Descriptor = channel.Descriptor{
		Version: channel.Version, Name: name, MSPID: strings.ToUpper(name[:1]) + name[1:] + "MSP",
		Roots: []string{o.Enrolment.PEM()}, TLSRoots: []string{o.TLS.PEM()},
		Peer: channel.Endpoint{Host: "127.0.0.1", Port: base},
		Orderer: &channel.Orderer{
			Host: "127.0.0.1", Port: base + 1,
			Identity: o.OrdererAgent.PEM(), ClientTLS: node.PEM(), ServerTLS: node.PEM(),
		},
		Gateway: "https://127.0.0.1:" + big.NewInt(int64(base+2)).String(),
	}
	return o
}

// File is the organisation's descriptor, signed by its admin.
func (o Org) File(t testing.TB) []byte {
	t.Helper()
	file, err := channel.Sign(o.Descriptor, o.Admin.Cert, o.Admin.Key)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// Named is the subject of somebody with a role.
func Named(name, role string) pkix.Name {
	return pkix.Name{CommonName: name, OrganizationalUnit: []string{role}}
}

// Server makes a certificate one of a node of this machine.
func Server(name string) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		c.Subject = pkix.Name{CommonName: name}
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
		c.DNSNames, c.IPAddresses = []string{"localhost"}, []net.IP{net.ParseIP("127.0.0.1")}
	}
}

// Authority makes one that vouches for itself.
func Authority(t testing.TB, name string, change ...func(*x509.Certificate)) Pair {
	t.Helper()
	return mint(t, nil, append([]func(*x509.Certificate){AsAuthority(name)}, change...))
}

// Below makes an authority below another.
func (p Pair) Below(t testing.TB, name string, change ...func(*x509.Certificate)) Pair {
	t.Helper()
	return mint(t, &p, append([]func(*x509.Certificate){AsAuthority(name)}, change...))
}

// Issue makes a certificate of somebody or something.
func (p Pair) Issue(t testing.TB, change ...func(*x509.Certificate)) Pair {
	t.Helper()
	return mint(t, &p, change)
}

// Revoke returns the PEM of a list with the certificates.
func (p Pair) Revoke(t testing.TB, certs ...*x509.Certificate) string {
	t.Helper()
	list := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: time.Now().Add(-time.Minute), NextUpdate: time.Now().Add(time.Hour)}
	for _, c := range certs {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: c.SerialNumber, RevocationTime: time.Now()})
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, p.Cert, p.Key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der}))
}

// AsAuthority makes a certificate one of an authority.
func AsAuthority(name string) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		c.Subject = pkix.Name{CommonName: name}
		c.IsCA, c.BasicConstraintsValid = true, true
		c.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature
	}
}

func mint(t testing.TB, parent *Pair, change []func(*x509.Certificate)) Pair {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return Reissue(t, parent, key, change...)
}

// Reissue makes a certificate of a key that exists. Its signature is in the form that Fabric does not rewrite.
func Reissue(t testing.TB, parent *Pair, key *ecdsa.PrivateKey, change ...func(*x509.Certificate)) Pair {
	t.Helper()
	for {
		p := reissue(t, parent, key, change)
		var sig struct{ R, S *big.Int }
		if _, err := asn1.Unmarshal(p.Cert.Signature, &sig); err != nil {
			t.Fatal(err)
		}
		if sig.S.Cmp(new(big.Int).Rsh(elliptic.P256().Params().N, 1)) <= 0 {
			return p
		}
	}
}

func reissue(t testing.TB, parent *Pair, key *ecdsa.PrivateKey, change []func(*x509.Certificate)) Pair {
	t.Helper()
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 100))
	if err != nil {
		t.Fatal(err)
	}
	point, err := key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	ski := sha256.Sum256(point)
	template := &x509.Certificate{
		SerialNumber: serial, SubjectKeyId: ski[:], KeyUsage: x509.KeyUsageDigitalSignature,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	for _, f := range change {
		f(template)
	}
	issuer, signer := template, key
	if parent != nil {
		issuer, signer = parent.Cert, parent.Key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return Pair{cert, key}
}
