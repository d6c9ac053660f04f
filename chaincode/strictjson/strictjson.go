// Package strictjson reads JSON that came from outside so that every reader of
// the same bytes sees the same document. Two JSON parsers may differ over
// duplicate names, names that differ by case, lone surrogates, byte order
// marks, trailing data and numbers beyond 2^53; here each of these is refused,
// with the offset of the byte that is wrong, before anything is built from the
// document. It is pure and uses no floating point.
package strictjson

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// Limits bounds what a document may cost. A zero field takes its default.
type Limits struct {
	Bytes  int // size of the document; default 64 KiB
	Depth  int // nesting of objects and arrays; default 64
	Values int // values in the document, names not counted; default 1 per 2 bytes of Bytes, at most 1<<21
	String int // bytes of one decoded string; default Bytes, at most 1 MiB
	Name   int // bytes of one decoded member name; default 1024
}

// Defaults of Limits, and the greatest number: beyond it, readers that use
// floating point disagree with those that do not (RFC 8259, section 6).
const (
	DefaultBytes = 64 << 10
	DefaultDepth = 64
	MaxInteger   = 1<<53 - 1
)

const (
	maxValues  = 1 << 21
	maxString  = 1 << 20
	maxName    = 1024
	maxNumeral = 40 // characters of a number
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
	if l.String <= 0 {
		l.String = min(l.Bytes, maxString)
	}
	if l.Name <= 0 {
		l.Name = maxName
	}
	return l
}

// Number is a number that is no integer literal: it has a fraction or an
// exponent. It keeps the very characters; nothing here computes with it.
type Number string

// MarshalJSON implements json.Marshaler.
func (n Number) MarshalJSON() ([]byte, error) { return []byte(n), nil }

// Check tells whether b is one JSON document within the limits that every
// parser reads alike. Its errors are Invalid and name the byte.
func Check(b []byte, limits Limits) error {
	_, err := read(b, limits, false)
	return err
}

// Decode checks b and returns its value: nil, bool, string, int64, Number,
// []any or map[string]any. Names are exact: nothing is matched by case.
func Decode(b []byte, limits Limits) (any, error) {
	return read(b, limits, true)
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

func read(b []byte, limits Limits, build bool) (any, error) {
	limits = limits.filled()
	if len(b) > limits.Bytes {
		return nil, provenance.Errorf(provenance.Invalid, "json: document of %d bytes: at most %d", len(b), limits.Bytes)
	}
	s := scanner{in: b, limits: limits, build: build}
	s.space()
	v, err := s.value(0)
	if err != nil {
		return nil, err
	}
	s.space()
	if s.at != len(b) {
		return nil, s.errorf("data after the document")
	}
	return v, nil
}

func (s *scanner) errorf(format string, args ...any) error {
	return provenance.Errorf(provenance.Invalid, "json: byte %d: %s", s.at, fmt.Sprintf(format, args...))
}
