package collect

import (
	"crypto/sha256"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/chaincode/evidence"
	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/ledger/ledgertest"
	"github.com/waybill-dev/waybill/gateway/record/recordtest"
	"github.com/waybill-dev/waybill/gateway/registry"
	"github.com/waybill-dev/waybill/gateway/tasks"
	"github.com/waybill-dev/waybill/gateway/tasks/taskstest"
)

// collecting is a collector over fakes: one recorded image, one registered key.
type collecting struct {
	*Collector
	state    *ledgertest.State
	registry *fakeArtifacts
	ledger   *ledgertest.Acts
	key      signingKey
	image    provenance.Digest
	counts   map[string]int
}

func newCollecting(t *testing.T) *collecting {
	t.Helper()
	c := &collecting{
		state: &ledgertest.State{}, registry: &fakeArtifacts{artifacts: map[provenance.Digest]registry.Artifact{}, blobs: map[provenance.Digest][]byte{}},
		ledger: &ledgertest.Acts{}, key: newSigningKey(t), image: provenance.SHA256Of([]byte("image")), counts: map[string]int{},
	}
	var mu sync.Mutex
	c.Collector = &Collector{
		View: c.state.View, Batches: &Batches{Ledger: c.ledger}, Log: slog.New(slog.DiscardHandler), Now: time.Now,
		Count:      func(o string) { mu.Lock(); defer mu.Unlock(); c.counts[o]++ },
		Registries: func(host provenance.Host) (Registry, bool) { return c.registry, host == recordtest.Host },
	}
	c.state.Put(t, state.MembersKey(), state.Members{MSPs: []string{"SecurityMSP", "VendorMSP"}})
	c.state.Put(t, state.PlaceKey(c.image, recordtest.Host, "app"), state.Place{MSP: "VendorMSP"})
	c.register(t, "VendorMSP", "release", c.key)
	run(t, c.Batches)
	return c
}

func (c *collecting) register(t *testing.T, msp, name string, key signingKey) {
	t.Helper()
	c.state.Put(t, state.TrustKeyKey(msp, name), state.TrustKey{MSP: msp, Name: name, Kind: string(evidence.PublicKey), PEM: key.pem})
}

// push puts an artifact into the registry and returns the task for it.
func (c *collecting) push(a registry.Artifact) tasks.Task {
	d := provenance.SHA256Of(fmt.Append(nil, len(c.registry.artifacts)))
	c.registry.artifacts[d] = a
	return tasks.Task{Kind: tasks.Collect, Host: recordtest.Host, Repository: "app", Digest: d, Subject: c.image, Noted: time.Now()}
}

func (c *collecting) signed(t *testing.T, key signingKey, payload []byte) registry.Descriptor {
	t.Helper()
	return c.registry.layer(simpleSigningLayer, payload, map[string]string{cosignSignature: key.sign(t, payload)})
}

// A member, or somebody who is none, that registers thousands of keys keeps no
// other member's from being tried. Where not all of one's own are, it is said whose.
func TestCollectManyKeys(t *testing.T) {
	c := newCollecting(t)
	other := newSigningKey(t)
	for i := range 2001 {
		c.register(t, "AaaMSP", fmt.Sprint("key", i), other)
		if i < 4 {
			c.register(t, "SecurityMSP", fmt.Sprint("key", i), other)
		}
	}
	c.keysOf = 3
	var said strings.Builder
	c.Log = slog.New(slog.NewTextHandler(&said, nil))
	for range 2 {
		if _, err := c.Do(t.Context(), c.push(registry.Artifact{Layers: []registry.Descriptor{c.signed(t, c.key, simpleSigning(c.image))}})); err != nil {
			t.Fatal(err)
		}
	}
	if len(c.ledger.Acts) == 0 || c.ledger.Acts[0].Args[5] != "VendorMSP" {
		t.Errorf("transactions %+v", c.ledger.Acts)
	}
	if n := strings.Count(said.String(), "member=SecurityMSP"); n != 1 || strings.Contains(said.String(), "member=VendorMSP") || c.counts["keys-left-out"] != 2 {
		t.Errorf("said %q, %v", said.String(), c.counts)
	}
}

// Everything that is signed and pushed beside an image becomes evidence that
// names the key, whatever the layout.
func TestCollect(t *testing.T) {
	const scan = `{"scanner":{"uri":"x"},"metadata":{}}`
	for name, x := range map[string]struct {
		artifact func(t *testing.T, c *collecting) registry.Artifact
		format   evidence.Format
		acts     int
	}{
		"cosign .sig": {func(t *testing.T, c *collecting) registry.Artifact {
			return registry.Artifact{Layers: []registry.Descriptor{c.signed(t, c.key, simpleSigning(c.image))}}
		}, evidence.FormatCosign, 1},
		"cosign OCI 1.1 referrer": {func(t *testing.T, c *collecting) registry.Artifact {
			return registry.Artifact{
				Facts:  registry.Facts{ArtifactType: "application/vnd.dev.cosign.artifact.sig.v1+json", Subject: c.image},
				Layers: []registry.Descriptor{c.signed(t, c.key, simpleSigning(c.image))},
			}
		}, evidence.FormatCosign, 1},
		"two signers under one tag": {func(t *testing.T, c *collecting) registry.Artifact {
			other := newSigningKey(t)
			c.register(t, "SecurityMSP", "scan", other)
			return registry.Artifact{Layers: []registry.Descriptor{c.signed(t, c.key, simpleSigning(c.image)), c.signed(t, other, append(simpleSigning(c.image), ' '))}}
		}, evidence.FormatCosign, 2},
		"cosign .att": {func(t *testing.T, c *collecting) registry.Artifact {
			return registry.Artifact{Layers: []registry.Descriptor{c.registry.layer(dsseLayer, c.key.dsse(t, c.image, "https://cosign.sigstore.dev/attestation/v1", scan), nil)}}
		}, evidence.FormatDSSE, 1},
		"sigstore bundle": {func(t *testing.T, c *collecting) registry.Artifact {
			return registry.Artifact{
				Facts:  registry.Facts{ArtifactType: bundleV03, Subject: c.image},
				Layers: []registry.Descriptor{c.registry.layer(bundleV03, bundle(t, c.key.dsse(t, c.image, "https://sigstore.dev/cosign/sign/v1", "{}")), nil)},
			}
		}, evidence.FormatBundle, 1},
		"one key that two organisations registered": {func(t *testing.T, c *collecting) registry.Artifact {
			c.register(t, "SecurityMSP", "the-same", c.key)
			return registry.Artifact{Layers: []registry.Descriptor{c.signed(t, c.key, simpleSigning(c.image))}}
		}, evidence.FormatCosign, 2},
		"what makes an image start faster": {func(_ *testing.T, c *collecting) registry.Artifact {
			return registry.Artifact{
				Facts:  registry.Facts{ArtifactType: "application/vnd.amazon.soci.index.v2+json", Subject: c.image},
				Layers: []registry.Descriptor{c.registry.layer("application/octet-stream", []byte("x"), nil)},
			}
		}, "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCollecting(t)
			job := c.push(x.artifact(t, c))
			if more, err := c.Do(t.Context(), job); err != nil || len(more) > 0 {
				t.Fatalf("%v, %v", more, err)
			}
			acts := c.ledger.Acts
			if len(acts) != x.acts || c.counts["recorded"] != x.acts || (c.counts["ignored"] == 1) != (x.acts == 0) {
				t.Fatalf("%d transactions, want %d; counts %v", len(acts), x.acts, c.counts)
			}
			for _, a := range acts {
				want := []string{string(recordtest.Host), "app", c.image.String(), "", string(x.format)}
				if a.Fn != submitEvidence || len(a.Args) != 8 || !slices.Equal(a.Args[:5], want) || a.Args[7] != string(recordtest.Host)+"/app@"+job.Digest.String() {
					t.Errorf("%s%q", a.Fn, a.Args)
				}
				// What is sent is what the contract will verify, under the key it names.
				var k state.TrustKey
				if _, err := state.Read(c.state, state.TrustKeyKey(a.Args[5], a.Args[6]), &k); err != nil || k.PEM == "" {
					t.Fatalf("key %s/%s: %v", a.Args[5], a.Args[6], err)
				}
				key := evidence.Key{MSP: k.MSP, Name: k.Name, Kind: evidence.KeyKind(k.Kind), PEM: k.PEM}
				if _, err := evidence.Verify(evidence.Request{Subject: c.image, Format: x.format, Envelope: a.Envelope, Now: time.Now()}, &key); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// The second time everything is on the ledger and nothing is sent; what the same key
// signs anew is.
func TestCollectKnown(t *testing.T) {
	c := newCollecting(t)
	payload := simpleSigning(c.image)
	layer := c.signed(t, c.key, payload)
	sig, err := base64.StdEncoding.DecodeString(layer.Annotations[cosignSignature])
	if err != nil {
		t.Fatal(err)
	}
	var pair struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(sig, &pair); err != nil {
		t.Fatal(err)
	}
	signature := fmt.Sprintf("%x", sha256.Sum256(pair.R.Bytes()))
	c.state.Put(t, state.FirstPieceKey(c.image, evidence.TypeSignature, policy.Signer{Kind: policy.SignedByKey, MSP: "VendorMSP", Key: "release"}, signature), state.FirstPiece{ID: "id"})
	if _, err := c.Do(t.Context(), c.push(registry.Artifact{Layers: []registry.Descriptor{layer}})); err != nil || len(c.ledger.Acts) != 0 || c.counts["known"] != 1 {
		t.Errorf("%v, %d transactions, %v", err, len(c.ledger.Acts), c.counts)
	}
	if _, err := c.Do(t.Context(), c.push(registry.Artifact{Layers: []registry.Descriptor{c.signed(t, c.key, payload)}})); err != nil || len(c.ledger.Acts) != 1 {
		t.Errorf("%v, %d transactions, %v", err, len(c.ledger.Acts), c.counts)
	}
}

// The contract refuses what is of a custom type without a schema, and what it has not
// seen the push or the key of yet: the first waits for a schema, the others are tried again.
func TestCollectWithoutASchema(t *testing.T) {
	for name, hopeless := range map[string]bool{"no schema": true, "a schema": false} {
		c := newCollecting(t)
		job := c.push(registry.Artifact{Layers: []registry.Descriptor{c.registry.layer(dsseLayer, c.key.dsse(t, c.image, "https://example.com/own/v1", `{"a":1}`), nil)}})
		if !hopeless {
			c.state.Put(t, state.SchemaKey("VendorMSP", "example-com-own-v1"), state.Schema{Name: "example-com-own-v1", MSP: "VendorMSP"})
		}
		c.ledger.Refuse = func(ledgertest.Act) error {
			return provenance.Errorf(provenance.NotFound, "of a text that nobody reads")
		}
		_, err := c.Do(t.Context(), job)
		var lost *tasks.FinalError
		if errors.As(err, &lost) != hopeless || provenance.CodeOf(err) != provenance.NotFound || hopeless && lost.For != tasks.ForKey {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCollectRefuses(t *testing.T) {
	for name, x := range map[string]struct {
		prepare func(t *testing.T, c *collecting) tasks.Task
		want    string // "lost", "lost until key", "waits for subject", or a code
	}{
		"unknown key": {func(t *testing.T, c *collecting) tasks.Task {
			return c.push(registry.Artifact{Layers: []registry.Descriptor{c.signed(t, newSigningKey(t), simpleSigning(c.image))}})
		}, "lost until key"},
		"withdrawn key": {func(t *testing.T, c *collecting) tasks.Task {
			c.state.Put(t, state.TrustKeyKey("VendorMSP", "release"), state.TrustKey{MSP: "VendorMSP", Name: "release", Kind: string(evidence.PublicKey), PEM: c.key.pem, Withdrawn: &state.Withdrawal{Reason: "lost"}})
			return c.push(registry.Artifact{Layers: []registry.Descriptor{c.signed(t, c.key, simpleSigning(c.image))}})
		}, "lost until key"},
		"key of one who is no member": {func(t *testing.T, c *collecting) tasks.Task {
			c.state.Put(t, state.MembersKey(), state.Members{MSPs: []string{"SecurityMSP"}})
			return c.push(registry.Artifact{Layers: []registry.Descriptor{c.signed(t, c.key, simpleSigning(c.image))}})
		}, "lost until key"},
		"about another image": {func(t *testing.T, c *collecting) tasks.Task {
			return c.push(registry.Artifact{Layers: []registry.Descriptor{c.signed(t, c.key, simpleSigning(provenance.SHA256Of([]byte("other"))))}})
		}, "lost until key"},
		"tag and subject differ": {func(t *testing.T, c *collecting) tasks.Task {
			return c.push(registry.Artifact{Facts: registry.Facts{Subject: provenance.SHA256Of([]byte("other"))}, Layers: []registry.Descriptor{c.signed(t, c.key, simpleSigning(c.image))}})
		}, "lost"},
		"subject not recorded": {func(t *testing.T, c *collecting) tasks.Task {
			job := c.push(registry.Artifact{})
			job.Subject = provenance.SHA256Of([]byte("later"))
			return job
		}, "waits for subject"},
		"subject deleted": {func(t *testing.T, c *collecting) tasks.Task {
			c.state.Put(t, state.PlaceKey(c.image, recordtest.Host, "app"), state.Place{Deleted: true})
			return c.push(registry.Artifact{})
		}, "waits for subject"},
		"subject in another repository": {func(t *testing.T, c *collecting) tasks.Task {
			job := c.push(registry.Artifact{})
			job.Repository = "elsewhere"
			return job
		}, "waits for subject"},
		"large attestation": {func(_ *testing.T, c *collecting) tasks.Task {
			return c.push(registry.Artifact{Layers: []registry.Descriptor{{MediaType: dsseLayer, Digest: c.image, Size: registry.MaxEnvelope + 1}}})
		}, "lost"},
		"a payload whose signature is elsewhere": {func(_ *testing.T, c *collecting) tasks.Task {
			return c.push(registry.Artifact{Layers: []registry.Descriptor{c.registry.layer(simpleSigningLayer, simpleSigning(c.image), nil)}})
		}, "lost"},
		"registry down": {func(_ *testing.T, c *collecting) tasks.Task {
			c.registry.down = true
			return c.push(registry.Artifact{})
		}, string(provenance.Unavailable)},
		"artifact gone": {func(_ *testing.T, c *collecting) tasks.Task {
			return tasks.Task{Kind: tasks.Collect, Host: recordtest.Host, Repository: "app", Digest: provenance.SHA256Of([]byte("gone")), Subject: c.image}
		}, string(provenance.NotFound)},
		"registry not configured": {func(_ *testing.T, c *collecting) tasks.Task {
			return tasks.Task{Kind: tasks.Collect, Host: "other.example", Repository: "app", Digest: c.image, Subject: c.image}
		}, "lost"},
		"refused by the contract": {func(t *testing.T, c *collecting) tasks.Task {
			c.ledger.Refuse = func(ledgertest.Act) error { return provenance.Errorf(provenance.BadEvidence, "no") }
			return c.push(registry.Artifact{Layers: []registry.Descriptor{c.signed(t, c.key, simpleSigning(c.image))}})
		}, "lost until key"},
		"gateway has no grant": {func(t *testing.T, c *collecting) tasks.Task {
			c.ledger.Refuse = func(ledgertest.Act) error { return provenance.Errorf(provenance.Forbidden, "no") }
			return c.push(registry.Artifact{Layers: []registry.Descriptor{c.signed(t, c.key, simpleSigning(c.image))}})
		}, string(provenance.Forbidden)},
		"always overtaken": {func(t *testing.T, c *collecting) tasks.Task {
			c.ledger.Refuse = func(ledgertest.Act) error { return provenance.Errorf(provenance.Conflict, "8 runs lost a race") }
			return c.push(registry.Artifact{Layers: []registry.Descriptor{c.signed(t, c.key, simpleSigning(c.image))}})
		}, string(provenance.Conflict)},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCollecting(t)
			_, err := c.Do(t.Context(), x.prepare(t, c))
			if got := taskstest.Outcome(err); got != x.want {
				t.Errorf("%s (%v), want %s", got, err, x.want)
			}
		})
	}
}

// What cannot be read beside what can keeps it from nothing, and is listed.
func TestCollectListsWhatItCannotRead(t *testing.T) {
	c := newCollecting(t)
	job := c.push(registry.Artifact{Layers: []registry.Descriptor{
		c.registry.layer("application/vnd.cncf.helm.chart.provenance.v1.prov", []byte("pgp"), nil),
		c.signed(t, c.key, simpleSigning(c.image)),
	}})
	job.Attempts = documentAttempts
	_, err := c.Do(t.Context(), job)
	if taskstest.Outcome(err) != "lost" || !strings.Contains(err.Error(), "helm.chart.provenance") || len(c.ledger.Acts) != 1 {
		t.Errorf("%v, %d transactions", err, len(c.ledger.Acts))
	}
}

// One bad signature among good ones keeps none of them from counting, and is
// not forgotten.
func TestCollectMixed(t *testing.T) {
	c := newCollecting(t)
	job := c.push(registry.Artifact{Layers: []registry.Descriptor{
		{MediaType: simpleSigningLayer, Digest: provenance.SHA256Of([]byte("gone")), Size: 4, Annotations: map[string]string{cosignSignature: "AA=="}},
		c.signed(t, newSigningKey(t), append(simpleSigning(c.image), ' ')),
		c.signed(t, c.key, simpleSigning(c.image)),
	}})
	_, err := c.Do(t.Context(), job)
	if taskstest.Outcome(err) != "lost until key" || len(c.ledger.Acts) != 1 {
		t.Errorf("%s (%v), %d transactions", taskstest.Outcome(err), err, len(c.ledger.Acts))
	}
}

// A document without a signature is no evidence: it is given a while for a
// person's word, and then it is listed with its reason, and nothing is recorded.
func TestCollectUnsigned(t *testing.T) {
	c := newCollecting(t)
	sbom := c.registry.layer("application/spdx+json", []byte(`{"spdxVersion":"SPDX-2.3"}`), nil)
	job := c.push(registry.Artifact{Facts: registry.Facts{ArtifactType: "application/spdx+json", Subject: c.image}, Layers: []registry.Descriptor{sbom}})
	for job.Attempts = range documentAttempts {
		if _, err := c.Do(t.Context(), job); err == nil {
			t.Fatalf("attempt %d: nobody had a chance to vouch for it", job.Attempts)
		}
	}
	job.Attempts = documentAttempts
	if documentAttempts >= tasks.DefaultLimits().Attempts {
		t.Error("the task is set aside before the document is judged")
	}
	if _, err := c.Do(t.Context(), job); taskstest.Outcome(err) != "lost" || c.counts["unverified"] != 1 || len(c.ledger.Acts) != 0 {
		t.Errorf("%v, %v, %d transactions", err, c.counts, len(c.ledger.Acts))
	}
	// A person vouched for it: then there is nothing to report.
	c.state.Put(t, state.EvidenceKey(c.image, evidence.TypeSBOM, "id"), state.Evidence{Location: string(recordtest.Host) + "/app@" + job.Digest.String()})
	job.Attempts = 0
	if _, err := c.Do(t.Context(), job); err != nil || c.counts["unverified"] != 1 {
		t.Errorf("%v, %v", err, c.counts)
	}
}

// The index under a fallback tag leads to its entries; another index that has
// a subject does not.
func TestCollectFallbackIndex(t *testing.T) {
	c := newCollecting(t)
	entries := []registry.Descriptor{{Digest: provenance.SHA256Of([]byte("a"))}, {Digest: provenance.SHA256Of([]byte("b"))}}
	job := c.push(registry.Artifact{Manifests: entries})
	job.Tag = registry.FallbackTag(c.image)
	more, err := c.Do(t.Context(), job)
	if err != nil || len(more) != 2 || more[1].Digest != entries[1].Digest || more[1].Subject != c.image || more[1].Kind != tasks.Collect {
		t.Errorf("%+v, %v", more, err)
	}
	job.Tag = "v1"
	if more, err := c.Do(t.Context(), job); err != nil || len(more) != 0 {
		t.Errorf("%+v, %v", more, err)
	}
}

// What cosign writes into a layer's annotations goes into the envelope that the contract
// reads; the signed bytes stay what they are.
func TestDSSEWithAnnotations(t *testing.T) {
	envelope := newSigningKey(t).dsse(t, provenance.SHA256Of([]byte("image")), "https://cosign.sigstore.dev/attestation/v1", "{}")
	proofs := map[string]string{cosignCertificate: "PEM\n", cosignBundle: `{"a":1}`, cosignTimestamp: `{"b":2}`, "predicateType": "x"}
	got, err := dsseEnvelope(envelope, proofs)
	if err != nil {
		t.Fatal(err)
	}
	var before, after map[string]any
	if err := errors.Join(json.Unmarshal(envelope, &before), json.Unmarshal(got, &after)); err != nil {
		t.Fatal(err)
	}
	before["certificate"], before["bundle"], before["rfc3161timestamp"] = "PEM\n", `{"a":1}`, `{"b":2}`
	if diff := cmp.Diff(before, after); diff != "" {
		t.Error(diff)
	}
	for _, as := range []string{"", "[]", "{", string(envelope)} {
		annotations := proofs
		if as == string(envelope) {
			annotations = nil
		}
		if got, err := dsseEnvelope([]byte(as), annotations); err != nil || string(got) != as {
			t.Errorf("%.20q became %.40q, %v", as, got, err)
		}
	}
}
