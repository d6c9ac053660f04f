package signer

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

const (
	statementType = "application/vnd.in-toto+json"
	bundleType    = "application/vnd.dev.sigstore.bundle.v0.3+json"
)

// signed is one signature by a key that lives no longer than this.
type signed struct {
	certificate []byte // DER
	message     []byte // DSSE's pre-authentication encoding
	signature   []byte
	envelope    envelope
}

// envelope is DSSE in JSON; the bytes are base64.
type envelope struct {
	Payload     []byte              `json:"payload"`
	PayloadType string              `json:"payloadType"`
	Signatures  []envelopeSignature `json:"signatures"`
}

type envelopeSignature struct {
	Sig []byte `json:"sig"`
}

// Sign signs an in-toto statement with a new key, which it forgets, and returns a Sigstore
// bundle of version 0.3: the certificate of whoever the identity token names, and what the
// services say of the signature.
func (s Services) Sign(ctx context.Context, token string, statement []byte) ([]byte, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	sig := signed{message: PreAuth(statementType, statement)}
	if sig.certificate, err = s.certify(ctx, token, key); err != nil {
		return nil, fmt.Errorf("certify the key: %w", err)
	}
	sum := sha256.Sum256(sig.message)
	if sig.signature, err = ecdsa.SignASN1(rand.Reader, key, sum[:]); err != nil {
		return nil, err
	}
	sig.envelope = envelope{Payload: statement, PayloadType: statementType, Signatures: []envelopeSignature{{sig.signature}}}
	material := map[string]any{"certificate": map[string]any{"rawBytes": sig.certificate}}
	stamps := []any{}
	for _, address := range s.Stamps {
		stamp, err := sig.stamp(ctx, address)
		if err != nil {
			return nil, fmt.Errorf("timestamp the signature: %w", err)
		}
		stamps = append(stamps, map[string]any{"signedTimestamp": stamp})
	}
	if len(stamps) > 0 {
		material["timestampVerificationData"] = map[string]any{"rfc3161Timestamps": stamps}
	}
	entries := []any{}
	for _, l := range s.Logs {
		entry, err := sig.log(ctx, l)
		if err != nil {
			return nil, fmt.Errorf("log the signature: %w", err)
		}
		entries = append(entries, entry)
	}
	if len(entries) > 0 {
		material["tlogEntries"] = entries
	}
	return json.Marshal(map[string]any{"mediaType": bundleType, "verificationMaterial": material, "dsseEnvelope": sig.envelope})
}

// PreAuth is DSSE's pre-authentication encoding: what is signed of an envelope
// (secure-systems-lab/dsse, protocol.md).
func PreAuth(payloadType string, payload []byte) []byte {
	return fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(payloadType), payloadType, len(payload), payload)
}

// certify asks for the certificate of a key (Fulcio, /api/v2/signingCert).
func (s Services) certify(ctx context.Context, token string, key *ecdsa.PrivateKey) ([]byte, error) {
	name, err := subject(token)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256([]byte(name))
	proof, err := ecdsa.SignASN1(rand.Reader, key, sum[:])
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, err
	}
	address, err := at(s.Authority, "/api/v2/signingCert")
	if err != nil {
		return nil, err
	}
	type chain struct {
		Chain struct {
			Certificates []string `json:"certificates"`
		} `json:"chain"`
	}
	var answer struct {
		Embedded chain `json:"signedCertificateEmbeddedSct"`
		Detached chain `json:"signedCertificateDetachedSct"`
	}
	r := request{method: http.MethodPost, address: address, bearer: token}
	if err := r.json(ctx, map[string]any{"publicKeyRequest": map[string]any{
		"publicKey":         map[string]any{"algorithm": "ECDSA", "content": string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))},
		"proofOfPossession": proof,
	}}, &answer); err != nil {
		return nil, err
	}
	certificates := answer.Embedded.Chain.Certificates
	if len(certificates) == 0 { // its log's word would come beside it, where no bundle has room
		certificates = answer.Detached.Chain.Certificates
	}
	if len(certificates) == 0 {
		return nil, provenance.Errorf(provenance.Invalid, "%s answered without a certificate", address.Host)
	}
	block, _ := pem.Decode([]byte(certificates[0]))
	if block == nil {
		return nil, provenance.Errorf(provenance.Invalid, "%s answered with no certificate in PEM", address.Host)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil || !key.PublicKey.Equal(cert.PublicKey) {
		return nil, provenance.Errorf(provenance.Invalid, "%s certified another key than ours", address.Host)
	}
	return block.Bytes, nil
}
