package intake

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// Limits of a document. They keep a hostile one from costing more than its
// bytes; a registry's notification is nowhere near them.
const (
	maxDepth  = 32
	maxKeys   = 256
	maxValues = 200_000
	maxNumber = 1 << 53 // beyond it doubles skip integers
)

// checkJSON accepts exactly the documents that every JSON reader understands
// the same way: one value and nothing after it, valid UTF-8, no byte order
// mark, no U+0000, no lone surrogate, no key twice in an object (nor twice
// when upper and lower case are folded, which encoding/json would merge), no
// number beyond 2^53 and no negative zero, at most maxDepth levels. Unknown
// fields are fine. Errors are Invalid and name the byte.
func checkJSON(raw []byte) error {
	if !utf8.Valid(raw) {
		return provenance.Errorf(provenance.Invalid, "body is not valid UTF-8")
	}
	s := scanner{b: raw}
	s.space()
	if err := s.value(1); err != nil {
		return err
	}
	s.space()
	if s.at < len(s.b) {
		return s.fail("more follows after the document")
	}
	return nil
}

// scanner walks a document once, without building it.
type scanner struct {
	b      []byte
	at     int
	values int
}

func (s *scanner) fail(why string) error {
	return provenance.Errorf(provenance.Invalid, "body is not strict JSON: byte %d: %s", s.at, why)
}

func (s *scanner) space() {
	for s.at < len(s.b) {
		switch s.b[s.at] {
		case ' ', '\t', '\n', '\r':
			s.at++
		default:
			return
		}
	}
}

// peek returns the next byte, or 0 at the end; a real 0 is no JSON either way.
func (s *scanner) peek() byte {
	if s.at < len(s.b) {
		return s.b[s.at]
	}
	return 0
}

func (s *scanner) value(depth int) error {
	if depth > maxDepth {
		return s.fail("nested too deeply")
	}
	if s.values++; s.values > maxValues {
		return s.fail("too many values")
	}
	switch c := s.peek(); {
	case c == '{':
		return s.object(depth)
	case c == '[':
		return s.array(depth)
	case c == '"':
		_, err := s.text()
		return err
	case c == '-' || (c >= '0' && c <= '9'):
		return s.number()
	case c == 't':
		return s.word("true")
	case c == 'f':
		return s.word("false")
	case c == 'n':
		return s.word("null")
	}
	return s.fail("want a value")
}

func (s *scanner) word(w string) error {
	if len(s.b)-s.at < len(w) || string(s.b[s.at:s.at+len(w)]) != w {
		return s.fail("want a value")
	}
	s.at += len(w)
	return nil
}

func (s *scanner) array(depth int) error {
	s.at++
	s.space()
	if s.peek() == ']' {
		s.at++
		return nil
	}
	for {
		s.space()
		if err := s.value(depth + 1); err != nil {
			return err
		}
		s.space()
		switch s.peek() {
		case ',':
			s.at++
		case ']':
			s.at++
			return nil
		default:
			return s.fail("want ',' or ']'")
		}
	}
}

func (s *scanner) object(depth int) error {
	s.at++
	s.space()
	if s.peek() == '}' {
		s.at++
		return nil
	}
	var keys []string // few: a linear look is quicker than a map, and maxKeys bounds it
	for {
		s.space()
		if s.peek() != '"' {
			return s.fail("want a key")
		}
		raw, err := s.text()
		if err != nil {
			return err
		}
		key, err := foldKey(raw)
		if err != nil {
			return s.fail("key cannot be read")
		}
		for _, k := range keys {
			if k == key {
				return s.fail("a key stands twice in one object")
			}
		}
		if keys = append(keys, key); len(keys) > maxKeys {
			return s.fail("too many keys in one object")
		}
		if s.space(); s.peek() != ':' {
			return s.fail("want ':'")
		}
		s.at++
		s.space()
		if err := s.value(depth + 1); err != nil {
			return err
		}
		s.space()
		switch s.peek() {
		case ',':
			s.at++
		case '}':
			s.at++
			return nil
		default:
			return s.fail("want ',' or '}'")
		}
	}
}

// text reads a string and returns it with its quotes and escapes.
func (s *scanner) text() ([]byte, error) {
	start := s.at
	s.at++
	for s.at < len(s.b) {
		switch c := s.b[s.at]; {
		case c == '"':
			s.at++
			return s.b[start:s.at], nil
		case c < ' ':
			return nil, s.fail("control character in a string")
		case c == '\\':
			if err := s.escape(); err != nil {
				return nil, err
			}
		default:
			s.at++
		}
	}
	return nil, s.fail("string does not end")
}

func (s *scanner) escape() error {
	if s.at+1 >= len(s.b) {
		return s.fail("string does not end")
	}
	switch s.b[s.at+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		s.at += 2
		return nil
	case 'u':
	default:
		return s.fail("unknown escape")
	}
	r, ok := s.unit(s.at)
	switch {
	case !ok:
		return s.fail("unknown escape")
	case r == 0:
		return s.fail("U+0000 in a string")
	case r >= 0xdc00 && r <= 0xdfff:
		return s.fail("half a surrogate pair")
	case r >= 0xd800 && r <= 0xdbff:
		// encoding/json would put U+FFFD for half a pair: two different
		// strings would become one.
		low, ok := s.unit(s.at + 6)
		if !ok || low < 0xdc00 || low > 0xdfff {
			return s.fail("half a surrogate pair")
		}
		s.at += 6
	}
	s.at += 6
	return nil
}

// unit reads the \uXXXX at i.
func (s *scanner) unit(i int) (uint64, bool) {
	if i+6 > len(s.b) || s.b[i] != '\\' || s.b[i+1] != 'u' {
		return 0, false
	}
	v, err := strconv.ParseUint(string(s.b[i+2:i+6]), 16, 16)
	return v, err == nil
}

func (s *scanner) digits() bool {
	start := s.at
	for s.peek() >= '0' && s.peek() <= '9' {
		s.at++
	}
	return s.at > start
}

func (s *scanner) number() error {
	start, whole := s.at, true
	if s.peek() == '-' {
		s.at++
	}
	if s.peek() == '0' {
		s.at++
	} else if !s.digits() {
		return s.fail("want a digit")
	}
	if s.peek() == '.' {
		whole = false
		if s.at++; !s.digits() {
			return s.fail("want a digit")
		}
	}
	if c := s.peek(); c == 'e' || c == 'E' {
		whole = false
		s.at++
		if c := s.peek(); c == '+' || c == '-' {
			s.at++
		}
		if !s.digits() {
			return s.fail("want a digit")
		}
	}
	text := string(s.b[start:s.at])
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || math.Abs(f) > maxNumber || (f == 0 && text[0] == '-') {
		return s.fail("number out of range")
	}
	if whole && math.Abs(f) == maxNumber && strings.TrimPrefix(text, "-") != "9007199254740992" {
		return s.fail("number out of range") // 2^53+1, which a double rounds to 2^53
	}
	return nil
}

// foldKey decodes a quoted key and folds its case the way encoding/json does
// when it matches struct fields, so that the Kelvin sign is a "k" here too.
func foldKey(quoted []byte) (string, error) {
	plain := quoted[1 : len(quoted)-1]
	ascii, upper := true, false
	for _, c := range plain {
		ascii = ascii && c < utf8.RuneSelf && c != '\\'
		upper = upper || (c >= 'A' && c <= 'Z')
	}
	if ascii && !upper {
		return string(plain), nil
	}
	var key string
	if err := json.Unmarshal(quoted, &key); err != nil {
		return "", err
	}
	runes := []rune(key)
	for i, r := range runes {
		runes[i] = foldRune(r)
	}
	return string(runes), nil
}

// foldRune returns one fixed member of r's fold orbit; for letters of ASCII
// the lower-case one, to agree with the quick way through foldKey.
func foldRune(r rune) rune {
	least := r
	for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
		least = min(least, f)
	}
	if least >= 'A' && least <= 'Z' {
		least += 'a' - 'A'
	}
	return least
}
