package org

import (
	"crypto/elliptic"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/waybill-dev/waybill/network/disk"
)

// testSpec is an organisation on a host of the given address.
func testSpec(name, host string) Spec {
	at := func(port int) string { return net.JoinHostPort(host, strconv.Itoa(port)) }
	return Spec{
		Name: name, MSPID: strings.ToUpper(name[:1]) + name[1:] + "MSP", Channel: "waybill", Chaincode: "waybill",
		Announce: Announce{Peer: at(7051), Orderer: at(7050), Gateway: at(7443)},
		Listen: Listen{
			Peer: at(7051), PeerOperations: at(7052), PeerChaincode: at(7053), Orderer: at(7050), OrdererAdmin: at(7054),
			OrdererOperations: at(7055), Chaincode: at(7056), Gateway: at(7443), GatewayMetrics: at(7057), Hooks: at(7058),
		},
	}
}

func testFolder(t *testing.T) *Folder {
	t.Helper()
	f, err := Create(t.Context(), filepath.Join(t.TempDir(), "vendor"), testSpec("vendor", "127.0.0.2"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestPeopleAreWhatFabricAndTLSAccept(t *testing.T) {
	f := testFolder(t)
	roots := x509.NewCertPool()
	ca, err := readCert(f.caCert())
	if err != nil {
		t.Fatal(err)
	}
	roots.AddCert(ca)
	half := new(big.Int).Rsh(elliptic.P256().Params().N, 1)
	for _, name := range People() {
		cert, err := readCert(f.personCert(name))
		if err != nil {
			t.Fatal(err)
		}
		unit := "client"
		if name == "admin" {
			unit = "admin"
		}
		if cert.Subject.CommonName != name || len(cert.Subject.OrganizationalUnit) != 1 || cert.Subject.OrganizationalUnit[0] != unit {
			t.Errorf("%s is %v", name, cert.Subject)
		}
		// Fabric's MSP verifies with Go's default usage, which is "server"; the gateway's API with "client".
		for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
			if _, err := cert.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{usage}}); err != nil {
				t.Errorf("%s for usage %d: %v", name, usage, err)
			}
		}
		var sig struct{ R, S *big.Int }
		if _, err := asn1.Unmarshal(cert.Signature, &sig); err != nil || sig.S.Cmp(half) > 0 {
			t.Errorf("signature on %s is not low-S (%v)", name, err)
		}
	}
}

func TestOrdererAdminCertificateStandsForItself(t *testing.T) {
	f := testFolder(t)
	admin, err := readCert(f.at("orderer", "admin", "client.crt"))
	if err != nil {
		t.Fatal(err)
	}
	peer, err := readCert(f.at("peer", "tls", "server.crt"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(admin)
	opts := x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	if _, err := admin.Verify(opts); err != nil {
		t.Errorf("the admin's own certificate: %v", err)
	}
	if _, err := peer.Verify(opts); err == nil {
		t.Error("the peer's TLS certificate opens the orderer's admin listener")
	}
}

func TestCryptoIsKeptAndPrivate(t *testing.T) {
	f := testFolder(t)
	before := readTree(t, f.dir)
	if err := f.complete(); err != nil {
		t.Fatal(err)
	}
	for file, content := range readTree(t, f.dir) {
		if before[file] != content {
			t.Errorf("%s was made again", file)
		}
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(content, "PRIVATE KEY") && info.Mode().Perm() != 0o600 {
			t.Errorf("key %s has mode %v", file, info.Mode())
		}
		if dir, err := os.Stat(filepath.Dir(file)); err != nil || dir.Mode().Perm() != 0o700 {
			t.Errorf("folder of %s has mode %v (%v)", file, dir.Mode(), err)
		}
	}
}

func TestLostKeyIsNotReplaced(t *testing.T) {
	f := testFolder(t)
	lost := f.at("ca", "ca.key")
	if err := os.Remove(lost); err != nil {
		t.Fatal(err)
	}
	if err := f.complete(); err == nil || !strings.Contains(err.Error(), lost) {
		t.Errorf("got %v, want an error that names %s", err, lost)
	}
}

func readTree(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := os.ReadFile(file)
		files[file] = string(raw)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestProtectLeavesNoPlainKey: after renewals a person's key is a link, and the one before it lies beside.
func TestProtectLeavesNoPlainKey(t *testing.T) {
	f := testFolder(t)
	text, err := os.ReadFile(f.personKey("auditor"))
	if err != nil {
		t.Fatal(err)
	}
	dir := f.at("pairs", "auditor")
	for _, generation := range []string{"0", "1"} {
		if err := disk.Write(filepath.Join(dir, generation, "key.pem"), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Symlink("1", filepath.Join(dir, "current")), os.Remove(f.personKey("auditor")),
		os.Symlink(filepath.Join(dir, "current", "key.pem"), f.personKey("auditor"))); err != nil {
		t.Fatal(err)
	}
	word := []byte("correct horse")
	for range 2 { // again is no error, and encrypts nothing twice
		if err := f.Protect(t.Context(), "auditor", word); err != nil {
			t.Fatal(err)
		}
	}
	if info, err := os.Lstat(f.personKey("auditor")); err != nil || info.Mode()&fs.ModeSymlink == 0 {
		t.Errorf("the link is gone, which the next renewal switches: %v", err)
	}
	for _, file := range []string{f.personKey("auditor"), filepath.Join(dir, "0", "key.pem"), filepath.Join(dir, "1", "key.pem")} {
		if sealed, err := Encrypted(file); err != nil || !sealed {
			t.Errorf("%s is in the clear: %v", file, err)
		}
		if _, err := ReadKey(file, func() ([]byte, error) { return word, nil }); err != nil {
			t.Error(err)
		}
	}
}
