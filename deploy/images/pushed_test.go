package main

import (
	"bytes"
	"encoding/json"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	intoto "github.com/in-toto/attestation/go/v1"
	"google.golang.org/protobuf/encoding/protojson"
)

// Pushed, each image has its SBOM and its provenance as referrers, which are about it and name
// what Go says is in it.
func TestPushed(t *testing.T) {
	all(t)
	server := httptest.NewServer(registry.New(registry.WithReferrersSupport(true), registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	out := t.TempDir()
	err := run(t.Context(), arguments("--source", "../..", "-o", out, "--only", "waybill-chaincode", "--push", host+"/team"), io.Discard, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	var made []result
	raw, err := os.ReadFile(filepath.Join(out, "digests.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &made); err != nil || len(made) != 1 {
		t.Fatalf("%v: %s", err, raw)
	}
	tagged, err := remote.Head(reference(t, host+"/team/waybill-chaincode:1.2.3_test"))
	if err != nil || tagged.Digest.String() != made[0].Digest {
		t.Fatalf("the tag names %v, %v", tagged, err)
	}
	subject, err := name.NewDigest(made[0].Image)
	if err != nil {
		t.Fatal(err)
	}
	found, err := remote.Referrers(subject)
	if err != nil {
		t.Fatal(err)
	}
	list, err := found.IndexManifest()
	if err != nil || len(list.Manifests) != 2 {
		t.Fatalf("referrers: %v, %v", list, err)
	}
	for _, d := range list.Manifests {
		img, err := remote.Image(subject.Context().Digest(d.Digest.String()))
		if err != nil {
			t.Fatal(err)
		}
		manifest, err := img.Manifest()
		if err != nil {
			t.Fatal(err)
		}
		if manifest.Subject == nil || manifest.Subject.Digest.String() != made[0].Digest {
			t.Errorf("%s refers to %v", d.Digest, manifest.Subject)
		}
		document := onlyLayer(t, img)
		switch manifest.ArtifactType {
		case mediaSBOM:
			checkSBOM(t, document, made[0].Digest)
		case mediaStatement:
			checkProvenance(t, document, made[0].Digest)
		default:
			t.Errorf("a referrer of type %q", manifest.ArtifactType)
		}
	}
}

func onlyLayer(t *testing.T, img v1.Image) []byte {
	t.Helper()
	layers, err := img.Layers()
	if err != nil || len(layers) != 1 {
		t.Fatalf("%d layers, %v", len(layers), err)
	}
	r, err := layers[0].Compressed()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	raw, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func checkSBOM(t *testing.T, document []byte, digest string) {
	t.Helper()
	var bom cdx.BOM
	if err := cdx.NewBOMDecoder(bytes.NewReader(document), cdx.BOMFileFormatJSON).Decode(&bom); err != nil {
		t.Fatal(err)
	}
	if bom.Metadata.Component.Version != digest {
		t.Errorf("the SBOM is about %s, not %s", bom.Metadata.Component.Version, digest)
	}
	var names []string
	for _, c := range *bom.Components {
		names = append(names, c.Name)
	}
	for _, want := range []string{"stdlib", "waybill-chaincode", "github.com/hyperledger/fabric-chaincode-go/v2"} {
		if !slices.Contains(names, want) {
			t.Errorf("%s is not in the SBOM: %v", want, names)
		}
	}
}

func checkProvenance(t *testing.T, document []byte, digest string) {
	t.Helper()
	var s intoto.Statement
	if err := protojson.Unmarshal(document, &s); err != nil {
		t.Fatal(err)
	}
	if err := s.Validate(); err != nil {
		t.Error(err)
	}
	if got := "sha256:" + s.Subject[0].Digest["sha256"]; got != digest {
		t.Errorf("the provenance is about %s, not %s", got, digest)
	}
	if !bytes.Contains(document, []byte(testCommit)) || !bytes.Contains(document, []byte("dirHash")) {
		t.Errorf("the provenance names no source or no module's hash:\n%s", document)
	}
}

func reference(t *testing.T, text string) name.Reference {
	t.Helper()
	ref, err := name.ParseReference(text)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}
