package org

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/network/channel"
)

// pki is an organisation's own: a root, and below it what signs.
type pki struct {
	rootKey, key *ecdsa.PrivateKey
	root, cert   *x509.Certificate
}

func newPKI(t *testing.T, name string) pki {
	t.Helper()
	var p pki
	p.rootKey, p.root = authorityOf(t, name+" root", nil, nil)
	p.key, p.cert = authorityOf(t, name+" issuing", p.root, p.rootKey)
	return p
}

func authorityOf(t *testing.T, name string, parent *x509.Certificate, by *ecdsa.PrivateKey) (*ecdsa.PrivateKey, *x509.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template, err := newTemplate(name, "", key, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign|x509.KeyUsageCRLSign
	if parent == nil {
		parent, by = template, key
	}
	return key, signed(t, template, parent, &key.PublicKey, by)
}

func signed(t *testing.T, template, parent *x509.Certificate, key any, by *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key, by)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func (p pki) chain() []byte {
	return []byte(encodeBlock(certificateBlock, p.cert.Raw) + encodeBlock(certificateBlock, p.root.Raw))
}

// answer signs a request, as it is unless change says otherwise.
func (p pki) answer(t *testing.T, request string, change func(*x509.Certificate)) {
	t.Helper()
	raw, err := os.ReadFile(request)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(raw)
	r, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.CheckSignature(); err != nil {
		t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: r.Subject, DNSNames: r.DNSNames, IPAddresses: r.IPAddresses,
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature, PublicKey: r.PublicKey,
	}
	if change != nil {
		change(template)
	}
	cert := signed(t, template, p.cert, template.PublicKey, p.key)
	write(t, strings.TrimSuffix(request, ".csr")+".crt", []byte(encodeBlock(certificateBlock, cert.Raw)))
}

func write(t *testing.T, file string, raw []byte) {
	t.Helper()
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		t.Fatal(err)
	}
}

// asking is a folder that wants its certificates from elsewhere.
func asking(t *testing.T) (*Folder, []string) {
	t.Helper()
	spec := testSpec("vendor", "127.0.0.2")
	spec.ExternalCA = true
	f, err := Create(t.Context(), filepath.Join(t.TempDir(), "vendor"), spec, Options{})
	if err != nil {
		t.Fatal(err)
	}
	requests, err := filepath.Glob(filepath.Join(f.RequestsDir(), "*.csr"))
	if err != nil || len(requests) != 13 {
		t.Fatalf("%d requests (%v)", len(requests), err)
	}
	return f, requests
}

func answersOf(t *testing.T, enrolment, tls pki) Answers {
	t.Helper()
	dir := t.TempDir()
	a := Answers{CA: filepath.Join(dir, "ca.pem"), TLSCA: filepath.Join(dir, "tlsca.pem")}
	write(t, a.CA, enrolment.chain())
	write(t, a.TLSCA, tls.chain())
	return a
}

func isTLS(request string) bool { return strings.HasSuffix(request, "-tls.csr") }

func TestCertificatesOfAnOwnPKI(t *testing.T) {
	f, requests := asking(t)
	signs, tls := newPKI(t, "vendor"), newPKI(t, "vendor TLS")
	for _, r := range requests {
		by := signs
		if isTLS(r) {
			by = tls
		}
		by.answer(t, r, nil)
	}
	if err := f.Import(t.Context(), answersOf(t, signs, tls)); err != nil {
		t.Fatal(err)
	}
	complete(t, f)
}

// complete checks that the organisation is what others take it for, and has no authority's key.
func complete(t *testing.T, f *Folder) {
	t.Helper()
	file, err := f.Export()
	if err != nil {
		t.Fatal(err)
	}
	d, err := channel.Open(file)
	if err != nil || len(d.Roots) != 1 || len(d.Intermediates) != 1 || len(d.TLSRoots) != 1 || len(d.TLSIntermediates) != 1 {
		t.Errorf("%d roots, %d intermediates (%v)", len(d.Roots), len(d.Intermediates), err)
	}
	if _, err := channel.Found(channel.Parameters{}, []channel.Descriptor{d}); err != nil {
		t.Error(err)
	}
	for _, key := range []string{"ca.key", "tlsca.key"} {
		if _, err := os.Stat(f.at("ca", key)); err == nil {
			t.Errorf("%s was made", key)
		}
	}
	for _, file := range []string{f.at("peer", "core.yaml"), f.at("builder", "connection.json"), f.at("orderer", "admin", "client.crt")} {
		if _, err := os.Stat(file); err != nil {
			t.Error(err)
		}
	}
	// As often as it is asked for.
	if _, err := Create(t.Context(), f.Dir(), f.Spec(), Options{}); err != nil {
		t.Error(err)
	}
}

// The same by a program that many PKIs are made of.
func TestCertificatesByOpenSSL(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("there is no openssl here; TestCertificatesOfAnOwnPKI has a PKI in Go")
	}
	f, requests := asking(t)
	dir := t.TempDir()
	run := func(args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), openssl, args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("openssl %v: %v\n%s", args, err, out)
		}
	}
	write(t, filepath.Join(dir, "ca.cnf"), []byte(`[ca]
default_ca = issuing
[issuing]
database = index.txt
new_certs_dir = .
rand_serial = yes
certificate = issuing.pem
private_key = issuing.key
default_days = 30
default_md = sha256
policy = anything
copy_extensions = copy
x509_extensions = leaf
unique_subject = no
email_in_dn = no
[anything]
organizationalUnitName = optional
commonName = supplied
[leaf]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[req]
distinguished_name = name
[name]
[authority]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
`))
	write(t, filepath.Join(dir, "index.txt"), nil)
	const curve = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
	ec := strings.Fields(curve)
	run(append([]string{"req", "-x509", "-config", "ca.cnf", "-extensions", "authority", "-subj", "/CN=root", "-days", "30", "-keyout", "root.key", "-out", "root.pem"}, ec...)...)
	run(append([]string{"req", "-new", "-config", "ca.cnf", "-subj", "/CN=issuing", "-keyout", "issuing.key", "-out", "issuing.csr"}, ec...)...)
	run("x509", "-req", "-in", "issuing.csr", "-CA", "root.pem", "-CAkey", "root.key", "-CAcreateserial", "-days", "30", "-extfile", "ca.cnf", "-extensions", "authority", "-out", "issuing.pem")
	for _, r := range requests {
		run("ca", "-batch", "-config", "ca.cnf", "-in", r, "-out", strings.TrimSuffix(r, ".csr")+".crt")
	}
	issuing, err := os.ReadFile(filepath.Join(dir, "issuing.pem"))
	if err != nil {
		t.Fatal(err)
	}
	root, err := os.ReadFile(filepath.Join(dir, "root.pem"))
	if err != nil {
		t.Fatal(err)
	}
	chain := filepath.Join(dir, "chain.pem")
	write(t, chain, append(issuing, root...))
	if err := f.Import(t.Context(), Answers{CA: chain, TLSCA: chain}); err != nil {
		t.Fatal(err)
	}
	complete(t, f)
}

func TestAnswersThatDoNotFit(t *testing.T) {
	signs, tls := newPKI(t, "vendor"), newPKI(t, "vendor TLS")
	stranger := newPKI(t, "stranger")
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		request string
		by      pki
		change  func(*x509.Certificate)
		want    string
	}{
		"another key":       {"admin", signs, func(c *x509.Certificate) { c.PublicKey = &other.PublicKey }, "of another key than its request"},
		"another name":      {"publisher", signs, func(c *x509.Certificate) { c.Subject.CommonName = "scanner" }, `its common name is "scanner", want "publisher"`},
		"a higher role":     {"publisher", signs, func(c *x509.Certificate) { c.Subject.OrganizationalUnit = []string{"admin"} }, `["admin"], want ["client"]`},
		"two roles":         {"peer-enrolment", signs, func(c *x509.Certificate) { c.Subject.OrganizationalUnit = []string{"peer", "client"} }, `want ["peer"]`},
		"no role":           {"orderer-enrolment", signs, func(c *x509.Certificate) { c.Subject.OrganizationalUnit = nil }, `[], want ["orderer"]`},
		"an authority":      {"admin", signs, func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid = true, true }, "CA flag"},
		"of a stranger":     {"admin", stranger, nil, "certificate signed by unknown authority"},
		"of the TLS PKI":    {"admin", tls, nil, "certificate signed by unknown authority"},
		"for clients only":  {"admin", signs, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }, "incompatible key usage"},
		"for servers only":  {"peer-tls", tls, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }, "incompatible key usage"},
		"may not sign":      {"admin", signs, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment }, "may not sign"},
		"without its host":  {"orderer-tls", tls, func(c *x509.Certificate) { c.IPAddresses = c.IPAddresses[:1] }, "127.0.0.1, not 127.0.0.2"},
		"expired":           {"admin", signs, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Second) }, "it expired at"},
		"a name for a host": {"gateway-tls", tls, func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = []string{"vendor.example"}, nil }, "cannot validate certificate for 127.0.0.2"},
		"another subject":   {"admin", signs, func(c *x509.Certificate) { c.Subject = pkix.Name{OrganizationalUnit: []string{"admin"}} }, `its common name is ""`},
		"nothing came":      {"scanner", pki{}, nil, "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			f, requests := asking(t)
			for _, r := range requests {
				by := signs
				if isTLS(r) {
					by = tls
				}
				var change func(*x509.Certificate)
				if filepath.Base(r) == c.request+".csr" {
					if c.by.key == nil {
						continue
					}
					by, change = c.by, c.change
				}
				by.answer(t, r, change)
			}
			err := f.Import(t.Context(), answersOf(t, signs, tls))
			if err == nil || !strings.Contains(err.Error(), c.request+": ") || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if _, statErr := os.Stat(f.personCert("admin")); statErr == nil {
				t.Error("a part of the answers was taken")
			}
		})
	}
}

func TestRequestsAreMadeOnce(t *testing.T) {
	f, _ := asking(t)
	before := readTree(t, f.Dir())
	if err := f.complete(); err != nil {
		t.Fatal(err)
	}
	for file, content := range readTree(t, f.Dir()) {
		if before[file] != content {
			t.Errorf("%s was made again", file)
		}
	}
}
