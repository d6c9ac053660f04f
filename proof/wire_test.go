package proof

import (
	"bytes"
	"os"
	"strings"
	"testing"

	_ "github.com/hyperledger/fabric-protos-go-apiv2/common"
	_ "github.com/hyperledger/fabric-protos-go-apiv2/ledger/rwset"
	_ "github.com/hyperledger/fabric-protos-go-apiv2/ledger/rwset/kvrwset"
	_ "github.com/hyperledger/fabric-protos-go-apiv2/msp"
	_ "github.com/hyperledger/fabric-protos-go-apiv2/orderer"
	_ "github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	_ "google.golang.org/protobuf/types/known/timestamppb"
)

// fabrics is Fabric's own message of that name.
func fabrics(t testing.TB, name string) protoreflect.MessageType {
	t.Helper()
	m, err := protoregistry.GlobalTypes.FindMessageByName(protoreflect.FullName(name))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return m
}

// The table of shapes says what Fabric's descriptors say. What a proof has no use for is left out, and is refused.
func TestShapesAreFabrics(t *testing.T) {
	leftOut := map[string]bool{
		"protos.ChaincodeProposalPayload.2": true, // secrets, which are never on a chain
		"protos.ChaincodeInput.2":           true, // what peers add, which is in no proposal
		"protos.ChaincodeInput.3":           true,
	}
	for name, s := range shapes {
		if name == "map" {
			continue
		}
		list := fabrics(t, name).Descriptor().Fields()
		known := 0
		for i := range list.Len() {
			f := list.Get(i)
			n := int(f.Number())
			if n >= len(s) || s[n] == absent {
				if !leftOut[name+"."+string(rune('0'+n))] {
					t.Errorf("%s: field %d, %s, is not known", name, n, f.Name())
				}
				continue
			}
			known++
			if got := kindOf(f); got != s[n] {
				t.Errorf("%s: field %d, %s, is of kind %d, not %d", name, n, f.Name(), got, s[n])
			}
		}
		for _, k := range s {
			if k != absent {
				known--
			}
		}
		if known != 0 {
			t.Errorf("%s: a field that Fabric does not know", name)
		}
	}
}

func kindOf(f protoreflect.FieldDescriptor) kind {
	switch {
	case f.IsMap():
		return entries
	case f.IsList():
		return parts
	case f.Kind() == protoreflect.MessageKind:
		return part
	case f.Kind() == protoreflect.StringKind:
		return text
	case f.Kind() == protoreflect.BytesKind:
		return octets
	default:
		return number
	}
}

func TestOneEncodingOnly(t *testing.T) {
	s := shape{1: number, 2: octets, 3: text, 4: part, 5: parts}
	good := message{}.number(1, 300).bytes(2, []byte("b")).bytes(3, []byte("é")).part(4, []byte{}).parts(5, [][]byte{{}, {1}})
	f, err := s.parse("test", good)
	if err != nil || f.numbers[1] != 300 || string(f.one(2)) != "b" || f.text(3) != "é" || !f.has(4) || len(f.all(5)) != 2 || f.has(6) || f.one(6) != nil {
		t.Fatalf("%+v, %v", f, err)
	}
	if got := (message{}).number(1, 0).bytes(2, nil).part(4, nil).parts(5, nil); len(got) != 0 {
		t.Errorf("what is not there is written: %x", got)
	}
	for why, b := range map[string][]byte{
		"field 1 is no number, a tag alone":  {0x08},
		"field 1 is no number, zero":         {0x08, 0},
		"field 1 is no number, long":         {0x08, 0x81, 0},
		"field 1 is no number, bytes":        {0x0a, 1, 1},
		"field 1 again":                      {0x08, 1, 0x08, 1},
		"field 1 again, or out of order":     {0x12, 1, 1, 0x08, 1},
		"field 2 is there and empty":         {0x12, 0},
		"field 2: it is cut":                 {0x12, 2, 1},
		"field 2: it is cut, a number":       {0x10, 1},
		"field 2: it is cut, a long length":  {0x12, 0x81, 0, 1},
		"field 2: it is cut, no length":      {0x12},
		"field 2: it is cut, a great length": append([]byte{0x12}, protowire.AppendVarint(nil, 1<<63)...),
		"field 3 is not UTF-8":               {0x1a, 1, 0xff},
		"not known, field 0":                 {0x00, 1},
		"not known, field 6":                 {0x32, 1, 1},
		"not known, a great number":          protowire.AppendVarint(nil, 1<<63),
		"not known, a long tag":              {0x88, 0, 1},
		"not known, eleven bytes":            bytes.Repeat([]byte{0x80}, 11),
		"not known, a cut tag":               {0x80},
	} {
		why, _, _ = strings.Cut(why, ", ")
		if _, err := s.parse("test", b); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%x: %v, want %s", b, err, why)
		}
	}
}

// What is taken is, as Fabric's decoder reads and its encoder writes it, the same bytes: nothing is read otherwise.
func likeFabrics(t *testing.T, name string, b []byte) {
	t.Helper()
	f, err := parse(name, b)
	if err != nil {
		return
	}
	m := fabrics(t, name).New().Interface()
	if err := proto.Unmarshal(b, m); err != nil {
		// Numbers of Fabric's are of 32 bits, or choices; nothing else is read differently.
		t.Fatalf("%s %x: taken, and refused by Fabric: %v", name, b, err)
	}
	if len(m.ProtoReflect().GetUnknown()) > 0 {
		t.Fatalf("%s %x: a field that Fabric does not know", name, b)
	}
	for i := range m.ProtoReflect().Descriptor().Fields().Len() {
		d := m.ProtoReflect().Descriptor().Fields().Get(i)
		v, number := m.ProtoReflect().Get(d), int(d.Number())
		switch kindOf(d) {
		case octets:
			if !bytes.Equal(v.Bytes(), f.one(number)) {
				t.Fatalf("%s %x: field %d differs", name, b, number)
			}
		case text:
			if v.String() != f.text(number) {
				t.Fatalf("%s %x: field %d differs", name, b, number)
			}
		case part:
			if m.ProtoReflect().Has(d) != f.has(number) {
				t.Fatalf("%s %x: field %d differs", name, b, number)
			}
		case parts:
			if v.List().Len() != len(f.all(number)) {
				t.Fatalf("%s %x: field %d differs", name, b, number)
			}
		}
	}
}

// messagesOf are all messages within a real chain, by name.
func messagesOf(t testing.TB) map[string][][]byte {
	all := map[string][][]byte{}
	var walk func(what string, b []byte)
	walk = func(what string, b []byte) {
		if what == "map" {
			return
		}
		all[what] = append(all[what], b)
		for _, f := range wireFields(t, b) {
			within := nested[what+"."+string(rune('0'+f.number))]
			if what == "common.Payload" && f.number == 2 {
				within = inPayload(b)
			}
			if within != "" && f.kind == protowire.BytesType && len(f.bytes) > 0 {
				walk(within, f.bytes)
			}
		}
	}
	for name, f := range tampered(t) {
		for part, put := range partsOf(f) {
			put(func(b []byte) []byte { walk(messageOf(part), b); return b })
		}
		_ = name
	}
	return all
}

// Every message of a real chain is read, and as Fabric reads it.
func TestRealMessagesAreReadAsFabricReadsThem(t *testing.T) {
	all := messagesOf(t)
	for name, list := range all {
		for _, b := range list {
			if _, err := parse(name, b); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			likeFabrics(t, name, b)
		}
	}
	if len(all) < 30 {
		t.Errorf("%d kinds of messages", len(all))
	}
	var chain fields
	b, err := os.ReadFile("testdata/network/chain.pb")
	if err != nil {
		t.Fatal(err)
	}
	if chain, err = parse("common.BlockData", b); err != nil {
		t.Fatal(err)
	}
	for _, raw := range chain.all(1) {
		if _, err := HeaderHash(raw); err != nil {
			t.Error(err)
		}
	}
}

// fuzzMessage fuzzes the parser as one message.
func fuzzMessage(f *testing.F, name string) {
	for _, b := range messagesOf(f)[name] {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) { likeFabrics(t, name, b) })
}
