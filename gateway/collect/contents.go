package collect

import (
	"context"
	"encoding/json"
	"mime"
	"slices"
	"strings"

	"github.com/waybill-dev/waybill/chaincode/evidence"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/registry"
)

// Media types of what is put beside an image, and cosign's annotations.
// Sources: sigstore/cosign specs/SIGNATURE_SPEC.md, specs/ATTESTATION_SPEC.md
// and specs/BUNDLE_SPEC.md; notaryproject/specifications
// specs/signature-specification.md.
const (
	simpleSigningLayer = "application/vnd.dev.cosign.simplesigning.v1+json"
	dsseLayer          = "application/vnd.dsse.envelope.v1+json"
	bundleLayer        = "application/vnd.dev.sigstore.bundle.v0.3+json"
	bundleLayerOlder   = "application/vnd.dev.sigstore.bundle+json"
	notationType       = "application/vnd.cncf.notary.signature"
	joseLayer          = "application/jose+json"
	coseLayer          = "application/cose"

	cosignSignature   = "dev.cosignproject.cosign/signature"
	cosignCertificate = "dev.sigstore.cosign/certificate"
	cosignChain       = "dev.sigstore.cosign/chain"
)

// documentTypes are the media types of documents that say something about an
// image and carry no signature, as oras attach and others write them.
func documentTypes() []string {
	return []string{
		"application/spdx+json", "text/spdx", "text/spdx+json", "application/vnd.cyclonedx", "application/vnd.cyclonedx+json", "application/vnd.cyclonedx+xml",
		"application/sarif+json", "application/openvex+json", "application/vnd.openvex+json", "application/vex+json", "application/vnd.in-toto+json",
		"application/vnd.aquasec.trivy.report+json", "application/vnd.trivy.report+json", "application/vnd.aquasec.trivy.report.sarif.v1",
		"application/vnd.anchore.grype+json", "application/vnd.grype.report+json", "application/vnd.syft+json", "application/vnd.security.vulnerability.report",
	}
}

// piece is one envelope that may be evidence.
type piece struct {
	format   evidence.Format
	envelope []byte
}

// blobReader reads the small blobs of one registry.
type blobReader interface {
	Blob(ctx context.Context, repo provenance.Repository, d registry.Descriptor) ([]byte, error)
}

// sorted is what an artifact holds: the signed envelopes, and what is not
// signed or cannot be put before the contract.
type sorted struct {
	pieces    []piece
	documents []string // media types of unsigned documents
	refused   []string // signed, and still not evidence: why
}

// sortArtifact fetches the envelopes of an artifact. What is no evidence at
// all is left out. Errors are the registry's.
func sortArtifact(ctx context.Context, r blobReader, repo provenance.Repository, a registry.Artifact) (sorted, error) {
	var out sorted
	for _, layer := range a.Layers {
		format, ok := formatOf(a, layer)
		switch {
		case !ok && plain(a, layer):
			out.documents = append(out.documents, layer.MediaType)
			continue
		case !ok:
			continue
		case layer.Size > registry.MaxEnvelope:
			out.refused = append(out.refused, "signed document larger than 64 KiB: a person can state its facts with: waybill attest")
			continue
		}
		blob, err := r.Blob(ctx, repo, layer)
		switch provenance.CodeOf(err) {
		case "":
		case provenance.NotFound, provenance.Invalid: // the others may still be good
			out.refused = append(out.refused, err.Error())
			continue
		default:
			return out, err
		}
		if format == evidence.FormatCosign {
			if blob, err = cosignEnvelope(blob, layer.Annotations); err != nil {
				return out, err
			}
		}
		if len(blob) > evidence.MaxEnvelope {
			out.refused = append(out.refused, "signature with certificates larger than 64 KiB")
			continue
		}
		out.pieces = append(out.pieces, piece{format, blob})
	}
	return out, nil
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
	case bundleLayer, bundleLayerOlder:
		return evidence.FormatBundle, true
	case joseLayer, coseLayer:
		return evidence.FormatNotation, a.ArtifactType == notationType
	}
	return "", false
}

func plain(a registry.Artifact, layer registry.Descriptor) bool {
	return slices.ContainsFunc(documentTypes(), func(t string) bool {
		return strings.EqualFold(layer.MediaType, t) || strings.EqualFold(a.ArtifactType, t)
	})
}

// cosignEnvelope puts a simple-signing layer and its annotations into the one
// form that the contract verifies.
func cosignEnvelope(payload []byte, annotations map[string]string) ([]byte, error) {
	b, err := json.Marshal(struct {
		Payload     []byte `json:"payload"`
		Signature   string `json:"signature"`
		Certificate string `json:"certificate,omitempty"`
		Chain       string `json:"chain,omitempty"`
	}{payload, annotations[cosignSignature], annotations[cosignCertificate], annotations[cosignChain]})
	if err != nil {
		return nil, provenance.Wrap(provenance.Internal, err, "cosign envelope")
	}
	return b, nil
}
