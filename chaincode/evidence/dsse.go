package evidence

import (
	"crypto"
	"crypto/x509"
	"encoding/hex"
	"fmt"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// Source: secure-systems-lab/dsse, envelope.md and protocol.md.
const (
	inTotoPayload  = "application/vnd.in-toto+json"
	maxSignatures  = 8
	bundleV03      = "application/vnd.dev.sigstore.bundle.v0.3+json"
	bundleV03Older = "application/vnd.dev.sigstore.bundle+json;version=0.3"
)

// signedPayload is an opened DSSE envelope.
type signedPayload struct {
	payload    []byte
	signatures []signature
	certs      []string // PEM beside each signature, or ""
}

func readDSSE(m map[string]any, most int) (signedPayload, error) {
	var d signedPayload
	var err error
	if kind := str(m, "payloadType"); kind != inTotoPayload {
		return d, invalid("dsse: payloadType %q: want %s", clip(kind), inTotoPayload)
	}
	if d.payload, err = decode64(str(m, "payload"), "dsse payload"); err != nil {
		return d, err
	}
	sigs := list(m, "signatures")
	if len(sigs) == 0 || len(sigs) > most {
		return d, invalid("dsse: %d signatures: want 1 to %d", len(sigs), most)
	}
	signed := messageOf(pae(inTotoPayload, d.payload))
	for i, s := range sigs {
		sig, err := decode64(str(s, "sig"), fmt.Sprintf("dsse signature %d", i))
		if err != nil {
			return d, err
		}
		d.signatures = append(d.signatures, signature{bytes: sig, verifies: func(pub crypto.PublicKey) bool { return verifies(pub, signed, sig) }})
		d.certs = append(d.certs, str(s, "cert"))
	}
	return d, nil
}

func (d signedPayload) envelope(subject provenance.Digest) envelope {
	return envelope{signatures: d.signatures, document: func() (Result, error) { return statementResult(d.payload, subject) }}
}

// pae is DSSE's pre-authentication encoding.
func pae(payloadType string, body []byte) []byte {
	head := fmt.Sprintf("DSSEv1 %d %s %d ", len(payloadType), payloadType, len(body))
	return append(append(make([]byte, 0, len(head)+len(body)), head...), body...)
}

// openDSSE reads a bare DSSE envelope. For certificate roots a signature
// carries its certificates as PEM in "cert", leaf first.
func openDSSE(r Request) (envelope, error) {
	m, err := envelopeObject(r.Envelope, "dsse envelope")
	if err != nil {
		return envelope{}, err
	}
	d, err := readDSSE(m, maxSignatures)
	if err != nil {
		return envelope{}, err
	}
	for i := range d.signatures {
		d.signatures[i].certs, d.signatures[i].err = pemCertificates(d.certs[i])
	}
	return d.envelope(r.Subject), nil
}

// openBundle reads a Sigstore bundle with a DSSE envelope or a message signature.
func openBundle(r Request) (envelope, error) {
	m, err := envelopeObject(r.Envelope, "bundle")
	if err != nil {
		return envelope{}, err
	}
	if kind := str(m, "mediaType"); kind != bundleV03 && kind != bundleV03Older {
		return envelope{}, invalid("bundle: mediaType %q: want %s", clip(kind), bundleV03)
	}
	certs, err := bundleCertificates(object(m, "verificationMaterial"))
	if err != nil {
		return envelope{}, err
	}
	if has(m, "dsseEnvelope") == has(m, "messageSignature") {
		return envelope{}, invalid("bundle: want either dsseEnvelope or messageSignature")
	}
	var e envelope
	if has(m, "messageSignature") {
		e, err = openMessage(r, object(m, "messageSignature"))
	} else {
		var d signedPayload
		d, err = readDSSE(object(m, "dsseEnvelope"), 1)
		e = d.envelope(r.Subject)
	}
	if err != nil {
		return envelope{}, err
	}
	e.signatures[0].certs = certs
	return e, nil
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
		der, err := decode64(str(c, "rawBytes"), "bundle certificate")
		if err != nil {
			return nil, err
		}
		ders = append(ders, der)
	}
	return parseCertificates(ders)
}

// openMessage reads a signature over the image's manifest itself, of which the
// ledger knows the digest and so need not see the bytes.
func openMessage(r Request, m map[string]any) (envelope, error) {
	alg := map[string]string{"SHA2_256": "sha256", "SHA2_512": "sha512"}[str(m, "messageDigest", "algorithm")]
	digest, err := decode64(str(m, "messageDigest", "digest"), "bundle message digest")
	if err != nil {
		return envelope{}, err
	}
	if named := alg + ":" + hex.EncodeToString(digest); named != r.Subject.String() {
		return envelope{}, invalid("bundle: the message signed is %s, not %s", clip(named), r.Subject.Short())
	}
	sig, err := decode64(str(m, "signature"), "bundle signature")
	if err != nil {
		return envelope{}, err
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
	}, nil
}
