package evidence

import (
	"encoding/base64"
	"strings"
	"time"

	"github.com/waybill-dev/waybill/chaincode/sigstore"
	"github.com/waybill-dev/waybill/chaincode/strictjson"
)

// Documents are read into plain values (package strictjson) and looked into by
// exact member names. These helpers answer with the zero value where a member
// is missing or of another kind; what must be there is checked by the caller.

// at follows member names down from v; nil where one is missing.
func at(v any, path ...string) any {
	for _, name := range path {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[name]
	}
	return v
}

func str(v any, path ...string) string {
	s, _ := at(v, path...).(string)
	return s
}

func list(v any, path ...string) []any {
	l, _ := at(v, path...).([]any)
	return l
}

func object(v any, path ...string) map[string]any {
	m, _ := at(v, path...).(map[string]any)
	return m
}

func has(v any, path ...string) bool { return at(v, path...) != nil }

func envelopeObject(b []byte, what string) (map[string]any, error) {
	m, err := strictjson.Object(b, strictjson.Limits{Bytes: MaxEnvelope})
	if err != nil {
		return nil, wrap(err, what)
	}
	return m, nil
}

// decode64 reads standard, padded, canonical base64 and nothing else: one
// value has one spelling.
func decode64(s, what string) ([]byte, error) {
	return decodeBase64(base64.StdEncoding, s, what+": want standard padded base64")
}

// decodeAny64 reads base64 as DSSE and Sigstore bundles allow it: in either alphabet,
// padded or not.
func decodeAny64(s, what string) ([]byte, error) {
	b, ok := sigstore.DecodeBase64(s, MaxEnvelope)
	if !ok {
		return nil, invalid("%s: want base64", what)
	}
	return b, nil
}

// decodeURL64 reads the unpadded URL form that JWS uses.
func decodeURL64(s, what string) ([]byte, error) {
	return decodeBase64(base64.RawURLEncoding, s, what+": want unpadded URL base64")
}

func decodeBase64(enc *base64.Encoding, s, complaint string) ([]byte, error) {
	// Go's decoder skips line ends, which would give one value many spellings.
	if s == "" || strings.ContainsAny(s, "\r\n") {
		return nil, invalid("%s", complaint)
	}
	b, err := enc.Strict().DecodeString(s)
	if err != nil {
		return nil, invalid("%s", complaint)
	}
	return b, nil
}

// claimedTime reads an RFC 3339 time a document claims, in UTC; zero when it
// is none or outside the years 1970 to 9999.
func claimedTime(s string) time.Time {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return time.Time{}
	}
	t = t.UTC() // with its fractions: of two scans within a second the later one counts
	if t.Year() < 1970 || t.Year() > 9999 {
		return time.Time{}
	}
	return t
}
