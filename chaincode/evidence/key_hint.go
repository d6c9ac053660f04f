package evidence

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strings"

	"github.com/waybill-dev/waybill/chaincode/strictjson"
)

// KeyHint is what an envelope says of the key that signed it, without any
// verification: the key's Fingerprint where it has one (a bundle's hint, or the last
// certificate of a chain, which may be the root's), else a key id as it stands, else
// "". It may be forged; it only chooses what to try first.
func KeyHint(format Format, envelope []byte) string {
	m, err := strictjson.Object(envelope, strictjson.Limits{Bytes: MaxEnvelope})
	if err != nil {
		return ""
	}
	switch format {
	case FormatCosign:
		return lastCertificateHint(str(m, "certificate"), str(m, "chain"))
	case FormatNotation:
		chain := list(m, "header", "x5c")
		if len(chain) == 0 {
			return ""
		}
		last, _ := chain[len(chain)-1].(string)
		return hashBase64(last)
	case FormatDSSE:
		sigs := list(m, "signatures")
		if len(sigs) == 0 {
			return ""
		}
		if pem := str(sigs[0], "cert"); pem != "" {
			return lastCertificateHint(pem)
		}
		if has(m, "certificate") {
			return lastCertificateHint(str(m, "certificate"), str(m, "chain"))
		}
		return hexHint(str(sigs[0], "keyid"))
	case FormatBundle:
		material := object(m, "verificationMaterial")
		if chain := list(material, "x509CertificateChain", "certificates"); len(chain) > 0 {
			return hashBase64(str(chain[len(chain)-1], "rawBytes"))
		}
		return hexHint(str(material, "publicKey", "hint"))
	default:
		return ""
	}
}

func lastCertificateHint(texts ...string) string {
	for i := len(texts) - 1; i >= 0; i-- {
		if texts[i] == "" {
			continue
		}
		ders, err := pemBlocks(texts[i], "CERTIFICATE", maxChain)
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

// hexHint turns a key hint into the hex fingerprint it often is: cosign writes
// the base64 of the sha256 of the key's DER.
func hexHint(hint string) string {
	if b, err := base64.StdEncoding.DecodeString(hint); err == nil && len(b) == 32 {
		return hex.EncodeToString(b)
	}
	return clip(strings.TrimSpace(hint))
}
