package sigstore

import (
	"encoding/base64"
	"encoding/hex"
	"strconv"
	"strings"

	"github.com/waybill-dev/waybill/chaincode/strictjson"
)

// object is an object of a document that strictjson read. A member that is null is
// absent, as in the JSON form of protocol buffers. Its readers answer with the zero
// value for an absent member, and with false for one of another kind.
type object map[string]any

// read reads an object; an absent one is nil.
func (o object) object(name string) (object, bool) {
	if o[name] == nil {
		return nil, true
	}
	m, ok := o[name].(map[string]any)
	return m, ok
}

func (o object) text(name string) (string, bool) {
	if o[name] == nil {
		return "", true
	}
	s, ok := o[name].(string)
	return s, ok
}

// list reads a list of at most so many entries.
func (o object) list(name string, most int) ([]any, bool) {
	if o[name] == nil {
		return nil, true
	}
	l, ok := o[name].([]any)
	return l, ok && len(l) <= most
}

// objects is list for a list of objects.
func (o object) objects(name string, most int) ([]object, bool) {
	entries, ok := o.list(name, most)
	if !ok {
		return nil, false
	}
	out := make([]object, 0, len(entries))
	for _, e := range entries {
		m, ok := e.(map[string]any)
		if !ok {
			return nil, false
		}
		out = append(out, m)
	}
	return out, true
}

// binary reads a text in base64 of at most so many bytes.
func (o object) binary(name string, most int) ([]byte, bool) {
	s, ok := o.text(name)
	if !ok || s == "" {
		return nil, ok
	}
	return DecodeBase64(s, most)
}

// integer reads a number that is not negative; in protocol buffers' JSON it may be a text.
func (o object) integer(name string) (int64, bool) {
	switch v := o[name].(type) {
	case nil:
		return 0, true
	case int64:
		return v, v >= 0
	case string:
		n, err := strconv.ParseInt(v, 10, 64)
		return n, err == nil && n >= 0 && strconv.FormatInt(n, 10) == v
	}
	return 0, false
}

// only tells whether the object has no members but these.
func (o object) only(names ...string) bool {
	known := 0
	for _, name := range names {
		if _, ok := o[name]; ok {
			known++
		}
	}
	return known == len(o)
}

func readObject(text []byte, most int) (object, bool) {
	m, err := strictjson.Object(text, strictjson.Limits{Bytes: most})
	return m, err == nil
}

// DecodeBase64 reads base64 of at most so many bytes in the standard or in the URL
// alphabet, padded or not, as protocol buffers' JSON and DSSE allow it. The two
// alphabets do not mix, bits that stand for nothing are zero, and nothing is skipped.
func DecodeBase64(s string, most int) ([]byte, bool) {
	if s == "" || strings.ContainsAny(s, "\r\n") || base64.RawStdEncoding.DecodedLen(len(s)) > most+2 {
		return nil, false
	}
	enc := base64.StdEncoding
	if strings.ContainsAny(s, "-_") {
		enc = base64.URLEncoding
	}
	if !strings.HasSuffix(s, "=") {
		enc = enc.WithPadding(base64.NoPadding)
	}
	b, err := enc.Strict().DecodeString(s)
	if err != nil || len(b) > most {
		return nil, false
	}
	return b, true
}

func (o object) hexadecimal(name string) ([]byte, bool) {
	s, ok := o.text(name)
	if !ok || len(s) > maxName || strings.ToLower(s) != s {
		return nil, false
	}
	b, err := hex.DecodeString(s)
	return b, err == nil && len(b) > 0
}
