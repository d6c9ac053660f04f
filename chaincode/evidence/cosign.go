package evidence

import (
	"crypto"
	"crypto/x509"
	"strings"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/sigstore"
	"github.com/waybill-dev/waybill/chaincode/strictjson"
)

const (
	simpleSigningType = "application/vnd.dev.cosign.simplesigning.v1+json"
	cosignCritical    = "cosign container image signature"
	maxAnnotations    = 16
)

// openCosign reads a simple-signing payload and its detached signature.
func openCosign(r Request) (envelope, error) {
	m, err := envelopeObject(r.Envelope, "cosign envelope")
	if err != nil {
		return envelope{}, err
	}
	for name := range m {
		switch name {
		case "payload", "signature", "certificate", "chain", "bundle", "rfc3161timestamp":
		default:
			// Which of several unknown names is reported must not depend on map order.
			return envelope{}, invalid("cosign envelope: members are payload, signature, certificate, chain, bundle and rfc3161timestamp only")
		}
	}
	payload, err := decode64(str(m, "payload"), "cosign payload")
	if err != nil {
		return envelope{}, err
	}
	sig, err := decode64(str(m, "signature"), "cosign signature")
	if err != nil {
		return envelope{}, err
	}
	certs, err := pemCertificates(str(m, "certificate"), str(m, "chain"))
	if err != nil {
		return envelope{}, err
	}
	signed := messageOf(payload)
	return envelope{
		signatures: []signature{{
			bytes: sig, certs: certs,
			verifies: func(pub crypto.PublicKey) bool { return verifies(pub, signed, sig) },
			material: func() (sigstore.Material, error) {
				material, err := annotations(m)
				material.Message = payload
				return material, err
			},
		}},
		document: func() (Result, error) { return simpleSigning(payload, r.Subject) },
	}, nil
}

func pemCertificates(texts ...string) ([]*x509.Certificate, error) {
	var ders [][]byte
	for _, text := range texts {
		if text == "" {
			continue
		}
		more, err := pemBlocks(text, "CERTIFICATE", maxChain)
		if err != nil {
			return nil, err
		}
		ders = append(ders, more...)
	}
	return parseCertificates(ders)
}

// simpleSigning reads the payload of a cosign signature. The docker reference
// is a claim that cosign itself leaves empty or out of date: it is a fact, and
// decides nothing.
func simpleSigning(payload []byte, subject provenance.Digest) (Result, error) {
	m, err := strictjson.Object(payload, strictjson.Limits{Bytes: MaxEnvelope})
	if err != nil {
		return Result{}, wrap(err, "cosign payload")
	}
	critical := object(m, "critical")
	if kind := str(critical, "type"); kind != cosignCritical {
		return Result{}, invalid("cosign payload: critical.type %q: want %q", clip(kind), cosignCritical)
	}
	digest := ""
	for name, v := range object(critical, "image") {
		// The specification prints it with a capital D; strictjson lets only one spelling in.
		if strictjson.Fold(name) == "docker-manifest-digest" {
			digest, _ = v.(string)
		}
	}
	named, err := provenance.ParseDigest(digest)
	if err != nil {
		return Result{}, wrap(err, "cosign payload: critical.image.docker-manifest-digest")
	}
	if named != subject {
		return Result{}, invalid("cosign payload is about %s, not %s", named.Short(), subject.Short())
	}
	facts, err := signatureFacts(simpleSigningType, str(critical, "identity", "docker-reference"), object(m, "optional"))
	if err != nil {
		return Result{}, err
	}
	encoded, err := encodeFacts(facts)
	if err != nil {
		return Result{}, err
	}
	return Result{Type: TypeSignature, Facts: encoded, Document: hash(payload)}, nil
}

// signatureFacts are the facts of every kind of signature. Annotations that
// are no strings are left out.
func signatureFacts(payloadType, reference string, annotations map[string]any) (map[string]any, error) {
	kept := map[string]any{}
	for name, v := range annotations {
		if text, ok := v.(string); ok {
			kept[name] = text
		}
	}
	if len(kept) > maxAnnotations {
		return nil, invalid("signature with %d annotations: at most %d", len(kept), maxAnnotations)
	}
	return map[string]any{
		"payloadType":     payloadType,
		"dockerReference": strings.TrimSpace(reference),
		"annotations":     kept,
	}, nil
}
