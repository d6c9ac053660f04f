package proof

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// kind is how a field is encoded, and when it may be there.
type kind byte

const (
	absent  kind = iota // no such field
	number              // varint; never zero
	octets              // bytes; never empty
	text                // UTF-8; never empty
	part                // a message, which may be empty
	parts               // messages, or bytes that may be empty: any number of them
	entries             // of a map: as parts, in any order
)

// shape is a message: the kinds of its fields, by number. Number 0 is none.
type shape []kind

// fields are the values of a message by their numbers.
type fields struct {
	numbers map[int]uint64
	bytes   map[int][][]byte
}

var errCut = errors.New("it is cut")

// parse takes a message apart. It takes the one encoding that Fabric's programs write:
// fields in the order of their numbers, none twice that is not repeated, none zero, none
// unknown, each number in as few bytes as it needs. So two messages that are equal are
// equal byte by byte, and nothing hides between the fields.
func (s shape) parse(what string, b []byte) (fields, error) {
	f := fields{numbers: map[int]uint64{}, bytes: map[int][][]byte{}}
	last := 0
	for len(b) > 0 {
		tag, n := varint(b)
		field, wire := int(tag>>3), protowire.Type(tag&7) //nolint:gosec // G115: checked below
		if n < 0 || tag>>3 >= uint64(len(s)) || s[field] == absent {
			return f, fmt.Errorf("%s: a field that is not known, at %d bytes from its end", what, len(b))
		}
		repeated := s[field] >= parts
		if field < last || field == last && !repeated {
			return f, fmt.Errorf("%s: field %d again, or out of order", what, field)
		}
		b, last = b[n:], field
		if s[field] == number {
			v, n := varint(b)
			if wire != protowire.VarintType || n < 0 || v == 0 {
				return f, fmt.Errorf("%s: field %d is no number in its shortest form, or zero", what, field)
			}
			f.numbers[field], b = v, b[n:]
			continue
		}
		size, n := varint(b)
		if wire != protowire.BytesType || n < 0 || size > uint64(len(b)-n) {
			return f, fmt.Errorf("%s: field %d: %w", what, field, errCut)
		}
		end := n + int(size) //nolint:gosec // G115: at most len(b)
		value := b[n:end:end]
		b = b[end:]
		if size == 0 && s[field] < part {
			return f, fmt.Errorf("%s: field %d is there and empty", what, field)
		}
		if s[field] == text && !utf8.Valid(value) {
			return f, fmt.Errorf("%s: field %d is not UTF-8", what, field)
		}
		f.bytes[field] = append(f.bytes[field], value)
	}
	return f, nil
}

// varint reads a number in its shortest form; n is negative for anything else.
func varint(b []byte) (v uint64, n int) {
	v, n = protowire.ConsumeVarint(b)
	if n > 0 && n != protowire.SizeVarint(v) {
		return 0, -1
	}
	return v, n
}

// one is a field that is not repeated; nil where it is not there.
func (f fields) one(field int) []byte {
	if list := f.bytes[field]; len(list) > 0 {
		return list[0]
	}
	return nil
}

func (f fields) all(field int) [][]byte { return f.bytes[field] }

func (f fields) text(field int) string { return string(f.one(field)) }

// has tells whether a message is there, which may be empty.
func (f fields) has(field int) bool { return len(f.bytes[field]) > 0 }

// message writes a message's fields. They are added in the order of their numbers.
type message []byte

func (m message) number(field protowire.Number, v uint64) message {
	if v == 0 {
		return m
	}
	return protowire.AppendVarint(protowire.AppendTag(m, field, protowire.VarintType), v)
}

func (m message) bytes(field protowire.Number, v []byte) message {
	if len(v) == 0 {
		return m
	}
	return m.part(field, v)
}

// part adds a message, which may be empty, and is left out where it is nil.
func (m message) part(field protowire.Number, v []byte) message {
	if v == nil {
		return m
	}
	return protowire.AppendBytes(protowire.AppendTag(m, field, protowire.BytesType), v)
}

func (m message) parts(field protowire.Number, list [][]byte) message {
	for _, v := range list {
		m = protowire.AppendBytes(protowire.AppendTag(m, field, protowire.BytesType), v)
	}
	return m
}

func varintOf(v uint64) []byte { return protowire.AppendVarint(nil, v) }
