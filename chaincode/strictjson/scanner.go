package strictjson

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// scanner reads one document. Its recursion is bounded by limits.Depth.
type scanner struct {
	in     []byte
	at     int
	values int
	limits Limits
	build  bool // false: check only, values are nil
}

func (s *scanner) space() {
	for s.at < len(s.in) {
		switch s.in[s.at] {
		case ' ', '\t', '\n', '\r':
			s.at++
		default:
			return
		}
	}
}

// peek returns the next byte, or 0 at the end: no JSON token starts with NUL.
func (s *scanner) peek() byte {
	if s.at < len(s.in) {
		return s.in[s.at]
	}
	return 0
}

func (s *scanner) value(depth int) (any, error) {
	s.values++
	if s.values > s.limits.Values {
		return nil, s.errorf("more than %d values", s.limits.Values)
	}
	switch c := s.peek(); {
	case c == '{' || c == '[':
		if depth >= s.limits.Depth {
			return nil, s.errorf("nested deeper than %d", s.limits.Depth)
		}
		if c == '{' {
			return s.object(depth + 1)
		}
		return s.array(depth + 1)
	case c == '"':
		text, err := s.text(s.limits.String)
		if err != nil || !s.build {
			return nil, err
		}
		return text, nil
	case c == '-' || isDigit(c):
		return s.number()
	case s.word("true"):
		return true, nil
	case s.word("false"):
		return false, nil
	case s.word("null"):
		return nil, nil
	case s.at >= len(s.in):
		return nil, s.errorf("unexpected end")
	case strings.HasPrefix(string(s.in[s.at:min(s.at+3, len(s.in))]), "\ufeff"):
		return nil, s.errorf("byte order mark")
	}
	return nil, s.errorf("want a value")
}

func (s *scanner) word(w string) bool {
	if s.at+len(w) <= len(s.in) && string(s.in[s.at:s.at+len(w)]) == w {
		s.at += len(w)
		return true
	}
	return false
}

func (s *scanner) array(depth int) (any, error) {
	s.at++
	out := []any{}
	s.space()
	if s.peek() == ']' {
		s.at++
		return out, nil
	}
	for {
		s.space()
		v, err := s.value(depth)
		if err != nil {
			return nil, err
		}
		if s.build {
			out = append(out, v)
		}
		s.space()
		switch s.peek() {
		case ',':
			s.at++
		case ']':
			s.at++
			return out, nil
		default:
			return nil, s.errorf("want ',' or ']'")
		}
	}
}

func (s *scanner) object(depth int) (any, error) {
	s.at++
	var out map[string]any
	if s.build {
		out = map[string]any{}
	}
	s.space()
	if s.peek() == '}' {
		s.at++
		return out, nil
	}
	seen := map[string]struct{}{}
	for {
		s.space()
		start := s.at
		if s.peek() != '"' {
			return nil, s.errorf("want a member name in double quotes")
		}
		name, err := s.text(s.limits.Name)
		if err != nil {
			return nil, err
		}
		if bad := hidden(name); bad != 0 {
			s.at = start
			return nil, s.errorf("member name holds the invisible character U+%04X", bad)
		}
		folded := Fold(name)
		if _, twin := seen[folded]; twin {
			s.at = start
			return nil, s.errorf("member %q again, perhaps in other case", clip(name))
		}
		seen[folded] = struct{}{}
		s.space()
		if s.peek() != ':' {
			return nil, s.errorf("want ':'")
		}
		s.at++
		s.space()
		v, err := s.value(depth)
		if err != nil {
			return nil, err
		}
		if s.build {
			out[name] = v
		}
		s.space()
		switch s.peek() {
		case ',':
			s.at++
		case '}':
			s.at++
			return out, nil
		default:
			return nil, s.errorf("want ',' or '}'")
		}
	}
}

// text reads a string of at most limit decoded bytes.
func (s *scanner) text(limit int) (string, error) {
	s.at++
	start := s.at
	// The plain case first: printable ASCII without escapes is the text itself.
	for s.at < len(s.in) && s.in[s.at] >= 0x20 && s.in[s.at] < utf8.RuneSelf && s.in[s.at] != '"' && s.in[s.at] != '\\' {
		s.at++
	}
	if s.at-start > limit {
		return "", s.errorf("string longer than %d bytes", limit)
	}
	if s.peek() == '"' {
		s.at++
		return string(s.in[start : s.at-1]), nil
	}
	out := append([]byte(nil), s.in[start:s.at]...)
	for {
		if len(out) > limit {
			return "", s.errorf("string longer than %d bytes", limit)
		}
		if s.at >= len(s.in) {
			return "", s.errorf("string does not end")
		}
		switch c := s.in[s.at]; {
		case c == '"':
			s.at++
			return string(out), nil
		case c == '\\':
			r, err := s.escape()
			if err != nil {
				return "", err
			}
			out = utf8.AppendRune(out, r)
		case c < 0x20:
			return "", s.errorf("control character in a string")
		case c < utf8.RuneSelf:
			out = append(out, c)
			s.at++
		default:
			r, size := utf8.DecodeRune(s.in[s.at:])
			if r == utf8.RuneError && size <= 1 {
				return "", s.errorf("not UTF-8")
			}
			out = append(out, s.in[s.at:s.at+size]...)
			s.at += size
		}
	}
}

func (s *scanner) escape() (rune, error) {
	if s.at+1 >= len(s.in) {
		return 0, s.errorf("string does not end")
	}
	c := s.in[s.at+1]
	if i := strings.IndexByte(`"\/bfnrt`, c); i >= 0 {
		s.at += 2
		return rune("\"\\/\b\f\n\r\t"[i]), nil
	}
	if c != 'u' {
		return 0, s.errorf("unknown escape")
	}
	r, ok := s.hex4(s.at + 2)
	if !ok {
		return 0, s.errorf("want four hexadecimal digits after \\u")
	}
	if utf16.IsSurrogate(r) {
		low, ok := rune(0), false
		if s.at+7 < len(s.in) && s.in[s.at+6] == '\\' && s.in[s.at+7] == 'u' {
			low, ok = s.hex4(s.at + 8)
		}
		r = utf16.DecodeRune(r, low)
		if !ok || r == utf8.RuneError {
			return 0, s.errorf("lone surrogate")
		}
		s.at += 12
		return r, nil
	}
	if r == 0 {
		return 0, s.errorf("U+0000 in a string")
	}
	s.at += 6
	return r, nil
}

func (s *scanner) hex4(at int) (rune, bool) {
	if at+4 > len(s.in) {
		return 0, false
	}
	n := rune(0)
	for _, c := range s.in[at : at+4] {
		switch {
		case isDigit(c):
			n = n<<4 | rune(c-'0')
		case c >= 'a' && c <= 'f':
			n = n<<4 | rune(c-'a'+10)
		case c >= 'A' && c <= 'F':
			n = n<<4 | rune(c-'A'+10)
		default:
			return 0, false
		}
	}
	return n, true
}

// number reads a number. Integers are bounded by MaxInteger; a number with a
// fraction or an exponent by 16 digits before the point and an exponent of
// -99 to +15, so that no reader overflows.
func (s *scanner) number() (any, error) {
	start := s.at
	if s.peek() == '-' {
		s.at++
	}
	digits := s.digits()
	if digits == 0 || (digits > 1 && s.in[s.at-digits] == '0') {
		s.at = start
		return nil, s.errorf("malformed number")
	}
	fraction, exponent := 0, 0
	if s.peek() == '.' {
		s.at++
		if fraction = s.digits(); fraction == 0 {
			return nil, s.errorf("malformed number")
		}
	}
	power := false
	if c := s.peek(); c == 'e' || c == 'E' {
		power = true
		s.at++
		negative := s.peek() == '-'
		if negative || s.peek() == '+' {
			s.at++
		}
		from := s.at
		n := s.digits()
		if n == 0 {
			return nil, s.errorf("malformed number")
		}
		exponent = 1000
		if n <= 3 {
			exponent, _ = strconv.Atoi(string(s.in[from:s.at]))
		}
		if negative {
			exponent = -exponent
		}
	}
	literal := string(s.in[start:s.at])
	out := func() error {
		s.at = start
		return s.errorf("number out of range: integers are at most %d", int64(MaxInteger))
	}
	mantissa := strings.ToLower(literal)
	mantissa, _, _ = strings.Cut(mantissa, "e")
	if len(literal) > maxNumeral || strings.HasPrefix(literal, "-") && strings.Trim(mantissa, "-0.") == "" {
		return nil, out() // too long, or a negative zero
	}
	if fraction == 0 && !power {
		n, err := strconv.ParseInt(literal, 10, 64)
		if err != nil || n > MaxInteger || n < -MaxInteger {
			return nil, out()
		}
		return n, nil
	}
	if exponent < -99 || exponent > 15 || digits+max(exponent, 0) > 16 {
		return nil, out()
	}
	return Number(literal), nil
}

func (s *scanner) digits() int {
	from := s.at
	for isDigit(s.peek()) {
		s.at++
	}
	return s.at - from
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// Fold returns the form of a name that is equal for all spellings of it that
// differ only by case, as a parser without regard to case sees them: the
// Kelvin sign folds to k and the long s to s.
func Fold(name string) string {
	ascii := true
	for i := range len(name) {
		c := name[i]
		if c >= utf8.RuneSelf {
			return strings.Map(foldRune, name)
		}
		ascii = ascii && (c < 'A' || c > 'Z')
	}
	if ascii {
		return name
	}
	return strings.ToLower(name)
}

// foldRune returns the least lower-case member of the rune's case orbit.
func foldRune(r rune) rune {
	least := r
	for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
		least = min(least, next)
	}
	return unicode.ToLower(least)
}

// hidden returns a character of name that shows as nothing or turns the
// reading direction around, or 0.
func hidden(name string) rune {
	for _, r := range name {
		if r >= utf8.RuneSelf && unicode.In(r, unicode.Cf, unicode.Cc) {
			return r
		}
	}
	return 0
}

func clip(s string) string {
	if len(s) > 40 {
		return strings.ToValidUTF8(s[:40], "") + "…"
	}
	return s
}
