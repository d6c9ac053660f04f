package evidence

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strings"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// Limits. A document that no envelope holds goes on the ledger as a Statement
// over its hash; MaxDocument bounds what Extract and Statement read off it.
const (
	// MaxEnvelope is the largest signed document as it travels, its base64 included:
	// three quarters of it are the document.
	MaxEnvelope = 4 << 20
	// MaxSmall is the largest envelope of a format that holds no document (cosign,
	// notation), and of a document that nobody signed.
	MaxSmall    = 64 << 10
	MaxDocument = 32 << 20
	MaxFacts    = 16 << 10
	MaxSubjects = 1024
)

// Format is how evidence is wrapped and signed.
type Format string

// The formats.
const (
	// FormatCosign is a cosign simple-signing signature: JSON with payload and
	// signature (base64) and, each as the text of the layer's annotation
	// dev.sigstore.cosign/NAME, certificate and chain (PEM), bundle and
	// rfc3161timestamp (JSON). The gateway builds it from the layer.
	// Source: cosign, specs/SIGNATURE_SPEC.md.
	FormatCosign Format = "cosign"
	// FormatBundle is a Sigstore bundle v0.1 to v0.3 in JSON: sigstore/protobuf-specs,
	// protos/sigstore_bundle.proto.
	FormatBundle Format = "bundle"
	// FormatDSSE is a DSSE envelope in JSON: secure-systems-lab/dsse, envelope.md. Beside
	// payloadType, payload and signatures it may have the four members that are a layer's
	// annotations, as in FormatCosign; they count for the signatures without a "cert".
	FormatDSSE Format = "dsse"
	// FormatNotation is a Notary Project signature in a JWS JSON or a COSE envelope,
	// which their first byte tells apart: notaryproject/specifications,
	// signature-envelope-jws.md and signature-envelope-cose.md.
	FormatNotation Format = "notation"
	// FormatPlain is a document without a signature of its own, or a Statement
	// over the hash of one; the submitting person vouches for it.
	FormatPlain Format = "plain"
)

// Formats returns the formats, in the order of the documentation.
func Formats() []Format {
	return []Format{FormatCosign, FormatBundle, FormatDSSE, FormatNotation, FormatPlain}
}

// The types of evidence; custom evidence is "custom/NAME".
const (
	TypeSignature  = "signature"
	TypeProvenance = "slsa-provenance"
	TypeSBOM       = "sbom"
	TypeScan       = "vuln-scan"
	TypeVEX        = "vex"
	TypeTest       = "test-result"
	TypeReview     = "review"
	TypeVSA        = "vsa"
	TypeSVR        = "svr"
	CustomPrefix   = "custom/"
)

// Types returns the built-in types, in the order of the documentation.
func Types() []string {
	return []string{TypeSignature, TypeProvenance, TypeSBOM, TypeScan, TypeVEX, TypeTest, TypeReview, TypeVSA, TypeSVR}
}

var customName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// CheckType tells whether typ is a built-in type or a well-formed custom one:
// custom/NAME, NAME of at most 63 lower-case letters, digits and '-'.
func CheckType(typ string) error {
	if name, ok := strings.CutPrefix(typ, CustomPrefix); ok && customName.MatchString(name) {
		return nil
	}
	for _, t := range Types() {
		if t == typ {
			return nil
		}
	}
	return invalid("type %q: want one of %s, or custom/NAME", clip(typ), strings.Join(Types(), ", "))
}

// CutCustom takes the organisation whose schema a custom type has out of
// custom/MSP/NAME: what is signed names none. msp is "" for every other type.
func CutCustom(typ string) (msp, signed string) {
	rest, custom := strings.CutPrefix(typ, CustomPrefix)
	msp, name, qualified := strings.Cut(rest, "/")
	if !custom || !qualified {
		return "", typ
	}
	return msp, CustomPrefix + name
}

// ID names a piece of evidence: the hex sha256 of its format and its bytes.
// The format is part of it, so that nobody can occupy the name of a signature
// by submitting the same bytes as a plain document first.
func ID(format Format, envelope []byte) string {
	h := sha256.New()
	h.Write([]byte(format))
	h.Write([]byte{0})
	h.Write(envelope)
	return hex.EncodeToString(h.Sum(nil))
}

func hash(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func invalid(format string, args ...any) error {
	return provenance.Errorf(provenance.Invalid, "evidence: "+format, args...)
}

// clip keeps a hostile value out of logs and error texts.
func clip(s string) string {
	const limit = 80
	if len(s) > limit {
		return strings.ToValidUTF8(s[:limit], "") + "…"
	}
	return s
}
