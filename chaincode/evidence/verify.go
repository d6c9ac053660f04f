package evidence

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/json"
	"math/big"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// Request is what Verify judges.
type Request struct {
	Subject  provenance.Digest // the image the evidence must be about
	Format   Format
	Type     string // the type it must be; "" takes it as found
	Envelope []byte
	Now      time.Time // the transaction's time
}

// Result is verified evidence.
type Result struct {
	Type          string
	Facts         json.RawMessage // canonical: sorted keys, no floats, at most MaxFacts
	Document      string          // hex sha256 of the whole document or signed payload
	PredicateType string
	MadeAt        time.Time // as claimed by the document; zero when it says nothing
	Identity      string    // of a certificate signer: e-mail, URI or subject name
	Issuer        string    // who vouched for Identity, as the certificate says
	// Signature names the one signature that was verified, hex sha256; empty for
	// FormatPlain. Whoever holds an envelope can wrap its signature otherwise or turn
	// it into another form that verifies, and can make none with another name.
	Signature string `json:"-"`
}

func wrap(err error, what string) error {
	return provenance.Wrap(provenance.Invalid, err, "evidence: %s", what)
}

// Verify checks one piece of evidence against one registered key and returns
// its type and facts. It refuses, with an Invalid error that names the part:
// an envelope it cannot read strictly, a signature that is not the key's, a
// key or certificate that is not valid at r.Now, a document about another
// image, facts beyond their bounds, and a type other than the one asked for.
// k is nil for FormatPlain and only there. The same arguments always give the
// same result.
func Verify(r Request, k *Key) (Result, error) {
	if r.Subject.IsZero() {
		return Result{}, invalid("no subject")
	}
	if r.Type != "" {
		if err := CheckType(r.Type); err != nil {
			return Result{}, err
		}
	}
	if len(r.Envelope) == 0 || len(r.Envelope) > MaxEnvelope {
		return Result{}, invalid("envelope of %d bytes: want 1 to %d", len(r.Envelope), MaxEnvelope)
	}
	if r.Format == FormatPlain {
		if k != nil {
			return Result{}, invalid("a plain document is signed by no key")
		}
		return verifyPlain(r)
	}
	if k == nil {
		return Result{}, invalid("format %s needs a registered key", clip(string(r.Format)))
	}
	if err := k.inForce(r.Now); err != nil {
		return Result{}, err
	}
	var result Result
	var err error
	switch r.Format {
	case FormatCosign:
		result, err = verifyCosign(r, *k)
	case FormatBundle:
		result, err = verifyBundle(r, *k)
	case FormatDSSE:
		result, err = verifyDSSE(r, *k)
	case FormatNotation:
		result, err = verifyNotation(r, *k)
	default:
		return Result{}, invalid("format %q is unknown", clip(string(r.Format)))
	}
	if err != nil {
		return Result{}, err
	}
	if r.Type != "" && r.Type != result.Type {
		return Result{}, invalid("signed as %s, not %s", result.Type, r.Type)
	}
	return result, nil
}

// authority is how an envelope's signature was accounted for: with the
// registered public key, or with a certificate below the registered root.
type authority struct {
	key  Key
	cert *signer
}

// authority settles who must have signed. With a public key, certificates in
// the envelope are disregarded.
func (k Key) authority(certs []*x509.Certificate, r Request) (authority, error) {
	if k.Kind == PublicKey {
		return authority{key: k}, nil
	}
	if len(certs) == 0 {
		return authority{}, invalid("%q is a certificate root, but the envelope carries no certificate", k.Name)
	}
	s, err := k.chain(certs, r.Now)
	if err != nil {
		return authority{}, err
	}
	return authority{key: k, cert: &s}, nil
}

// check verifies a signature over message.
func (a authority) check(message, sig []byte) error {
	return a.checkWith(func(pub any) bool { return verifies(pub, message, sig) })
}

func (a authority) checkWith(verifies func(pub any) bool) error {
	pub, err := a.publicKey()
	if err != nil {
		return err
	}
	if !verifies(pub) {
		return invalid("the signature is not by %q over these bytes", a.key.Name)
	}
	return nil
}

func (a authority) publicKey() (crypto.PublicKey, error) {
	if a.cert != nil {
		return a.cert.leaf.PublicKey, nil
	}
	return a.key.public()
}

// sign completes the result of a verified signature.
func (a authority) sign(result Result, sig []byte) (Result, error) {
	pub, err := a.publicKey()
	if err != nil {
		return result, err
	}
	result.Signature = hash(lasting(pub, sig))
	if a.cert != nil {
		result.Identity, result.Issuer = a.cert.identity, a.cert.issuer
	}
	return result, nil
}

// lasting is the part of a signature that nobody but its maker can change: of
// (r, s) of ECDSA, r, for (r, -s) is a signature as well.
func lasting(pub crypto.PublicKey, sig []byte) []byte {
	if _, ok := pub.(*ecdsa.PublicKey); !ok {
		return sig
	}
	var pair struct{ R, S *big.Int }
	if rest, err := asn1.Unmarshal(sig, &pair); err == nil && len(rest) == 0 {
		return pair.R.Bytes()
	}
	return new(big.Int).SetBytes(sig[:len(sig)/2]).Bytes() // JWS: r and s at full length
}
