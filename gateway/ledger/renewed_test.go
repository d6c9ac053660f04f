package ledger

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/hyperledger/fabric-gateway/pkg/identity"
	"google.golang.org/grpc/credentials"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// TestRenewedIdentity: what is signed after a renewal is signed by the new certificate, what was begun before ends as it
// began, and half a renewal changes nothing.
func TestRenewedIdentity(t *testing.T) {
	dir := t.TempDir()
	before, after := newPerson(t, "gateway"), newPerson(t, "gateway")
	config := Config{MSPID: "VendorMSP", Channel: "waybill", Chaincode: testChaincode, CertFile: filepath.Join(dir, "cert.pem"), KeyFile: filepath.Join(dir, "key.pem")}.withDefaults()
	write := func(cert []byte, key any) {
		t.Helper()
		raw, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		for file, text := range map[string][]byte{config.CertFile: cert, config.KeyFile: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})} {
			if err := os.WriteFile(file, text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	write(before.cert, before.key)
	c := dialFake(t, &fakePeer{})
	c.config.CertFile, c.config.KeyFile, c.config.MSPID = config.CertFile, config.KeyFile, config.MSPID
	if changed, err := c.Reload(); err != nil || !changed { // the fake's own identity is another
		t.Fatalf("changed %v, %v", changed, err)
	}
	creator := func() []byte { return c.as.Load().creator }
	begun := c.as.Load()
	if changed, err := c.Reload(); err != nil || changed {
		t.Errorf("nothing was renewed: changed %v, %v", changed, err)
	}
	write(after.cert, before.key)
	if _, err := c.Reload(); provenance.CodeOf(err) != provenance.Invalid || !bytes.Equal(creator(), begun.creator) {
		t.Errorf("a certificate without its key: %v", err)
	}
	write(after.cert, after.key)
	if changed, err := c.Reload(); err != nil || !changed || bytes.Equal(creator(), begun.creator) {
		t.Fatalf("changed %v, %v", changed, err)
	}
	cert, err := identity.CertificateFromPEM(after.cert)
	if err != nil || !c.Certificate().Equal(cert) {
		t.Errorf("another certificate signs: %v", err)
	}
	if _, err := c.Endorse(t.Context(), "policy:List", nil, nil); err != nil {
		t.Errorf("after the renewal: %v", err)
	}
	sum := digest([]byte("begun before"))
	signature, err := begun.sign(sum)
	if err != nil || !verifies(before.cert, sum, signature) {
		t.Errorf("what was begun is not signed as it was begun: %v", err)
	}
	if signature, err = c.as.Load().sign(sum); err != nil || !verifies(after.cert, sum, signature) {
		t.Errorf("what is new is not signed by the new key: %v", err)
	}
}

func verifies(cert, sum, signature []byte) bool {
	c, err := identity.CertificateFromPEM(cert)
	if err != nil {
		return false
	}
	key, ok := c.PublicKey.(*ecdsa.PublicKey)
	return ok && ecdsa.VerifyASN1(key, sum, signature)
}

// TestFreshRoots: an authority that comes while the gateway runs counts for the next connection, and a file that was
// damaged says so.
func TestFreshRoots(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tlsca.crt")
	if err := os.WriteFile(file, newPerson(t, "ca").cert, 0o600); err != nil {
		t.Fatal(err)
	}
	roots, err := readRoots(file)
	if err != nil {
		t.Fatal(err)
	}
	f := freshRoots{credentials.NewClientTLSFromCert(roots, ""), file}.Clone()
	if err := os.WriteFile(file, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	here, there := net.Pipe()
	defer func() { _ = here.Close(); _ = there.Close() }()
	if _, _, err := f.ClientHandshake(context.Background(), "peer", here); provenance.CodeOf(err) != provenance.Invalid {
		t.Errorf("got %v", err)
	}
}
