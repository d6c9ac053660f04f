package collect

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/evidence"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/ledger/ledgertest"
	"github.com/waybill-dev/waybill/gateway/registry"
	"github.com/waybill-dev/waybill/test/sigstore"
)

// Whoever registers what others sign with, and answers for nothing by it, keeps nobody's
// word from the ledger: each signer is tried, and the failure is told afterwards.
func TestCollectTriesEverySigner(t *testing.T) {
	for name, refusal := range map[string]error{
		"no schema": provenance.Errorf(provenance.NotFound, "no schema"), "facts beside the schema": provenance.Errorf(provenance.BadEvidence, "not what the schema says"),
		"no room": provenance.Errorf(provenance.Full, "no more evidence"),
	} {
		c := newCollecting(t)
		c.register(t, "SecurityMSP", "another", c.key)
		c.ledger.Refuse = func(a ledgertest.Act) error {
			if a.Args[5] == "SecurityMSP" {
				return refusal
			}
			return nil
		}
		_, err := c.Do(t.Context(), c.push(registry.Artifact{Layers: []registry.Descriptor{c.registry.layer(dsseLayer, c.key.dsse(t, c.image, "https://example.com/own/v1", `{"a":1}`), nil)}}))
		if provenance.CodeOf(err) != provenance.CodeOf(refusal) {
			t.Errorf("%s: %v", name, err)
		}
		if len(c.ledger.Acts) == 0 || c.ledger.Acts[len(c.ledger.Acts)-1].Args[5] != "VendorMSP" || c.counts["recorded"] != 1 {
			t.Errorf("%s: %+v, %v", name, c.ledger.Acts, c.counts)
		}
	}
}

// An organisation that has an authority as a certificate root still, and as a trusted root
// by now: what it signed is recorded by the latter, with what proves its time and what its
// certificate says, however fresh it is. A signature is recorded once.
func TestCollectByTheTrustedRootFirst(t *testing.T) {
	c := newCollecting(t)
	s, err := sigstore.New("ci", time.Now)
	if err != nil {
		t.Fatal(err)
	}
	root, err := evidence.ParseKey("ci", string(evidence.TrustedRoot), string(s.TrustedRoot()))
	if err != nil {
		t.Fatal(err)
	}
	c.state.Put(t, state.RootListKey("VendorMSP"), state.RootList{Names: []string{"ci"}})
	c.state.Put(t, state.TrustedRootKey("VendorMSP", "ci"), state.TrustedRoot{MSP: "VendorMSP", Name: "ci", Version: 1})
	c.state.Put(t, state.RootVersionKey("VendorMSP", "ci", 1), state.RootVersion{MSP: "VendorMSP", Name: "ci", Version: 1, Text: root.Root})
	var said struct {
		CertificateAuthorities []struct {
			CertChain struct{ Certificates []struct{ RawBytes []byte } }
		}
	}
	if err := json.Unmarshal([]byte(root.Root), &said); err != nil {
		t.Fatal(err)
	}
	var chain []byte
	for _, one := range said.CertificateAuthorities[0].CertChain.Certificates {
		chain = append(chain, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: one.RawBytes})...)
	}
	c.state.Put(t, state.TrustKeyKey("VendorMSP", "before"), state.TrustKey{MSP: "VendorMSP", Name: "before", Kind: string(evidence.CertificateRoot), PEM: string(chain)})
	statement := fmt.Appendf(nil, `{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"app","digest":{"sha256":"%s"}}],"predicateType":"https://in-toto.io/attestation/test-result/v0.1","predicate":{"result":"PASSED"}}`, c.image.String()[len("sha256:"):])
	b, err := s.Attest(sigstore.Identity{URI: "https://git.example/team/app/.ci/release.yml@refs/heads/main", Issuer: "https://token.ci.example"}, statement, sigstore.Evidence{V1: true, Stamp: true, Chain: true, Version: "0.2"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Do(t.Context(), c.push(registry.Artifact{Layers: []registry.Descriptor{c.registry.layer(bundleV03, b, nil)}})); err != nil {
		t.Fatal(err)
	}
	var by []string
	for _, a := range c.ledger.Acts {
		by = append(by, a.Args[6])
	}
	if !slices.Equal(by, []string{"ci", "before"}) { // the contract takes the second for what it is
		t.Errorf("recorded by %v", by)
	}
}
