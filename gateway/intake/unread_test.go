package intake

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// Whatever stands in a part of a notification that nobody reads, in whichever of its
// objects: the event is the same. Labels, annotations and manifests are their author's.
func TestUnreadParts(t *testing.T) {
	many := make([]string, 300)
	for i := range many {
		many[i] = fmt.Sprintf(`"k%d":"v"`, i)
	}
	parts := []string{
		`{"a":"1","A":"2"}`, `{` + strings.Join(many, ",") + `}`, `{"k":1,"k":2}`, `[{"x":{"k":1,"k":1}}]`, `12345678901234567890123`, `1e400`, `-0`, `1e-500`,
		strings.Repeat(`{"a":`, 60) + "1" + strings.Repeat("}", 60), `"\ud800"`, "\"\xff\"", `"\u0000"`, `[` + strings.Repeat("1,", 210_000) + `1]`,
	}
	for _, kind := range Kinds() {
		if kind == KindGeneric { // its format has no part that nobody reads
			continue
		}
		c := connectorOf(t, kind)
		f, _ := formatOf(kind)
		raw, header := load(t, kind, good(kind))
		want, err := f.parse(messageOf(&c, raw, header))
		if err != nil || len(want.events) != 1 {
			t.Fatalf("%s: %d events, %v", kind, len(want.events), err)
		}
		for at, b := range raw {
			if b != '{' || !bytes.HasPrefix(bytes.TrimSpace(raw[at+1:]), []byte(`"`)) {
				continue
			}
			for _, part := range parts {
				in := bytes.Join([][]byte{raw[:at+1], []byte(`"nobodyReads":` + part + `,`), raw[at+1:]}, nil)
				got, err := f.parse(messageOf(&c, in, header))
				if err = refusalOf(got, err); err != nil || len(got.events) != 1 {
					t.Errorf("%s, %.60s in the object at byte %d: %d events, %v", kind, part, at, len(got.events), err)
					continue
				}
				event := got.events[0]
				event.ID = want.events[0].ID // where it is the hash of the body
				if !reflect.DeepEqual(event, want.events[0]) {
					t.Errorf("%s, %.60s in the object at byte %d: %+v, want %+v", kind, part, at, event, want.events[0])
				}
			}
		}
	}
}
