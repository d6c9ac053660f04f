package api_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/api"
	"github.com/waybill-dev/waybill/gateway/block"
	"github.com/waybill-dev/waybill/gateway/delivery"
	"github.com/waybill-dev/waybill/gateway/index"
	"github.com/waybill-dev/waybill/gateway/keypair"
	"github.com/waybill-dev/waybill/gateway/readmodel"
)

// authority is an organisation's CA.
type authority struct {
	t    testing.TB
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
	next int64
}

func newAuthority(t testing.TB, name string) *authority {
	a := &authority{t: t, dir: t.TempDir(), next: 1}
	a.key = newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name, Organization: []string{name}}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		SubjectKeyId: []byte(name),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return a
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// identity is a certificate and key in files.
type identity struct {
	cert, key string
	serial    *big.Int
}

func (a *authority) issue(name string, until time.Time) identity {
	a.t.Helper()
	return a.issueOU(name, until)
}

func (a *authority) issueOU(name string, until time.Time, units ...string) identity {
	a.t.Helper()
	a.next++
	key := newKey(a.t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(a.next), Subject: pkix.Name{CommonName: name, OrganizationalUnit: units}, KeyUsage: x509.KeyUsageDigitalSignature,
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: until, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	base := filepath.Join(a.dir, fmt.Sprint(name, a.next))
	write(a.t, base+".crt", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	write(a.t, base+".key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
	return identity{base + ".crt", base + ".key", template.SerialNumber}
}

func (a *authority) revoke(serial *big.Int) []byte {
	der, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
		Number: big.NewInt(1), ThisUpdate: time.Now().Add(-time.Minute), NextUpdate: time.Now().Add(time.Hour),
		RevokedCertificateEntries: []x509.RevocationListEntry{{SerialNumber: serial, RevocationTime: time.Now()}},
	}, a.cert, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})
}

func write(t testing.TB, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// indexed adapts the real index, as the gateway does.
type indexed struct{ *index.Index }

func (x indexed) View(ctx context.Context, read func(uint64, api.Reads) error) error {
	return x.Index.View(ctx, func(s *index.Snapshot) error { return read(s.Height, s) })
}

func (x indexed) ViewAt(ctx context.Context, when readmodel.When, now time.Time, read func(readmodel.AsOf, api.Reads) error) error {
	return x.Index.ViewAt(ctx, when, now, func(at readmodel.AsOf, s *index.Snapshot) error { return read(at, s) })
}

// deadLetters is a queue with n dead letters.
type deadLetters struct{ n, retried atomic.Int64 }

func (q *deadLetters) Stats(context.Context) (delivery.Stats, error) {
	return delivery.Stats{Pending: 3, Dead: q.n.Load(), OldestPending: time.Unix(1, 0)}, nil
}

func (q *deadLetters) Dead(_ context.Context, after int64, limit int) (letters []delivery.DeadLetter, err error) {
	for id := after + 1; id <= q.n.Load() && len(letters) < limit; id++ {
		letters = append(letters, delivery.DeadLetter{ID: id, Host: host, Connector: "main", Event: push("1.0", "v1"), Reason: "gone"})
	}
	return letters, nil
}

// Unusable implements api.Unusable with as many as there are dead letters.
func (q *deadLetters) Unusable(_ context.Context, after int64, limit int) (out []delivery.Unusable, err error) {
	for id := after + 1; id <= q.n.Load() && len(out) < limit; id++ {
		out = append(out, delivery.Unusable{ID: id, Host: host, Connector: "main", Reason: "no digest", Size: 3, Body: []byte("{\xff}"), Times: 2, ReceivedAt: time.Unix(1, 0), LastAt: time.Unix(2, 0)})
	}
	return out, nil
}

func (q *deadLetters) UnusableCounts(context.Context) (map[string]delivery.UnusableCount, error) {
	return map[string]delivery.UnusableCount{"main": {Kept: q.n.Load(), Dropped: 5}, "other": {Dropped: 1}}, nil
}

func (q *deadLetters) RemoveUnusable(ctx context.Context, ids ...int64) (int, error) {
	return q.Retry(ctx, ids...)
}

func (q *deadLetters) Retry(_ context.Context, ids ...int64) (int, error) {
	n := int64(len(ids))
	if n == 0 {
		n = q.n.Load()
	}
	q.retried.Add(n)
	return int(n), nil
}

// gatewayUnderTest is a server on a real port with a real index.
type gatewayUnderTest struct {
	t             testing.TB
	address       string
	vendor, audit *authority
	index         *index.Index
	queue         *deadLetters
	fresh         atomic.Pointer[readmodel.Freshness]
	organisations atomic.Pointer[[]block.Organisation]
	height        uint64
}

const (
	host = provenance.Host("reg.example:5000")
	repo = provenance.Repository("team/app")
)

func digest(s string) provenance.Digest { return provenance.SHA256Of([]byte(s)) }

func push(tag, content string) provenance.Event {
	return provenance.Event{ID: provenance.NewEventID("t", "c", tag, content), Action: provenance.Push, Source: "test", Repository: repo,
		Tag: provenance.Tag(tag), Digest: digest(content), OccurredAt: time.Unix(1000, 0)}
}

func start(t testing.TB, change func(*api.Config)) *gatewayUnderTest {
	t.Helper()
	g := &gatewayUnderTest{t: t, vendor: newAuthority(t, "vendor"), audit: newAuthority(t, "audit"), queue: &deadLetters{}}
	g.fresh.Store(&readmodel.Freshness{Ready: true, PeerHeight: 3})
	g.organisations.Store(&[]block.Organisation{{MSPID: "VendorMSP", RootCerts: [][]byte{g.vendor.pem}}, {MSPID: "AuditMSP", RootCerts: [][]byte{g.audit.pem}}})
	path := filepath.Join(t.TempDir(), "index.db")
	if err := index.Create(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	var err error
	if g.index, err = index.Open(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	server := g.vendor.issue("gateway", time.Now().Add(time.Hour))
	pair, err := keypair.Load(server.cert, server.key)
	if err != nil {
		t.Fatal(err)
	}
	cfg := api.Config{
		Org: "VendorMSP", Version: "test", Channel: "waybill", Certificate: pair.Get, Index: indexed{g.index}, Queue: g.queue, Unusable: g.queue,
		Organisations: func() []block.Organisation { return *g.organisations.Load() }, Freshness: func() readmodel.Freshness { return *g.fresh.Load() },
		Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
	if change != nil {
		change(&cfg)
	}
	s, err := api.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	s.Handle("/hooks/", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g.address = listener.Addr().String()
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, listener) }()
	t.Cleanup(func() {
		stop()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Serve: %v", err)
			}
		case <-time.After(20 * time.Second):
			t.Error("Serve did not end")
		}
		if err := g.index.Close(); err != nil {
			t.Error(err)
		}
	})
	return g
}

// block applies one block with one transaction.
func (g *gatewayUnderTest) block(who string, writes ...block.Write) {
	g.t.Helper()
	name, msp, _ := strings.Cut(who, "@")
	hash := func(n uint64) []byte { return fmt.Append(nil, n) }
	b := block.Block{Number: g.height, Hash: hash(g.height), Txs: []block.Tx{{
		ID: fmt.Sprint("tx", g.height), Creator: policy.Person{MSP: msp, Name: name}, At: time.Unix(int64(2000+g.height), 0), Writes: writes}}}
	if g.height > 0 {
		b.PreviousHash = hash(g.height - 1)
	}
	if err := g.index.Apply(g.t.Context(), b); err != nil {
		g.t.Fatal(err)
	}
	g.height++
}

func (g *gatewayUnderTest) put(key string, record any) block.Write {
	b, err := state.Encode(record)
	if err != nil {
		g.t.Fatal(err)
	}
	return block.Write{Key: key, Value: b}
}

func (g *gatewayUnderTest) client(id identity) *api.Client {
	g.t.Helper()
	ca := filepath.Join(g.t.TempDir(), "ca.pem")
	write(g.t, ca, g.vendor.pem)
	c, err := api.Dial(g.t.Context(), api.ClientConfig{Address: g.address, CAFile: ca, CertFile: id.cert, KeyFile: id.key})
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() {
		if err := c.Close(); err != nil {
			g.t.Error(err)
		}
	})
	return c
}

// rest makes one REST call and returns its status and body.
func (g *gatewayUnderTest) rest(id identity, method, path, body string) (int, map[string]any) {
	g.t.Helper()
	roots := x509.NewCertPool()
	roots.AddCert(g.vendor.cert)
	config := &tls.Config{RootCAs: roots}
	if id.cert != "" {
		pair, err := tls.LoadX509KeyPair(id.cert, id.key)
		if err != nil {
			g.t.Fatal(err)
		}
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	}
	transport := &http.Transport{TLSClientConfig: config}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(g.t.Context(), method, "https://"+g.address+path, strings.NewReader(body))
	if err != nil {
		g.t.Fatal(err)
	}
	response, err := (&http.Client{Transport: transport, Timeout: 10 * time.Second}).Do(request)
	if err != nil {
		g.t.Fatal(err)
	}
	defer response.Body.Close() //nolint:errcheck // read whole
	b, err := io.ReadAll(response.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	out := map[string]any{}
	if len(b) > 0 {
		if err := json.Unmarshal(b, &out); err != nil {
			g.t.Fatalf("%s %s: %v in %q", method, path, err, b)
		}
	}
	return response.StatusCode, out
}

func encode(t testing.TB, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
