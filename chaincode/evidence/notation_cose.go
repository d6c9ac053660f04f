package evidence

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/veraison/go-cose"
)

// coseTag begins a COSE_Sign1_Tagged object; no JSON begins so.
const coseTag = 0xd2

func isCOSE(b []byte) bool { return len(b) > 0 && b[0] == coseTag }

// openNotationCOSE reads a Notary Project envelope in COSE. What the libraries say
// of bytes they refuse is left out: their words are theirs to change, and every
// endorsing peer has to say the same.
func openNotationCOSE(r Request) (envelope, error) {
	var msg cose.Sign1Message
	if err := msg.UnmarshalCBOR(r.Envelope); err != nil {
		return envelope{}, invalid("notation envelope: no COSE_Sign1 message")
	}
	attributes, err := coseAttributes(msg.Headers)
	if err != nil {
		return envelope{}, err
	}
	if err := attributes.check(r.Now); err != nil {
		return envelope{}, err
	}
	ders, err := coseChain(msg.Headers.Unprotected[cose.HeaderLabelX5Chain])
	if err != nil {
		return envelope{}, err
	}
	certs, err := parseCertificates(ders)
	if err != nil {
		return envelope{}, err
	}
	verifies := func(pub crypto.PublicKey) bool {
		alg, known := coseAlgorithm(pub)
		if !known {
			return false
		}
		verifier, err := cose.NewVerifier(alg, pub)
		return err == nil && msg.Verify(nil, verifier) == nil // compares the header's algorithm, too
	}
	return attributes.envelope(r, msg.Payload, signature{bytes: msg.Signature, certs: certs, verifies: verifies}), nil
}

// coseAlgorithm is the one algorithm that belongs to a key.
func coseAlgorithm(pub crypto.PublicKey) (cose.Algorithm, bool) {
	switch p := pub.(type) {
	case *rsa.PublicKey:
		switch bits := p.N.BitLen(); {
		case bits >= 4096:
			return cose.AlgorithmPS512, true
		case bits >= 3072:
			return cose.AlgorithmPS384, true
		}
		return cose.AlgorithmPS256, true
	case *ecdsa.PublicKey:
		if p.Curve == elliptic.P384() {
			return cose.AlgorithmES384, true
		}
		return cose.AlgorithmES256, true
	}
	return 0, false
}

func coseAttributes(h cose.Headers) (notationAttributes, error) {
	a := notationAttributes{given: map[string]bool{}}
	a.contentType, _ = h.Protected[cose.HeaderLabelContentType].(string)
	a.scheme, _ = h.Protected[notationScheme].(string)
	critical, _ := h.Protected[cose.HeaderLabelCritical].([]any)
	for _, c := range critical {
		name, _ := c.(string)
		a.critical = append(a.critical, name)
	}
	for label := range h.Protected {
		if name, ok := label.(string); ok {
			a.given[name] = true
		}
	}
	// The library reads a time in any of its forms, floating point among them: the
	// three times are read here, from the bytes.
	var encoded []byte
	var raw map[any]cbor.RawMessage
	if cbor.Unmarshal(h.RawProtected, &encoded) != nil || cbor.Unmarshal(encoded, &raw) != nil {
		return a, invalid("notation: malformed protected header")
	}
	a.made, a.authentic, a.expiry = coseTime(raw[notationTime]), coseTime(raw[notationAuthentic]), coseTime(raw[notationExpiry])
	return a, nil
}

// coseTime reads an epoch-based time in whole seconds (RFC 8949, section 3.4.2);
// zero when it is none, or outside the years that claimedTime reads.
func coseTime(raw cbor.RawMessage) time.Time {
	const epochTag, last = 1, 253402300799 // the end of the year 9999
	var tag cbor.RawTag
	var seconds uint64
	if len(raw) == 0 || tag.UnmarshalCBOR(raw) != nil || tag.Number != epochTag ||
		cbor.Unmarshal(tag.Content, &seconds) != nil || tag.Content[0]>>5 != 0 || seconds > last {
		return time.Time{}
	}
	return time.Unix(int64(seconds), 0).UTC() //nolint:gosec // bounded above
}

// coseChain reads x5chain: a list of certificates, or the only one.
func coseChain(v any) ([][]byte, error) {
	if one, ok := v.([]byte); ok {
		v = []any{one}
	}
	given, _ := v.([]any)
	if len(given) == 0 || len(given) > 2*maxChain {
		return nil, invalid("notation: %d certificates in x5chain: want 1 to %d", len(given), 2*maxChain)
	}
	var ders [][]byte
	for _, c := range given {
		der, _ := c.([]byte)
		ders = append(ders, der)
	}
	return ders, nil
}

// coseHint is the fingerprint of the last certificate, which may be the root's.
func coseHint(b []byte) string {
	var msg cose.Sign1Message
	if len(b) > MaxEnvelope || msg.UnmarshalCBOR(b) != nil {
		return ""
	}
	ders, err := coseChain(msg.Headers.Unprotected[cose.HeaderLabelX5Chain])
	if err != nil || len(ders[len(ders)-1]) == 0 {
		return ""
	}
	return fingerprint(ders[len(ders)-1])
}
