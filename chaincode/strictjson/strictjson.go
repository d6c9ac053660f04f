// Package strictjson reads JSON that came from outside so that every reader of
// the same bytes sees the same document: whatever two parsers may differ over is
// refused, with the offset of the byte that is wrong, before anything is built
// from the document. It is the one reader of notifications, manifests, policies,
// evidence and what members vote on. It is pure, uses no floating point, and its
// cost is bounded by Limits.
//
//   - A member name twice in one object is refused. So is one that differs only
//     by case, the Kelvin sign being a k, or that holds an invisible character;
//     Limits.ExactNames lets these two pass, Limits.Chosen below some members.
//   - Strings are UTF-8. A lone surrogate, U+0000 and an unescaped control
//     character are refused; other escapes are read, in names too.
//   - Integers are at most 2^53-1 either way. A number with a fraction or an
//     exponent keeps its characters, 40 at most; its whole part has the same
//     bound, its exponent is of two digits. Minus zero is refused. Limits.AnyNumbers
//     keeps the characters of those that are out of range.
//   - A byte order mark, a comment, and anything but white space after the one
//     value are refused, and so is nesting beyond Limits.Depth.
//
// What it accepts, encoding/json accepts and reads alike.
package strictjson

import (
	"bytes"
	"encoding/json"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// Limits bounds what a document may cost. A zero field takes its default.
type Limits struct {
	Bytes  int // size of the document; default 64 KiB
	Depth  int // nesting of objects and arrays; default 64
	Values int // values in the document, names not counted; default 1 per 2 bytes of Bytes, at most 1<<21
	// Objects is how many of the values may be objects; default Values. Built, one of a
	// single member takes 350 bytes, and other values a tenth of that.
	Objects int
	String  int // bytes of one decoded string; default Bytes, at most 1 MiB
	Name    int // bytes of one decoded member name; default 1024
	Names   int // names in one object; default Values
	// ExactNames lets an object hold names that differ only by case or hold
	// invisible characters, as the keys of annotations may, which people choose.
	// Whoever looks into such a document compares names byte by byte.
	ExactNames bool
	// Chosen are members below which Decode takes names as ExactNames has them: labels of
	// an image, say, within a document whose other names are its format's.
	Chosen []string
	// AnyNumbers keeps the characters of a number beyond MaxInteger or of minus zero, 40
	// at most, as those of a fraction: nobody who reads it as an integer finds one.
	AnyNumbers bool
}

// Defaults of Limits, and the greatest number: beyond it, readers that use
// floating point disagree with those that do not (RFC 8259, section 6).
const (
	DefaultBytes = 64 << 10
	DefaultDepth = 64
	MaxInteger   = 1<<53 - 1
)

const (
	maxValues = 1 << 21
	maxString = 1 << 20
	maxName   = 1024
)

func (l Limits) filled() Limits {
	if l.Bytes <= 0 {
		l.Bytes = DefaultBytes
	}
	if l.Depth <= 0 {
		l.Depth = DefaultDepth
	}
	if l.Values <= 0 {
		l.Values = min(l.Bytes/2+1, maxValues)
	}
	if l.Objects <= 0 {
		l.Objects = l.Values
	}
	if l.String <= 0 {
		l.String = min(l.Bytes, maxString)
	}
	if l.Name <= 0 {
		l.Name = maxName
	}
	if l.Names <= 0 {
		l.Names = l.Values
	}
	return l
}

// Number is a number that is no integer literal within MaxInteger: it has a fraction or an
// exponent. It keeps the very characters; nothing here computes with it.
type Number string

// MarshalJSON implements json.Marshaler.
func (n Number) MarshalJSON() ([]byte, error) { return []byte(n), nil }

// Check tells whether b is one JSON document within the limits that every
// parser reads alike. Its errors are Invalid and name the byte.
func Check(b []byte, limits Limits) error {
	r, err := NewReader(b, limits)
	if err != nil {
		return err
	}
	if err := r.Skip(); err != nil {
		return err
	}
	return r.End()
}

// Decode checks b and returns its value: nil, bool, string, int64, Number,
// []any or map[string]any. Names are exact: nothing is matched by case.
func Decode(b []byte, limits Limits) (any, error) {
	r, err := NewReader(b, limits)
	if err != nil {
		return nil, err
	}
	v, err := r.value()
	if err == nil {
		err = r.End()
	}
	if err != nil {
		return nil, err
	}
	return v, nil
}

// Object is Decode for a document that must be an object.
func Object(b []byte, limits Limits) (map[string]any, error) {
	v, err := Decode(b, limits)
	if err != nil {
		return nil, err
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil, provenance.Errorf(provenance.Invalid, "json: want an object at byte 0")
	}
	return m, nil
}

// Unmarshal checks b and decodes it into v with encoding/json; a member that v
// has no field for is Invalid. encoding/json matches names without regard to
// case: "Digest" alone still fills a field named digest (two spellings in one
// object were refused by Check). Use Decode where that matters.
func Unmarshal(b []byte, v any, limits Limits) error {
	if err := Check(b, limits); err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return provenance.Errorf(provenance.Invalid, "json: %v", err)
	}
	return nil
}
