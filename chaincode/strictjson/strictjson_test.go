package strictjson

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

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

// What the package comment says is read: as it is here, by both kinds of names.
func TestAccepted(t *testing.T) {
	for name, c := range map[string]struct {
		in   string
		want any
	}{
		"white space":          {" \t\r\n1 \t\r\n", int64(1)},
		"2^53-1":               {`9007199254740991`, int64(MaxInteger)},
		"-(2^53-1)":            {`-9007199254740991`, int64(-MaxInteger)},
		"zero":                 {`0`, int64(0)},
		"fraction":             {`1.50`, Number("1.50")},
		"fraction of the last": {`9007199254740991.9`, Number("9007199254740991.9")},
		"small":                {`-1E-99`, Number("-1E-99")},
		"zero with exponent":   {`0.0e+99`, Number("0.0e+99")},
		"exponent":             {`9.007199254740991e15`, Number("9.007199254740991e15")},
		"zeros and exponent":   {`0.0001e19`, Number("0.0001e19")},
		"surrogate pair":       {`"\ud83d\ude00"`, "😀"},
		"U+FFFD":               {`"\ufffd�"`, "��"},
		"escapes":              {`"\"\\\/\b\f\n\r\t\u0001\u00e9\u00C9"`, "\"\\/\b\f\n\r\t\u0001éÉ"},
		"invisible text":       {"\"a\u202e\"", "a\u202e"},
		"DEL":                  {"\"\x7f\"", "\x7f"},
		"no name":              {`{"":1}`, map[string]any{"": int64(1)}},
		"names of two objects": {`[{"a":1},{"A":{"a":2}}]`, []any{map[string]any{"a": int64(1)}, map[string]any{"A": map[string]any{"a": int64(2)}}}},
		"accents":              {`{"e":1,"é":2,"ê":3}`, map[string]any{"e": int64(1), "é": int64(2), "ê": int64(3)}},
		"depth 64":             {strings.Repeat("[", 63) + "[]" + strings.Repeat("]", 63), nil},
	} {
		for _, exact := range []bool{false, true} {
			got, err := Decode([]byte(c.in), Limits{ExactNames: exact})
			if diff := cmp.Diff(c.want, got); err != nil || c.want != nil && diff != "" {
				t.Errorf("%s, exact %t: %v\n%s", name, exact, err, diff)
			}
			if !json.Valid([]byte(c.in)) {
				t.Errorf("%s: the test itself is not JSON", name)
			}
		}
	}
}

// Names that only a reader with regard to case, or to what cannot be seen,
// tells apart: refused, unless they are the exact keys that somebody chose.
func TestNames(t *testing.T) {
	many := func(last string) string {
		var b strings.Builder
		for i := range 40 {
			fmt.Fprintf(&b, `"Name%d":%d,`, i, i)
		}
		return "{" + b.String() + last + "}"
	}
	for name, in := range map[string]string{
		"case twin":           `{"digest":1,"Digest":2}`,
		"case twin by escape": `{"digest":1,"\u0044igest":2}`,
		"Kelvin sign":         `{"key":1,"` + "\u212a" + `ey":2}`,
		"long s":              `{"signature":1,"` + "\u017f" + `ignature":2}`,
		"long s first":        `{"` + "\u017f" + `ignature":1,"SIGNATURE":2}`,
		"dotted I":            `{"id":1,"` + "\u0130" + `d":2}`,
		"accents":             `{"é":1,"É":2}`,
		"sigma":               `{"σ":1,"ς":2}`,
		"nested":              `[{"a":{"b":1,"B":2}}]`,
		"among many":          many(`"NAME3":1`),
		"Kelvin among many":   many(`"key":1,"` + "\u212a" + `ey":2`),
		"bidi":                `{"a` + "\u202e" + `":1}`,
		"zero width":          `{"a\u200b":1}`,
		"C1 control":          `{"\u0085":1}`,
	} {
		if err := Check([]byte(in), Limits{}); provenance.CodeOf(err) != provenance.Invalid {
			t.Errorf("%s: %v, want Invalid", name, err)
		}
		v, err := Decode([]byte(in), Limits{ExactNames: true})
		if err != nil {
			t.Errorf("%s, exact: %v", name, err)
		}
		var std any
		if json.Unmarshal([]byte(in), &std) != nil || size(std) != size(v) {
			t.Errorf("%s, exact: %v, encoding/json reads %v", name, v, std)
		}
	}
	for name, last := range map[string]string{"early": `"Name0":1`, "late": `"Name39":1`, "escaped": `"\u004eame17":1`} {
		for _, exact := range []bool{false, true} {
			if err := Check([]byte(many(last)), Limits{ExactNames: exact}); err == nil || !strings.Contains(err.Error(), "again") {
				t.Errorf("the very name %s among many, exact %t: %v", name, exact, err)
			}
		}
	}
	if err := Check([]byte(many(`"Name40":1`)), Limits{}); err != nil {
		t.Error(err)
	}
}

// size counts the members in all of a value.
func size(v any) int {
	n := 0
	switch v := v.(type) {
	case map[string]any:
		for _, one := range v {
			n += 1 + size(one)
		}
	case []any:
		for _, one := range v {
			n += size(one)
		}
	}
	return n
}

// Fold is one form for each orbit: it folds to itself, and with all that
// encoding/json takes for the same.
func TestFold(t *testing.T) {
	for c := rune(0); c <= unicode.MaxRune; c++ {
		if !utf8.ValidRune(c) {
			continue
		}
		folded := Fold(string(c))
		if Fold(folded) != folded || Fold(string(unicode.SimpleFold(c))) != folded || Fold("a"+string(c)) != "a"+folded {
			t.Fatalf("%U: %q", c, folded)
		}
	}
}

// TestRefused is the bad-input corpus for JSON: each is refused with the
// offset of the byte that is wrong, whichever names are wanted.
func TestRefused(t *testing.T) {
	deep := strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000)
	for name, c := range map[string]struct{ in, want string }{
		"duplicate":              {`{"digest":1,"digest":2}`, `byte 12: member "digest" again`},
		"duplicate by escape":    {`{"digest":1,"d\u0069gest":2}`, "again"},
		"nested duplicate":       {`[{"a":{"b":1,"b":2}}]`, "again"},
		"second document":        {`{} {}`, "byte 3: data after the document"},
		"glued document":         {`{}{}`, "data after the document"},
		"comment after":          {`{} // a`, "data after the document"},
		"NUL after":              {"{}\x00", "data after"},
		"NUL before":             {"\x00{}", "byte 0: want a value"},
		"byte order mark":        {"\ufeff{}", "byte 0: byte order mark"},
		"mark within":            {"{\"a\":\ufeff1}", "byte 5: byte order mark"},
		"comment":                {`{/* */}`, "byte 1"},
		"single quotes":          {`{'a':1}`, "double quotes"},
		"trailing comma":         {`[1,]`, "byte 3: want a value"},
		"trailing member":        {`{"a":1,}`, "double quotes"},
		"comma first":            {`[,1]`, "want a value"},
		"empty":                  {``, "unexpected end"},
		"white space":            {` `, "byte 1: unexpected end"},
		"cut":                    {`{"a":`, "unexpected end"},
		"cut word":               {`nul`, "want a value"},
		"longer word":            {`nullx`, "data after"},
		"capital":                {`True`, "want a value"},
		"cut string":             {`"abc`, "string does not end"},
		"cut escape":             {`"abc\`, "string does not end"},
		"depth 65":               {strings.Repeat("[", 65) + strings.Repeat("]", 65), "byte 64: nested deeper than 64"},
		"depth 10000":            {deep, "nested deeper"},
		"deep objects":           {strings.Repeat(`{"a":`, 10_000) + "1" + strings.Repeat("}", 10_000), "nested deeper"},
		"1e999":                  {`1e999`, "out of range"},
		"1e99999999999999999999": {`1e99999999999999999999`, "out of range"},
		"1e-999":                 {`1e-999`, "out of range"},
		"-0":                     {`-0`, "byte 0: number out of range"},
		"-0.0e5":                 {`-0.0e5`, "out of range"},
		"2^53":                   {`9007199254740992`, "out of range"},
		"-2^53":                  {`-9007199254740992`, "out of range"},
		"2^64+1":                 {`18446744073709551617`, "out of range"},
		"10^400":                 {"1" + strings.Repeat("0", 400), "out of range"},
		"2^53 as a fraction":     {`9007199254740992.0`, "out of range"},
		"2^53 as an exponent":    {`9.007199254740992e15`, "out of range"},
		"2^53+1 as an exponent":  {`9.007199254740993e17`, "out of range"},
		"long fraction":          {`0.` + strings.Repeat("1", 50), "out of range"},
		"leading zero":           {`01`, "malformed number"},
		"minus":                  {`-`, "malformed number"},
		"plus":                   {`+1`, "want a value"},
		"point":                  {`1.`, "malformed number"},
		"bare point":             {`.5`, "want a value"},
		"bare exponent":          {`1e`, "malformed number"},
		"bare sign":              {`1e+`, "malformed number"},
		"NaN":                    {`NaN`, "want a value"},
		"hexadecimal":            {`0x1`, "data after"},
		"invalid UTF-8":          {"\"\xff\"", "byte 1: not UTF-8"},
		"cut UTF-8":              {"\"\xc3\"", "byte 1: not UTF-8"},
		"invalid UTF-8 name":     {"{\"\xff\":1}", "not UTF-8"},
		"overlong":               {"\"\xc0\xaf\"", "not UTF-8"},
		"surrogate in UTF-8":     {"\"\xed\xa0\x80\"", "not UTF-8"},
		"lone surrogate":         {`"\ud83d"`, "byte 1: lone surrogate"},
		"lone surrogate name":    {`{"\ud83d":1}`, "lone surrogate"},
		"wrong pair":             {`"\ud83d\u0041"`, "lone surrogate"},
		"two high":               {`"\ud83d\ud83d"`, "lone surrogate"},
		"cut pair":               {`"\ud83d\u00`, "lone surrogate"},
		"low first":              {`"\ude00\ud83d"`, "lone surrogate"},
		"U+0000":                 {`"\u0000"`, "U+0000"},
		"U+0000 in a name":       {`{"\u0000":1}`, "U+0000"},
		"raw U+0000":             {"\"a\x00\"", "byte 2: control character"},
		"raw control":            {"\"\t\"", "control character"},
		"unknown escape":         {`"\x41"`, "unknown escape"},
		"bad hex":                {`"\u00g0"`, "hexadecimal"},
		"signed hex":             {`"\u+123"`, "hexadecimal"},
		"short hex":              {`"\u12"`, "hexadecimal"},
		"long name":              {`{"` + strings.Repeat("n", 1025) + `":1}`, "longer than 1024"},
		"long escaped name":      {`{"` + strings.Repeat(`\n`, 1025) + `":1}`, "longer than 1024"},
		"too large":              {`"` + strings.Repeat("n", 64<<10) + `"`, "at most 65536"},
		"no colon":               {`{"a" 1}`, "want ':'"},
		"no comma":               {`[1 2]`, "want ',' or ']'"},
		"no comma in object":     {`{"a":1 "b":2}`, "want ',' or '}'"},
		"wrong end":              {`[1}`, "want ',' or ']'"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, exact := range []bool{false, true} {
				err := Check([]byte(c.in), Limits{ExactNames: exact})
				if provenance.CodeOf(err) != provenance.Invalid || !strings.Contains(err.Error(), c.want) {
					t.Errorf("got %v, want %q", err, c.want)
				}
				if _, other := Decode([]byte(c.in), Limits{ExactNames: exact}); other == nil || other.Error() != err.Error() {
					t.Errorf("Decode says %v, Check %v", other, err)
				}
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
		"fits":     {Limits{Bytes: len(in), Depth: 2, Values: 6, String: 5, Name: 1, Names: 2}, true},
		"bytes":    {Limits{Bytes: len(in) - 1}, false},
		"depth":    {Limits{Depth: 1}, false},
		"values":   {Limits{Values: 5}, false},
		"string":   {Limits{String: 4}, false},
		"names":    {Limits{Names: 1}, false},
		"defaults": {Limits{}, true},
	} {
		if err := Check(in, c.limits); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := Check([]byte(`[{},{}]`), Limits{Objects: 1}); err == nil || !strings.Contains(err.Error(), "more than 1 objects") {
		t.Errorf("two objects: %v", err)
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

// TestAnyNumbers: what is out of range keeps its characters, and is no integer.
func TestAnyNumbers(t *testing.T) {
	limits := Limits{AnyNumbers: true}
	for _, in := range []string{"9007199254740992", "-1700000000000000000", "18446744073709551615", "-0", "-0.0", "9007199254740992.5", "1e99", strings.Repeat("9", 40)} {
		got, err := Decode([]byte(in), limits)
		if err != nil || got != Number(in) || Check([]byte(in), limits) != nil {
			t.Errorf("%s: %v, %v", in, got, err)
		}
		if _, err := Decode([]byte(in), Limits{}); err == nil {
			t.Errorf("%s: without the limit", in)
		}
		r, err := NewReader([]byte(in), limits)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Integer(); err == nil || !strings.Contains(err.Error(), "want an integer") {
			t.Errorf("%s as an integer: %v", in, err)
		}
	}
	for _, in := range []string{"9007199254740991", "0", "-1"} {
		if got, err := Decode([]byte(in), limits); err != nil || fmt.Sprint(got) != in {
			t.Errorf("%s: %v, %v", in, got, err)
		} else if _, ok := got.(int64); !ok {
			t.Errorf("%s is a %T", in, got)
		}
	}
	for _, in := range []string{"01", "1.", "--1", "1e100", strings.Repeat("9", 41)} {
		if _, err := Decode([]byte(in), limits); err == nil {
			t.Errorf("%s: accepted", in)
		}
	}
}

// Below a member of Chosen names are what people chose, and nowhere else.
func TestChosenNames(t *testing.T) {
	l := Limits{Chosen: []string{"Labels"}}
	for text, good := range map[string]bool{
		`{"Labels":{"Name":1,"name":2}}`:                        true,
		`{"a":{"Labels":{"x":{"Name":1,"name":2}}},"b":1}`:      true,
		`{"Labels":{"Name":1,"Name":2}}`:                        false,
		`{"labels":{"Name":1,"name":2}}`:                        false,
		`{"Labels":{"Name":1},"x":{"Name":1,"name":2}}`:         false,
		`{"Labels":{"Name":1},"labels":{"Name":1}}`:             false,
		`[{"Labels":{"Name":1}},{"Name":1,"name":2}]`:           false,
		`{"Labels":[{"Name":1,"name":2}],"Name":1,"name":2}`:    false,
		`{"Labels":{"Labels":{}},"Name":{"Key":1,"key":2}}`:     false,
		`{"Labels":{"Labels":{"A":1,"a":2},"B":1,"b":2},"c":1}`: true,
	} {
		if _, err := Decode([]byte(text), l); (err == nil) != good {
			t.Errorf("%s: %v", text, err)
		}
	}
}
