package evidence

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strings"

	"github.com/waybill-dev/waybill/chaincode/strictjson"
)

// Guess says cheaply, without verifying anything, what type of evidence an
// envelope seems to be ("" when it cannot tell) and a hint at its key: the
// key's Fingerprint where the envelope has one (a cosign bundle's hint, or the
// last certificate of its chain, which may be the root's), else a key id as it
// stands, else "". Both may be forged; they only choose what to try first.
func Guess(format Format, envelope []byte) (typ string, keyHint string) {
	m, err := strictjson.Object(envelope, strictjson.Limits{Bytes: MaxDocument})
	if err != nil {
		return "", ""
	}
	switch format {
	case FormatCosign:
		return TypeSignature, lastPEM(str(m, "certificate"), str(m, "chain"))
	case FormatNotation:
		chain := list(m, "header", "x5c")
		if len(chain) == 0 {
			return TypeSignature, ""
		}
		last, _ := chain[len(chain)-1].(string)
		return TypeSignature, hashBase64(last)
	case FormatDSSE:
		hint := ""
		if sigs := list(m, "signatures"); len(sigs) > 0 {
			hint = str(sigs[0], "keyid")
			if pem := str(sigs[0], "cert"); pem != "" {
				hint = lastPEM(pem)
			}
		}
		return guessPayload(str(m, "payload")), hexHint(hint)
	case FormatBundle:
		material := object(m, "verificationMaterial")
		hint := hexHint(str(material, "publicKey", "hint"))
		if chain := list(material, "x509CertificateChain", "certificates"); len(chain) > 0 {
			hint = hashBase64(str(chain[len(chain)-1], "rawBytes"))
		}
		if has(m, "messageSignature") {
			return TypeSignature, hint
		}
		return guessPayload(str(m, "dsseEnvelope", "payload")), hint
	case FormatPlain:
		return guessDocument(m), ""
	}
	return "", ""
}

func guessPayload(payload string) string {
	b, err := base64.StdEncoding.DecodeString(payload)
	if err != nil {
		return ""
	}
	m, err := strictjson.Object(b, strictjson.Limits{Bytes: MaxDocument})
	if err != nil {
		return ""
	}
	return guessDocument(m)
}

func guessDocument(m map[string]any) string {
	if strings.HasPrefix(str(m, "_type"), "https://in-toto.io/Statement/") {
		return typeOfPredicate(str(m, "predicateType"))
	}
	return sniff(m)
}

func lastPEM(texts ...string) string {
	for i := len(texts) - 1; i >= 0; i-- {
		if texts[i] == "" {
			continue
		}
		ders, err := blocks(texts[i], "CERTIFICATE", maxChain)
		if err != nil {
			return ""
		}
		return fingerprint(ders[len(ders)-1])
	}
	return ""
}

func hashBase64(s string) string {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil || len(b) == 0 {
		return ""
	}
	return fingerprint(b)
}

func fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}
