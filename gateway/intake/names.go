package intake

import (
	"encoding/json"
	"reflect"
	"strings"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// checkNames refuses a document in which a field that encoding/json would read
// into the struct stands more than once, in whatever spelling: two readers could
// read two things. Fields that nobody reads may have any names and any values.
// A list that is read has at most maxEvents entries, before any is built. What
// does not fit the struct is left to who reads it. The document is one that
// json.Valid has seen.
func checkNames(raw []byte, into any) error {
	return (&walk{in: raw}).check(reflect.TypeOf(into))
}

// walk goes through a valid document from its front and builds nothing.
type walk struct {
	in []byte
	at int
}

func (w *walk) check(t reflect.Type) error {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch next := w.next(); {
	case t.Kind() == reflect.Struct && next == '{':
		return w.object(t)
	case t.Kind() == reflect.Slice && t.Elem().Kind() != reflect.Uint8 && next == '[': // bytes are json.RawMessage, checked when they are read
		w.at++
		for n := 0; w.next() != ']'; n++ {
			before := w.at
			if n == maxEvents {
				return provenance.Errorf(provenance.Invalid, "body: more than %d entries in a list", n)
			}
			if err := w.check(t.Elem()); err != nil {
				return err
			}
			if w.next() == ',' {
				w.pass()
			}
			if w.at == before {
				return notJSON(w.in)
			}
		}
		w.pass()
		return nil
	}
	w.skip()
	return nil
}

func (w *walk) object(t reflect.Type) error {
	seen := map[string]string{} // field -> as it was spelt
	w.at++
	for w.next() != '}' {
		var name string
		if err := json.Unmarshal(w.skip(), &name); err != nil {
			return notJSON(w.in)
		}
		w.next()
		w.pass() // ':'
		field, ok := fieldOf(t, name)
		if !ok {
			w.skip()
		} else {
			as := field.Tag.Get("json")
			if before, twice := seen[as]; twice {
				return provenance.Errorf(provenance.Invalid, "body: %q and %q in one object are one field", clipText(before), clipText(name))
			}
			seen[as] = name
			if err := w.check(field.Type); err != nil {
				return err
			}
		}
		if w.next() == ',' {
			w.pass()
		}
	}
	w.pass()
	return nil
}

func (w *walk) pass() { w.at = min(w.at+1, len(w.in)) }

// next goes to the next byte that is no white space, and returns it.
func (w *walk) next() byte {
	for w.at < len(w.in) && strings.IndexByte(" \t\r\n", w.in[w.at]) >= 0 {
		w.at++
	}
	if w.at == len(w.in) {
		return 0
	}
	return w.in[w.at]
}

// skip goes behind the value that is next, and returns it.
func (w *walk) skip() []byte {
	w.next()
	start := w.at
	for depth := 0; w.at < len(w.in); {
		switch w.in[w.at] {
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return w.in[start:w.at] // behind a number or a word
			}
			depth--
		case '"':
			w.text()
			if depth == 0 {
				return w.in[start:w.at]
			}
			continue
		case ',':
			if depth == 0 {
				return w.in[start:w.at]
			}
		}
		w.at++
		if depth == 0 && (w.in[w.at-1] == '}' || w.in[w.at-1] == ']') {
			return w.in[start:w.at]
		}
	}
	return w.in[start:w.at]
}

// text goes behind a string.
func (w *walk) text() {
	for w.at++; w.at < len(w.in) && w.in[w.at] != '"'; w.at++ {
		if w.in[w.at] == '\\' {
			w.at++
		}
	}
	w.at = min(w.at+1, len(w.in))
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
