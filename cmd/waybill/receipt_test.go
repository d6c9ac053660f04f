package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
	"github.com/waybill-dev/waybill/proof"
)

// filed is a gateway that hands out files that were made on a real network.
type filed struct {
	t       *testing.T
	receipt []byte
	proof   []byte
	id      string // of the transaction, as the gateway tells it
	asked   []any
	err     error
}

// fixture is a file of package proof's tests, with the configuration that is beside it there.
func fixture(t *testing.T, name string) []byte {
	t.Helper()
	read := func(name string) proof.File {
		b, err := os.ReadFile(filepath.Join("..", "..", "proof", "testdata", "network", name))
		if err != nil {
			t.Fatal(err)
		}
		f, err := proof.Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	f := read(name)
	f.Config = read("config.json").Config
	return f.Marshal()
}

func fixtureHash(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "proof", "testdata", "network", "genesis"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

func (g *filed) GetReceipt(_ context.Context, in *waybillv1.GetReceiptRequest) (*waybillv1.GetReceiptResponse, error) {
	g.asked = append(g.asked, in)
	return &waybillv1.GetReceiptResponse{Image: in.GetImage(), Stage: in.GetStage(), File: g.receipt}, g.err
}

func (g *filed) GetProof(_ context.Context, in *waybillv1.GetProofRequest) (*waybillv1.GetProofResponse, error) {
	g.asked = append(g.asked, in)
	return &waybillv1.GetProofResponse{Image: in.GetImage(), TxId: g.id, File: g.proof}, g.err
}

func newFiled(t *testing.T) (w *world, g *filed, image string) {
	t.Helper()
	g = &filed{t: t, receipt: fixture(t, "receipt.json"), proof: fixture(t, "transaction-hold.json")}
	genesis, err := proof.ParseHash(fixtureHash(t))
	if err != nil {
		t.Fatal(err)
	}
	r, p := proof.Verify(g.receipt, proof.Options{Genesis: genesis}), proof.Verify(g.proof, proof.Options{Genesis: genesis})
	if r.Verdict == nil || p.Transaction == nil {
		t.Fatalf("%s\n%s", r.JSON(), p.JSON())
	}
	g.id = p.Transaction.ID
	w = newWorld(t)
	w.proofAPI = g
	return w, g, r.Verdict.Image
}

func TestReceiptIsWritten(t *testing.T) {
	w, g, image := newFiled(t)
	to, config := filepath.Join(t.TempDir(), "receipt.json"), filepath.Join(t.TempDir(), "config.json")
	grouped := strings.TrimSpace(fixtureHash(t)[:4] + " " + fixtureHash(t)[4:])
	code, out, errOut := w.run("receipt", image, "--stage", "production", "-o", to, "--genesis", grouped, "--orgs", "3", "--max-age", "2m", "--as", "vendor/auditor")
	if code != exitYes || out != "" || !strings.Contains(errOut, "is allowed as of") {
		t.Fatalf("exit %d, %s", code, errOut)
	}
	if b, err := os.ReadFile(to); err != nil || string(b) != string(g.receipt) {
		t.Errorf("%v: other bytes than the gateway's", err)
	}
	if in, ok := g.asked[0].(*waybillv1.GetReceiptRequest); !ok || in.GetOrganizations() != 3 || in.GetMaxAge() != 120 || in.GetImage() != image {
		t.Errorf("asked for %v", g.asked)
	}
	code, out, errOut = w.run("receipt", image, "--stage", "production", "-o", "-", "--config-output", config, "--genesis", fixtureHash(t))
	if code != exitYes {
		t.Fatalf("exit %d, %s", code, errOut)
	}
	beside, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	genesis, _ := proof.ParseHash(fixtureHash(t))
	if r := proof.Verify([]byte(out), proof.Options{Genesis: genesis, Config: beside}); r.Result != proof.Valid {
		t.Errorf("the two files together: %s", r.JSON())
	}
	if r := proof.Verify([]byte(out), proof.Options{Genesis: genesis}); r.Result != proof.Incomplete {
		t.Errorf("the receipt alone: %s", r.JSON())
	}
}

func TestProofIsWritten(t *testing.T) {
	w, g, image := newFiled(t)
	to := filepath.Join(t.TempDir(), "proof.json")
	for _, args := range [][]string{{"proof", g.id}, {"proof", image, "--kind", "quarantine"}} {
		if code, _, errOut := w.run(append(args, "-o", to, "--genesis", fixtureHash(t))...); code != exitYes || !strings.Contains(errOut, "is valid") {
			t.Fatalf("%v: exit %d, %s", args, code, errOut)
		}
	}
	if b, err := os.ReadFile(to); err != nil || string(b) != string(g.proof) {
		t.Errorf("%v: other bytes than the gateway's", err)
	}
	first, _ := g.asked[0].(*waybillv1.GetProofRequest)
	second, _ := g.asked[1].(*waybillv1.GetProofRequest)
	if first.GetTxId() != g.id || second.GetImage() != image || second.GetKind() != "quarantine" {
		t.Errorf("asked for %v", g.asked)
	}
	if code, _, _ := w.run("proof", g.id, "--kind", "push", "-o", to, "--genesis", fixtureHash(t)); code != exitUsage {
		t.Errorf("a kind of a transaction: exit %d", code)
	}
}

// Nothing that does not hold, or is about something else, is written.
func TestFilesOfLyingGateways(t *testing.T) {
	w, g, image := newFiled(t)
	to := filepath.Join(t.TempDir(), "receipt.json")
	vsa := filepath.Join(t.TempDir(), "vsa.json")
	receipt, transaction := g.receipt, g.proof
	ask := []string{"receipt", image, "--stage", "production", "-o", to, "--genesis", fixtureHash(t)}
	for name, x := range map[string]struct {
		lie  func()
		args []string
	}{
		"changed":                       {func() { g.receipt = []byte(strings.Replace(string(receipt), "A", "B", 1)) }, ask},
		"nothing":                       {func() { g.receipt = nil }, ask},
		"a transaction":                 {func() { g.receipt = transaction }, ask},
		"of another image":              {func() {}, append([]string{"receipt", imageA}, ask[2:]...)},
		"for another stage":             {func() {}, append(append([]string{}, ask[:3]...), append([]string{"staging"}, ask[4:]...)...)},
		"of another channel":            {func() {}, append(append([]string{}, ask[:7]...), strings.Repeat("0", 64))},
		"of fewer organisations":        {func() {}, append(append([]string{}, ask...), "--orgs", "4")},
		"a receipt for a transaction":   {func() { g.proof = receipt }, []string{"proof", g.id, "-o", to, "--genesis", fixtureHash(t)}},
		"of another transaction":        {func() { g.proof = fixture(t, "transaction-push.json") }, []string{"proof", g.id, "-o", to, "--genesis", fixtureHash(t)}},
		"with a summary, and it is bad": {func() { g.receipt = transaction }, append(append([]string{}, ask...), "--vsa", vsa, "--key", "none.pem")},
	} {
		g.receipt, g.proof = receipt, transaction
		x.lie()
		code, _, errOut := w.run(x.args...)
		if code != exitError || !strings.Contains(errOut, "does not hold") && !strings.Contains(errOut, "another question") {
			t.Errorf("%s: exit %d, %s", name, code, errOut)
		}
		for _, file := range []string{to, vsa} {
			if _, err := os.Lstat(file); err == nil {
				t.Fatalf("%s: %s was written", name, file)
			}
		}
	}
	g.err = provenance.Errorf(provenance.Unavailable, "two organisations are down")
	if code, _, _ := w.run(ask...); code != exitUnavailable {
		t.Errorf("no receipt: exit %d", code)
	}
	if code, _, errOut := w.run(ask[:6]...); code != exitError || !strings.Contains(errOut, "--genesis HASH") {
		t.Errorf("no first block: exit %d, %s", code, errOut)
	}
	if code, _, _ := w.run(append(append([]string{}, ask[:7]...), "abc")...); code != exitUsage {
		t.Errorf("no hash: exit %d", code)
	}
}

// testKey is a private key in a file.
func testKey(t *testing.T, dir string) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
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
	return file
}

func TestSummaryIsSigned(t *testing.T) {
	w, _, image := newFiled(t)
	dir := t.TempDir()
	key := testKey(t, dir)
	vsa := filepath.Join(dir, "vsa.json")
	ask := []string{"receipt", image, "--stage", "production", "-o", filepath.Join(dir, "r.json"), "--genesis", fixtureHash(t)}
	if code, _, errOut := w.run(append(append([]string{}, ask...), "--vsa", vsa, "--key", key, "--verifier-id", "https://verifier.example")...); code != exitYes {
		t.Fatalf("exit %d, %s", code, errOut)
	}
	b, err := os.ReadFile(vsa)
	if err != nil {
		t.Fatal(err)
	}
	var envelope struct {
		PayloadType string `json:"payloadType"`
		Payload     []byte `json:"payload"`
		Signatures  []struct {
			Sig []byte `json:"sig"`
		} `json:"signatures"`
	}
	if err := json.Unmarshal(b, &envelope); err != nil || envelope.PayloadType != "application/vnd.in-toto+json" || len(envelope.Signatures) != 1 ||
		!strings.Contains(string(envelope.Payload), `"verificationResult":"PASSED"`) || !strings.Contains(string(envelope.Payload), "https://verifier.example") {
		t.Errorf("%s, %v", b, err)
	}
	for _, bad := range [][]string{{"--vsa", vsa}, {"--attach"}, {"--key", key}, {"--verifier-id", "x"}} {
		if code, _, _ := w.run(append(append([]string{}, ask...), bad...)...); code != exitUsage {
			t.Errorf("%v: exit %d", bad, code)
		}
	}
}
