package collect

import (
	"strings"
	"testing"

	"github.com/waybill-dev/waybill/chaincode/evidence"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/registry"
	"github.com/waybill-dev/waybill/gateway/tasks/taskstest"
)

// bill is a bill of materials of nearly so many bytes, as a predicate.
func bill(size int) string {
	return `{"spdxVersion":"SPDX-2.3","name":"` + strings.Repeat("x", min(size, 1<<20)) + `","comment":"` + strings.Repeat("x", max(0, size-1<<20)) + `","packages":[{"name":"a"}]}`
}

// What is signed is collected up to 4 MiB, and handed on as it lies there.
func TestCollectLarge(t *testing.T) {
	c := newCollecting(t)
	envelope := c.key.dsse(t, c.image, "https://spdx.dev/Document", bill(1_900_000))
	layer := c.registry.layer(dsseLayer, envelope, nil)
	if _, err := c.Do(t.Context(), c.push(registry.Artifact{Layers: []registry.Descriptor{layer}})); err != nil {
		t.Fatal(err)
	}
	if len(c.ledger.Acts) != 1 || string(c.ledger.Acts[0].Envelope) != string(envelope) || c.ledger.Acts[0].Private {
		t.Errorf("%d transactions", len(c.ledger.Acts))
	}
	layer.Annotations = map[string]string{registry.PrivateAnnotation: "true"}
	for _, a := range []registry.Artifact{{Layers: []registry.Descriptor{layer}}, {Annotations: layer.Annotations, Layers: []registry.Descriptor{layer}}} {
		if _, err := c.Do(t.Context(), c.push(a)); err != nil || !c.ledger.Acts[len(c.ledger.Acts)-1].Private {
			t.Errorf("private: %v", err)
		}
	}
}

// Many large envelopes in one artifact: the newest are read, and the others named.
// Small ones are read in any case.
func TestCollectManyLarge(t *testing.T) {
	c := newCollecting(t)
	var layers []registry.Descriptor
	for range 40 {
		layers = append(layers, registry.Descriptor{MediaType: dsseLayer, Digest: provenance.SHA256Of([]byte("x")), Size: evidence.MaxEnvelope})
	}
	layers[0].Size = 100
	layers = append(layers, registry.Descriptor{MediaType: simpleSigningLayer, Digest: c.image, Size: evidence.MaxSmall + 1, Annotations: map[string]string{cosignSignature: "AA=="}})
	found := sortArtifact(registry.Artifact{Layers: layers})
	if len(found.pieces) != 1+maxLarge/evidence.MaxEnvelope || found.pieces[0].layer.Size != 100 || len(found.refused) != 1+39-maxLarge/evidence.MaxEnvelope {
		t.Errorf("%d read, %d refused", len(found.pieces), len(found.refused))
	}
	_, err := c.Do(t.Context(), c.push(registry.Artifact{Layers: layers}))
	if taskstest.Outcome(err) != "lost" {
		t.Error(err)
	}
}
