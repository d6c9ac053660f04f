package channel

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// PayloadType names descriptors in their envelope.
const PayloadType = "application/vnd.waybill.organization+json"

// MaxFile bounds a descriptor's file. A dozen certificates and a revocation list of some thousand entries fit.
const MaxFile = 256 << 10

// envelope is a DSSE envelope with exactly one signature, which brings its certificate.
type envelope struct {
	PayloadType string      `json:"payloadType"`
	Payload     string      `json:"payload"` // base64
	Signatures  []signature `json:"signatures"`
}

type signature struct {
	Sig  string `json:"sig"`  // base64
	Cert string `json:"cert"` // PEM
}

// Sign writes the descriptor's file, signed by an admin of the organisation that it describes. It refuses
// what Open would refuse.
func Sign(d Descriptor, cert *x509.Certificate, key crypto.Signer) ([]byte, error) {
	payload, err := d.payload()
	if err != nil {
		return nil, err
	}
	message := preAuthentication(payload)
	var opts crypto.SignerOpts = crypto.Hash(0)
	if _, ok := key.Public().(*ecdsa.PublicKey); ok {
		sum := sha256.Sum256(message)
		message, opts = sum[:], crypto.SHA256
	}
	sig, err := key.Sign(rand.Reader, message, opts)
	if err != nil {
		return nil, fmt.Errorf("sign descriptor of %s: %w", d.Name, err)
	}
	file, err := encode(envelope{
		PayloadType: PayloadType,
		Payload:     base64.StdEncoding.EncodeToString(payload),
		Signatures:  []signature{{Sig: base64.StdEncoding.EncodeToString(sig), Cert: encodePEM("CERTIFICATE", cert.Raw)}},
	})
	if err != nil {
		return nil, err
	}
	if _, err := Open(file); err != nil {
		return nil, err
	}
	return file, nil
}

func encode(e envelope) ([]byte, error) {
	raw, err := json.MarshalIndent(e, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode descriptor: %w", err)
	}
	return append(raw, '\n'), nil
}

// preAuthentication is what DSSE signs: type and payload, each with its length.
func preAuthentication(payload []byte) []byte {
	return fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(PayloadType), PayloadType, len(payload), payload)
}

// Open reads a descriptor's file and believes nothing in it that is not checked: an admin below the descriptor's
// own roots signed exactly this, every certificate is what its field says and in force, and there is
// nothing in the file but that. Whether the roots are the organisation's, only people can tell: Fingerprint.
func Open(file []byte) (Descriptor, error) { return OpenAt(file, time.Now()) }

// OpenAt is Open at a moment, e.g. that of a block which was made of the file.
func OpenAt(file []byte, at time.Time) (Descriptor, error) {
	d, err := open(file, at)
	if err != nil {
		return Descriptor{}, fmt.Errorf("descriptor: %w", err)
	}
	return d, nil
}

func open(file []byte, at time.Time) (d Descriptor, err error) {
	if len(file) > MaxFile {
		return d, fmt.Errorf("%d bytes; at most %d are read", len(file), MaxFile)
	}
	var e envelope
	if err := json.Unmarshal(file, &e); err != nil {
		return d, fmt.Errorf("not a descriptor's file: %w", err)
	}
	if e.PayloadType != PayloadType {
		return d, fmt.Errorf("payload type %.80q, want %q", e.PayloadType, PayloadType)
	}
	if len(e.Signatures) != 1 {
		return d, fmt.Errorf("%d signatures, want one", len(e.Signatures))
	}
	// Written anew it must be the same: no unknown, repeated or differently spelled field, nothing behind it.
	again, err := encode(e)
	if err != nil {
		return d, err
	}
	if !bytes.Equal(again, file) {
		return d, errors.New("the file is not written as a descriptor's file is: something was added or changed in it")
	}
	payload, err := base64.StdEncoding.Strict().DecodeString(e.Payload)
	if err != nil {
		return d, fmt.Errorf("payload: %w", err)
	}
	if d, err = parse(payload); err != nil {
		return d, err
	}
	a, err := d.check(at)
	if err != nil {
		return d, err
	}
	return d, a.verify(e.Signatures[0], payload, at)
}

// parse reads what was signed.
func parse(payload []byte) (Descriptor, error) {
	var d Descriptor
	if err := json.Unmarshal(payload, &d); err != nil {
		return d, fmt.Errorf("payload: %w", err)
	}
	if d.Version != Version {
		return d, fmt.Errorf("version %d; this program reads version %d", d.Version, Version)
	}
	again, err := d.payload()
	if err != nil {
		return d, err
	}
	if !bytes.Equal(again, payload) {
		return d, errors.New("the payload is not written as a descriptor is: a field is unknown, repeated or spelled differently, or something follows it")
	}
	return d, nil
}

// verify checks that an admin signed the payload.
func (a *authorities) verify(s signature, payload []byte, at time.Time) error {
	cert, err := parseCertificate(s.Cert)
	if err != nil {
		return fmt.Errorf("signer: %w", err)
	}
	if err := a.enrolment.member(cert, "admin", at); err != nil {
		return fmt.Errorf("signer: %w", err)
	}
	sig, err := base64.StdEncoding.Strict().DecodeString(s.Sig)
	if err != nil {
		return fmt.Errorf("signature: %w", err)
	}
	message := preAuthentication(payload)
	ok := false
	switch key := cert.PublicKey.(type) {
	case *ecdsa.PublicKey:
		sum := sha256.Sum256(message)
		ok = ecdsa.VerifyASN1(key, sum[:], sig)
	case ed25519.PublicKey:
		ok = ed25519.Verify(key, message, sig)
	}
	if !ok {
		return errors.New("signature: not made with the signer's key over this payload")
	}
	return nil
}
