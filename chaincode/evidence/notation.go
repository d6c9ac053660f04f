package evidence

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"math/big"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/strictjson"
)

// Source: notaryproject/specifications, specs/signature-specification.md and
// signature-envelope-jws.md.
const (
	notationPayload = "application/vnd.cncf.notary.payload.v1+json"
	notationScheme  = "io.cncf.notary.signingScheme"
	notationExpiry  = "io.cncf.notary.expiry"
	notationTime    = "io.cncf.notary.signingTime"
)

// openNotation reads a Notary Project JWS envelope. With a certificate root
// its x5c chain must lead there; with a public key the signature must be that
// key's, whatever the chain says. The signature must be by the hash that
// belongs to the key's size; nothing is taken from the unprotected header but
// the chain.
func openNotation(r Request) (envelope, error) {
	m, err := envelopeObject(r.Envelope, "notation envelope")
	if err != nil {
		return envelope{}, err
	}
	protectedText, payloadText := str(m, "protected"), str(m, "payload")
	protected, err := decodeURL64(protectedText, "notation protected header")
	if err != nil {
		return envelope{}, err
	}
	payload, err := decodeURL64(payloadText, "notation payload")
	if err != nil {
		return envelope{}, err
	}
	sig, err := decodeURL64(str(m, "signature"), "notation signature")
	if err != nil {
		return envelope{}, err
	}
	alg, madeAt, err := notationHeader(protected, r.Now)
	if err != nil {
		return envelope{}, err
	}
	certs, err := notationChain(list(m, "header", "x5c"))
	if err != nil {
		return envelope{}, err
	}
	signed := messageOf([]byte(protectedText + "." + payloadText))
	return envelope{
		signatures: []signature{{bytes: sig, certs: certs, verifies: func(pub crypto.PublicKey) bool { return verifiesJWS(pub, alg, signed, sig) }}},
		document: func() (Result, error) {
			result, err := notationResult(payload, r.Subject)
			result.MadeAt = madeAt
			return result, err
		},
	}, nil
}

// notationHeader reads the protected header; a critical attribute that is not
// understood here refuses the envelope, as the specification demands.
func notationHeader(b []byte, now time.Time) (alg string, madeAt time.Time, err error) {
	m, err := strictjson.Object(b, strictjson.Limits{Bytes: MaxEnvelope})
	if err != nil {
		return "", time.Time{}, wrap(err, "notation protected header")
	}
	if kind := str(m, "cty"); kind != notationPayload {
		return "", time.Time{}, invalid("notation: cty %q: want %s", clip(kind), notationPayload)
	}
	if scheme := str(m, notationScheme); scheme != "notary.x509" {
		return "", time.Time{}, invalid("notation: signing scheme %q: want notary.x509", clip(scheme))
	}
	crit := list(m, "crit")
	schemeIsCritical := false
	for _, c := range crit {
		switch c {
		case notationScheme:
			schemeIsCritical = true
		case notationExpiry:
		default:
			name, _ := c.(string)
			return "", time.Time{}, invalid("notation: critical attribute %q is unknown here", clip(name))
		}
	}
	if !schemeIsCritical {
		return "", time.Time{}, invalid("notation: %s is not marked critical", notationScheme)
	}
	if has(m, notationExpiry) {
		expiry := claimedTime(str(m, notationExpiry))
		if expiry.IsZero() || now.After(expiry) {
			return "", time.Time{}, invalid("notation: the signature expired at %s", clip(str(m, notationExpiry)))
		}
	}
	return str(m, "alg"), claimedTime(str(m, notationTime)), nil
}

func notationChain(x5c []any) ([]*x509.Certificate, error) {
	if len(x5c) == 0 || len(x5c) > 2*maxChain {
		return nil, invalid("notation: %d certificates in x5c: want 1 to %d", len(x5c), 2*maxChain)
	}
	var ders [][]byte
	for _, c := range x5c {
		s, _ := c.(string)
		der, err := decode64(s, "notation x5c")
		if err != nil {
			return nil, err
		}
		ders = append(ders, der)
	}
	return parseCertificates(ders)
}

// verifiesJWS checks a JWS signature. The algorithm follows from the key; the
// header may only repeat it.
func verifiesJWS(pub crypto.PublicKey, alg string, signed message, sig []byte) bool {
	switch p := pub.(type) {
	case *rsa.PublicKey:
		want, h, sum := "PS256", crypto.SHA256, signed.sha256
		switch bits := p.N.BitLen(); {
		case bits >= 4096:
			want, h, sum = "PS512", crypto.SHA512, signed.sha512
		case bits >= 3072:
			want, h, sum = "PS384", crypto.SHA384, signed.sha384
		}
		opts := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}
		return alg == want && rsa.VerifyPSS(p, h, sum(), sig, opts) == nil
	case *ecdsa.PublicKey:
		want, sum, size := "ES256", signed.sha256, 32
		if p.Curve == elliptic.P384() {
			want, sum, size = "ES384", signed.sha384, 48
		}
		return alg == want && len(sig) == 2*size &&
			ecdsa.Verify(p, sum(), new(big.Int).SetBytes(sig[:size]), new(big.Int).SetBytes(sig[size:]))
	}
	return false
}

func notationResult(payload []byte, subject provenance.Digest) (Result, error) {
	m, err := strictjson.Object(payload, strictjson.Limits{Bytes: MaxEnvelope})
	if err != nil {
		return Result{}, wrap(err, "notation payload")
	}
	target := object(m, "targetArtifact")
	named, err := provenance.ParseDigest(str(target, "digest"))
	if err != nil {
		return Result{}, wrap(err, "notation payload: targetArtifact.digest")
	}
	if named != subject {
		return Result{}, invalid("notation payload is about %s, not %s", named.Short(), subject.Short())
	}
	facts, err := signatureFacts(notationPayload, "", object(target, "annotations"))
	if err != nil {
		return Result{}, err
	}
	encoded, err := encodeFacts(facts)
	if err != nil {
		return Result{}, err
	}
	return Result{Type: TypeSignature, Facts: encoded, Document: hash(payload)}, nil
}
