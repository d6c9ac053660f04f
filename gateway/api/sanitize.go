package api

import (
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// mark stands where text was that is none.
const mark = "�"

// sanitize makes all text of an answer valid UTF-8. A string that is not cannot
// be sent, and one such text in somebody's record would be the end of every
// answer about an image. Every answer of both protocols goes through here.
func sanitize(answer any) {
	if m, ok := answer.(proto.Message); ok && m != nil {
		sanitizeMessage(m.ProtoReflect())
	}
}

func sanitizeMessage(m protoreflect.Message) {
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.IsMap(): // no message has one
		case f.IsList():
			sanitizeList(f, v.List())
		case f.Kind() == protoreflect.MessageKind:
			sanitizeMessage(v.Message())
		case f.Kind() == protoreflect.StringKind:
			if text := v.String(); !utf8.ValidString(text) {
				m.Set(f, protoreflect.ValueOfString(strings.ToValidUTF8(text, mark)))
			}
		}
		return true
	})
}

func sanitizeList(f protoreflect.FieldDescriptor, list protoreflect.List) {
	for i := range list.Len() {
		switch f.Kind() {
		case protoreflect.MessageKind:
			sanitizeMessage(list.Get(i).Message())
		case protoreflect.StringKind:
			if text := list.Get(i).String(); !utf8.ValidString(text) {
				list.Set(i, protoreflect.ValueOfString(strings.ToValidUTF8(text, mark)))
			}
		}
	}
}
