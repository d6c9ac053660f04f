package manifest

import (
	"encoding/json"
	"strconv"
	"strings"
)

// maxDepth is how many levels of JSON are read; a real manifest has five.
const maxDepth = 32

// scanner reads a document once, from the front, and builds only the texts
// that are asked for: a peer reads thousands of manifests a second. Its bytes
// are valid UTF-8.
type scanner struct {
	b  []byte
	at int
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

// peek returns the next byte, or 0 at the end: no JSON token starts with NUL.
func (s *scanner) peek() byte {
	if s.at < len(s.b) {
		return s.b[s.at]
	}
	return 0
}

func (s *scanner) wrong() error { return bad("not JSON at byte %d", s.at) }

func (s *scanner) word(w string) bool {
	if len(s.b)-s.at >= len(w) && string(s.b[s.at:s.at+len(w)]) == w {
		s.at += len(w)
		return true
	}
	return false
}

// object reads an object and gives each member whose value is next to read.
// Of names each may stand once, in its one spelling.
func (s *scanner) object(depth int, names []string, member func(name string) error) error {
	if s.peek() != '{' {
		return s.wrong()
	}
	if depth > maxDepth {
		return bad("nested deeper than %d", maxDepth)
	}
	s.at++
	seen := uint(0)
	for first := true; ; first = false {
		s.space()
		if s.peek() == '}' && first {
			s.at++
			return nil
		}
		if !first {
			switch s.peek() {
			case '}':
				s.at++
				return nil
			case ',':
				s.at++
				s.space()
			default:
				return s.wrong()
			}
		}
		name, err := s.string()
		if err != nil {
			return err
		}
		for i, known := range names {
			if len(name) > 2*len(known)+4 || !strings.EqualFold(name, known) {
				continue
			}
			if name != known {
				return bad("the key %.80q stands for %q", name, known)
			}
			if seen&(1<<i) != 0 {
				return bad("the key %.80q stands twice in one object", name)
			}
			seen |= 1 << i
		}
		s.space()
		if s.peek() != ':' {
			return s.wrong()
		}
		s.at++
		s.space()
		if err := member(name); err != nil {
			return err
		}
	}
}

// list reads a list and calls entry at each value; "null" is no list.
func (s *scanner) list(depth int, entry func() error) (bool, error) {
	if s.word("null") {
		return false, nil
	}
	if s.peek() != '[' {
		return false, s.wrong()
	}
	if depth > maxDepth {
		return false, bad("nested deeper than %d", maxDepth)
	}
	s.at++
	s.space()
	if s.peek() == ']' {
		s.at++
		return true, nil
	}
	for {
		s.space()
		if err := entry(); err != nil {
			return true, err
		}
		s.space()
		switch s.peek() {
		case ']':
			s.at++
			return true, nil
		case ',':
			s.at++
		default:
			return true, s.wrong()
		}
	}
}

// skip reads a value that nobody asks for.
func (s *scanner) skip(depth int) error {
	switch c := s.peek(); {
	case c == '{':
		return s.object(depth, nil, func(string) error { return s.skip(depth + 1) })
	case c == '[':
		_, err := s.list(depth, func() error { return s.skip(depth + 1) })
		return err
	case c == '"':
		_, err := s.raw()
		return err
	case c == '-' || c >= '0' && c <= '9':
		return s.number()
	case s.word("true"), s.word("false"), s.word("null"):
		return nil
	}
	return s.wrong()
}

// raw reads a string and returns what is between its quotes.
func (s *scanner) raw() ([]byte, error) {
	if s.peek() != '"' {
		return nil, s.wrong()
	}
	start := s.at + 1
	for i := start; i < len(s.b); i++ {
		switch c := s.b[i]; {
		case c == '"':
			s.at = i + 1
			return s.b[start:i], nil
		case c < 0x20:
			s.at = i
			return nil, s.wrong()
		case c == '\\':
			n := escape(s.b[i+1:])
			if n == 0 {
				s.at = i
				return nil, s.wrong()
			}
			i += n
		}
	}
	return nil, s.wrong()
}

// escape tells how many bytes belong to the escape that a backslash before b
// begins; 0 where it is none.
func escape(b []byte) int {
	if len(b) == 0 {
		return 0
	}
	switch b[0] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 1
	case 'u':
		if len(b) < 5 {
			return 0
		}
		for _, c := range b[1:5] {
			if (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F') {
				return 0
			}
		}
		return 5
	}
	return 0
}

// string reads a string's text. A member's name and a text that decides may
// be written with escapes; what encoding/json makes of those is its meaning.
func (s *scanner) string() (string, error) {
	from := s.at
	raw, err := s.raw()
	if err != nil {
		return "", err
	}
	for _, c := range raw {
		if c == '\\' {
			var text string
			if err := json.Unmarshal(s.b[from:s.at], &text); err != nil {
				s.at = from
				return "", s.wrong()
			}
			return text, nil
		}
	}
	return string(raw), nil
}

// number reads a number as JSON writes it.
func (s *scanner) number() error {
	digits := func() bool {
		from := s.at
		for s.at < len(s.b) && s.b[s.at] >= '0' && s.b[s.at] <= '9' {
			s.at++
		}
		return s.at > from
	}
	if s.peek() == '-' {
		s.at++
	}
	if s.peek() == '0' {
		s.at++
	} else if !digits() {
		return s.wrong()
	}
	if s.peek() == '.' {
		s.at++
		if !digits() {
			return s.wrong()
		}
	}
	if c := s.peek(); c == 'e' || c == 'E' {
		s.at++
		if c := s.peek(); c == '+' || c == '-' {
			s.at++
		}
		if !digits() {
			return s.wrong()
		}
	}
	return nil
}

// integer reads a number without fraction or exponent, of at most 63 bits.
func (s *scanner) integer() (int64, error) {
	from := s.at
	if err := s.number(); err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(string(s.b[from:s.at]), 10, 64)
	if err != nil {
		return 0, bad("%.40q is no integer of 63 bits", s.b[from:s.at])
	}
	return n, nil
}
