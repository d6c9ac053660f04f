package policy

import (
	"bytes"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// reader reads JSON (RFC 8259) more strictly than encoding/json: one document
// and nothing after it, valid UTF-8 without lone surrogates or U+0000, no
// member twice, no null, integers that fit int64, and no deeper than maxDepth. Two
// readers of such a document cannot disagree about it.
type reader struct {
	b        []byte
	at       int
	depth    int
	maxDepth int
	// document refuses more, as nobody writes it into a policy on purpose:
	// invisible characters, and two members that differ in case only.
	document bool
}

func (r *reader) refuse(format string, args ...any) error {
	return provenance.Errorf(provenance.Invalid, "byte %d: "+format, append([]any{r.at}, args...)...)
}

// read returns the document as int64, string, bool, []any and map[string]any.
func (r *reader) read() (any, error) {
	if !utf8.Valid(r.b) {
		for len(r.b[r.at:]) > 0 {
			c, n := utf8.DecodeRune(r.b[r.at:])
			if c == utf8.RuneError && n == 1 {
				break
			}
			r.at += n
		}
		return nil, r.refuse("not valid UTF-8")
	}
	v, err := r.value()
	if err != nil {
		return nil, err
	}
	if r.space(); r.at < len(r.b) {
		return nil, r.refuse("data after the document")
	}
	return v, nil
}

func (r *reader) space() {
	for r.at < len(r.b) && strings.IndexByte(" \t\r\n", r.b[r.at]) >= 0 {
		r.at++
	}
}

// next skips space and tells the next byte, 0 at the end.
func (r *reader) next() byte {
	if r.space(); r.at < len(r.b) {
		return r.b[r.at]
	}
	return 0
}

func (r *reader) value() (any, error) {
	switch c := r.next(); {
	case c == '{' || c == '[':
		if r.depth++; r.depth > r.maxDepth {
			return nil, r.refuse("nested deeper than %d", r.maxDepth)
		}
		defer func() { r.depth-- }()
		if c == '{' {
			return r.object()
		}
		return r.array()
	case c == '"':
		return r.text()
	case c == '-' || c >= '0' && c <= '9':
		return r.number()
	}
	rest := r.b[r.at:]
	switch {
	case bytes.HasPrefix(rest, []byte("true")):
		r.at += 4
		return true, nil
	case bytes.HasPrefix(rest, []byte("false")):
		r.at += 5
		return false, nil
	case bytes.HasPrefix(rest, []byte("null")):
		return nil, r.refuse("null is no value: leave the field out")
	}
	return nil, r.refuse("want a JSON value")
}

func (r *reader) array() (any, error) {
	list := []any{}
	r.at++
	if r.next() == ']' {
		r.at++
		return list, nil
	}
	for {
		v, err := r.value()
		if err != nil {
			return nil, err
		}
		list = append(list, v)
		switch r.next() {
		case ',':
			r.at++
		case ']':
			r.at++
			return list, nil
		default:
			return nil, r.refuse("want ',' or ']'")
		}
	}
}

func (r *reader) object() (any, error) {
	members, folded := map[string]any{}, map[string]string{}
	r.at++
	if r.next() == '}' {
		r.at++
		return members, nil
	}
	for {
		if r.next() != '"' {
			return nil, r.refuse("want a name in double quotes")
		}
		name, err := r.text()
		if err != nil {
			return nil, err
		}
		if _, twice := members[name]; twice {
			return nil, r.refuse("field %q twice", clip(name, 80))
		}
		if r.document {
			if twin, twice := folded[fold(name)]; twice {
				return nil, r.refuse("fields %q and %q differ in case only", clip(twin, 80), clip(name, 80))
			}
			folded[fold(name)] = name
		}
		if r.next() != ':' {
			return nil, r.refuse("want ':' after %q", clip(name, 80))
		}
		r.at++
		if members[name], err = r.value(); err != nil {
			return nil, err
		}
		switch r.next() {
		case ',':
			r.at++
		case '}':
			r.at++
			return members, nil
		default:
			return nil, r.refuse("want ',' or '}'")
		}
	}
}

func (r *reader) number() (any, error) {
	from := r.at
	for r.at < len(r.b) && strings.IndexByte("+-.eE0123456789", r.b[r.at]) >= 0 {
		r.at++
	}
	s := string(r.b[from:r.at])
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || strconv.FormatInt(n, 10) != s {
		r.at = from
		return nil, r.refuse("number %s: want an integer of 64 bits, without fraction or exponent", clip(s, 40))
	}
	return n, nil
}

// text reads a string.
func (r *reader) text() (string, error) {
	var out strings.Builder
	from := r.at
	r.at++
	for {
		if r.at >= len(r.b) {
			return "", r.refuse("a string without end")
		}
		c, n := utf8.DecodeRune(r.b[r.at:])
		switch {
		case c == '"':
			r.at++
			return out.String(), nil
		case c < ' ':
			return "", r.refuse("a control character in a string")
		case c == '\\':
			escaped, err := r.escape()
			if err != nil {
				return "", err
			}
			c = escaped
		default:
			r.at += n
		}
		if c == 0 || r.document && hidden(c) {
			r.at = from
			return "", r.refuse("a string with the invisible character U+%04X", c)
		}
		out.WriteRune(c)
	}
}

func (r *reader) escape() (rune, error) {
	rest := r.b[r.at:]
	if len(rest) < 2 {
		return 0, r.refuse("a string without end")
	}
	if i := strings.IndexByte(`"\/bfnrt`, rest[1]); i >= 0 {
		r.at += 2
		return rune("\"\\/\b\f\n\r\t"[i]), nil
	}
	unit := func(b []byte) (rune, bool) {
		if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
			return 0, false
		}
		n, err := strconv.ParseUint(string(b[2:6]), 16, 16)
		return rune(n), err == nil
	}
	c, ok := unit(rest)
	switch {
	case !ok:
		return 0, r.refuse("an unknown escape in a string")
	case c < 0xD800 || c > 0xDFFF:
		r.at += 6
		return c, nil
	}
	low, ok := unit(rest[6:])
	if !ok || c > 0xDBFF || low < 0xDC00 || low > 0xDFFF {
		return 0, r.refuse("half of a surrogate pair")
	}
	r.at += 12
	return 0x10000 + (c-0xD800)<<10 + (low - 0xDC00), nil
}

// hidden tells whether c cannot be seen, or changes how its neighbours look
// (Unicode categories Cc, Cf, Co, Zl, Zp); line ends and tabs are fine.
func hidden(c rune) bool {
	return c != '\n' && c != '\r' && c != '\t' && (unicode.IsControl(c) || unicode.In(c, unicode.Cf, unicode.Co, unicode.Zl, unicode.Zp))
}

// fold returns one spelling for all strings that strings.EqualFold holds equal.
func fold(s string) string {
	return strings.Map(func(c rune) rune {
		least := c
		for f := unicode.SimpleFold(c); f != c; f = unicode.SimpleFold(f) {
			least = min(least, f)
		}
		return least
	}, s)
}

// clip keeps a hostile text out of details and logs: at most n bytes, nothing invisible.
func clip(s string, n int) string {
	s = strings.Map(func(c rune) rune {
		if hidden(c) || c == '\n' || c == '\r' || c == utf8.RuneError {
			return '?'
		}
		return c
	}, s[:min(len(s), n+utf8.UTFMax)])
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "..."
}

// maxFactsDepth bounds how deep facts nest.
const maxFactsDepth = 8

// DecodeFacts reads an evidence's facts from JSON as Facts and CEL want them:
// int64, string, bool, []any and map[string]any, an object at the top. Anything
// that two peers could read differently is Invalid: a fraction or an exponent,
// an integer beyond 64 bits, null, a member twice, text that is not UTF-8,
// data after the document, and nesting deeper than 8.
func DecodeFacts(b []byte) (map[string]any, error) {
	r := reader{b: b, maxDepth: maxFactsDepth}
	v, err := r.read()
	if err != nil {
		return nil, provenance.Wrap(provenance.Invalid, err, "facts")
	}
	facts, ok := v.(map[string]any)
	if !ok {
		return nil, provenance.Errorf(provenance.Invalid, "facts: want a JSON object")
	}
	return facts, nil
}
