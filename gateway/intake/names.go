package intake

import (
	"reflect"
	"strings"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/strictjson"
)

// checkNames refuses a document in which a field that encoding/json would read
// into the struct stands more than once, in whatever spelling: two readers could
// read two things. Fields that nobody reads may have any names. What does not
// fit the struct is left to who reads it.
func checkNames(raw []byte, into any) error {
	r, err := strictjson.NewReader(raw, limits(raw))
	if err != nil {
		return within("body", err)
	}
	return reading{r}.check(reflect.TypeOf(into))
}

type reading struct{ *strictjson.Reader }

func (n reading) check(t reflect.Type) error {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if n.Null() {
		return nil
	}
	switch next := n.Next(); {
	case t.Kind() == reflect.Struct && next == '{':
		return n.object(t)
	case t.Kind() == reflect.Slice && next == '[' && t.Elem().Kind() != reflect.Uint8: // bytes are json.RawMessage, checked when they are read
		return n.List(func() error { return n.check(t.Elem()) })
	}
	return n.Skip()
}

func (n reading) object(t reflect.Type) error {
	seen := map[string]string{} // field -> as it was spelt
	return n.Object(func(name []byte) error {
		field, ok := fieldOf(t, string(name))
		if !ok {
			return n.Skip()
		}
		as := field.Tag.Get("json")
		if before, twice := seen[as]; twice {
			return provenance.Errorf(provenance.Invalid, "body: %q and %q in one object are one field", clipText(before), clipText(string(name)))
		}
		seen[as] = string(name)
		return n.check(field.Type)
	})
}

// fieldOf is the field that encoding/json reads a name into: every field of ours
// has a tag, and case does not count.
func fieldOf(t reflect.Type, name string) (reflect.StructField, bool) {
	for i := range t.NumField() {
		if f := t.Field(i); f.IsExported() && strings.EqualFold(f.Tag.Get("json"), name) {
			return f, true
		}
	}
	return reflect.StructField{}, false
}
