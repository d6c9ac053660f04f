package evidence

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/hex"
	"slices"

	"github.com/waybill-dev/waybill/chaincode/sigstore"
)

// openBundle reads a Sigstore bundle with a DSSE envelope or a message signature.
func openBundle(r Request) (envelope, error) {
	m, err := envelopeObject(r.Envelope, "bundle")
	if err != nil {
		return envelope{}, err
	}
	version, err := bundleVersion(str(m, "mediaType"))
	if err != nil {
		return envelope{}, err
	}
	proof := object(m, "verificationMaterial")
	certs, err := bundleCertificates(proof)
	if err != nil {
		return envelope{}, err
	}
	if has(m, "dsseEnvelope") == has(m, "messageSignature") {
		return envelope{}, invalid("bundle: want either dsseEnvelope or messageSignature")
	}
	var e envelope
	var signed func(sigstore.Material, error) (sigstore.Material, error)
	if has(m, "messageSignature") {
		e, signed, err = openMessage(r, object(m, "messageSignature"))
	} else {
		var d signedPayload
		d, err = readDSSE(object(m, "dsseEnvelope"), 1)
		e, signed = d.envelope(r.Subject), d.material
	}
	if err != nil {
		return envelope{}, err
	}
	e.signatures[0].certs = certs
	e.signatures[0].material = func() (sigstore.Material, error) {
		if !knownMembers(m) {
			return sigstore.Material{}, invalid("bundle: it has members that are not known")
		}
		for _, c := range certs {
			if bytes.Equal(c.RawSubject, c.RawIssuer) && c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil {
				return sigstore.Material{}, invalid("bundle: it brings a root of its own, %q", clip(c.Subject.String()))
			}
		}
		return signed(sigstore.Bundle(proof, version))
	}
	return e, nil
}

// knownMembers tells whether what was signed and by whom has no members but those that a
// bundle has: nobody else would read one that has more. What proves the time is
// sigstore.Bundle's.
func knownMembers(m map[string]any) bool {
	only := func(v any, names ...string) bool {
		o, isObject := v.(map[string]any)
		for name := range o {
			if !slices.Contains(names, name) {
				return false
			}
		}
		return isObject || v == nil
	}
	ok := only(m, "mediaType", "verificationMaterial", "dsseEnvelope", "messageSignature") &&
		only(m["dsseEnvelope"], "payload", "payloadType", "signatures") &&
		only(m["messageSignature"], "messageDigest", "signature") && only(at(m, "messageSignature", "messageDigest"), "algorithm", "digest") &&
		only(at(m, "verificationMaterial", "certificate"), "rawBytes") && only(at(m, "verificationMaterial", "x509CertificateChain"), "certificates")
	for _, s := range list(m, "dsseEnvelope", "signatures") {
		ok = ok && only(s, "sig", "keyid")
	}
	for _, c := range list(m, "verificationMaterial", "x509CertificateChain", "certificates") {
		ok = ok && only(c, "rawBytes")
	}
	return ok
}

// bundleVersion reads a bundle's media type, which has been spelled in two ways.
func bundleVersion(mediaType string) (sigstore.Version, error) {
	const older, newer = "application/vnd.dev.sigstore.bundle+json;version=", "application/vnd.dev.sigstore.bundle.v"
	switch mediaType {
	case older + "0.1", newer + "0.1+json":
		return sigstore.V01, nil
	case older + "0.2", newer + "0.2+json":
		return sigstore.V02, nil
	case older + "0.3", newer + "0.3+json":
		return sigstore.V03, nil
	}
	return 0, invalid("bundle: mediaType %q: want %s0.3+json, or 0.1 or 0.2", clip(mediaType), newer)
}

// bundleCertificates reads the one verification material of a bundle; a public
// key's hint is no material at all.
func bundleCertificates(m map[string]any) ([]*x509.Certificate, error) {
	var raw []any
	kinds := 0
	if has(m, "publicKey") {
		kinds++
	}
	if has(m, "certificate") {
		kinds++
		raw = []any{m["certificate"]}
	}
	if has(m, "x509CertificateChain") {
		kinds++
		raw = list(m, "x509CertificateChain", "certificates")
	}
	if kinds != 1 || len(raw) > 2*maxChain {
		return nil, invalid("bundle: want one of publicKey, certificate and x509CertificateChain (of at most %d)", 2*maxChain)
	}
	var ders [][]byte
	for _, c := range raw {
		der, err := decodeAny64(str(c, "rawBytes"), "bundle certificate")
		if err != nil {
			return nil, err
		}
		ders = append(ders, der)
	}
	return parseCertificates(ders)
}

// openMessage reads a signature over the image's manifest itself, of which the
// ledger knows the digest and so need not see the bytes.
func openMessage(r Request, m map[string]any) (envelope, func(sigstore.Material, error) (sigstore.Material, error), error) {
	alg := map[string]string{"SHA2_256": "sha256", "SHA2_512": "sha512"}[str(m, "messageDigest", "algorithm")]
	digest, err := decodeAny64(str(m, "messageDigest", "digest"), "bundle message digest")
	if err != nil {
		return envelope{}, nil, err
	}
	if named := alg + ":" + hex.EncodeToString(digest); named != r.Subject.String() {
		return envelope{}, nil, invalid("bundle: the message signed is %s, not %s", clip(named), r.Subject.Short())
	}
	sig, err := decodeAny64(str(m, "signature"), "bundle signature")
	if err != nil {
		return envelope{}, nil, err
	}
	material := func(m sigstore.Material, err error) (sigstore.Material, error) {
		m.Algorithm, m.Digest = alg, digest
		return m, err
	}
	return envelope{
		signatures: []signature{{bytes: sig, verifies: func(pub crypto.PublicKey) bool { return verifiesDigest(pub, alg, digest, sig) }}},
		document: func() (Result, error) {
			facts, err := signatureFacts("", "", nil)
			if err != nil {
				return Result{}, err
			}
			encoded, err := encodeFacts(facts)
			return Result{Type: TypeSignature, Facts: encoded, Document: hex.EncodeToString(digest)}, err
		},
	}, material, nil
}
