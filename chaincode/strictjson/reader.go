package strictjson

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// Reader walks one document from its front, once, and builds nothing that it
// is not asked for: a peer reads thousands of manifests a second. Each method
// reads the value that is next; an error names its byte and ends the walk. What
// a method returns of a document may be a part of its bytes.
type Reader struct {
	in      []byte
	at      int
	depth   int
	values  int
	objects int
	limits  Limits
	names   [][]byte // of the objects that are open, the innermost last
	chosen  int      // how many members of Limits.Chosen the value is below
}

// exact tells whether names compare byte by byte here.
func (r *Reader) exact() bool { return r.limits.ExactNames || r.chosen > 0 }

// NewReader returns a reader of b, which is Invalid where it is too large.
func NewReader(b []byte, limits Limits) (*Reader, error) {
	limits = limits.filled()
	if len(b) > limits.Bytes {
		return nil, provenance.Errorf(provenance.Invalid, "json: document of %d bytes: at most %d", len(b), limits.Bytes)
	}
	return &Reader{in: b, limits: limits}, nil
}

// Object reads an object and calls member with each name, before its value,
// which member has to read. name is valid until member returns.
func (r *Reader) Object(member func(name []byte) error) error {
	if err := r.open('{', "an object"); err != nil {
		return err
	}
	if r.objects++; r.objects > r.limits.Objects {
		return r.errorf("more than %d objects", r.limits.Objects)
	}
	before := len(r.names)
	var many map[string]struct{}
	for n := 0; r.more('}', n == 0); n++ {
		start := r.at
		if n == r.limits.Names {
			return r.errorf("more than %d names in one object", n)
		}
		if r.peek() != '"' {
			return r.errorf("want a member name in double quotes")
		}
		name, err := r.text(r.limits.Name)
		if err != nil {
			return err
		}
		if why := r.fresh(name, before, &many); why != "" {
			r.at = start
			return r.errorf("%s", why)
		}
		if r.space(); r.peek() != ':' {
			return r.errorf("want ':'")
		}
		r.at++
		if member == nil {
			err = r.Skip()
		} else {
			err = member(name)
		}
		if err != nil {
			return err
		}
	}
	r.names = r.names[:before]
	return r.close('}')
}

// List reads a list and calls entry for each value, which entry has to read.
func (r *Reader) List(entry func() error) error {
	if err := r.open('[', "a list"); err != nil {
		return err
	}
	for first := true; r.more(']', first); first = false {
		var err error
		if entry == nil {
			err = r.Skip()
		} else {
			err = entry()
		}
		if err != nil {
			return err
		}
	}
	return r.close(']')
}

// Null reads null where that is next, and tells whether it was.
func (r *Reader) Null() bool {
	r.space()
	return r.word("null")
}

// Text reads a string.
func (r *Reader) Text() (string, error) {
	if err := r.begin('"', "a string"); err != nil {
		return "", err
	}
	text, err := r.text(r.limits.String)
	return string(text), err
}

// Integer reads a number that has neither fraction nor exponent.
func (r *Reader) Integer() (int64, error) {
	r.space()
	if c := r.peek(); c != '-' && !isDigit(c) {
		return 0, r.errorf("want an integer")
	}
	if err := r.count(); err != nil {
		return 0, err
	}
	start := r.at
	n, literal, err := r.number()
	if err == nil && literal != "" {
		r.at = start
		err = r.errorf("want an integer")
	}
	return n, err
}

// Skip reads a value of which nothing is asked: it has to be good all the same.
func (r *Reader) Skip() error {
	r.space()
	switch r.peek() {
	case '{':
		return r.Object(nil)
	case '[':
		return r.List(nil)
	}
	if err := r.count(); err != nil {
		return err
	}
	switch c := r.peek(); {
	case c == '"':
		_, err := r.text(r.limits.String)
		return err
	case c == '-' || isDigit(c):
		_, _, err := r.number()
		return err
	case r.word("true"), r.word("false"), r.word("null"):
		return nil
	}
	return r.noValue()
}

// End tells whether the document ends here, as it has to behind its one value.
func (r *Reader) End() error {
	if r.space(); r.at != len(r.in) {
		return r.errorf("data after the document")
	}
	return nil
}

// value reads a value and builds it.
func (r *Reader) value() (any, error) {
	r.space()
	switch r.peek() {
	case '{':
		out := map[string]any{}
		err := r.Object(func(name []byte) error {
			key := string(name)
			if slices.Contains(r.limits.Chosen, key) {
				r.chosen++
				defer func() { r.chosen-- }()
			}
			v, err := r.value()
			out[key] = v
			return err
		})
		return out, err
	case '[':
		out := []any{}
		err := r.List(func() error {
			v, err := r.value()
			out = append(out, v)
			return err
		})
		return out, err
	case '"':
		return r.Text()
	}
	if err := r.count(); err != nil {
		return nil, err
	}
	switch c := r.peek(); {
	case c == '-' || isDigit(c):
		n, literal, err := r.number()
		if literal != "" {
			return Number(literal), err
		}
		return n, err
	case r.word("true"):
		return true, nil
	case r.word("false"):
		return false, nil
	case r.word("null"):
		return nil, nil
	}
	return nil, r.noValue()
}

func (r *Reader) noValue() error {
	switch rest := r.in[r.at:]; {
	case len(rest) == 0:
		return r.errorf("unexpected end")
	case bytes.HasPrefix(rest, []byte("\ufeff")):
		return r.errorf("byte order mark")
	}
	return r.errorf("want a value")
}

// count counts a value.
func (r *Reader) count() error {
	if r.values++; r.values > r.limits.Values {
		return r.errorf("more than %d values", r.limits.Values)
	}
	return nil
}

// begin counts a value that has to open with c.
func (r *Reader) begin(c byte, what string) error {
	r.space()
	if r.peek() != c {
		return r.errorf("want %s", what)
	}
	return r.count()
}

func (r *Reader) open(c byte, what string) error {
	if err := r.begin(c, what); err != nil {
		return err
	}
	if r.depth >= r.limits.Depth {
		return r.errorf("nested deeper than %d", r.limits.Depth)
	}
	r.depth++
	r.at++
	return nil
}

// more tells whether another member or entry follows, and goes to it. What
// follows may be wrong: close, or whoever reads it, says so.
func (r *Reader) more(end byte, first bool) bool {
	r.space()
	switch {
	case first:
		return r.peek() != end
	case r.peek() == ',':
		r.at++
		r.space()
		return true
	}
	return false
}

func (r *Reader) close(end byte) error {
	if r.peek() != end {
		return r.errorf("want ',' or '%c'", end)
	}
	r.depth--
	r.at++
	return nil
}

// fewNames is up to how many names of an object are looked through one by one.
const fewNames = 16

// fresh says why a name may not stand in its object, "" where it may, and
// remembers it. The object's names are names[before:], or many where they are
// not few.
func (r *Reader) fresh(name []byte, before int, many *map[string]struct{}) (why string) {
	key, same, or := name, bytes.Equal, ""
	if !r.exact() {
		or = ", perhaps in other case"
		if c := hidden(name); c != 0 {
			return fmt.Sprintf("member name holds the invisible character U+%04X", c)
		}
		if same = bytes.EqualFold; !isASCII(name) {
			key = []byte(Fold(string(name)))
		}
	}
	again := false
	if *many == nil && len(r.names)-before < fewNames {
		for _, other := range r.names[before:] {
			again = again || same(key, other)
		}
		r.names = append(r.names, key)
	} else {
		again = r.among(key, before, many)
	}
	if again {
		return fmt.Sprintf("member %q again%s", clip(string(name)), or)
	}
	return ""
}

// among is the question for an object of many names: they move into a set.
func (r *Reader) among(key []byte, before int, many *map[string]struct{}) bool {
	fold := Fold
	if r.exact() {
		fold = func(s string) string { return s }
	}
	if *many == nil {
		*many = make(map[string]struct{}, 4*fewNames)
		for _, other := range r.names[before:] {
			(*many)[fold(string(other))] = struct{}{}
		}
		r.names = r.names[:before]
	}
	text := fold(string(key))
	_, again := (*many)[text]
	(*many)[text] = struct{}{}
	return again
}

func (r *Reader) space() {
	for r.at < len(r.in) {
		switch r.in[r.at] {
		case ' ', '\t', '\n', '\r':
			r.at++
		default:
			return
		}
	}
}

// peek returns the next byte, or 0 at the end: no JSON token starts with NUL.
func (r *Reader) peek() byte {
	if r.at < len(r.in) {
		return r.in[r.at]
	}
	return 0
}

func (r *Reader) word(w string) bool {
	if len(r.in)-r.at >= len(w) && string(r.in[r.at:r.at+len(w)]) == w {
		r.at += len(w)
		return true
	}
	return false
}

func (r *Reader) errorf(format string, args ...any) error {
	return provenance.Errorf(provenance.Invalid, "json: byte %d: %s", r.at, fmt.Sprintf(format, args...))
}

func clip(s string) string {
	if len(s) > 40 {
		return strings.ToValidUTF8(s[:40], "") + "…"
	}
	return s
}
