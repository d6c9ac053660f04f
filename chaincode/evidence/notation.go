package evidence

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"math/big"
	"slices"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/strictjson"
)

// Source: notaryproject/specifications, specs/signature-specification.md,
// signature-envelope-jws.md and signature-envelope-cose.md.
const (
	notationPayload = "application/vnd.cncf.notary.payload.v1+json"
	notationScheme  = "io.cncf.notary.signingScheme"
	notationExpiry  = "io.cncf.notary.expiry"
	notationTime    = "io.cncf.notary.signingTime"
	// notationAuthentic is the time that a signing authority vouches for.
	notationAuthentic = "io.cncf.notary.authenticSigningTime"
)

// The signing schemes (signing-scheme.md). What a signing authority signs is trusted
// through roots that were registered as one's alone, and so is the time it gives.
const (
	schemeX509      = "notary.x509"
	schemeAuthority = "notary.x509.signingAuthority"
)

// openNotation reads a Notary Project envelope, in JWS or in COSE. With a
// certificate root its chain must lead there; with a public key the signature must
// be that key's, whatever the chain says. The signature must be by the hash that
// belongs to the key's size; nothing is taken from the unprotected header but
// the chain.
func openNotation(r Request) (envelope, error) {
	if isCOSE(r.Envelope) {
		return openNotationCOSE(r)
	}
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
	header, err := strictjson.Object(protected, strictjson.Limits{Bytes: MaxEnvelope})
	if err != nil {
		return envelope{}, wrap(err, "notation protected header")
	}
	attributes := jwsAttributes(header)
	if err := attributes.check(r.Now); err != nil {
		return envelope{}, err
	}
	certs, err := notationChain(list(m, "header", "x5c"))
	if err != nil {
		return envelope{}, err
	}
	alg, signed := str(header, "alg"), messageOf([]byte(protectedText+"."+payloadText))
	verifies := func(pub crypto.PublicKey) bool { return verifiesJWS(pub, alg, signed, sig) }
	return attributes.envelope(r, payload, signature{bytes: sig, certs: certs, verifies: verifies}), nil
}

// notationAttributes are the signed attributes of an envelope, of whichever form.
type notationAttributes struct {
	contentType, scheme string
	critical            []string // one that is no text is ""
	given               map[string]bool
	// Times that are given; zero where they cannot be read.
	made, authentic, expiry time.Time
}

func jwsAttributes(m map[string]any) notationAttributes {
	a := notationAttributes{contentType: str(m, "cty"), scheme: str(m, notationScheme), given: map[string]bool{}}
	for _, c := range list(m, "crit") {
		name, _ := c.(string)
		a.critical = append(a.critical, name)
	}
	for name := range m {
		a.given[name] = true
	}
	a.made, a.authentic, a.expiry = claimedTime(str(m, notationTime)), claimedTime(str(m, notationAuthentic)), claimedTime(str(m, notationExpiry))
	return a
}

// check refuses attributes that cannot be relied on at now: a critical one that
// is not understood here refuses the envelope, as the specification demands.
func (a notationAttributes) check(now time.Time) error {
	if a.contentType != notationPayload {
		return invalid("notation: cty %q: want %s", clip(a.contentType), notationPayload)
	}
	authority := a.authority()
	if !authority && a.scheme != schemeX509 {
		return invalid("notation: signing scheme %q: want %s or %s", clip(a.scheme), schemeX509, schemeAuthority)
	}
	for _, name := range a.critical {
		if name != notationScheme && name != notationExpiry && !(name == notationAuthentic && authority) {
			return invalid("notation: critical attribute %q is unknown here", clip(name))
		}
		if !a.given[name] {
			return invalid("notation: critical attribute %q is missing", name)
		}
	}
	if !slices.Contains(a.critical, notationScheme) {
		return invalid("notation: %s is not marked critical", notationScheme)
	}
	if a.given[notationExpiry] && (a.expiry.IsZero() || now.After(a.expiry)) {
		return invalid("notation: the signature expired at %s", a.expiry.Format(time.RFC3339))
	}
	switch {
	case !authority:
	case !slices.Contains(a.critical, notationAuthentic) || a.authentic.IsZero():
		return invalid("notation: a signing authority gives the time, as a critical attribute")
	case a.authentic.After(now.Add(authorityAhead)):
		return invalid("notation: signed at %s, which is to come", a.authentic.Format(time.RFC3339))
	}
	return nil
}

// authorityAhead is how far a signing authority's clock may be ahead of the peers'.
const authorityAhead = 5 * time.Minute

func (a notationAttributes) authority() bool { return a.scheme == schemeAuthority }

func (a notationAttributes) envelope(r Request, payload []byte, s signature) envelope {
	made := a.made
	if a.authority() {
		made = a.authentic
		s.authority, s.at = true, a.authentic
	}
	return envelope{signatures: []signature{s}, document: func() (Result, error) {
		result, err := notationResult(payload, r.Subject)
		result.MadeAt = made
		return result, err
	}}
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
