package evidence

import (
	"crypto"
	"fmt"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/sigstore"
)

// Source: secure-systems-lab/dsse, envelope.md and protocol.md.
const (
	inTotoPayload = "application/vnd.in-toto+json"
	maxSignatures = 8
)

// signedPayload is an opened DSSE envelope.
type signedPayload struct {
	payload    []byte
	message    []byte // what is signed of it
	signatures []signature
	certs      []string // PEM beside each signature, or ""
}

func readDSSE(m map[string]any, most int) (signedPayload, error) {
	var d signedPayload
	var err error
	if kind := str(m, "payloadType"); kind != inTotoPayload {
		return d, invalid("dsse: payloadType %q: want %s", clip(kind), inTotoPayload)
	}
	if d.payload, err = decodeAny64(str(m, "payload"), "dsse payload"); err != nil {
		return d, err
	}
	sigs := list(m, "signatures")
	if len(sigs) == 0 || len(sigs) > most {
		return d, invalid("dsse: %d signatures: want 1 to %d", len(sigs), most)
	}
	d.message = pae(d.payload)
	signed := messageOf(d.message)
	for i, s := range sigs {
		sig, err := decodeAny64(str(s, "sig"), fmt.Sprintf("dsse signature %d", i))
		d.signatures = append(d.signatures, signature{
			bytes: sig, err: err,
			verifies: func(pub crypto.PublicKey) bool { return verifies(pub, signed, sig) },
		})
		d.certs = append(d.certs, str(s, "cert"))
	}
	return d, nil
}

func (d signedPayload) envelope(subject provenance.Digest) envelope {
	return envelope{signatures: d.signatures, document: func() (Result, error) { return statementResult(d.payload, subject) }}
}

// pae is DSSE's pre-authentication encoding of an in-toto statement.
func pae(body []byte) []byte {
	return fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(inTotoPayload), inTotoPayload, len(body), body)
}

// material completes the material of a signature over the payload.
func (d signedPayload) material(m sigstore.Material, err error) (sigstore.Material, error) {
	m.PayloadType, m.Payload, m.Message = inTotoPayload, d.payload, d.message
	return m, err
}

// openDSSE reads a bare DSSE envelope. For certificate roots a signature
// carries its certificates as PEM in "cert", leaf first, or the envelope has those
// of cosign's annotations beside it.
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
		s := &d.signatures[i]
		if d.certs[i] == "" {
			s.certs, s.certsErr = pemCertificates(str(m, "certificate"), str(m, "chain"))
		} else {
			s.certs, s.certsErr = pemCertificates(d.certs[i])
		}
		s.material = func() (sigstore.Material, error) { return d.material(annotations(m)) }
	}
	return d.envelope(r.Subject), nil
}
