package policy

import (
	"encoding/hex"
	"regexp"
	"slices"
	"strings"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// subjectPrefix opens the identity of a certificate that has no alternative
// name: its subject follows, as package evidence writes it.
const subjectPrefix = "x509.subject:"

// pattern is an accepted identity, compiled: an alternative name as it stands, a
// glob over alternative names, or attributes of a subject.
type pattern struct {
	exact      string         // an alternative name; "" for the others
	glob       *regexp.Regexp // nil for a glob that could accept by accident: it accepts nobody
	attributes []attribute    // of a subject; nil for the others
}

// attribute is one attribute of a distinguished name; pattern is nil in a name.
type attribute struct {
	typ     string // in upper case
	value   string // unescaped; "#" and hex where hex is true
	hex     bool
	pattern *regexp.Regexp
}

// subjectType opens what is a pattern over a subject: the types that names are
// written with, or an object identifier.
var subjectType = regexp.MustCompile(`(?i)^(?:(?:CN|O|OU|C|L|ST|STREET|POSTALCODE|SERIALNUMBER)|[0-9]+(?:\.[0-9]+)+)$`)

// compilePattern compiles an accepted identity. One that opens with an
// attribute of a subject (CN=build.*) is over subjects alone, every other over
// alternative names alone: neither can be mistaken for the other.
func compilePattern(source string) (*pattern, error) {
	if !overSubjects(source) {
		return compileName(source)
	}
	text := strings.TrimPrefix(source, subjectPrefix)
	attributes, err := parseName(text, true)
	if err != nil {
		return nil, err
	}
	everybody := true
	for _, a := range attributes {
		everybody = everybody && strings.Trim(a.value, "*") == ""
	}
	if everybody {
		return nil, provenance.Errorf(provenance.Invalid, "identity %q accepts everybody", clip(source, 80))
	}
	return &pattern{attributes: attributes}, nil
}

// overSubjects tells whether an accepted identity is over subjects.
func overSubjects(source string) bool {
	text, prefixed := strings.CutPrefix(source, subjectPrefix)
	first, _, _ := strings.Cut(text, "=")
	return prefixed || subjectType.MatchString(strings.TrimSpace(first))
}

// match tells whether the pattern accepts an identity. Of a subject every
// attribute of a type that the pattern names must be accepted, one by one and
// in order: a second CN, or a comma within another attribute, helps nobody.
func (p *pattern) match(identity string) bool {
	text, subject := strings.CutPrefix(identity, subjectPrefix)
	if p.attributes == nil {
		return !subject && p.matchName(identity)
	}
	if !subject {
		return false
	}
	name, err := parseName(text, false)
	if err != nil {
		return false
	}
	of := func(list []attribute, typ string) []attribute {
		return slices.DeleteFunc(slices.Clone(list), func(a attribute) bool { return a.typ != typ })
	}
	for _, a := range p.attributes {
		want, have := of(p.attributes, a.typ), of(name, a.typ)
		if !slices.EqualFunc(want, have, func(w, h attribute) bool { return w.hex == h.hex && w.pattern.MatchString(h.value) }) {
			return false
		}
	}
	return true
}

// parseName reads a distinguished name as RFC 4514 writes it: attributes
// separated by commas, and by plus signs within one relative name. Stars of a
// pattern stand for text within one attribute; an escaped star is a star.
// Around the separators of a pattern may be spaces.
func parseName(text string, isPattern bool) ([]attribute, error) {
	no := func(format string, args ...any) ([]attribute, error) {
		return nil, provenance.Errorf(provenance.Invalid, "identity %q: "+format, append([]any{clip(text, 80)}, args...)...)
	}
	var out []attribute
	for rest := text; ; {
		typ, after, ok := strings.Cut(rest, "=")
		if isPattern {
			typ = strings.TrimSpace(typ)
		}
		if !ok || !subjectType.MatchString(typ) {
			return no("want attributes of a subject, as in CN=build.*,O=Team, of C, CN, L, O, OU, POSTALCODE, SERIALNUMBER, ST, STREET or an object identifier")
		}
		a := attribute{typ: strings.ToUpper(typ)}
		var stars []bool // by byte of value: a star that is one
		more, i := false, 0
	value:
		for ; i < len(after); i++ {
			switch c := after[i]; {
			case c == ',' || c == '+':
				more = true
				break value
			case c == '\\' && i+2 < len(after) && isHex(after[i+1]) && isHex(after[i+2]):
				b, _ := hex.DecodeString(after[i+1 : i+3])
				a.value, stars = a.value+string(b), append(stars, false)
				i += 2
			case c == '\\' && i+1 < len(after) && strings.IndexByte(` "#+,;<=>\*`, after[i+1]) >= 0:
				a.value, stars = a.value+after[i+1:i+2], append(stars, false)
				i++
			case strings.IndexByte("\\\"<>;\x00", c) >= 0:
				return no("%q must be escaped", string(rune(c)))
			case isPattern && c == ' ' && (a.value == "" || closes(after[i:])):
			default:
				a.hex = a.hex || c == '#' && a.value == "" && len(stars) == 0
				a.value, stars = a.value+after[i:i+1], append(stars, isPattern && c == '*')
			}
		}
		if isPattern {
			if a.value == "" {
				return no("attribute %s has no value", a.typ)
			}
			if a.pattern = globOf(a.value, stars); a.pattern == nil {
				return no("not UTF-8")
			}
		}
		if out = append(out, a); !more {
			return out, nil
		}
		rest = after[i+1:]
	}
}

// closes tells whether only spaces are left of a value.
func closes(s string) bool {
	s = strings.TrimLeft(s, " ")
	return s == "" || s[0] == ',' || s[0] == '+'
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

// globOf compiles the pattern of an attribute, anchored at both ends: "*" stays
// within a path segment, "**" does not. stars tells which bytes of it are stars. It
// is nil for what is not UTF-8.
func globOf(text string, stars []bool) *regexp.Regexp {
	var b strings.Builder
	b.WriteString(`(?s)\A`)
	for i := 0; i < len(text); {
		end := i
		for end < len(text) && stars[end] == stars[i] {
			end++
		}
		switch {
		case !stars[i]:
			b.WriteString(regexp.QuoteMeta(text[i:end]))
		case end-i > 1:
			b.WriteString(`.*`)
		default:
			b.WriteString(`[^/]*`)
		}
		i = end
	}
	b.WriteString(`\z`)
	re, err := regexp.Compile(b.String())
	if err != nil {
		return nil
	}
	return re
}
