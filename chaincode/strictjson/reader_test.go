package strictjson

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// A document read member by member, as a manifest is.
func TestReader(t *testing.T) {
	type document struct {
		name  string
		sizes []int64
		none  bool
	}
	read := func(in string) (d document, err error) {
		r, err := NewReader([]byte(in), Limits{})
		if err != nil {
			return d, err
		}
		err = r.Object(func(name []byte) (err error) {
			switch string(name) {
			case "name":
				d.name, err = r.Text()
			case "sizes":
				err = r.List(func() error {
					n, err := r.Integer()
					d.sizes = append(d.sizes, n)
					return err
				})
			case "none":
				d.none = r.Null()
			case "unread":
			default:
				err = r.Skip()
			}
			return err
		})
		if err == nil {
			err = r.End()
		}
		return d, err
	}
	d, err := read(`{"later":[{"name":2},1.5] , "name":"a\u00e9", "sizes" : [ 1 , -2 ], "none": null}`)
	if err != nil || d.name != "aé" || len(d.sizes) != 2 || d.sizes[1] != -2 || !d.none {
		t.Errorf("%+v, %v", d, err)
	}
	for in, want := range map[string]string{
		`[]`:               "byte 0: want an object",
		`{"name":1}`:       "byte 8: want a string",
		`{"sizes":{}}`:     "byte 9: want a list",
		`{"sizes":["1"]}`:  "byte 10: want an integer",
		`{"sizes":[1.0]}`:  "byte 10: want an integer",
		`{"none":1}`:       "byte 8: want ',' or '}'",
		`{"unread":1}`:     "byte 10: want ',' or '}'",
		`{"name":"a"}{}`:   "byte 12: data after",
		`{"later":[01]}`:   "byte 10: malformed number",
		`{"a":{"b":1},"a"`: `member "a" again`,
	} {
		if _, err := read(in); provenance.CodeOf(err) != provenance.Invalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", in, err, want)
		}
	}
	if _, err := NewReader(make([]byte, DefaultBytes+1), Limits{}); provenance.CodeOf(err) != provenance.Invalid {
		t.Errorf("too large: %v", err)
	}
}

// FuzzDecode: what is accepted is JSON to the standard library too, is the
// same to it, and comes out the same again. Names that may be any are the only
// thing in which the two kinds of names differ.
func FuzzDecode(f *testing.F) {
	for _, s := range []string{`{"a":[1,2.5,"x\u00e9",true,null]}`, `{"a":1,"A":2}`, `"\ud83d\ude00"`, `-1e-5`, "\ufeff1", `[[[[]]]]`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		strict := Check(b, Limits{})
		v, err := Decode(b, Limits{ExactNames: true})
		if check := Check(b, Limits{ExactNames: true}); (check == nil) != (err == nil) {
			t.Fatalf("Check %v, Decode %v", check, err)
		}
		if err == nil && strict != nil && !strings.Contains(strict.Error(), "member") || err != nil && strict == nil {
			t.Fatalf("by exact names %v, else %v", err, strict)
		}
		if err != nil {
			if provenance.CodeOf(err) != provenance.Invalid {
				t.Fatal(err)
			}
			return
		}
		dec := json.NewDecoder(bytes.NewReader(b))
		dec.UseNumber()
		var std any
		if err := dec.Decode(&std); err != nil {
			t.Fatalf("accepted, but encoding/json says %v", err)
		}
		mine, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := json.Marshal(std)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(mine, theirs) {
			t.Fatalf("read %s, encoding/json reads %s", mine, theirs)
		}
	})
}
