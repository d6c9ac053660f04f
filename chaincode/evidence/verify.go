package evidence

import (
	"encoding/json"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/sigstore"
)

// Request is what Verify judges.
type Request struct {
	Subject  provenance.Digest // the image the evidence must be about
	Format   Format
	Type     string // the type it must be; "" takes it as found
	Envelope []byte
	Now      time.Time // the transaction's time
	// Known returns what else a document may name the subject by: the indexes that
	// list it, the images it lists, its config. It is asked only where a document
	// names an image and not the subject; nil knows nothing.
	Known func() ([]provenance.Digest, error)
	// Schema returns the schema of a custom type: of a document only what it names are
	// facts. nil: all of the document are, and what can be none is refused.
	Schema func(typ string) (json.RawMessage, error)
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
	// Claims and Uses are of a TrustedRoot: what its certificate says besides, and the
	// authorities that vouched for the signature.
	Claims map[string]string `json:"claims,omitempty"`
	Uses   []sigstore.Use    `json:"uses,omitempty"`
	// Signature names the one signature that was verified, hex sha256; empty for
	// FormatPlain. Whoever holds an envelope can wrap its signature otherwise or turn
	// it into another form that verifies, and can make none with another name.
	Signature string `json:"-"`
	// Names are by what the document names its image.
	Names ImageNames `json:"-"`
	// Predicate is the document of a custom type, of which Facts are made.
	Predicate map[string]any `json:"-"`
}

func wrap(err error, what string) error {
	return provenance.Wrap(provenance.Invalid, err, "evidence: %s", what)
}

// Verify checks one piece of evidence against one registered key and returns
// its type and facts; Signers does against many. It refuses, with an Invalid error that names the part:
// an envelope it cannot read strictly, a signature that is not the key's, a
// key or certificate that is not valid at r.Now, a document about another
// image, facts beyond their bounds, and a type other than the one asked for.
// k is nil for FormatPlain and only there. The same arguments always give the
// same result.
func Verify(r Request, k *Key) (Result, error) { return VerifyCached(r, k, nil) }

// VerifyCached is Verify with the key kept parsed in c, which may be nil.
func VerifyCached(r Request, k *Key, c *KeyCache) (Result, error) {
	if err := r.check(); err != nil {
		return Result{}, err
	}
	if r.Format == FormatPlain {
		if k != nil {
			return Result{}, invalid("a plain document is signed by no key")
		}
		return r.finish(verifyUnsigned(r))
	}
	if k == nil {
		return Result{}, invalid("format %s needs a registered key", clip(string(r.Format)))
	}
	if err := k.inForce(r.Now); err != nil {
		return Result{}, err
	}
	e, err := open(r)
	if err != nil {
		return Result{}, err
	}
	parsed, err := c.Parse(*k)
	if err != nil {
		return Result{}, err
	}
	return r.finish(e.verify(parsed))
}

// finish does what every verified document is held to, whoever signed it: the image
// that it names, and the facts of a custom one.
func (r Request) finish(result Result, err error) (Result, error) {
	if err == nil {
		err = result.Names.check(r)
	}
	return r.withFacts(result, err)
}

// withFacts makes the facts of a custom document.
func (r Request) withFacts(result Result, err error) (Result, error) {
	if err == nil && result.Predicate != nil {
		result.Facts, err = r.customFacts(result.Type, result.Predicate)
	}
	if err != nil {
		return Result{}, err
	}
	return result, nil
}

func (r Request) check() error {
	if r.Subject.IsZero() {
		return invalid("no subject")
	}
	if r.Type != "" {
		if err := CheckType(r.Type); err != nil {
			return err
		}
	}
	if most := r.Format.MaxEnvelope(); len(r.Envelope) == 0 || len(r.Envelope) > most {
		return invalid("envelope of %d bytes: want 1 to %d", len(r.Envelope), most)
	}
	return nil
}
