// Package kms holds the programs below it to the library that starts them.
package kms

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/kms"
)

// install builds programs and makes them the first of the PATH.
func install(t *testing.T, names ...string) {
	t.Helper()
	dir := t.TempDir()
	for _, n := range names {
		if out, err := exec.Command("go", "build", "-o", dir, "./"+n).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", n, err, out)
		}
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
}

// signs has a program sign, as a command does that holds no library of a provider.
func signs(t *testing.T, reference string) {
	t.Helper()
	key, err := kms.Get(context.Background(), reference, crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	public, err := key.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	message := []byte("a statement")
	sig, err := key.SignMessage(bytes.NewReader(message))
	if err != nil {
		t.Fatal(err)
	}
	v, err := signature.LoadVerifier(public, crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	if err := v.VerifySignature(bytes.NewReader(sig), bytes.NewReader(message)); err != nil {
		t.Error(err)
	}
	if v.VerifySignature(bytes.NewReader(sig), bytes.NewReader([]byte("another"))) == nil {
		t.Error("it verifies for another message")
	}
}

// vault answers as Vault's transit engine does, with one key.
func vault(t *testing.T) *httptest.Server {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	public := string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var data map[string]any
		switch {
		case r.Header.Get("X-Vault-Token") != "token":
			http.Error(w, `{"errors":["permission denied"]}`, http.StatusForbidden)
			return
		case r.URL.Path == "/v1/transit/keys/ci":
			data = map[string]any{"type": "ecdsa-p256", "latest_version": 1, "keys": map[string]any{"1": map[string]any{"public_key": public}}}
		case strings.HasPrefix(r.URL.Path, "/v1/transit/sign/ci/"):
			var ask struct {
				Input     []byte
				Prehashed bool
			}
			if err := json.NewDecoder(r.Body).Decode(&ask); err != nil || !ask.Prehashed {
				http.Error(w, `{"errors":["want a hash"]}`, http.StatusBadRequest)
				return
			}
			sig, err := ecdsa.SignASN1(rand.Reader, key, ask.Input)
			if err != nil {
				t.Error(err)
			}
			data = map[string]any{"signature": "vault:v1:" + base64.StdEncoding.EncodeToString(sig)}
		default:
			http.NotFound(w, r)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"data": data}) // to the program of this test
	}))
	t.Cleanup(s.Close)
	return s
}

func TestVault(t *testing.T) {
	install(t, "sigstore-kms-hashivault")
	t.Setenv("VAULT_ADDR", vault(t).URL)
	t.Setenv("VAULT_TOKEN", "token")
	signs(t, "hashivault://ci")
	t.Setenv("VAULT_TOKEN", "another")
	key, err := kms.Get(context.Background(), "hashivault://ci", crypto.SHA256)
	if err == nil {
		_, err = key.PublicKey()
	}
	if err == nil || !strings.Contains(err.Error(), "permission denied") {
		t.Errorf("with another's token: %v", err)
	}
}

// softHSM finds Debian's softhsm2, installed or unpacked below SOFTHSM2_ROOT.
func softHSM() (util, module string) {
	root := os.Getenv("SOFTHSM2_ROOT") + "/"
	util = filepath.Join(root, "usr/bin/softhsm2-util")
	modules, _ := filepath.Glob(filepath.Join(root, "usr/lib/*/softhsm/libsofthsm2.so"))
	if _, err := os.Stat(util); err != nil || len(modules) == 0 {
		return "", ""
	}
	return util, modules[0]
}

func TestToken(t *testing.T) {
	util, module := softHSM()
	if util == "" {
		t.Log("NOT RUN: a key in a token: no softhsm2 (Debian: softhsm2)")
		return
	}
	install(t, "sigstore-kms-pkcs11")
	dir := t.TempDir()
	config := filepath.Join(dir, "softhsm2.conf")
	if err := os.WriteFile(config, []byte("directories.tokendir = "+dir+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SOFTHSM2_CONF", config)
	run := func(args ...string) {
		t.Helper()
		if out, err := exec.Command(util, append(args, "--module", module)...).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	run("--init-token", "--free", "--label", "ci", "--pin", "1234", "--so-pin", "5678")
	for i, curve := range []elliptic.Curve{elliptic.P256(), elliptic.P256()} {
		key, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, "key.pem")
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		run("--import", file, "--token", "ci", "--pin", "1234", "--label", "signs", "--id", []string{"a1", "a2"}[i])
	}
	t.Setenv("COSIGN_PKCS11_PIN", "1234")
	signs(t, "pkcs11://token=ci;object=signs;id=%a1?module-path="+module)
	t.Setenv("COSIGN_PKCS11_MODULE_PATH", module)
	signs(t, "pkcs11://token=ci;id=%a2")

	pin := filepath.Join(dir, "pin")
	if err := os.WriteFile(pin, []byte("1234\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("COSIGN_PKCS11_PIN", "")
	signs(t, "pkcs11://token=ci;id=%a2?pin-source=file:"+pin)
	t.Setenv("COSIGN_PKCS11_PIN", "0000")
	for reference, want := range map[string]string{
		"pkcs11://token=ci;id=%a1":                     "open the token",
		"pkcs11://token=ci;object=signs?pin-value=1":   "PIN in an argument",
		"pkcs11://token=ci":                            "want object",
		"pkcs11://object=signs":                        "either token or slot-id",
		"pkcs11://token=ci;object=signs;serial=1":      "not known",
		"pkcs11://token=ci;object=signs;type=cert":     "type is not private",
		"pkcs11://token=ci;slot-id=x;object=signs":     "slot-id is no number",
		"pkcs11://token=ci;id=%zz":                     "no attribute with a value",
		"pkcs11://token=ci;id=%a1?pin-source=/nowhere": "read the PIN",
	} {
		refused(t, reference, want)
	}
	t.Setenv("COSIGN_PKCS11_PIN", "1234")
	refused(t, "pkcs11://token=ci;object=signs", "2 keys")
	refused(t, "pkcs11://token=ci;object=none", "0 keys")
}

func refused(t *testing.T, reference, want string) {
	t.Helper()
	key, err := kms.Get(context.Background(), reference, crypto.SHA256)
	if err == nil {
		_, err = key.PublicKey()
	}
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%s: %v, want %q", reference, err, want)
	}
}

// TestByHand: a person who starts a program by hand is told what it is.
func TestByHand(t *testing.T) {
	install(t, "sigstore-kms-hashivault")
	for _, args := range [][]string{nil, {"v1"}, {"v1", "{}"}, {"v1", "rubbish"}} {
		out, err := exec.Command("sigstore-kms-hashivault", args...).CombinedOutput()
		if err == nil || !strings.Contains(string(out), "--key") {
			t.Errorf("%q: %v, %s", args, err, out)
		}
	}
}
