package main

import (
	"bytes"
	"encoding/json"
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// plainJSON prints an API answer as JSON a script can rely on: the names of the
// proto file in lower camel case, in its order, every field but absent
// messages; numbers as numbers and times as RFC 3339. (protojson writes 64-bit
// numbers as strings and varies its spacing on purpose.)
type plainJSON struct{ proto.Message }

// MarshalJSON implements json.Marshaler.
func (m plainJSON) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	err := writeMessage(&b, m.ProtoReflect())
	return b.Bytes(), err
}

func writeMessage(b *bytes.Buffer, m protoreflect.Message) error {
	if t, ok := m.Interface().(*timestamppb.Timestamp); ok {
		return writeValue(b, t.AsTime())
	}
	b.WriteByte('{')
	fields := m.Descriptor().Fields()
	first := true
	for i := range fields.Len() {
		f := fields.Get(i)
		if f.Message() != nil && !f.IsList() && !m.Has(f) {
			continue
		}
		if !first {
			b.WriteByte(',')
		}
		first = false
		fmt.Fprintf(b, "%q:", f.JSONName())
		if err := writeField(b, f, m.Get(f)); err != nil {
			return err
		}
	}
	b.WriteByte('}')
	return nil
}

func writeField(b *bytes.Buffer, f protoreflect.FieldDescriptor, v protoreflect.Value) error {
	if !f.IsList() {
		return writeSingle(b, f, v)
	}
	b.WriteByte('[')
	for i := range v.List().Len() {
		if i > 0 {
			b.WriteByte(',')
		}
		if err := writeSingle(b, f, v.List().Get(i)); err != nil {
			return err
		}
	}
	b.WriteByte(']')
	return nil
}

func writeSingle(b *bytes.Buffer, f protoreflect.FieldDescriptor, v protoreflect.Value) error {
	if f.Message() != nil {
		return writeMessage(b, v.Message())
	}
	return writeValue(b, v.Interface())
}

func writeValue(b *bytes.Buffer, v any) error {
	var one bytes.Buffer
	enc := json.NewEncoder(&one)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	b.Write(bytes.TrimRight(one.Bytes(), "\n"))
	return nil
}
