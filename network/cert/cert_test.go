package cert

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// testFolder is an organisation's folder as the package org makes it, with certificates that still hold for left.
func testFolder(t *testing.T, left time.Duration) *Folder {
	t.Helper()
	dir := t.TempDir()
	f := &Folder{dir: dir}
	authorities := map[Authority]signer{}
	for _, a := range []Authority{Enrolment, Transport} {
		key, err := newKey()
		if err != nil {
			t.Fatal(err)
		}
		template := &x509.Certificate{
			Subject: pkix.Name{CommonName: "vendor " + string(a) + " CA"}, IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
			KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature,
		}
		template, err = like(template, key.Public(), time.Now().Add(-time.Hour), time.Now().Add(authorityLifetime))
		if err != nil {
			t.Fatal(err)
		}
		template.RawSubject = nil
		der, err := signer{template, key}.sign(template, key.Public())
		if err != nil {
			t.Fatal(err)
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		authorities[a] = signer{cert, key}
		certPath, keyPath := f.authorityFiles(a)
		writeKeyPair(t, certPath, keyPath, der, key)
	}
	for file, c := range map[string]*x509.Certificate{
		"people/admin/cert.pem":          person("admin", "admin"),
		"people/publisher/cert.pem":      person("publisher", "client"),
		"people/gateway/cert.pem":        person("gateway", "client"),
		"peer/msp/signcerts/cert.pem":    person("vendor-peer", "peer"),
		"orderer/msp/signcerts/cert.pem": person("vendor-orderer", "orderer"),
		"peer/tls/server.crt":            server("vendor-peer"),
		"orderer/tls/server.crt":         server("vendor-orderer"),
		"gateway/tls.crt":                server("vendor-gateway"),
		"chaincode/server.crt":           server("vendor-chaincode"),
		"chaincode/client.crt":           server("vendor-peer"),
		"orderer/admin/client.crt":       server("vendor orderer admin"),
	} {
		pairs := &Folder{dir: dir}
		path := pairs.at(filepath.FromSlash(file))
		a := authorities[Transport]
		if len(c.ExtKeyUsage) == 0 {
			a = authorities[Enrolment]
		}
		key, err := newKey()
		if err != nil {
			t.Fatal(err)
		}
		template, err := like(c, key.Public(), time.Now().Add(-time.Hour), time.Now().Add(left))
		if err != nil {
			t.Fatal(err)
		}
		template.RawSubject = nil
		if strings.Contains(file, "orderer/admin") {
			a = signer{template, key}
		}
		der, err := a.sign(template, key.Public())
		if err != nil {
			t.Fatal(err)
		}
		keyPath := strings.TrimSuffix(path, ".crt") + ".key"
		switch filepath.Base(path) {
		case "cert.pem":
			keyPath = filepath.Join(filepath.Dir(path), "key.pem")
			if strings.Contains(path, "signcerts") {
				keyPath = filepath.Join(filepath.Dir(path), "..", "keystore", "priv_sk")
			}
		}
		writeKeyPair(t, path, keyPath, der, key)
	}
	writeTest(t, f.at("chaincode", "ca.crt"), string(encodeCert(authorities[Transport].cert.Raw)))
	writeTest(t, f.at("builder", "connection.json"), `{"address":"127.0.0.1:7055","client_cert":"old"}`)
	writeTest(t, f.at("builder", "connection-waybill_2.json"), `{"address":"127.0.0.1:7055","client_cert":"old"}`)
	built := f.at("peer", "data", "externalbuilder", "builds", "waybill-1", "release", "chaincode", "server", "connection.json")
	writeTest(t, built, `{"address":"127.0.0.1:7055","client_cert":"old"}`)
	for _, msp := range []string{"msp", "peer/msp", "orderer/msp"} {
		writeTest(t, f.at(msp, "cacerts", "ca.pem"), string(encodeCert(authorities[Enrolment].cert.Raw)))
		writeTest(t, f.at(msp, "tlscacerts", "tlsca.pem"), string(encodeCert(authorities[Transport].cert.Raw)))
	}
	f, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func person(name, unit string) *x509.Certificate {
	return &x509.Certificate{Subject: pkix.Name{CommonName: name, OrganizationalUnit: []string{unit}}, KeyUsage: x509.KeyUsageDigitalSignature}
}

func server(name string) *x509.Certificate {
	return &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, KeyUsage: x509.KeyUsageDigitalSignature, DNSNames: []string{"localhost", "peer.vendor.example"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
}

func writeKeyPair(t *testing.T, certPath, keyPath string, der []byte, key any) {
	t.Helper()
	text, err := encodeKey(key)
	if err != nil {
		t.Fatal(err)
	}
	writeTest(t, keyPath, string(text))
	if err := os.Chmod(keyPath, 0o600); err != nil {
		t.Fatal(err)
	}
	writeTest(t, certPath, string(encodeCert(der)))
}

func writeTest(t *testing.T, file, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// restarts remembers which nodes were restarted, and looks at every pair meanwhile: whatever starts then must find
// certificates with their keys.
type restarts struct {
	t     *testing.T
	f     *Folder
	nodes []string
	fail  string
}

func (r *restarts) Restart(_ context.Context, node string) error {
	r.nodes = append(r.nodes, node)
	wholePairs(r.t, r.f)
	if node == r.fail {
		return errors.New("it does not come back")
	}
	return nil
}

// wholePairs checks that every certificate in use has its key, below the authority that it names.
func wholePairs(t *testing.T, f *Folder) {
	t.Helper()
	pairs, err := f.Pairs()
	if err != nil {
		t.Fatal(err)
	}
	if len(pairs) != 11 {
		t.Errorf("%d pairs", len(pairs))
	}
	for _, p := range pairs {
		if _, err := tls.LoadX509KeyPair(p.Cert, p.Key); err != nil {
			t.Errorf("%s: %v", p.Name, err)
		}
		info, err := os.Stat(p.Key)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("key of %s: %v, %v", p.Name, info, err)
		}
	}
}

// pinned is a channel that knows the folder's orderer as it is, or by another certificate.
func pinned(t *testing.T, f *Folder, identity []byte) Channel {
	t.Helper()
	if identity == nil {
		var err error
		if identity, err = os.ReadFile(f.at("orderer", "msp", "signcerts", "cert.pem")); err != nil {
			t.Fatal(err)
		}
	}
	m := Member{MSPID: "VendorMSP"}
	for _, a := range []Authority{Enrolment, Transport} {
		file, _ := f.authorityFiles(a)
		c, err := readCert(file)
		if err != nil {
			t.Fatal(err)
		}
		if a == Enrolment {
			m.Roots = [][]byte{encodeCert(c.Raw)}
		} else {
			m.TLSRoots = [][]byte{encodeCert(c.Raw)}
		}
	}
	tlsCert, err := os.ReadFile(f.at("orderer", "tls", "server.crt"))
	if err != nil {
		t.Fatal(err)
	}
	return Channel{Members: []Member{m}, Consenters: []*common.Consenter{{Id: 1, MspId: "VendorMSP", Identity: identity, ServerTlsCert: tlsCert}}}
}

func (c Channel) asked(context.Context) (Channel, error) { return c, nil }

func TestRenewAll(t *testing.T) {
	f := testFolder(t, time.Hour)
	before := map[string]*x509.Certificate{}
	pairs, err := f.Pairs()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pairs {
		if before[p.Name], err = readCert(p.Cert); err != nil {
			t.Fatal(err)
		}
	}
	nodes := &restarts{t: t, f: f}
	o := Options{Nodes: nodes, Channel: pinned(t, f, nil).asked, Lifetime: 48 * time.Hour}
	done, err := f.Renew(t.Context(), nil, o)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{Chaincode, Peer, Orderer}; !slices.Equal(nodes.nodes, want) {
		t.Errorf("restarted %v, want each once: %v", nodes.nodes, want)
	}
	wholePairs(t, f)
	for _, d := range done {
		p := pairs[slices.IndexFunc(pairs, func(p Pair) bool { return p.Name == d.Name })]
		now, err := readCert(p.Cert)
		if err != nil {
			t.Fatal(err)
		}
		old := before[d.Name]
		if d.Name == OrdererEnrolment {
			if d.State != WaitsForVote || d.Todo == "" || !now.Equal(old) {
				t.Errorf("what the channel pins was switched without its vote: %+v", d)
			}
			continue
		}
		if d.State != Renewed || publicEqual(now.PublicKey, old.PublicKey) || !now.NotAfter.After(old.NotAfter.Add(40*time.Hour)) {
			t.Errorf("%s: %+v, until %s, the same key: %v", d.Name, d, now.NotAfter, publicEqual(now.PublicKey, old.PublicKey))
		}
		if string(now.RawSubject) != string(old.RawSubject) || !slices.Equal(now.DNSNames, old.DNSNames) || now.KeyUsage != old.KeyUsage || !slices.Equal(now.ExtKeyUsage, old.ExtKeyUsage) {
			t.Errorf("%s says something else than before: %v %v %v", d.Name, now.Subject, now.DNSNames, now.ExtKeyUsage)
		}
		if p.Authority == Self {
			continue
		}
		file, _ := f.authorityFiles(p.Authority)
		ca, err := readCert(file)
		if err != nil || now.CheckSignatureFrom(ca) != nil {
			t.Errorf("%s is not below its authority: %v", d.Name, err)
		}
	}
	for _, file := range []string{f.at("builder", "connection.json"), f.at("builder", "connection-waybill_2.json"), f.at("peer", "data", "externalbuilder", "builds", "waybill-1", "release", "chaincode", "server", "connection.json")} {
		text, err := os.ReadFile(file)
		client, _, errPair := readPair(pairs[slices.IndexFunc(pairs, func(p Pair) bool { return p.Name == "chaincode-client-tls" })])
		block, _ := pem.Decode(client)
		if err != nil || errPair != nil || block == nil || !strings.Contains(string(text), strings.ReplaceAll(string(client), "\n", `\n`)) || !strings.Contains(string(text), "127.0.0.1:7055") {
			t.Errorf("the peer still dials its chaincode as before: %s, %v, %v", text, err, errPair)
		}
	}
}

func TestOrdererFollowsTheVote(t *testing.T) {
	f := testFolder(t, time.Hour)
	nodes := &restarts{t: t, f: f}
	var voted Changed
	o := Options{Nodes: nodes, Channel: pinned(t, f, nil).asked, Vote: func(c Changed) (string, error) { voted = c; return "vote", nil }}
	names := []string{OrdererEnrolment}
	for range 2 { // asking again prepares nothing new: the others may be voting on it
		done, err := f.Renew(t.Context(), names, o)
		if err != nil || len(done) != 1 || done[0].State != WaitsForVote || done[0].Todo != "vote" || len(nodes.nodes) != 0 {
			t.Fatalf("got %+v, %v, restarted %v", done, err, nodes.nodes)
		}
	}
	first := voted.OrdererIdentity
	if _, err := f.Renew(t.Context(), names, o); err != nil || string(voted.OrdererIdentity) != string(first) {
		t.Fatalf("the second vote is on another certificate than the first: %v", err)
	}
	o.Channel = pinned(t, f, first).asked
	done, err := f.Renew(t.Context(), names, o)
	if err != nil || done[0].State != Renewed || !slices.Equal(nodes.nodes, []string{Orderer}) {
		t.Fatalf("got %+v, %v, restarted %v", done, err, nodes.nodes)
	}
	if now, err := os.ReadFile(f.at("orderer", "msp", "signcerts", "cert.pem")); err != nil || string(now) != string(first) {
		t.Errorf("the orderer has another certificate than the channel: %v", err)
	}
	o.Channel = func(context.Context) (Channel, error) { return Channel{}, errors.New("away") }
	if _, err := f.Renew(t.Context(), names, o); err == nil || !strings.Contains(err.Error(), "away") {
		t.Errorf("switched without knowing the channel: %v", err)
	}
}

func TestNodeThatDoesNotComeBack(t *testing.T) {
	f := testFolder(t, time.Hour)
	nodes := &restarts{t: t, f: f, fail: Peer}
	o := Options{Nodes: nodes, Channel: pinned(t, f, nil).asked}
	if _, err := f.Renew(t.Context(), nil, o); err == nil || !strings.Contains(err.Error(), "restart the peer") {
		t.Fatalf("got %v", err)
	}
	if slices.Contains(nodes.nodes, Orderer) {
		t.Error("the orderer was restarted though the peer did not come back")
	}
	wholePairs(t, f)
}

func TestLifetimes(t *testing.T) {
	f := testFolder(t, time.Hour)
	if _, err := f.Renew(t.Context(), []string{"admin"}, Options{Lifetime: time.Second}); provenance.CodeOf(err) != provenance.Invalid {
		t.Errorf("a lifetime of a second: %v", err)
	}
	if _, err := f.Renew(t.Context(), []string{"nobody"}, Options{}); provenance.CodeOf(err) != provenance.NotFound {
		t.Errorf("a name that is not there: %v", err)
	}
	ca, err := readCert(f.at("ca", "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	done, err := f.Renew(t.Context(), []string{"admin"}, Options{Lifetime: 20 * authorityLifetime})
	if err != nil || !done[0].Expires.Equal(ca.NotAfter) {
		t.Errorf("it outlives its authority: %+v, %v", done, err)
	}
	later := func() time.Time { return ca.NotAfter.Add(time.Hour) }
	if _, err := f.Renew(t.Context(), []string{"publisher"}, Options{Now: later}); err == nil || !strings.Contains(err.Error(), "rollover") {
		t.Errorf("below an authority that has expired: %v", err)
	}
}
