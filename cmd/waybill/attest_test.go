package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sigstore/sigstore/pkg/cryptoutils"

	"github.com/waybill-dev/waybill/chaincode/evidence"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	own "github.com/waybill-dev/waybill/test/sigstore"
)

func put(t *testing.T, name string, text []byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

const testResult = `{"result":"PASSED","configuration":[]}`

// TestAttestWithAnEncryptedKey: as cosign keeps it; what is handed in verifies with the
// registered half.
func TestAttestWithAnEncryptedKey(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	encrypted, err := cryptoutils.MarshalPrivateKeyToEncryptedDER(key, func(bool) ([]byte, error) { return []byte("right"), nil })
	if err != nil {
		t.Fatal(err)
	}
	file := put(t, "cosign.key", pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED SIGSTORE PRIVATE KEY", Bytes: encrypted}))
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(der)
	document := put(t, "result.json", []byte(testResult))
	for password, want := range map[string]int{"right": exitYes, "a-guess": exitError, "": exitError} {
		w := newWorld(t)
		w.env["COSIGN_PASSWORD"] = password
		w.peers["key:List"] = func(...string) any {
			return []state.TrustKey{{MSP: "VendorMSP", Name: "ci", Fingerprint: fmt.Sprintf("%x", sum)}}
		}
		code, _, errOut := w.run("attest", imageA, "--type", "test-result", "--file", document, "--key", file, "--no-push", "--as", "vendor/publisher")
		if code != want {
			t.Fatalf("password %q: exit %d, %s", password, code, errOut)
		}
		if want != exitYes {
			if len(w.acts) > 0 || !strings.Contains(errOut, "COSIGN_PASSWORD") || password != "" && strings.Contains(errOut, password) {
				t.Errorf("password %q: %q, signed %q", password, errOut, w.acts)
			}
			continue
		}
		if len(w.acts) != 1 || !strings.HasSuffix(strings.TrimSpace(w.acts[0]), "test-result dsse VendorMSP ci") {
			t.Fatalf("%q", w.acts)
		}
		registered, err := evidence.ParseKey("ci", string(evidence.PublicKey), string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})))
		if err != nil {
			t.Fatal(err)
		}
		subject, err := provenance.ParseDigest(digestA)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := evidence.Verify(evidence.Request{Subject: subject, Format: evidence.FormatDSSE, Type: "test-result", Envelope: w.handed["envelope"], Now: time.Now()}, &registered); err != nil {
			t.Error(err)
		}
	}
}

// shown answers for any trusted root, as the contract does for one that was withdrawn
// or was not.
func shown(s *own.Instance, w *state.Withdrawal) func(args ...string) any {
	return func(args ...string) any {
		text := string(s.TrustedRoot())
		return rootView{
			Root:    state.TrustedRoot{MSP: args[0], Name: args[1], Version: 1, Withdrawn: w},
			Version: state.RootVersion{MSP: args[0], Name: args[1], Version: 1, Text: text, Hash: hashOf([]byte(text))},
		}
	}
}

// TestAttestKeyless: with services by a signing configuration and by their addresses.
func TestAttestKeyless(t *testing.T) {
	s, err := own.New("own", time.Now)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s.Handler())
	defer server.Close()
	person := own.Identity{Email: "a@example.com", Issuer: "https://accounts.example"}
	document := put(t, "result.json", []byte(testResult))
	base := []string{"attest", imageA, "--type", "test-result", "--file", document, "--no-push", "--as", "vendor/publisher", "--keyless"}
	config := put(t, "signing_config.json", own.SigningConfig(server.URL, true))
	for name, c := range map[string]struct {
		more []string
		root string // as the contract is told
		env  bool
	}{
		"a configuration": {[]string{"--signing-config", config, "--trust", "sigstore"}, " sigstore", true},
		"addresses":       {[]string{"--fulcio-url", server.URL, "--rekor-url", server.URL, "--trust", "VendorMSP/own"}, "VendorMSP own", false},
		"a log of today":  {[]string{"--fulcio-url", server.URL, "--rekor-url", server.URL, "--rekor-version", "2", "--timestamp-url", server.URL + "/api/v1/timestamp", "--trust", "sigstore"}, " sigstore", true},
	} {
		w := newWorld(t)
		w.peers["trust:Show"] = shown(s, nil)
		args := append(append([]string{}, base...), c.more...)
		if token := s.Token(person, time.Minute); c.env {
			w.env["SIGSTORE_ID_TOKEN"] = token
		} else {
			args = append(args, "--identity-token", put(t, "token", []byte(token)))
		}
		code, _, errOut := w.run(args...)
		if code != exitYes || len(w.acts) != 1 || !strings.Contains(w.acts[0], "test-result bundle "+c.root) {
			t.Errorf("%s: exit %d, %s, signed %q", name, code, errOut, w.acts)
			continue
		}
		var bundle map[string]json.RawMessage
		if err := json.Unmarshal(w.handed["envelope"], &bundle); err != nil || bundle["dsseEnvelope"] == nil {
			t.Errorf("%s: %s, %v", name, w.handed["envelope"], err)
		}
	}
	// A root that does not verify it, or is none any more, is found out here.
	other, err := own.New("other", time.Now)
	if err != nil {
		t.Fatal(err)
	}
	for name, answer := range map[string]func(...string) any{
		"another root":     shown(other, nil),
		"a withdrawn root": shown(s, &state.Withdrawal{Reason: "its key is out"}),
		"no root":          func(...string) any { return provenance.Errorf(provenance.NotFound, "no such root") },
	} {
		w := newWorld(t)
		w.peers["trust:Show"] = answer
		w.env["SIGSTORE_ID_TOKEN"] = s.Token(person, time.Minute)
		if code, _, errOut := w.run(append(append([]string{}, base...), "--trust", "sigstore", "--signing-config", config)...); code == exitYes || len(w.acts) > 0 || !strings.Contains(errOut, "waybill trust") {
			t.Errorf("%s: exit %d, %s, signed %q", name, code, errOut, w.acts)
		}
	}
	// Nobody is asked, and nothing is signed.
	for name, c := range map[string]struct {
		more []string
		code int
	}{
		"no services":     {[]string{"--trust", "sigstore"}, exitUsage},
		"twice":           {[]string{"--trust", "sigstore", "--signing-config", config, "--fulcio-url", server.URL}, exitUsage},
		"no trusted root": {[]string{"--signing-config", config}, exitUsage},
		"with a key":      {[]string{"--trust", "sigstore", "--signing-config", config, "--key", "ci.pem"}, exitUsage},
		"no token":        {[]string{"--trust", "sigstore", "--signing-config", config}, exitUnknown},
		"no time":         {[]string{"--trust", "sigstore", "--fulcio-url", server.URL, "--rekor-url", server.URL, "--rekor-version", "2", "--identity-token", document}, exitError},
	} {
		w := newWorld(t)
		w.peers["trust:Show"] = shown(s, nil)
		if code, _, errOut := w.run(append(append([]string{}, base...), c.more...)...); code != c.code || len(w.acts) > 0 || !strings.Contains(errOut, "hint") && name != "no time" {
			t.Errorf("%s: exit %d, %s, signed %q", name, code, errOut, w.acts)
		}
	}
	// A token in the environment alone changes nothing: the person vouches, as ever.
	w := newWorld(t)
	w.env["SIGSTORE_ID_TOKEN"] = s.Token(person, time.Minute)
	if code, _, _ := w.run("attest", imageA, "--type", "test-result", "--file", document, "--no-push", "--as", "vendor/publisher"); code != exitYes || len(w.acts) != 1 || !strings.Contains(w.acts[0], "test-result plain") {
		t.Errorf("exit %d, signed %q", code, w.acts)
	}
	if code, _, _ := newWorld(t).run("attest", imageA, "--type", "test-result", "--file", document, "--trust", "sigstore", "--as", "vendor/publisher"); code != exitUsage {
		t.Errorf("a trusted root for nothing: exit %d", code)
	}
}
