package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"

	"github.com/waybill-dev/waybill/chaincode/evidence"
	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/network"
	"github.com/waybill-dev/waybill/test/lab"
)

// billOf writes an SPDX bill of materials of so many bytes, and returns how many packages it has.
func billOf(path string, size int) (packages int64, err error) {
	var b strings.Builder
	b.WriteString(`{"spdxVersion":"SPDX-2.3","SPDXID":"SPDXRef-DOCUMENT","name":"app","dataLicense":"CC0-1.0","documentNamespace":"https://example.com/app","creationInfo":{"created":"2026-01-02T03:04:05Z","creators":["Tool: test"]},"packages":[`)
	for ; b.Len() < size; packages++ {
		if packages > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"SPDXID":"SPDXRef-Package-%d","name":"package-%[1]d","versionInfo":"1.2.3","downloadLocation":"NOASSERTION","licenseDeclared":"MIT","externalRefs":[{"referenceCategory":"PACKAGE-MANAGER","referenceType":"purl","referenceLocator":"pkg:npm/package-%[1]d@1.2.3"}]}`, packages)
	}
	b.WriteString(`]}`)
	return packages, os.WriteFile(path, []byte(b.String()), 0o600)
}

// watch follows how much memory the peers, the chaincode processes and the gateway hold;
// done says what it was at first and at most, of each kind the largest process.
func (x *collecting) watch(t *testing.T) (done func() (first, most map[string]int64)) {
	t.Helper()
	pids := map[int]string{x.lab.GatewayPID("vendor"): "gateway"}
	nodes, err := x.lab.Net.Status(x.ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range nodes {
		if n.Kind != network.KindOrderer {
			pids[n.PID] = string(n.Kind)
		}
	}
	look := func(into map[string]int64) {
		for pid, kind := range pids {
			into[kind] = max(into[kind], lab.Resident(pid))
		}
	}
	first, most := map[string]int64{}, map[string]int64{}
	look(first)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			look(most)
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	return func() (map[string]int64, map[string]int64) {
		close(stop)
		<-stopped
		return first, most
	}
}

func memory(first, most map[string]int64) string {
	var parts []string
	for _, kind := range slices.Sorted(maps.Keys(most)) {
		parts = append(parts, fmt.Sprintf("%s %d to %d MiB", kind, first[kind]>>20, most[kind]>>20))
	}
	return strings.Join(parts, ", ")
}

// onLedger returns the size of the transaction that names something, as its block holds it.
func (x *collecting) onLedger(t *testing.T, from uint64, name string) int {
	t.Helper()
	height, err := x.as("audit/auditor").Height(x.ctx)
	if err != nil {
		t.Fatal(err)
	}
	size := 0
	err = x.lab.Blocks(x.ctx, "audit", from, func(b *common.Block) (bool, error) {
		for _, data := range b.GetData().GetData() {
			if strings.Contains(string(data), name) {
				if size != 0 {
					return false, fmt.Errorf("two transactions name %s", name)
				}
				size = len(data)
			}
		}
		return b.GetHeader().GetNumber()+1 >= height, nil
	})
	if err != nil || size == 0 {
		t.Fatalf("no transaction names %s: %v", name, err)
	}
	return size
}

// large signs the largest bill of materials that is taken and pushes it beside its image:
// the rules see its facts, and the ledger has 8 KiB of it at most.
func (x *collecting) large(t *testing.T) {
	x.t = t
	const most = 8 << 10
	repo := "collect/large"
	text := fmt.Sprintf(`{"apiVersion":"waybill.dev/v1","kind":"ReleasePolicy","metadata":{"name":"large"},"spec":{"match":["%s/collect/large"],"stages":[
		{"name":"production","approvals":{"min":1},"evidence":[{"name":"bill","type":"sbom","signers":[{"org":"VendorMSP","key":"release"}],"condition":"facts.components > 5000"}]}]}}`, x.lab.Registry)
	for _, org := range []string{"vendor", "security", "platform"} {
		x.propose(org+"/admin", "policy", text)
	}
	packages, err := billOf(filepath.Join(x.home, "large.json"), 3_020_000)
	if err != nil {
		t.Fatal(err)
	}
	for _, bundled := range []bool{false, true} {
		digest := x.image(t, repo, fmt.Sprint(bundled))
		from, err := x.as("audit/auditor").Height(x.ctx)
		if err != nil {
			t.Fatal(err)
		}
		done := x.watch(t)
		x.cosign(t, "release", x.lab.Registry+"/"+repo+"@"+digest, bundled, "attest", "--type", "spdxjson", "--predicate", "large.json")
		start := time.Now()
		format := map[bool]string{false: "dsse", true: "bundle"}[bundled]
		x.wants(t, digest, format+" sbom by VendorMSP/release")
		took := time.Since(start)
		list, err := x.evidence(digest)
		if err != nil {
			t.Fatal(err)
		}
		var facts struct {
			Components int64 `json:"components"`
			Truncated  bool  `json:"truncated"`
		}
		if err := json.Unmarshal(list[0].Evidence.Facts, &facts); err != nil || facts.Components != packages || !facts.Truncated {
			t.Errorf("%v: %s", err, list[0].Evidence.Facts)
		}
		size := x.onLedger(t, from, list[0].Evidence.ID)
		t.Logf("%s of %d packages: on the ledger %s after it was pushed, %d bytes of it; memory: %s", format, packages, took.Round(10*time.Millisecond), size, memory(done()))
		if size > most {
			t.Errorf("the transaction has %d bytes on the ledger", size)
		}
		x.replays(t, repo, digest, list[0].Evidence.Location)
		if v := x.ask(t, repo, digest); !slices.ContainsFunc(v.Reasons, func(r policy.Reason) bool { return r.Rule == "evidence/bill" && r.Outcome == policy.Satisfied }) {
			t.Errorf("the verdict: %+v", v)
		}
	}
}

// replays verifies the evidence about an image once more, with its document and without.
func (x *collecting) replays(t *testing.T, repo, digest, location string) {
	t.Helper()
	image := x.lab.Registry + "/" + repo + "@" + digest
	if out, code := x.lab.Waybill(x.ctx, "evidence", "replay", image, "--as", "audit/auditor"); code != 0 || !strings.Contains(out, "reproduced") {
		t.Errorf("exit %d: %s", code, out)
	}
	_, document, _ := strings.Cut(location, "@")
	if err := x.lab.DeleteManifest(x.ctx, repo, document); err != nil {
		t.Fatal(err)
	}
	if out, code := x.lab.Waybill(x.ctx, "evidence", "replay", image, "--as", "audit/auditor"); code != 10 || !strings.Contains(out, "incomplete") {
		t.Errorf("without its document: exit %d: %s", code, out)
	}
}

// costly is an envelope that takes as much memory to read as its size lets it, signed
// by a key of security's that is registered under a name.
func (x *collecting) costly(t *testing.T, name, digest string) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	x.act("security/admin", "key:Add", name, "public-key", string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), "", "")
	const payloadType = "application/vnd.in-toto+json"
	head := fmt.Sprintf(`{"_type":"https://in-toto.io/Statement/v1","subject":[{"digest":{"sha256":%q}}],"predicateType":"https://spdx.dev/Document","predicate":{"spdxVersion":"SPDX-2.3","packages":[`, strings.TrimPrefix(digest, "sha256:"))
	payload := head + strings.Repeat(`{"":0},`, (evidence.MaxEnvelope/4*3-len(head)-500)/7) + `0]}}`
	sum := sha256.Sum256(fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(payloadType), payloadType, len(payload), payload))
	sig, err := ecdsa.SignASN1(rand.Reader, key, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Appendf(nil, `{"payloadType":%q,"payload":%q,"signatures":[{"sig":%q}]}`, payloadType, base64.StdEncoding.EncodeToString([]byte(payload)), base64.StdEncoding.EncodeToString(sig))
}

// flood has one member's person propose many of the largest envelopes at once: their
// memory has a bound, and another member's evidence goes through meanwhile.
func (x *collecting) flood(t *testing.T) {
	x.t = t
	const many = 18
	repo := "collect/flood"
	digest := x.image(t, repo, "v1")
	x.wants(t, digest)
	envelope := x.costly(t, "flood", digest)
	args := []string{x.lab.Registry, repo, digest, "", "dsse", "SecurityMSP", "flood", ""}
	attacker := x.as("security/scanner")
	if err := lab.Poll(x.ctx, 30*time.Second, func() error { // until the push is recorded everywhere
		_, err := attacker.Endorse(x.ctx, "evidence:Submit", args, map[string][]byte{"envelope": envelope})
		if provenance.CodeOf(err) != provenance.BadEvidence {
			return fmt.Errorf("refused with %w", err)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	done := x.watch(t)
	ctx, cancel := context.WithCancel(x.ctx)
	var all sync.WaitGroup
	var mutex sync.Mutex
	counts := map[string]int{}
	for range many {
		all.Go(func() {
			for ctx.Err() == nil {
				_, err := attacker.Endorse(ctx, "evidence:Submit", args, map[string][]byte{"envelope": envelope})
				mutex.Lock()
				counts[string(provenance.CodeOf(err))]++
				mutex.Unlock()
			}
		})
	}
	if err := lab.Poll(ctx, time.Minute, func() error { // until the flood reaches the contract
		mutex.Lock()
		defer mutex.Unlock()
		if counts[string(provenance.BadEvidence)] == 0 {
			return fmt.Errorf("refused %v", counts)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	start := time.Now()
	x.cosign(t, "release", x.lab.Registry+"/"+repo+"@"+digest, true, "attest", "--type", "spdxjson", "--predicate", "large.json")
	x.wants(t, digest, "bundle sbom by VendorMSP/release")
	took := time.Since(start)
	cancel()
	all.Wait()
	first, most := done()
	t.Logf("%d at a time, refused %v: another's took %s from cosign to the ledger; memory: %s", many, counts, took.Round(10*time.Millisecond), memory(first, most))
	if most["chaincode"] > 1<<30 {
		t.Errorf("a chaincode process held %d MiB", most["chaincode"]>>20)
	}
}
