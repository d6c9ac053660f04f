package sigstore_test

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/contract"
	"github.com/waybill-dev/waybill/chaincode/contract/contracttest"
	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/test/sigstore"
)

const (
	host = "reg.example:5000"
	repo = "team/app"
)

func members() []string { return []string{"AuditMSP", "PlatformMSP", "SecurityMSP", "VendorMSP"} }

// image is the manifest that everything is about.
const image = `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2},"layers":[]}`

func digest() string {
	sum := sha256.Sum256([]byte(image))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// world is the real contract over a ledger, with four members, a registry and an image.
type world struct {
	t      *testing.T
	ledger *contracttest.Ledger
	now    time.Time
	txs    int
}

var people sync.Map

func creator(t *testing.T, msp, name string) []byte {
	t.Helper()
	if b, ok := people.Load(msp + name); ok {
		return b.([]byte) //nolint:forcetypeassert // of this map
	}
	unit := "client"
	if name == "admin" {
		unit = "admin"
	}
	b, err := contracttest.Identity(msp, name, unit)
	if err != nil {
		t.Fatal(err)
	}
	people.Store(msp+name, b)
	return b
}

// try makes a transaction as NAME of an organisation, after a tick of the ledger's clock.
func (w *world) try(msp, name string, transient map[string][]byte, args ...string) ([]byte, error) {
	w.t.Helper()
	run := func(msp, name string, args ...string) ([]byte, error) {
		w.txs++
		e := w.ledger.Endorse(contracttest.Proposal{Creator: creator(w.t, msp, name), At: w.now, Args: args, Transient: transient, TxID: fmt.Sprintf("%064x", w.txs), Peer: msp})
		if !e.OK() {
			if coded, ok := provenance.ParseError(e.Message); ok {
				return nil, coded
			}
			return nil, fmt.Errorf("%s", e.Message)
		}
		return e.Payload, w.ledger.Commit(e, members())
	}
	w.now = w.now.Add(time.Minute)
	if w.txs > 20 {
		if _, err := run("VendorMSP", "gateway", "clock:Tick"); err != nil {
			w.t.Fatal(err)
		}
	}
	return run(msp, name, args...)
}

func (w *world) do(msp, name string, args ...string) []byte {
	w.t.Helper()
	out, err := w.try(msp, name, nil, args...)
	if err != nil {
		w.t.Fatalf("%s of %s: %v: %v", name, msp, args, err)
	}
	return out
}

// vote opens the same proposal as three of four, which puts it in force.
func (w *world) vote(kind, body string) {
	w.t.Helper()
	for _, m := range members()[:3] {
		w.do(m, "admin", "proposal:Open", kind, body)
	}
}

// newWorld's rules ask, for staging, for a test result by one signer.
func newWorld(t *testing.T, signer string) *world {
	t.Helper()
	cc, err := contract.New()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, ledger: contracttest.New(cc), now: time.Date(2024, 3, 4, 9, 0, 0, 0, time.UTC)}
	w.do("VendorMSP", "admin", "member:Found", `["VendorMSP","SecurityMSP","PlatformMSP","AuditMSP"]`)
	for _, m := range members() {
		w.do(m, "admin", "member:Join", m)
		w.do(m, "admin", "member:Grant", "gateway", "gateway")
	}
	w.vote("registry", fmt.Sprintf(`{"host":%q,"namespace":"","owner":"VendorMSP","kind":"distribution"}`, host))
	w.vote("policy", `{"apiVersion":"waybill.dev/v1","kind":"ReleasePolicy","metadata":{"name":"default"},"spec":{"match":["reg.example:5000/team/**"],
	 "stages":[{"name":"staging","approvals":{"min":1},"evidence":[{"name":"tested","type":"test-result","signers":[`+signer+`],"condition":"facts.result == \"PASSED\""}]}]}}`)
	d, err := provenance.ParseDigest(digest())
	if err != nil {
		t.Fatal(err)
	}
	segment, err := provenance.EncodeSegment([]provenance.Event{{
		ID: provenance.NewEventID("test", "c", "1.0", "app"), Action: provenance.Push, Source: "distribution", Repository: repo, Tag: "1.0",
		Digest: d, MediaType: "application/vnd.oci.image.manifest.v1+json", Size: int64(len(image)), Actor: "ci", OccurredAt: w.now.Truncate(time.Millisecond),
	}})
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(segment)
	manifests := append(binary.AppendUvarint(nil, uint64(len(image))), image...)
	if _, err := w.try("VendorMSP", "gateway", map[string][]byte{"segment": segment, "manifests": manifests}, "record:Segment", host, "lane-0", "1", hex.EncodeToString(sum[:])); err != nil {
		t.Fatal(err)
	}
	return w
}

// sigstore makes one that goes by the world's clock.
func (w *world) sigstore(name string) *sigstore.Instance {
	w.t.Helper()
	s, err := sigstore.New(name, func() time.Time { return w.now })
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// share puts a version of a shared root in force by vote.
func (w *world) share(name string, root []byte) {
	w.t.Helper()
	w.vote("trusted-root", fmt.Sprintf(`{"name":%q,"origin":"the test","root":%s}`, name, root))
}

// tested is a test result about the image; serial tells one from another.
func tested(result string, serial int) []byte {
	return fmt.Appendf(nil, `{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"app","digest":{"sha256":%q}}],"predicateType":"https://in-toto.io/attestation/test-result/v0.1","predicate":{"result":%q,"configuration":[],"url":"https://ci.example/%d"}}`,
		digest()[len("sha256:"):], result, serial)
}

// attest signs a test result that passed.
func (w *world) attest(s *sigstore.Instance, id sigstore.Identity, with sigstore.Evidence) []byte {
	w.t.Helper()
	w.txs++
	b, err := s.Attest(id, tested("PASSED", w.txs), with)
	if err != nil {
		w.t.Fatal(err)
	}
	return b
}

// bring hands a bundle in as the gateway does, below an organisation's root or a shared one.
func (w *world) bring(msp, root string, bundle []byte) (contract.Submitted, error) {
	w.t.Helper()
	var s contract.Submitted
	out, err := w.try("VendorMSP", "gateway", map[string][]byte{"envelope": bundle}, "evidence:Submit", host, repo, digest(), "", "bundle", msp, root, "")
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal(out, &s)
}

// outcome is what the verdict says of the rule.
func (w *world) outcome() policy.Outcome {
	w.t.Helper()
	var v policy.Verdict
	if err := json.Unmarshal(w.do("AuditMSP", "gateway", "verdict:Ask", host, repo, digest(), "staging"), &v); err != nil {
		w.t.Fatal(err)
	}
	for _, r := range v.Reasons {
		if r.Rule == "evidence/tested" {
			return r.Outcome
		}
	}
	w.t.Fatalf("no word on the rule: %+v", v)
	return ""
}

func (w *world) expect(what string, want policy.Outcome) {
	w.t.Helper()
	if got := w.outcome(); got != want {
		w.t.Errorf("%s: %s, want %s", what, got, want)
	}
}
