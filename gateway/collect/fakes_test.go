package collect

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
	"strings"
	"sync"
	"testing"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/registry"
)

const bundleV03 = bundleLayers + ".v0.3+json"

// fakeArtifacts is a registry.
type fakeArtifacts struct {
	artifacts map[provenance.Digest]registry.Artifact
	blobs     map[provenance.Digest][]byte
	down      bool
}

func (f *fakeArtifacts) Artifact(_ context.Context, _ provenance.Repository, d provenance.Digest) (registry.Artifact, error) {
	a, ok := f.artifacts[d]
	switch {
	case f.down:
		return a, provenance.Errorf(provenance.Unavailable, "registry: connection refused")
	case !ok:
		return a, provenance.Errorf(provenance.NotFound, "manifest unknown")
	}
	return a, nil
}

func (f *fakeArtifacts) Blob(_ context.Context, _ provenance.Repository, d registry.Descriptor) ([]byte, error) {
	b, ok := f.blobs[d.Digest]
	if !ok {
		return nil, provenance.Errorf(provenance.NotFound, "blob unknown")
	}
	return b, nil
}

// layer puts a blob into the registry.
func (f *fakeArtifacts) layer(mediaType string, blob []byte, annotations map[string]string) registry.Descriptor {
	d := registry.Descriptor{MediaType: mediaType, Digest: provenance.SHA256Of(blob), Size: int64(len(blob)), Annotations: annotations}
	f.blobs[d.Digest] = blob
	return d
}

// signingKey is a key pair as cosign makes them.
type signingKey struct {
	private *ecdsa.PrivateKey
	pem     string
}

func newSigningKey(t *testing.T) signingKey {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	return signingKey{private, string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))}
}

func (k signingKey) sign(t *testing.T, message []byte) string {
	t.Helper()
	sum := sha256.Sum256(message)
	sig, err := ecdsa.SignASN1(rand.Reader, k.private, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(sig)
}

// simpleSigning is the payload that cosign signs.
func simpleSigning(image provenance.Digest) []byte {
	return fmt.Appendf(nil, `{"critical":{"identity":{"docker-reference":""},"image":{"docker-manifest-digest":"%s"},"type":"cosign container image signature"},"optional":null}`, image)
}

// dsse is a signed in-toto statement about an image.
func (k signingKey) dsse(t *testing.T, image provenance.Digest, predicateType, predicate string) []byte {
	t.Helper()
	const payloadType = "application/vnd.in-toto+json"
	statement := fmt.Appendf(nil, `{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"app","digest":{"sha256":"%s"}}],"predicateType":"%s","predicate":%s}`,
		strings.TrimPrefix(image.String(), "sha256:"), predicateType, predicate)
	signed := fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(payloadType), payloadType, len(statement), statement)
	b, err := json.Marshal(map[string]any{"payloadType": payloadType, "payload": statement, "signatures": []any{map[string]any{"sig": k.sign(t, signed)}}})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func bundle(t *testing.T, envelope []byte) []byte {
	t.Helper()
	b, err := json.Marshal(map[string]any{
		"mediaType": bundleV03, "verificationMaterial": map[string]any{"publicKey": map[string]any{"hint": ""}, "tlogEntries": []any{}}, "dsseEnvelope": json.RawMessage(envelope),
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// run runs batches for as long as the test does.
func run(t *testing.T, b *Batches) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var running sync.WaitGroup
	running.Go(func() { _ = b.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
}
