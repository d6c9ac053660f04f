package collect

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"mime"
	"slices"
	"strings"

	"github.com/waybill-dev/waybill/chaincode/evidence"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/registry"
	"github.com/waybill-dev/waybill/gateway/tasks"
)

// Media types of what is put beside an image, and cosign's annotations.
// Sources: sigstore/cosign specs/SIGNATURE_SPEC.md, specs/ATTESTATION_SPEC.md
// and specs/BUNDLE_SPEC.md; notaryproject/specifications
// specs/signature-specification.md.
const (
	simpleSigningLayer = "application/vnd.dev.cosign.simplesigning.v1+json"
	dsseLayer          = "application/vnd.dsse.envelope.v1+json"
	bundleLayers       = "application/vnd.dev.sigstore.bundle" // and .v0.3+json, or +json;version=0.1
	notationType       = "application/vnd.cncf.notary.signature"
	joseLayer          = "application/jose+json"
	coseLayer          = "application/cose"

	cosignSignature   = "dev.cosignproject.cosign/signature"
	cosignCertificate = "dev.sigstore.cosign/certificate"
	cosignChain       = "dev.sigstore.cosign/chain"
	cosignBundle      = "dev.sigstore.cosign/bundle"
	cosignTimestamp   = "dev.sigstore.cosign/rfc3161timestamp"
)

// documentTypes are the media types of documents that say something about an
// image and carry no signature, as oras attach and others write them.
func documentTypes() []string {
	return []string{
		"application/spdx+json", "text/spdx", "text/spdx+json", "application/vnd.cyclonedx", "application/vnd.cyclonedx+json", "application/vnd.cyclonedx+xml",
		"application/sarif+json", "application/openvex+json", "application/vnd.openvex+json", "application/vex+json", "application/vnd.in-toto+json",
		"application/vnd.aquasec.trivy.report+json", "application/vnd.trivy.report+json", "application/vnd.aquasec.trivy.report.sarif.v1",
		"application/vnd.anchore.grype+json", "application/vnd.grype.report+json", "application/vnd.syft+json", "application/vnd.security.vulnerability.report",
		"application/vnd.goharbor.harbor.sbom.v1", "application/csaf+json",
	}
}

// helperTypes are the artifact types of what is put beside an image so that it starts
// faster or is tidied up. They say nothing about it that a rule could ask for.
// Sources: awslabs/soci-snapshotter docs, goharbor/harbor src/pkg/accessory/model,
// the lifecycle annotations of Azure container registries.
func helperTypes() []string {
	return []string{
		"application/vnd.amazon.soci.index.v1+json", "application/vnd.amazon.soci.index.v2+json", "application/vnd.goharbor.harbor.nydus.v1",
		"application/vnd.microsoft.artifact.lifecycle",
	}
}

// emptyLayer stands where an artifact is all in its manifest (OCI image
// specification, manifest.md, "Guidance for an Empty Descriptor").
const emptyLayer = "application/vnd.oci.empty.v1+json"

// piece is one envelope that may be evidence, where it lies in the registry.
type piece struct {
	format  evidence.Format
	layer   registry.Descriptor
	private bool // whoever pushed it asks that what it lists stays off the ledger
}

// blobReader reads the blobs of one registry.
type blobReader interface {
	Blob(ctx context.Context, repo provenance.Repository, d registry.Descriptor) ([]byte, error)
}

// sorted is what an artifact holds: the signed envelopes, and what is not
// signed or cannot be put before the contract.
type sorted struct {
	pieces    []piece
	documents []string // media types of unsigned documents
	refused   []string // signed, and still not evidence: why
	unknown   []string // media types of what nobody here can read
}

// sortArtifact finds the envelopes of an artifact. Only what is known to be of no
// interest is left out.
func sortArtifact(a registry.Artifact) sorted {
	var out sorted
	for _, layer := range a.Layers {
		format, ok := formatOf(a, layer)
		switch {
		case !ok && plain(a, layer):
			out.documents = append(out.documents, layer.MediaType)
			continue
		case !ok && layer.MediaType == simpleSigningLayer:
			out.refused = append(out.refused, "cosign payload without a signature beside it")
			continue
		case !ok && (layer.MediaType == emptyLayer || slices.Contains(helperTypes(), a.ArtifactType)):
			continue
		case !ok:
			out.unknown = append(out.unknown, layer.MediaType)
			continue
		case layer.Size > int64(format.MaxEnvelope()):
			out.refused = append(out.refused, tooLarge(format, layer))
			continue
		}
		out.pieces = append(out.pieces, piece{format, layer, asksPrivate(a.Annotations) || asksPrivate(layer.Annotations)})
	}
	out.bound()
	return out
}

func tooLarge(format evidence.Format, layer registry.Descriptor) string {
	return fmt.Sprintf("%s envelope of %d bytes: at most %d are read; a person can state what is in it with: waybill attest", format, layer.Size, format.MaxEnvelope())
}

// maxLarge is how much of an artifact's large envelopes is read at one look, in bytes.
// The last are the newest: an attestation that is added does not lose to older ones.
const maxLarge = 16 * evidence.MaxEnvelope

// bound refuses the large envelopes that are too many.
func (s *sorted) bound() {
	left := int64(maxLarge)
	for i := len(s.pieces) - 1; i >= 0; i-- {
		if layer := s.pieces[i].layer; layer.Size > evidence.MaxSmall {
			if left -= layer.Size; left < 0 {
				s.refused = append(s.refused, fmt.Sprintf("envelope %s of %d bytes: newer ones beside it fill %d", layer.Digest.Short(), layer.Size, maxLarge))
				s.pieces = slices.Delete(s.pieces, i, i+1)
			}
		}
	}
}

func asksPrivate(annotations map[string]string) bool {
	return annotations[registry.PrivateAnnotation] == "true"
}

// fetch reads an envelope from its registry. What the registry does not have, or has in
// other bytes, is final.
func (p piece) fetch(ctx context.Context, r blobReader, repo provenance.Repository) ([]byte, error) {
	blob, err := r.Blob(ctx, repo, p.layer)
	switch provenance.CodeOf(err) {
	case "":
	case provenance.NotFound, provenance.Invalid: // the others may still be good
		return nil, &tasks.FinalError{Cause: provenance.Errorf(provenance.BadEvidence, "%s", err)}
	default:
		return nil, err
	}
	switch p.format {
	case evidence.FormatCosign:
		blob, err = cosignEnvelope(blob, p.layer.Annotations)
	case evidence.FormatDSSE:
		blob, err = dsseEnvelope(blob, p.layer.Annotations)
	}
	if err == nil && len(blob) > p.format.MaxEnvelope() {
		err = &tasks.FinalError{Cause: provenance.Errorf(provenance.BadEvidence, "%s envelope of %d bytes with what is in its annotations: at most %d are read", p.format, len(blob), p.format.MaxEnvelope())}
	}
	return blob, err
}

// formatOf tells what a layer is by its own media type: artifact types are
// shared by very different things.
func formatOf(a registry.Artifact, layer registry.Descriptor) (evidence.Format, bool) {
	mediaType := layer.MediaType
	if base, _, err := mime.ParseMediaType(mediaType); err == nil {
		mediaType = base
	}
	switch mediaType {
	case simpleSigningLayer:
		return evidence.FormatCosign, layer.Annotations[cosignSignature] != ""
	case dsseLayer:
		return evidence.FormatDSSE, true
	case joseLayer, coseLayer:
		return evidence.FormatNotation, a.ArtifactType == notationType
	}
	return evidence.FormatBundle, strings.HasPrefix(mediaType, bundleLayers)
}

func plain(a registry.Artifact, layer registry.Descriptor) bool {
	return slices.ContainsFunc(documentTypes(), func(t string) bool {
		return strings.EqualFold(layer.MediaType, t) || strings.EqualFold(a.ArtifactType, t)
	})
}

// proofs are what cosign writes beside a signature, as the contract reads it.
type proofs struct {
	Certificate string `json:"certificate,omitempty"`
	Chain       string `json:"chain,omitempty"`
	Bundle      string `json:"bundle,omitempty"`
	Timestamp   string `json:"rfc3161timestamp,omitempty"`
}

func proofsOf(annotations map[string]string) proofs {
	return proofs{annotations[cosignCertificate], annotations[cosignChain], annotations[cosignBundle], annotations[cosignTimestamp]}
}

// cosignEnvelope puts a simple-signing layer and its annotations into the one
// form that the contract verifies.
func cosignEnvelope(payload []byte, annotations map[string]string) ([]byte, error) {
	b, err := json.Marshal(struct {
		Payload   []byte `json:"payload"`
		Signature string `json:"signature"`
		proofs
	}{payload, annotations[cosignSignature], proofsOf(annotations)})
	if err != nil {
		return nil, provenance.Wrap(provenance.Internal, err, "cosign envelope")
	}
	return b, nil
}

// dsseEnvelope puts what cosign wrote into the layer's annotations beside the signatures
// of an envelope. One that is no JSON object stays what it is: the contract says why.
func dsseEnvelope(envelope []byte, annotations map[string]string) ([]byte, error) {
	more := proofsOf(annotations)
	body, isObject := bytes.CutSuffix(bytes.TrimSpace(envelope), []byte("}"))
	if more == (proofs{}) || !isObject {
		return envelope, nil
	}
	b, err := json.Marshal(more)
	if err != nil {
		return nil, provenance.Wrap(provenance.Internal, err, "dsse envelope")
	}
	return slices.Concat(body, []byte(","), b[1:]), nil
}
