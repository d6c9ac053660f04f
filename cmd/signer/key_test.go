package signer

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/kms/cliplugin/handler"
	"github.com/sigstore/sigstore/pkg/signature/kms/fake"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// TestMain: under the name of a program that holds keys, the test is one.
func TestMain(m *testing.M) {
	if name := filepath.Base(os.Args[0]); strings.HasPrefix(name, "sigstore-kms-") {
		os.Exit(program(name))
	}
	os.Exit(m.Run())
}

// program holds one key, in the file that stands after NAME://.
func program(name string) int {
	args, err := handler.GetPluginArgs(os.Args)
	if err != nil {
		return 2
	}
	if name == "sigstore-kms-broken" {
		_ = handler.WriteErrorResponse(os.Stdout, errors.New("the token is locked"))
		return 1
	}
	text, err := os.ReadFile(args.InitOptions.KeyResourceID)
	if err != nil {
		_ = handler.WriteErrorResponse(os.Stdout, err)
		return 1
	}
	key, err := cryptoutils.UnmarshalPEMToPrivateKey(text, nil)
	if err != nil {
		return 2
	}
	held, err := fake.LoadSignerVerifier(context.WithValue(context.Background(), fake.KmsCtxKey{}, key), args.InitOptions.HashFunc)
	if err != nil {
		return 2
	}
	if _, err := handler.Dispatch(os.Stdout, os.Stdin, args, held); err != nil {
		return 2
	}
	return 0
}

// programs puts programs on the PATH under these names.
func programs(t *testing.T, names ...string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, n := range names {
		if err := os.Symlink(self, filepath.Join(dir, n)); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir)
}

func write(t *testing.T, blocks ...*pem.Block) string {
	t.Helper()
	var b bytes.Buffer
	for _, p := range blocks {
		if err := pem.Encode(&b, p); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func pkcs8(t *testing.T, key crypto.Signer) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func keys(t *testing.T) map[string]crypto.Signer {
	t.Helper()
	p256, err1 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	p384, err2 := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	_, ed, err3 := ed25519.GenerateKey(rand.Reader)
	r, err4 := rsa.GenerateKey(rand.Reader, 2048)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		t.Fatal(err)
	}
	return map[string]crypto.Signer{"P-256": p256, "P-384": p384, "Ed25519": ed, "RSA": r}
}

// signs holds a key to its public half, as the contract would.
func signs(t *testing.T, k Key, public crypto.PublicKey) {
	t.Helper()
	if p, ok := public.(interface{ Equal(crypto.PublicKey) bool }); !ok || !p.Equal(k.Public()) {
		t.Fatalf("another public key: %T", k.Public())
	}
	message := []byte("a statement")
	sig, err := k.Sign(t.Context(), message)
	if err != nil {
		t.Fatal(err)
	}
	v, err := signature.LoadVerifier(public, crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	if err := v.VerifySignature(bytes.NewReader(sig), bytes.NewReader(message)); err != nil {
		t.Errorf("%T: %v", public, err)
	}
}

func noPassword() ([]byte, error) { return nil, errors.New("nobody was to be asked") }

func TestFiles(t *testing.T) {
	for name, key := range keys(t) {
		t.Run(name, func(t *testing.T) {
			k, err := Open(t.Context(), write(t, &pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8(t, key)}), noPassword)
			if err != nil {
				t.Fatal(err)
			}
			signs(t, k, key.Public())
			kind, ok := map[string]string{"P-256": "ENCRYPTED SIGSTORE PRIVATE KEY", "Ed25519": "ENCRYPTED COSIGN PRIVATE KEY"}[name]
			if !ok || testing.Short() && name != "P-256" { // to open one takes its time, as it is meant to
				return
			}

			// As cosign and others that build on the same library keep it.
			der, err := cryptoutils.MarshalPrivateKeyToEncryptedDER(key, func(bool) ([]byte, error) { return []byte("right"), nil })
			if err != nil {
				t.Fatal(err)
			}
			file := write(t, &pem.Block{Type: kind, Bytes: der})
			if k, err = Open(t.Context(), file, func() ([]byte, error) { return []byte("right"), nil }); err != nil {
				t.Fatal(err)
			}
			signs(t, k, key.Public())
			if _, err := Open(t.Context(), file, func() ([]byte, error) { return []byte("wrong"), nil }); !IsPassword(err) {
				t.Errorf("a wrong password: %v", err)
			}
		})
	}
}

func TestFilesOfOpenSSL(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sec1, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	file := write(t, &pem.Block{Type: "EC PARAMETERS", Bytes: []byte{6, 8, 42, 134, 72, 206, 61, 3, 1, 7}}, &pem.Block{Type: "EC PRIVATE KEY", Bytes: sec1})
	k, err := Open(t.Context(), file, noPassword)
	if err != nil {
		t.Fatal(err)
	}
	signs(t, k, key.Public())
}

func TestNoKeys(t *testing.T) {
	for name, block := range map[string]*pem.Block{
		"a public key": {Type: "PUBLIC KEY", Bytes: []byte{1}},
		"rubbish":      {Type: "PRIVATE KEY", Bytes: []byte{1}},
		"OpenSSH's":    {Type: "OPENSSH PRIVATE KEY", Bytes: []byte{1}},
	} {
		if _, err := Open(t.Context(), write(t, block), noPassword); provenance.CodeOf(err) != provenance.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	endless := "/dev/zero"
	if _, err := Open(t.Context(), endless, noPassword); provenance.CodeOf(err) != provenance.Invalid {
		t.Errorf("a key without an end: %v", err)
	}
	if _, err := Token(t.Context(), endless, os.Getenv); provenance.CodeOf(err) != provenance.Invalid {
		t.Errorf("a token without an end: %v", err)
	}
	if _, err := Open(t.Context(), filepath.Join(t.TempDir(), "none"), noPassword); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

func TestPrograms(t *testing.T) {
	programs(t, "sigstore-kms-safe", "sigstore-kms-pkcs11", "sigstore-kms-broken")
	for name, key := range keys(t) {
		if name == "P-384" { // the library's stand-in takes SHA-256 for P-256 only
			continue
		}
		file := write(t, &pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8(t, key)})
		for _, reference := range []string{"safe://" + file, "pkcs11:" + file} {
			k, err := Open(t.Context(), reference, noPassword)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			signs(t, k, key.Public())
		}
	}
	if _, err := Open(t.Context(), "absent://key", noPassword); provenance.CodeOf(err) != provenance.NotFound || !strings.Contains(err.Error(), "sigstore-kms-absent") {
		t.Errorf("no such program: %v", err)
	}
	if _, err := Open(t.Context(), "broken://key", noPassword); err == nil || !strings.Contains(err.Error(), "the token is locked") {
		t.Errorf("a program that fails: %v", err)
	}
	// A scheme is no path to a program of somebody else's.
	if err := os.Symlink("/bin/true", filepath.Join(t.TempDir(), "x")); err != nil {
		t.Fatal(err)
	}
	for _, reference := range []string{"../x://key", "/x://key", "X://key", "://key"} {
		if _, err := Open(t.Context(), reference, noPassword); provenance.CodeOf(err) != provenance.Invalid {
			t.Errorf("%s: %v", reference, err)
		}
	}
}

// TestAnotherMessage: a signature is over the message that it was asked for.
func TestAnotherMessage(t *testing.T) {
	key := keys(t)["P-256"]
	k, err := Open(t.Context(), write(t, &pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8(t, key)}), noPassword)
	if err != nil {
		t.Fatal(err)
	}
	sig, err := k.Sign(t.Context(), []byte("one"))
	if err != nil {
		t.Fatal(err)
	}
	other := sha256.Sum256([]byte("another"))
	if ecdsa.VerifyASN1(key.Public().(*ecdsa.PublicKey), other[:], sig) {
		t.Error("it verifies for another message")
	}
}
