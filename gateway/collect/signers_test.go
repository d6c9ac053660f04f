package collect

import (
	"testing"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/ledger/ledgertest"
	"github.com/waybill-dev/waybill/gateway/registry"
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
