package registry

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

const (
	maxDepth = 32 // levels of JSON; a real manifest has five
	// maxTokens bounds the parts of a document: names, values, brackets. Read into
	// records, four megabytes of "{}," would become hundreds; 10,000 layers with
	// annotations are 150,000 parts.
	maxTokens = 250_000
)

// checkJSON refuses what two readers could read differently: a key twice in an
// object (letter case folded, as encoding/json does), anything after the
// document, bytes that are not UTF-8, nesting past maxDepth, and more parts than maxTokens.
func checkJSON(body []byte) error {
	if !utf8.Valid(body) {
		return bad("not valid UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	type level struct {
		keys map[string]struct{} // nil in a list
		key  bool                // a key comes next
	}
	var open []level
	for n := 0; ; n++ {
		token, err := dec.Token()
		if err != nil {
			return provenance.Wrap(provenance.Invalid, err, "not JSON")
		}
		if n == maxTokens {
			return bad("made of more than %d parts", maxTokens)
		}
		top := len(open) - 1
		if text, ok := token.(string); ok && top >= 0 && open[top].key {
			folded := fold(text)
			if _, twice := open[top].keys[folded]; twice {
				return bad("the key %.80q stands twice in one object", text)
			}
			open[top].keys[folded] = struct{}{}
			open[top].key = false
			continue
		}
		switch token {
		case json.Delim('{'):
			open = append(open, level{keys: map[string]struct{}{}, key: true})
		case json.Delim('['):
			open = append(open, level{})
		case json.Delim('}'), json.Delim(']'):
			open = open[:top]
		}
		if len(open) > maxDepth {
			return bad("nested deeper than %d", maxDepth)
		}
		if token == json.Delim('{') || token == json.Delim('[') {
			continue
		}
		// A value has ended.
		if len(open) == 0 {
			break
		}
		if in := &open[len(open)-1]; in.keys != nil {
			in.key = true
		}
	}
	if _, err := dec.Token(); err != io.EOF {
		return bad("more follows after the document")
	}
	return nil
}

// fold maps strings that differ in case only to one. Upper first: the Kelvin
// sign and the long s have upper-case letters of ASCII or fold down to them.
func fold(s string) string { return strings.ToLower(strings.ToUpper(s)) }

func bad(format string, args ...any) error {
	return provenance.Errorf(provenance.Invalid, format, args...)
}
