package cert_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/network/cert"
	"github.com/waybill-dev/waybill/network/org"
)

// authority is one of an organisation's own PKI.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// below makes an authority that another one signs; a root, where there is none.
func below(t *testing.T, name string, above *authority) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{key: key}
	by, signer := &x509.Certificate{
		SerialNumber: serial(t), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}, key
	template := by
	if above != nil {
		by, signer = above.cert, above.key
	}
	a.cert = issue(t, template, by, &key.PublicKey, signer)
	return a
}

func serial(t *testing.T) *big.Int {
	t.Helper()
	n, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func issue(t *testing.T, template, by *x509.Certificate, key any, signer *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, by, key, signer)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func encode(certs ...*x509.Certificate) []byte {
	var out []byte
	for _, c := range certs {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return out
}

// answer signs every request that is not answered, with the certificate alone, or what change makes of it.
func answer(t *testing.T, dir string, enrols, serves *authority, change func(*x509.Certificate)) int {
	t.Helper()
	requests, err := filepath.Glob(filepath.Join(dir, "*.csr"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range requests {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		block, _ := pem.Decode(raw)
		r, err := x509.ParseCertificateRequest(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		template := &x509.Certificate{
			SerialNumber: serial(t), Subject: r.Subject, DNSNames: r.DNSNames, IPAddresses: r.IPAddresses,
			NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
		}
		if change != nil {
			change(template)
		}
		by := enrols
		if strings.HasSuffix(file, "-tls.csr") {
			by = serves
		}
		write(t, strings.TrimSuffix(file, ".csr")+".crt", encode(issue(t, template, by.cert, r.PublicKey, by.key)))
	}
	return len(requests)
}

func write(t *testing.T, file string, raw []byte) {
	t.Helper()
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestRenewThroughIntermediates: the organisation's own PKI signs below intermediates, of TLS two below each other. What it
// answers with later, the certificate alone, is taken, and whoever knows the root alone believes what is served.
func TestRenewThroughIntermediates(t *testing.T) {
	root, tlsRoot := below(t, "root", nil), below(t, "TLS root", nil)
	enrols := below(t, "enrols", root)
	policy := below(t, "TLS policy", tlsRoot)
	serves := below(t, "serves", policy)
	dir := filepath.Join(t.TempDir(), "audit")
	at := func(port string) string { return "node.audit.example:" + port }
	here := func(port string) string { return "127.0.0.1:" + port }
	spec := org.Spec{
		Name: "audit", MSPID: "AuditMSP", Channel: "waybill", Chaincode: "waybill", ExternalCA: true,
		Announce: org.Announce{Peer: at("7051"), Orderer: at("7050"), Gateway: at("7443")},
		Listen: org.Listen{
			Peer: here("7051"), PeerOperations: here("7052"), PeerChaincode: here("7053"), Orderer: here("7050"), OrdererAdmin: here("7054"),
			OrdererOperations: here("7055"), Chaincode: here("7056"), Gateway: here("7443"), GatewayMetrics: here("7057"), Hooks: here("7058"),
		},
		Programs: org.Programs{Peer: "/bin/false", Orderer: "/bin/false"}, Contract: org.Contract{Program: "/bin/false"},
	}
	f, err := org.Create(t.Context(), dir, spec, org.Options{})
	if err != nil {
		t.Fatal(err)
	}
	answer(t, f.RequestsDir(), enrols, serves, nil)
	chain, tlsChain := filepath.Join(t.TempDir(), "chain.pem"), filepath.Join(t.TempDir(), "tls.pem")
	write(t, chain, encode(root.cert, enrols.cert))
	write(t, tlsChain, encode(serves.cert, policy.cert, tlsRoot.cert))
	if err := f.Import(t.Context(), org.Answers{CA: chain, TLSCA: tlsChain}); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(f.RequestsDir()); err != nil {
		t.Fatal(err)
	}
	certs, err := cert.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	served(t, certs, tlsRoot.cert)
	before := serials(t, certs)
	o := cert.Options{Channel: func(context.Context) (cert.Channel, error) { return cert.Channel{}, nil }}
	done, err := certs.Renew(t.Context(), nil, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range done {
		if d.Name != "orderer-admin" && d.State != cert.WaitsForElsewhere {
			t.Errorf("%+v", d)
		}
	}
	// An answer that does not name the host is none.
	answer(t, f.RequestsDir(), enrols, serves, func(c *x509.Certificate) { c.DNSNames = nil })
	if _, err := certs.Renew(t.Context(), nil, o); err == nil || !strings.Contains(err.Error(), "node.audit.example") {
		t.Errorf("a server by another name: %v", err)
	}
	// One that leaves out this host alone is.
	answer(t, f.RequestsDir(), enrols, serves, func(c *x509.Certificate) {
		if !strings.HasSuffix(c.Subject.CommonName, "-chaincode") {
			c.DNSNames, c.IPAddresses = slices.DeleteFunc(c.DNSNames, func(n string) bool { return n == "localhost" }), nil
		}
	})
	if done, err = certs.Renew(t.Context(), nil, o); err != nil {
		t.Fatal(err)
	}
	for _, d := range done {
		if d.State == cert.WaitsForElsewhere {
			t.Errorf("%+v", d)
		}
	}
	after := serials(t, certs)
	for name, old := range before {
		if name != "orderer-admin" && after[name] == old {
			t.Errorf("%s is what it was", name)
		}
	}
	served(t, certs, tlsRoot.cert)
	d, err := f.Descriptor()
	if err != nil || len(d.TLSIntermediates) != 2 || len(d.Intermediates) != 1 {
		t.Errorf("%d and %d intermediates, %v", len(d.Intermediates), len(d.TLSIntermediates), err)
	}
	if _, err := f.Export(); err != nil {
		t.Error(err)
	}
}

func serials(t *testing.T, f *cert.Folder) map[string]string {
	t.Helper()
	entries, err := f.List(nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, e := range entries {
		if e.Name != "ca" && e.Name != "tlsca" {
			out[e.Name] = e.Serial
		}
	}
	return out
}

// served wants whoever knows the root alone to believe what each server shows.
func served(t *testing.T, f *cert.Folder, root *x509.Certificate) {
	t.Helper()
	for _, file := range []string{"peer/tls/server.crt", "orderer/tls/server.crt", "gateway/tls.crt"} {
		raw, err := os.ReadFile(filepath.Join(f.Dir(), filepath.FromSlash(file)))
		if err != nil {
			t.Fatal(err)
		}
		opts := x509.VerifyOptions{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), DNSName: "node.audit.example"}
		opts.Roots.AddCert(root)
		block, rest := pem.Decode(raw)
		opts.Intermediates.AppendCertsFromPEM(rest)
		c, err := x509.ParseCertificate(block.Bytes)
		if err == nil {
			_, err = c.Verify(opts)
		}
		if err != nil || bytes.Contains(raw, encode(root)) {
			t.Errorf("%s: %v", file, err)
		}
	}
}
