package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/waybill-dev/waybill/chaincode/evidence"
	"github.com/waybill-dev/waybill/chaincode/state"
)

// A document is sent whole as far as that goes, and by its hash beyond, which is said.
func TestAttest(t *testing.T) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	keyFile, file := filepath.Join(folder, "ci.pem"), filepath.Join(folder, "sbom.json")
	if err := os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	k := evidence.Key{MSP: "VendorMSP", Name: "ci", Kind: evidence.PublicKey, PEM: pemOf(t, private.Public())}
	for name, c := range map[string]struct {
		size    int
		signed  bool
		private bool
		whole   bool
	}{
		"small":                     {1000, false, false, true},
		"small, private":            {1000, false, true, true},
		"more than 64 KiB":          {70_000, false, false, false},
		"signed":                    {1000, true, false, true},
		"signed, more than 64 KiB":  {70_000, true, true, true},
		"signed, nearly 4 MiB":      {3_100_000, true, false, true},
		"signed, more than 4 MiB":   {3_200_000, true, false, false},
		"signed, 20 MiB, private":   {20 << 20, true, true, false},
		"20 MiB that nobody signed": {20 << 20, false, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			comments := strings.Repeat(`{"name":"`+strings.Repeat("x", 1000)+`"},`, c.size/1012)
			document := `{"spdxVersion":"SPDX-2.3","packages":[` + comments + `{"name":"a"}]}`
			if err := os.WriteFile(file, []byte(document), 0o600); err != nil {
				t.Fatal(err)
			}
			w := newWorld(t)
			w.peers["key:List"] = func(...string) any {
				return []state.TrustKey{{MSP: k.MSP, Name: k.Name, Kind: string(k.Kind), PEM: k.PEM, Fingerprint: k.Fingerprint()}}
			}
			args := []string{"attest", imageA, "--type", "sbom", "--file", file, "--no-push", "--as", "vendor/publisher"}
			request := evidence.Request{Subject: parsed(t, digestA), Format: evidence.FormatPlain, Type: evidence.TypeSBOM}
			var key *evidence.Key
			if c.signed {
				args, key, request.Format = append(args, "--key", keyFile), &k, evidence.FormatDSSE
			}
			if c.private {
				args = append(args, "--private")
			}
			code, out, errOut := w.run(args...)
			if code != exitYes || strings.Contains(errOut, "too large") == c.whole {
				t.Fatalf("exit %d: %s%s", code, out, errOut)
			}
			if private := string(w.handed["private"]); (private == "true") != c.private || !c.private && private != "" {
				t.Errorf("private is %q", private)
			}
			request.Envelope = w.handed["envelope"]
			result, err := evidence.Verify(request, key)
			if err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprintf(`"components":%d,`, c.size/1012+1); !strings.Contains(string(result.Facts), got) {
				t.Errorf("%s: %s", got, result.Facts)
			}
			if hashed := result.Document == hashOf([]byte(document)); hashed != (!c.whole || !c.signed) {
				t.Errorf("the document is %s", result.Document)
			}
		})
	}
}
