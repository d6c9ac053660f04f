package evidence

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/asn1"
	"math/big"
	"strings"
	"sync"

	"github.com/waybill-dev/waybill/chaincode/sigstore"
)

// envelope is an envelope that was read strictly, before any key is tried on it.
type envelope struct {
	request    Request
	signatures []signature
	// document reads what was signed. Nothing of it is looked at before a signature
	// over it verified.
	document func() (Result, error)
}

// signature is one signature of an envelope.
type signature struct {
	bytes []byte
	err   error // why it cannot be read; the others of its envelope count all the same
	// certs are the certificates that came with it, leaf first; certsErr is why they cannot
	// be read, which matters where they count.
	certs    []*x509.Certificate
	certsErr error
	verifies func(pub crypto.PublicKey) bool
	// material reads what else came with it, for a trusted root; nil where its format
	// has no such thing.
	material func() (sigstore.Material, error)
}

// open reads the envelope of a request that was checked.
func open(r Request) (envelope, error) {
	var e envelope
	var err error
	switch r.Format {
	case FormatCosign:
		e, err = openCosign(r)
	case FormatBundle:
		e, err = openBundle(r)
	case FormatDSSE:
		e, err = openDSSE(r)
	case FormatNotation:
		e, err = openNotation(r)
	default:
		return e, invalid("format %q is unknown", clip(string(r.Format)))
	}
	e.request = r
	return e, err
}

// verify checks the signatures by one key, which must be in force. The last refusal
// is reported; with one signature it is the only one.
func (e envelope) verify(k *ParsedKey) (Result, error) {
	if err := k.inForce(e.request.Now); err != nil {
		return Result{}, err
	}
	var refusal error
	for _, s := range e.signatures {
		var by signatory
		if by, refusal = s.check(k, e.request); refusal == nil {
			return e.signedBy(by, s)
		}
	}
	return Result{}, refusal
}

// signedBy is what an envelope says whose signature s was verified.
func (e envelope) signedBy(by signatory, s signature) (Result, error) {
	result, err := e.document()
	if err != nil {
		return Result{}, err
	}
	result.Signature = hash(nonMalleable(by.public, s.bytes))
	result.Identity, result.Issuer, result.Claims, result.Uses = by.identity, by.issuer, by.claims, by.uses
	if t := e.request.Type; t != "" && t != result.Type {
		return Result{}, invalid("signed as %s, not %s", result.Type, t)
	}
	return result, nil
}

// signatory is whose signature it is: a registered public key, or a certificate
// below a registered root and whom that names; below a trusted root, on whose word.
type signatory struct {
	public           crypto.PublicKey
	identity, issuer string
	claims           map[string]string
	uses             []sigstore.Use
}

// check tells whether the signature is by k. With a public key, certificates
// beside the signature are disregarded.
func (s signature) check(k *ParsedKey, r Request) (signatory, error) {
	if s.err != nil {
		return signatory{}, s.err
	}
	by := signatory{public: k.public}
	if k.Kind != PublicKey {
		if s.certsErr != nil {
			return signatory{}, s.certsErr
		}
		if len(s.certs) == 0 {
			return signatory{}, invalid("%q is a %s, but the envelope carries no certificate", k.Name, strings.ReplaceAll(string(k.Kind), "-", " "))
		}
		if k.Kind == TrustedRoot {
			return s.checkKeyless(k, r)
		}
		var err error
		if by, err = k.chain(s.certs, r.Now); err != nil {
			return signatory{}, err
		}
	}
	if !s.verifies(by.public) {
		return signatory{}, invalid("the signature is not by %q over these bytes", k.Name)
	}
	return by, nil
}

// message is what a signature is over. Its hashes are computed once, however
// many keys are tried.
type message struct {
	bytes                  []byte
	sha256, sha384, sha512 func() []byte
}

func messageOf(b []byte) message {
	return message{
		bytes:  b,
		sha256: sync.OnceValue(func() []byte { sum := sha256.Sum256(b); return sum[:] }),
		sha384: sync.OnceValue(func() []byte { sum := sha512.Sum384(b); return sum[:] }),
		sha512: sync.OnceValue(func() []byte { sum := sha512.Sum512(b); return sum[:] }),
	}
}

// nonMalleable is the part of a signature that nobody but its maker can change: of
// (r, s) of ECDSA, r, for (r, -s) is a signature as well.
func nonMalleable(pub crypto.PublicKey, sig []byte) []byte {
	if _, ok := pub.(*ecdsa.PublicKey); !ok {
		return sig
	}
	var pair struct{ R, S *big.Int }
	if rest, err := asn1.Unmarshal(sig, &pair); err == nil && len(rest) == 0 {
		return pair.R.Bytes()
	}
	return new(big.Int).SetBytes(sig[:len(sig)/2]).Bytes() // JWS: r and s at full length
}
