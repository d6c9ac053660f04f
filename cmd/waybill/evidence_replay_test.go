package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/evidence"
	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/cmd/signer"
)

const replayBill = `{"spdxVersion":"SPDX-2.3","creationInfo":{"created":"2026-01-02T03:04:05Z"},"packages":[{"name":"a <b>"},{"name":"b"}]}`

// replaying is a world with one piece of evidence, and a registry that holds its document.
type replaying struct {
	*world
	piece state.Evidence
	key   state.TrustKey
	image string
	blobs map[string][]byte // by path
}

func newReplaying(t *testing.T, signed bool) *replaying {
	t.Helper()
	r := &replaying{world: newWorld(t), blobs: map[string][]byte{}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		b, ok := r.blobs[q.URL.Path]
		if !ok && q.URL.Path != "/v2/" {
			http.Error(w, "gone", http.StatusNotFound)
			return
		}
		if strings.Contains(q.URL.Path, "/manifests/") {
			w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
		}
		_, _ = w.Write(b)
	}))
	t.Cleanup(server.Close)
	host := strings.TrimPrefix(server.URL, "http://")
	subject := parsed(t, digestA)
	r.image = host + "/app@" + digestA

	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	r.key = state.TrustKey{MSP: "VendorMSP", Name: "ci", Kind: string(evidence.PublicKey), PEM: pemOf(t, private.Public())}
	envelope, mediaType, format := []byte(replayBill), "application/json", evidence.FormatPlain
	by := policy.Signer{Kind: policy.SignedByPerson, MSP: "VendorMSP", Name: "publisher"}
	var key *evidence.Key
	if signed {
		statement, err := evidence.Whole(envelope, evidence.TypeSBOM, subject)
		if err != nil {
			t.Fatal(err)
		}
		if envelope, err = signDSSE(t.Context(), keyInFile(t, private), statement); err != nil {
			t.Fatal(err)
		}
		mediaType, format = dsseType, evidence.FormatDSSE
		by = policy.Signer{Kind: policy.SignedByKey, MSP: "VendorMSP", Key: "ci"}
		key = &evidence.Key{MSP: "VendorMSP", Name: "ci", Kind: evidence.PublicKey, PEM: r.key.PEM}
	}
	at := time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)
	result, err := evidence.Verify(evidence.Request{Subject: subject, Format: format, Type: evidence.TypeSBOM, Envelope: envelope, Now: at}, key)
	if err != nil {
		t.Fatal(err)
	}
	manifest := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":"%s","size":2},"layers":[{"mediaType":"%s","digest":"%s","size":%d}]}`,
		provenance.SHA256Of([]byte("{}")), mediaType, provenance.SHA256Of(envelope), len(envelope))
	d := provenance.SHA256Of(manifest)
	r.blobs["/v2/app/manifests/"+d.String()], r.blobs["/v2/app/blobs/"+provenance.SHA256Of(envelope).String()] = manifest, envelope
	r.piece = state.Evidence{
		Digest: subject, Type: evidence.TypeSBOM, ID: evidence.ID(format, envelope), Format: string(format), Signer: by, Facts: result.Facts,
		Document: result.Document, MadeAt: result.MadeAt, Location: host + "/app@" + d.String(), Act: state.Act{At: at},
	}
	r.peers["key:List"] = func(...string) any { return []state.TrustKey{r.key} }
	r.peers["schema:List"] = func(...string) any { return []state.Schema{} }
	r.peers["image:Get"] = func(...string) any { return state.Place{} }
	r.peers["evidence:List"] = func(...string) any { return []any{map[string]any{"evidence": r.piece}} }
	return r
}

func pemOf(t *testing.T, public crypto.PublicKey) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// What is verified once more is reproduced, says that it cannot be, or differs.
func TestReplay(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*replaying)
		code   int
		want   string
	}{
		"as recorded": {func(*replaying) {}, exitYes, "reproduced"},
		"private": {func(r *replaying) {
			r.piece.Private, r.piece.Facts = true, json.RawMessage(`{"components":2,"format":"spdx","specVersion":"2.3","truncated":true}`)
		}, exitYes, "reproduced"},
		"a second signer's":       {func(r *replaying) { r.piece.ID = hashOf([]byte(r.piece.ID + "\x00" + state.SignerID(r.piece.Signer))) }, exitYes, "reproduced"},
		"gone":                    {func(r *replaying) { clear(r.blobs) }, exitUnknown, "incomplete its document cannot be fetched"},
		"its envelope is gone":    {func(r *replaying) { r.lose("/blobs/") }, exitUnknown, "incomplete"},
		"nowhere":                 {func(r *replaying) { r.piece.Location = "" }, exitUnknown, "incomplete nobody said where"},
		"in another registry":     {func(r *replaying) { r.piece.Location = "internal.example/app@" + digestB }, exitUnknown, "incomplete its document is said to be in internal.example"},
		"of another envelope":     {func(r *replaying) { r.piece.ID = strings.Repeat("ab", 32); r.piece.Document = r.piece.ID }, exitUnknown, "does not hold it"},
		"other facts":             {func(r *replaying) { r.piece.Facts = json.RawMessage(`{"components":3}`) }, exitDenied, "differs other facts"},
		"another document's hash": {func(r *replaying) { r.piece.Document = strings.Repeat("ab", 32) }, exitDenied, "differs its document is"},
		"another type":            {func(r *replaying) { r.piece.Type = evidence.TypeScan }, exitDenied, "differs"},
	} {
		for _, signed := range []bool{true, false} {
			t.Run(fmt.Sprint(name, " signed ", signed), func(t *testing.T) {
				r := newReplaying(t, signed)
				c.change(r)
				code, out, errOut := r.run("evidence", "replay", r.image, "--as", "vendor/auditor")
				if code != c.code || !strings.Contains(strings.Join(strings.Fields(out), " "), c.want) {
					t.Errorf("exit %d: %s%s", code, out, errOut)
				}
			})
		}
	}
	r := newReplaying(t, true)
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	r.key.PEM = pemOf(t, other.Public())
	if code, out, _ := r.run("evidence", "replay", r.image, "--as", "vendor/auditor", "-o", "json"); code != exitDenied || !strings.Contains(out, `"outcome": "differs"`) || !strings.Contains(out, "not by") {
		t.Errorf("by another key: exit %d: %s", code, out)
	}
	r.key.Name = "other"
	if code, out, _ := r.run("evidence", "replay", r.image, "--as", "vendor/auditor"); code != exitUnknown || !strings.Contains(out, "is not on the ledger") {
		t.Errorf("without its key: exit %d: %s", code, out)
	}
}

// lose removes what lies under a part of a path.
func (r *replaying) lose(part string) {
	for path := range r.blobs {
		if strings.Contains(path, part) {
			delete(r.blobs, path)
		}
	}
}

// keyInFile is a private key as the command opens it.
func keyInFile(t *testing.T, private *ecdsa.PrivateKey) signer.Key {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	key, err := signer.Open(t.Context(), file, func() ([]byte, error) { return nil, nil })
	if err != nil {
		t.Fatal(err)
	}
	return key
}
