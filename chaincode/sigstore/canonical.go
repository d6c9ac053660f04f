package sigstore

import (
	"bytes"
	"encoding/json"
	"time"
)

// The members of a trusted root as they are written, each once and in this order.
type (
	rootDocument struct {
		MediaType              string              `json:"mediaType"`
		Tlogs                  []logDocument       `json:"tlogs,omitempty"`
		CertificateAuthorities []authorityDocument `json:"certificateAuthorities,omitempty"`
		Ctlogs                 []logDocument       `json:"ctlogs,omitempty"`
		TimestampAuthorities   []authorityDocument `json:"timestampAuthorities,omitempty"`
	}
	logDocument struct {
		BaseURL       string        `json:"baseUrl,omitempty"`
		HashAlgorithm string        `json:"hashAlgorithm"`
		PublicKey     keyDocument   `json:"publicKey"`
		LogID         logIDDocument `json:"logId"`
		Operator      string        `json:"operator,omitempty"`
	}
	keyDocument struct {
		RawBytes   []byte         `json:"rawBytes"`
		KeyDetails string         `json:"keyDetails"`
		ValidFor   windowDocument `json:"validFor"`
	}
	logIDDocument struct {
		KeyID []byte `json:"keyId"`
	}
	authorityDocument struct {
		Subject   subjectDocument `json:"subject"`
		URI       string          `json:"uri,omitempty"`
		CertChain chainDocument   `json:"certChain"`
		ValidFor  windowDocument  `json:"validFor"`
		Operator  string          `json:"operator,omitempty"`
	}
	subjectDocument struct {
		Organization string `json:"organization,omitempty"`
		CommonName   string `json:"commonName,omitempty"`
	}
	chainDocument struct {
		Certificates []certificateDocument `json:"certificates"`
	}
	certificateDocument struct {
		RawBytes []byte `json:"rawBytes"`
	}
	windowDocument struct {
		Start time.Time `json:"start"`
		End   time.Time `json:"end,omitzero"`
	}
)

// Canonical returns the root in its one form: what the ledger keeps and members vote on.
// It is a trusted_root.json, and ParseTrustedRoot makes the same root of it. Authorities
// stand in the order of their IDs; what decides nothing (checkpointKeyId) is left out.
func (r *TrustedRoot) Canonical() []byte { return bytes.Clone(r.canonical) }

func (r *TrustedRoot) encode() ([]byte, error) {
	doc := rootDocument{
		MediaType: rootType, Tlogs: logDocuments(r.logs), Ctlogs: logDocuments(r.ctLogs),
		CertificateAuthorities: authorityDocuments(r.authorities), TimestampAuthorities: authorityDocuments(r.stampers),
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(doc); err != nil {
		return nil, badRoot("cannot be written")
	}
	text := bytes.TrimSuffix(out.Bytes(), []byte("\n"))
	if len(text) > MaxTrustedRoot {
		return nil, badRoot("document of %d bytes: at most %d", len(text), MaxTrustedRoot)
	}
	return text, nil
}

func logDocuments(logs []logKey) []logDocument {
	var out []logDocument
	for _, l := range logs {
		out = append(out, logDocument{
			BaseURL: l.Name, HashAlgorithm: "SHA2_256", LogID: logIDDocument{[]byte(l.id)}, Operator: l.operator,
			PublicKey: keyDocument{l.der, l.keyDetails, windowDocument{l.From, l.Until}},
		})
	}
	return out
}

func authorityDocuments(authorities []authority) []authorityDocument {
	var out []authorityDocument
	for _, a := range authorities {
		doc := authorityDocument{
			Subject: subjectDocument{a.organization, a.subject}, URI: a.uri,
			ValidFor: windowDocument{a.From, a.Until}, Operator: a.operator,
		}
		for _, c := range a.chain {
			doc.CertChain.Certificates = append(doc.CertChain.Certificates, certificateDocument{c.Raw})
		}
		out = append(out, doc)
	}
	return out
}
