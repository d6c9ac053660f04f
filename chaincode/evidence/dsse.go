package evidence

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
)

// Source: secure-systems-lab/dsse, envelope.md and protocol.md.
const (
	inTotoPayload  = "application/vnd.in-toto+json"
	maxSignatures  = 8
	bundleV03      = "application/vnd.dev.sigstore.bundle.v0.3+json"
	bundleV03Older = "application/vnd.dev.sigstore.bundle+json;version=0.3"
)

// dsse is an opened DSSE envelope.
type dsse struct {
	payload []byte
	signed  []byte // the pre-authentication encoding, which is what is signed
	sigs    [][]byte
	certs   []string // PEM beside each signature, or ""
}

func openDSSE(m map[string]any, most int) (dsse, error) {
	var d dsse
	var err error
	if kind := str(m, "payloadType"); kind != inTotoPayload {
		return d, invalid("dsse: payloadType %q: want %s", clip(kind), inTotoPayload)
	}
	if d.payload, err = decode64(str(m, "payload"), "dsse payload"); err != nil {
		return d, err
	}
	d.signed = pae(inTotoPayload, d.payload)
	sigs := list(m, "signatures")
	if len(sigs) == 0 || len(sigs) > most {
		return d, invalid("dsse: %d signatures: want 1 to %d", len(sigs), most)
	}
	for i, s := range sigs {
		sig, err := decode64(str(s, "sig"), fmt.Sprintf("dsse signature %d", i))
		if err != nil {
			return d, err
		}
		d.sigs = append(d.sigs, sig)
		d.certs = append(d.certs, str(s, "cert"))
	}
	return d, nil
}

// pae is DSSE's pre-authentication encoding.
func pae(payloadType string, body []byte) []byte {
	return fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(payloadType), payloadType, len(body), body)
}

// verifyDSSE checks a bare DSSE envelope. For certificate roots a signature
// carries its certificates as PEM in "cert", leaf first.
func verifyDSSE(r Request, k Key) (Result, error) {
	m, err := envelopeObject(r.Envelope, "dsse envelope")
	if err != nil {
		return Result{}, err
	}
	d, err := openDSSE(m, maxSignatures)
	if err != nil {
		return Result{}, err
	}
	// The last refusal is reported; with one signature it is the only one.
	var refusal error
	for i, sig := range d.sigs {
		var certs []*x509.Certificate
		if certs, refusal = pemCertificates(d.certs[i]); refusal != nil {
			continue
		}
		var who authority
		if who, refusal = k.authority(certs, r); refusal != nil {
			continue
		}
		if refusal = who.check(d.signed, sig); refusal == nil {
			result, err := statementResult(d.payload, r.Subject)
			if err != nil {
				return Result{}, err
			}
			return who.sign(result, sig)
		}
	}
	return Result{}, refusal
}

// verifyBundle checks a Sigstore bundle with a DSSE envelope or a message signature.
func verifyBundle(r Request, k Key) (Result, error) {
	m, err := envelopeObject(r.Envelope, "bundle")
	if err != nil {
		return Result{}, err
	}
	if kind := str(m, "mediaType"); kind != bundleV03 && kind != bundleV03Older {
		return Result{}, invalid("bundle: mediaType %q: want %s", clip(kind), bundleV03)
	}
	certs, err := bundleCertificates(object(m, "verificationMaterial"))
	if err != nil {
		return Result{}, err
	}
	if has(m, "dsseEnvelope") == has(m, "messageSignature") {
		return Result{}, invalid("bundle: want either dsseEnvelope or messageSignature")
	}
	who, err := k.authority(certs, r)
	if err != nil {
		return Result{}, err
	}
	if has(m, "messageSignature") {
		return verifyMessage(r, object(m, "messageSignature"), who)
	}
	d, err := openDSSE(object(m, "dsseEnvelope"), 1)
	if err != nil {
		return Result{}, err
	}
	if err := who.check(d.signed, d.sigs[0]); err != nil {
		return Result{}, err
	}
	result, err := statementResult(d.payload, r.Subject)
	if err != nil {
		return Result{}, err
	}
	return who.sign(result, d.sigs[0])
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

// verifyMessage checks a signature over the image's manifest itself, of which
// the ledger knows the digest and so need not see the bytes.
func verifyMessage(r Request, m map[string]any, who authority) (Result, error) {
	alg := map[string]string{"SHA2_256": "sha256", "SHA2_512": "sha512"}[str(m, "messageDigest", "algorithm")]
	digest, err := decode64(str(m, "messageDigest", "digest"), "bundle message digest")
	if err != nil {
		return Result{}, err
	}
	if named := alg + ":" + hex.EncodeToString(digest); named != r.Subject.String() {
		return Result{}, invalid("bundle: the message signed is %s, not %s", clip(named), r.Subject.Short())
	}
	sig, err := decode64(str(m, "signature"), "bundle signature")
	if err != nil {
		return Result{}, err
	}
	if err := who.checkWith(func(pub any) bool { return verifiesDigest(pub, alg, digest, sig) }); err != nil {
		return Result{}, err
	}
	facts, err := signatureFacts("", "", nil)
	if err != nil {
		return Result{}, err
	}
	encoded, err := encodeFacts(facts)
	if err != nil {
		return Result{}, err
	}
	return who.sign(Result{Type: TypeSignature, Facts: encoded, Document: hex.EncodeToString(digest)}, sig)
}

// hexHint turns a key hint into the hex fingerprint it often is: cosign writes
// the base64 of the sha256 of the key's DER.
func hexHint(hint string) string {
	if b, err := base64.StdEncoding.DecodeString(hint); err == nil && len(b) == 32 {
		return hex.EncodeToString(b)
	}
	return clip(strings.TrimSpace(hint))
}
