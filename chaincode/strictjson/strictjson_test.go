package strictjson

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

func TestDecode(t *testing.T) {
	got, err := Decode([]byte(" {\"a\":[1,-2,1.50,2e3,true,false,null],\"\\u0062\":\"\\ud83d\\ude00 \\n é\",\"A2\":{}}\n"), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"a": []any{int64(1), int64(-2), Number("1.50"), Number("2e3"), true, false, nil},
		"b": "😀 \n é", "A2": map[string]any{},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestRefused is the bad-input corpus for JSON: each is refused with the
// offset of the byte that is wrong.
func TestRefused(t *testing.T) {
	deep := strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000)
	for name, c := range map[string]struct{ in, want string }{
		"duplicate":             {`{"digest":1,"digest":2}`, `byte 12: member "digest" again`},
		"duplicate by escape":   {`{"digest":1,"d\u0069gest":2}`, "again"},
		"case twin":             {`{"digest":1,"Digest":2}`, "again"},
		"Kelvin sign":           {`{"key":1,"` + "\u212a" + `ey":2}`, "again"},
		"long s":                {`{"signature":1,"` + "\u017f" + `ignature":2}`, "again"},
		"nested duplicate":      {`[{"a":{"b":1,"B":2}}]`, "again"},
		"second document":       {`{} {}`, "byte 3: data after the document"},
		"NUL after":             {"{}\x00", "data after"},
		"byte order mark":       {"\ufeff{}", "byte 0: byte order mark"},
		"comment":               {`{/* */}`, "byte 1"},
		"single quotes":         {`{'a':1}`, "double quotes"},
		"trailing comma":        {`[1,]`, "byte 3: want a value"},
		"empty":                 {``, "unexpected end"},
		"cut":                   {`{"a":`, "unexpected end"},
		"cut string":            {`"abc`, "string does not end"},
		"cut escape":            {`"abc\`, "string does not end"},
		"depth 65":              {strings.Repeat("[", 65) + strings.Repeat("]", 65), "byte 64: nested deeper than 64"},
		"depth 10000":           {deep, "nested deeper"},
		"1e999":                 {`1e999`, "out of range"},
		"-0":                    {`-0`, "out of range"},
		"-0.0e5":                {`-0.0e5`, "out of range"},
		"2^53":                  {`9007199254740992`, "out of range"},
		"2^53+1 as an exponent": {`9.007199254740993e17`, "out of range"},
		"long fraction":         {`0.` + strings.Repeat("1", 50), "out of range"},
		"leading zero":          {`01`, "malformed number"},
		"plus":                  {`+1`, "want a value"},
		"point":                 {`1.`, "malformed number"},
		"NaN":                   {`NaN`, "want a value"},
		"invalid UTF-8":         {"\"\xff\"", "byte 1: not UTF-8"},
		"overlong":              {"\"\xc0\xaf\"", "not UTF-8"},
		"surrogate in UTF-8":    {"\"\xed\xa0\x80\"", "not UTF-8"},
		"lone surrogate":        {`"\ud83d"`, "lone surrogate"},
		"wrong pair":            {`"\ud83d\u0041"`, "lone surrogate"},
		"low first":             {`"\ude00\ud83d"`, "lone surrogate"},
		"U+0000":                {`"\u0000"`, "U+0000"},
		"raw control":           {"\"\t\"", "control character"},
		"unknown escape":        {`"\x41"`, "unknown escape"},
		"bad hex":               {`"\u00g0"`, "hexadecimal"},
		"bidi name":             {`{"a` + "\u202e" + `":1}`, "U+202E"},
		"zero width name":       {`{"a\u200b":1}`, "U+200B"},
		"long name":             {`{"` + strings.Repeat("n", 1025) + `":1}`, "longer than 1024"},
		"too large":             {`"` + strings.Repeat("n", 64<<10) + `"`, "at most 65536"},
		"no colon":              {`{"a" 1}`, "want ':'"},
		"no comma":              {`[1 2]`, "want ',' or ']'"},
		"no comma in object":    {`{"a":1 "b":2}`, "want ',' or '}'"},
	} {
		t.Run(name, func(t *testing.T) {
			err := Check([]byte(c.in), Limits{})
			if provenance.CodeOf(err) != provenance.Invalid || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if _, other := Decode([]byte(c.in), Limits{}); other == nil || other.Error() != err.Error() {
				t.Errorf("Decode says %v, Check %v", other, err)
			}
		})
	}
}

func TestLimits(t *testing.T) {
	in := []byte(`{"a":[1,2,3],"b":"12345"}`)
	for name, c := range map[string]struct {
		limits Limits
		ok     bool
	}{
		"fits":     {Limits{Bytes: len(in), Depth: 2, Values: 6, String: 5, Name: 1}, true},
		"bytes":    {Limits{Bytes: len(in) - 1}, false},
		"depth":    {Limits{Depth: 1}, false},
		"values":   {Limits{Values: 5}, false},
		"string":   {Limits{String: 4}, false},
		"defaults": {Limits{}, true},
	} {
		if err := Check(in, c.limits); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
	million := []byte("[" + strings.Repeat("1,", 3_000_000) + "1]")
	if err := Check(million, Limits{Bytes: 32 << 20}); err == nil {
		t.Error("3 million values passed")
	}
}

func TestUnmarshal(t *testing.T) {
	var v struct {
		A int `json:"a"`
	}
	if err := Unmarshal([]byte(`{"a":3}`), &v, Limits{}); err != nil || v.A != 3 {
		t.Errorf("got %d, %v", v.A, err)
	}
	for _, bad := range []string{`{"a":3,"b":4}`, `{"a":"3"}`, `{"a":1,"A":2}`, `{"a":1.5}`} {
		if err := Unmarshal([]byte(bad), &v, Limits{}); provenance.CodeOf(err) != provenance.Invalid {
			t.Errorf("%s: %v", bad, err)
		}
	}
	if _, err := Object([]byte(`[]`), Limits{}); err == nil {
		t.Error("a list passed as an object")
	}
}

// FuzzDecode: what is accepted is JSON to the standard library too, is the
// same to it, and comes out the same again.
func FuzzDecode(f *testing.F) {
	for _, s := range []string{`{"a":[1,2.5,"x\u00e9",true,null]}`, `{"a":1,"A":2}`, `"\ud83d\ude00"`, `-1e-5`, "\ufeff1", `[[[[]]]]`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := Decode(b, Limits{})
		if check := Check(b, Limits{}); (check == nil) != (err == nil) {
			t.Fatalf("Check %v, Decode %v", check, err)
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
