package sigstore

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"strings"
)

// logged checks that an entry's body is about the material: the same signature by the
// same certificate over the same bytes. What else a Rekor v1 body says is its log's
// word and decides nothing. v2 tells of which generation the log is.
// Source: sigstore/rekor, pkg/types; sigstore/rekor-tiles, api/proto and CLIENTS.md.
func (m Material) logged(e Entry, signer crypto.PublicKey) (v2 bool, err error) {
	body, ok := readObject(e.Body, maxBody)
	kind, _ := body.text("kind")
	version, _ := body.text("apiVersion")
	spec, isSpec := body.object("spec")
	if !ok || !isSpec {
		return false, invalid("log entry: its body is no JSON object with a spec")
	}
	if e.Kind != "" && (e.Kind != kind || e.Version != version) {
		return false, invalid("log entry: the bundle says %q %q, its body %q %q", clip(e.Kind), clip(e.Version), clip(kind), clip(version))
	}
	switch kind + " " + version {
	case "hashedrekord 0.0.1":
		ok = m.inHashedRekord(spec)
	case "dsse 0.0.1":
		ok = m.inDSSE(spec)
	case "intoto 0.0.1":
		ok = m.inIntotoV1(spec)
	case "intoto 0.0.2":
		ok = m.inIntotoV2(spec)
	case "hashedrekord 0.0.2":
		v2, ok = true, bytes.Equal(e.Body, m.hashedRekordV2(signer))
	case "dsse 0.0.2":
		v2, ok = true, m.Payload != nil && bytes.Equal(e.Body, m.dsseV2(signer))
	default:
		return false, invalid("log entry: kind %q version %q is unknown", clip(kind), clip(version))
	}
	if !ok {
		return v2, invalid("log entry: it is of another signature, certificate or content")
	}
	return v2, nil
}

// digest is the hash of what was signed, or nil where that cannot be known.
func (m Material) digest(h hashing) []byte {
	switch {
	case m.Message != nil:
		return h.sum(m.Message)
	case m.Algorithm == h.v1:
		return m.Digest
	}
	return nil
}

// inHashedRekord: of a DSSE envelope, what was hashed is its pre-authentication encoding.
func (m Material) inHashedRekord(spec object) bool {
	data, _ := spec.object("data")
	hash, _ := data.object("hash")
	signature, _ := spec.object("signature")
	key, _ := signature.object("publicKey")
	content, _ := signature.binary("content", maxSignature)
	for _, h := range hashings() {
		if algorithm, _ := hash.text("algorithm"); algorithm == h.v1 {
			return hash.isHex("value", m.digest(h)) && bytes.Equal(content, m.Signature) && m.isCertificate(key, "content")
		}
	}
	return false
}

func (m Material) inDSSE(spec object) bool {
	signatures, ok := spec.objects("signatures", 1)
	if !ok || len(signatures) != 1 {
		return false
	}
	sig, _ := signatures[0].binary("signature", maxSignature)
	return bytes.Equal(sig, m.Signature) && m.isCertificate(signatures[0], "verifier") && m.isPayload(spec)
}

// inIntotoV1: this kind has no signature, only the hash of an envelope whose spacing
// nobody knows. The log checked one by this certificate over this payload, so that
// whoever shows another had the same key.
func (m Material) inIntotoV1(spec object) bool {
	content, _ := spec.object("content")
	return m.isCertificate(spec, "publicKey") && m.isPayload(content)
}

func (m Material) inIntotoV2(spec object) bool {
	content, _ := spec.object("content")
	envelope, _ := content.object("envelope")
	signatures, ok := envelope.objects("signatures", 1)
	if !ok || len(signatures) != 1 {
		return false
	}
	twice, _ := signatures[0].binary("sig", 2*maxSignature) // base64 of base64
	sig, _ := DecodeBase64(string(twice), maxSignature)
	kind, _ := envelope.text("payloadType")
	return kind == m.PayloadType && bytes.Equal(sig, m.Signature) && m.isCertificate(signatures[0], "publicKey") && m.isPayload(content)
}

func (m Material) isPayload(o object) bool {
	hash, _ := o.object("payloadHash")
	algorithm, _ := hash.text("algorithm")
	return m.Payload != nil && algorithm == "sha256" && hash.isHex("value", hashings()[0].sum(m.Payload))
}

// isCertificate tells whether a member is the certificate in PEM in base64.
func (m Material) isCertificate(o object, name string) bool {
	text, _ := o.binary(name, 2*maxCertificate)
	block, rest := pem.Decode(text)
	return block != nil && block.Type == "CERTIFICATE" && len(strings.TrimSpace(string(rest))) == 0 && bytes.Equal(block.Bytes, m.Certificate)
}

func (o object) isHex(name string, want []byte) bool {
	text, _ := o.text(name)
	return len(want) > 0 && text == hex.EncodeToString(want)
}

// hashedRekordV2 is the body that a Rekor v2 log has of the material, to the byte, for
// its bodies are canonical JSON (RFC 8785); nil where it has none of such a key.
func (m Material) hashedRekordV2(signer crypto.PublicKey) []byte {
	details, hash := keyDetailsV2(signer)
	if edKey, _ := signer.(ed25519.PublicKey); edKey != nil {
		details, hash = "PKIX_ED25519_PH", hashings()[2]
	}
	digest := m.digest(hash)
	if details == "" || len(digest) == 0 {
		return nil
	}
	return fmt.Appendf(nil, `{"apiVersion":"0.0.2","kind":"hashedrekord","spec":{"hashedRekordV002":{"data":{"algorithm":%q,"digest":%q},"signature":%s}}}`,
		hash.v2, encode64(digest), m.signatureV2(details))
}

// dsseV2 is hashedRekordV2 for the kind of the first Rekor v2 logs.
func (m Material) dsseV2(signer crypto.PublicKey) []byte {
	details, _ := keyDetailsV2(signer)
	if details == "" {
		return nil
	}
	return fmt.Appendf(nil, `{"apiVersion":"0.0.2","kind":"dsse","spec":{"dsseV002":{"payloadHash":{"algorithm":"SHA2_256","digest":%q},"signatures":[%s]}}}`,
		encode64(hashings()[0].sum(m.Payload)), m.signatureV2(details))
}

func (m Material) signatureV2(details string) string {
	return fmt.Sprintf(`{"content":%q,"verifier":{"keyDetails":%q,"x509Certificate":{"rawBytes":%q}}}`,
		encode64(m.Signature), details, encode64(m.Certificate))
}

func keyDetailsV2(signer crypto.PublicKey) (string, hashing) {
	switch key := signer.(type) {
	case *ecdsa.PublicKey:
		return ecdsaDetails(key), hashFor(key, true)
	case ed25519.PublicKey:
		return "PKIX_ED25519", hashings()[2]
	case *rsa.PublicKey:
		switch bits := key.N.BitLen(); bits {
		case 2048, 3072, 4096:
			return fmt.Sprintf("PKIX_RSA_PKCS1V15_%d_SHA256", bits), hashings()[0]
		}
	}
	return "", hashing{}
}

func encode64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }
