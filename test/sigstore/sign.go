package sigstore

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"strings"
)

// Evidence says what a bundle has. The zero value has nothing that proves a time.
type Evidence struct {
	V1      bool   // an entry of the Rekor v1 log, with promise and proof
	Promise bool   // of the v1 log, without a proof
	Kind    string // of the v1 entry of an envelope: "" is dsse 0.0.1; intoto 0.0.1, intoto 0.0.2, hashedrekord 0.0.1
	V2      bool   // an entry of the Rekor v2 log
	Stamp   bool   // a timestamp, with the authority's certificate
	NoSCT   bool   // the certificate has no word of a CT log
	Chain   bool   // certificates as a chain, as bundles of v0.1 and v0.2 have them
	Version string
}

// mediaType of a bundle's version; "" is 0.3.
func (e Evidence) mediaType() string {
	switch e.Version {
	case "", "0.3":
		return "application/vnd.dev.sigstore.bundle.v0.3+json"
	default:
		return "application/vnd.dev.sigstore.bundle+json;version=" + e.Version
	}
}

// Attest signs an in-toto statement in a DSSE envelope and returns the bundle.
func (s *Instance) Attest(id Identity, statement []byte, with Evidence) ([]byte, error) {
	const payloadType = "application/vnd.in-toto+json"
	return s.sign(id, with, pae(payloadType, statement), func(sig []byte) map[string]any {
		return map[string]any{"dsseEnvelope": map[string]any{
			"payload": statement, "payloadType": payloadType, "signatures": []any{map[string]any{"sig": sig}},
		}}
	}, statement)
}

// pae is what is signed of a DSSE envelope.
func pae(payloadType string, payload []byte) []byte {
	return fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(payloadType), payloadType, len(payload), payload)
}

// Sign signs an artifact, as the bytes of an image's manifest, and returns the bundle.
func (s *Instance) Sign(id Identity, artifact []byte, with Evidence) ([]byte, error) {
	return s.sign(id, with, artifact, func(sig []byte) map[string]any {
		return map[string]any{"messageSignature": map[string]any{
			"messageDigest": map[string]any{"algorithm": "SHA2_256", "digest": sum(artifact)}, "signature": sig,
		}}
	}, nil)
}

// sign signs a message; payload is that of the DSSE envelope, nil without one.
func (s *Instance) sign(id Identity, with Evidence, message []byte, content func(sig []byte) map[string]any, payload []byte) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	ct := last(s.ctlogs)
	if with.NoSCT {
		ct = nil
	}
	cert, err := last(s.cas).issue(id, key.Public(), ct, s.Now())
	if err != nil {
		return nil, err
	}
	sig, err := ecdsa.SignASN1(rand.Reader, key, sum(message))
	if err != nil {
		return nil, err
	}
	material := map[string]any{"certificate": map[string]any{"rawBytes": cert.Raw}}
	if with.Chain {
		material = map[string]any{"x509CertificateChain": map[string]any{"certificates": []any{
			map[string]any{"rawBytes": cert.Raw}, map[string]any{"rawBytes": last(s.cas).intermediate.Raw},
		}}}
	}
	bundle := content(sig)
	entries := []any{}
	if with.V1 || with.Promise {
		kind, body, err := bodyV1(with.Kind, cert, message, sig, bundle["dsseEnvelope"], payload)
		if err != nil {
			return nil, err
		}
		name, version, _ := strings.Cut(kind, " ")
		e, err := last(s.v1).append(name, version, body, s.Now())
		if err != nil {
			return nil, err
		}
		entries = append(entries, e.bundled(true, with.V1))
	}
	if with.V2 {
		body, err := bodyV2(cert.Raw, sum(message), sig, "PKIX_ECDSA_P256_SHA_256")
		if err != nil {
			return nil, err
		}
		e, err := last(s.v2).append("hashedrekord", "0.0.2", body, s.Now())
		if err != nil {
			return nil, err
		}
		entries = append(entries, e.bundled(false, true))
	}
	if len(entries) > 0 {
		material["tlogEntries"] = entries
	}
	if with.Stamp {
		resp, err := last(s.stamps).stamp(sum(sig), s.Now(), true)
		if err != nil {
			return nil, err
		}
		material["timestampVerificationData"] = map[string]any{"rfc3161Timestamps": []any{map[string]any{"signedTimestamp": resp}}}
	}
	bundle["mediaType"], bundle["verificationMaterial"] = with.mediaType(), material
	return json.Marshal(bundle)
}

// bodyV1 is the canonical body of a v1 entry: hashedrekord, or for an envelope dsse if
// no other kind is asked for.
func bodyV1(asked string, cert *x509.Certificate, message, sig []byte, envelope any, payload []byte) (kind string, body []byte, err error) {
	verifier := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
	if envelope == nil || asked == "hashedrekord 0.0.1" {
		body, err = json.Marshal(map[string]any{"apiVersion": "0.0.1", "kind": "hashedrekord", "spec": map[string]any{
			"data":      map[string]any{"hash": map[string]any{"algorithm": "sha256", "value": hexSum(message)}},
			"signature": map[string]any{"content": sig, "publicKey": map[string]any{"content": verifier}},
		}})
		return "hashedrekord 0.0.1", body, err
	}
	text, err := json.Marshal(envelope)
	if err != nil {
		return "", nil, err
	}
	if version, ok := strings.CutPrefix(asked, "intoto "); ok {
		body, err = bodyIntoto(version, text, payload, sig, verifier)
		return asked, body, err
	}
	body, err = bodyDSSE(text, payload, base64.StdEncoding.EncodeToString(sig), verifier)
	return "dsse 0.0.1", body, err
}

func bodyIntoto(version string, envelope, payload, sig, verifier []byte) ([]byte, error) {
	content := map[string]any{
		"hash":        map[string]any{"algorithm": "sha256", "value": hexSum(envelope)},
		"payloadHash": map[string]any{"algorithm": "sha256", "value": hexSum(payload)},
	}
	spec := map[string]any{"content": content}
	if version == "0.0.1" {
		spec["publicKey"] = verifier
	} else {
		content["envelope"] = map[string]any{"payloadType": "application/vnd.in-toto+json", "signatures": []any{
			map[string]any{"publicKey": verifier, "sig": []byte(base64.StdEncoding.EncodeToString(sig))},
		}}
	}
	return json.Marshal(map[string]any{"apiVersion": version, "kind": "intoto", "spec": spec})
}

func bodyDSSE(envelope, payload []byte, sig string, verifier []byte) ([]byte, error) {
	return json.Marshal(map[string]any{"apiVersion": "0.0.1", "kind": "dsse", "spec": map[string]any{
		"envelopeHash": map[string]any{"algorithm": "sha256", "value": hexSum(envelope)},
		"payloadHash":  map[string]any{"algorithm": "sha256", "value": hexSum(payload)},
		"signatures":   []any{map[string]any{"signature": sig, "verifier": verifier}},
	}})
}

// bodyV2 is the canonical body of a v2 entry, which is hashedrekord for everything.
func bodyV2(cert, digest, sig []byte, keyDetails string) ([]byte, error) {
	return json.Marshal(map[string]any{"apiVersion": "0.0.2", "kind": "hashedrekord", "spec": map[string]any{"hashedRekordV002": map[string]any{
		"data":      map[string]any{"algorithm": "SHA2_256", "digest": digest},
		"signature": map[string]any{"content": sig, "verifier": map[string]any{"keyDetails": keyDetails, "x509Certificate": map[string]any{"rawBytes": cert}}},
	}}})
}

// TrustedRoot is the trusted_root.json of what the instance is now, its former
// authorities with it. Kinds that are left out are not trusted.
func (s *Instance) TrustedRoot(without ...Kind) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	left := func(kind Kind) bool {
		for _, w := range without {
			if w == kind {
				return true
			}
		}
		return false
	}
	authorities := func(kind Kind, list []*authority) []any {
		out := []any{}
		for _, a := range list {
			if left(kind) {
				continue
			}
			certs := []any{map[string]any{"rawBytes": a.intermediate.Raw}, map[string]any{"rawBytes": a.root.Raw}}
			if a.signing != nil {
				certs = append([]any{map[string]any{"rawBytes": a.signing.Raw}}, certs...)
			}
			out = append(out, map[string]any{
				"subject": map[string]any{"organization": a.root.Subject.Organization[0], "commonName": a.root.Subject.CommonName}, "uri": a.uri,
				"certChain": map[string]any{"certificates": certs}, "validFor": a.text(),
			})
		}
		return out
	}
	logs := func(kind Kind) []any {
		out := []any{}
		for _, l := range *s.logs(kind) {
			if left(kind) {
				continue
			}
			details := "PKIX_ECDSA_P256_SHA_256"
			if kind == RekorV2 {
				details = "PKIX_ED25519"
			}
			out = append(out, map[string]any{
				"baseUrl": "https://" + l.host, "hashAlgorithm": "SHA2_256", "logId": map[string]any{"keyId": l.id},
				"publicKey": map[string]any{"rawBytes": l.public, "keyDetails": details, "validFor": l.text()},
			})
		}
		return out
	}
	text, err := json.MarshalIndent(map[string]any{
		"mediaType":              "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
		"tlogs":                  append(logs(RekorV1), logs(RekorV2)...),
		"certificateAuthorities": authorities(CA, s.cas), "ctlogs": logs(CTLog), "timestampAuthorities": authorities(TSA, s.stamps),
	}, "", "  ")
	if err != nil {
		panic(err) // maps of strings and bytes
	}
	return text
}

func (w window) text() map[string]any {
	const form = "2006-01-02T15:04:05.000Z"
	m := map[string]any{"start": w.From.UTC().Format(form)}
	if !w.Until.IsZero() {
		m["end"] = w.Until.UTC().Format(form)
	}
	return m
}

// Fingerprint is the hex SHA-256 of the newest log's or authority's key or root.
func (s *Instance) Fingerprint(kind Kind) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch kind {
	case CA:
		return hexSum(last(s.cas).root.Raw)
	case TSA:
		return hexSum(last(s.stamps).root.Raw)
	default:
		return hex.EncodeToString(last(*s.logs(kind)).id)
	}
}
