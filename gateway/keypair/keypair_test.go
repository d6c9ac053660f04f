package keypair

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

func write(t *testing.T, dir string, serial int64) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: raw}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}

// TestRenewedWhileServing: connections made after a renewal meet the new certificate, those before stay, and a key that
// is not the certificate's changes nothing.
func TestRenewedWhileServing(t *testing.T) {
	dir := t.TempDir()
	p, err := Load(write(t, dir, 1))
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{GetCertificate: p.Get, MinVersion: tls.VersionTLS12})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // the test is over
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _ = c.(*tls.Conn).Handshake() }()
		}
	}()
	served := func() int64 {
		t.Helper()
		c, err := tls.DialWithDialer(&net.Dialer{Timeout: 5 * time.Second}, "tcp", l.Addr().String(), &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}) //nolint:gosec // G402: the certificate itself is looked at
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close() //nolint:errcheck // nothing is lost by it
		return c.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- Watch(ctx, slog.New(slog.DiscardHandler), 10*time.Millisecond, map[string]Reloader{"api": p})
	}()
	if n := served(); n != 1 {
		t.Errorf("certificate %d is served", n)
	}
	other := t.TempDir()
	_, strange := write(t, other, 9)
	text, err := os.ReadFile(strange)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "tls.key"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Reload(); provenance.CodeOf(err) != provenance.Invalid {
		t.Errorf("another's key: %v", err)
	}
	if n := served(); n != 1 {
		t.Errorf("certificate %d is served", n)
	}
	write(t, dir, 2)
	for deadline := time.Now().Add(5 * time.Second); served() != 2; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the new certificate is never served")
		}
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if _, err := Load(filepath.Join(dir, "none"), strange); provenance.CodeOf(err) != provenance.Invalid {
		t.Errorf("no certificate: %v", err)
	}
}

// TestOtherAuthoritiesBehindIt: the same certificate with another chain is another answer to a client.
func TestOtherAuthoritiesBehindIt(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := write(t, dir, 1)
	p, err := Load(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	if changed, err := p.Reload(); changed || err != nil {
		t.Errorf("as it was: %t, %v", changed, err)
	}
	other, _ := write(t, t.TempDir(), 2)
	var both []byte
	for _, file := range []string{certFile, other} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		both = append(both, text...)
	}
	if err := os.WriteFile(certFile, both, 0o600); err != nil {
		t.Fatal(err)
	}
	if changed, err := p.Reload(); !changed || err != nil {
		t.Errorf("another authority behind it: %t, %v", changed, err)
	}
	if served, err := p.Get(nil); err != nil || len(served.Certificate) != 2 {
		t.Errorf("%d certificates are served, %v", len(served.Certificate), err)
	}
}
