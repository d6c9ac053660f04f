package strictjson

import (
	"bytes"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// text reads a string of at most limit decoded bytes, the next byte being its
// quote. Without escapes it is a part of the document.
func (r *Reader) text(limit int) ([]byte, error) {
	r.at++
	start := r.at
	var out []byte // what is decoded of it, before start
	for {
		for r.at < len(r.in) && plain[r.in[r.at]] {
			r.at++
		}
		if len(out)+r.at-start > limit {
			return nil, r.errorf("string longer than %d bytes", limit)
		}
		if r.at >= len(r.in) {
			return nil, r.errorf("string does not end")
		}
		switch c := r.in[r.at]; {
		case c == '"':
			r.at++
			if out == nil {
				return r.in[start : r.at-1], nil
			}
			return append(out, r.in[start:r.at-1]...), nil
		case c == '\\':
			out = append(out, r.in[start:r.at]...)
			escaped, err := r.escape()
			if err != nil {
				return nil, err
			}
			out, start = utf8.AppendRune(out, escaped), r.at
		case c < 0x20:
			return nil, r.errorf("control character in a string")
		default:
			c, size := utf8.DecodeRune(r.in[r.at:])
			if c == utf8.RuneError && size <= 1 {
				return nil, r.errorf("not UTF-8")
			}
			r.at += size
		}
	}
}

// plain are the bytes that stand for themselves in a string.
var plain = func() (table [256]bool) { //nolint:gochecknoglobals // a constant table
	for c := 0x20; c < utf8.RuneSelf; c++ {
		table[c] = c != '"' && c != '\\'
	}
	return table
}()

func (r *Reader) escape() (rune, error) {
	if r.at+1 >= len(r.in) {
		return 0, r.errorf("string does not end")
	}
	c := r.in[r.at+1]
	if i := strings.IndexByte(`"\/bfnrt`, c); i >= 0 {
		r.at += 2
		return rune("\"\\/\b\f\n\r\t"[i]), nil
	}
	if c != 'u' {
		return 0, r.errorf("unknown escape")
	}
	char, ok := r.hex4(r.at + 2)
	if !ok {
		return 0, r.errorf("want four hexadecimal digits after \\u")
	}
	if utf16.IsSurrogate(char) {
		low, ok := rune(0), false
		if bytes.HasPrefix(r.in[r.at+6:], []byte(`\u`)) {
			low, ok = r.hex4(r.at + 8)
		}
		char = utf16.DecodeRune(char, low)
		if !ok || char == utf8.RuneError {
			return 0, r.errorf("lone surrogate")
		}
		r.at += 12
		return char, nil
	}
	if char == 0 {
		return 0, r.errorf("U+0000 in a string")
	}
	r.at += 6
	return char, nil
}

func (r *Reader) hex4(at int) (rune, bool) {
	if at+4 > len(r.in) {
		return 0, false
	}
	n := rune(0)
	for _, c := range r.in[at : at+4] {
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

// hidden returns a character of a name that shows as nothing or turns the
// reading direction around, or 0.
func hidden(name []byte) rune {
	if isASCII(name) {
		return 0
	}
	for _, c := range string(name) {
		if c >= utf8.RuneSelf && unicode.In(c, unicode.Cf, unicode.Cc) {
			return c
		}
	}
	return 0
}

func isASCII(b []byte) bool {
	for _, c := range b {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
