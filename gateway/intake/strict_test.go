package intake

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// Corpus B9 to B13.
func TestStrict(t *testing.T) {
	good := []string{
		`{}`, `[]`, `"a"`, `0`, `-1`, `1.5e-3`, `true`, ` { "a" : [ 1 , null , false ] } `, `{"a":{"b":1},"c":{"b":2}}`,
		`{"events":[],"later":{"unknown":["fields"]}}`, `"\ud83d\ude00"`, `"\ufffd"`, `"�"`, `9007199254740992`, `"\"\\\/\b\f\n\r\t\u00e9"`,
		strings.Repeat("[", maxDepth-1) + "1" + strings.Repeat("]", maxDepth-1),
	}
	for _, raw := range good {
		if err := checkJSON([]byte(raw)); err != nil {
			t.Errorf("%.60s: %v", raw, err)
		}
		if !json.Valid([]byte(raw)) {
			t.Errorf("%.60s: the test itself is not JSON", raw)
		}
	}
	bad := map[string]string{
		"empty": "", "space": "  ", "open": "{", "bare word": "nul", "capital": "True", "single quotes": `{'a':1}`,
		"comment": `{/* a */"a":1}`, "line comment": "{} // a", "trailing comma": `{"a":1,}`, "trailing comma in list": `[1,]`, "no colon": `{"a" 1}`,
		"key twice": `{"digest":"A","digest":"B"}`, "case twins": `{"digest":"A","Digest":"B"}`, "shouting twin": `{"DIGEST":1,"digest":2}`,
		"escaped twin": `{"digest":1,"d\u0069gest":2}`, "Kelvin twin": `{"kind":1,"` + "\u212a" + `ind":2}`, "long s twin": `{"size":1,"` + "\u017f" + `ize":2}`,
		"deep twins": `{"events":[{"target":{"tag":"a","Tag":"b"}}]}`,
		"second doc": `{} {}`, "second doc glued": `{}{}`, "trailing NUL": "{}\x00", "leading NUL": "\x00{}", "BOM": "\ufeff{}", "NUL in text": "\"a\x00b\"",
		"escaped NUL": `"\u0000"`, "lone high": `"\ud800"`, "lone low": `"\udc00"`, "two highs": `"\ud800\ud800"`, "high then text": `"\ud800abcdef"`,
		"bad UTF-8": "\"\xff\"", "overlong": "\"\xc0\xaf\"", "surrogate bytes": "\"\xed\xa0\x80\"", "raw newline": "\"a\nb\"", "bad escape": `"\x41"`, "short escape": `"\u12"`,
		"signed escape": `"\u+123"`, "escape at end": `"\`, "no end": `"abc`,
		"1e999": "1e999", "-1e999": "-1e999", "-0": "-0", "-0.0": "-0.0", "2^53+1": "9007199254740993", "huge": strings.Repeat("9", 400), "leading zero": "01",
		"plus": "+1", "dot": "1.", "bare dot": ".5", "bare e": "1e", "NaN": "NaN", "hex": "0x1",
		"deep": strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000), "deep objects": strings.Repeat(`{"a":`, 10_000) + "1" + strings.Repeat("}", 10_000),
		"one too deep": strings.Repeat("[", maxDepth) + "1" + strings.Repeat("]", maxDepth),
		"many values":  "[" + strings.Repeat("0,", 1_000_000) + "0]",
	}
	var keys strings.Builder
	for i := range maxKeys + 1 {
		keys.WriteString(`,"k` + strings.Repeat("x", i) + `":0`)
	}
	bad["many keys"] = "{" + keys.String()[1:] + "}"
	for name, raw := range bad {
		if err := checkJSON([]byte(raw)); provenance.CodeOf(err) != provenance.Invalid {
			t.Errorf("%s: %v, want Invalid", name, err)
		}
	}
}

// Whatever the strict reader takes, encoding/json must take as well and read
// into one meaning: re-encoding what it read is a fixed point.
func FuzzStrict(f *testing.F) {
	for _, kind := range Kinds() {
		for _, name := range fixtures(f, kind) {
			raw, _ := load(f, kind, name)
			f.Add(raw)
		}
	}
	for _, raw := range []string{`{"a":1,"A":2}`, `"\ud83d\ude00"`, `[1e999]`, `{"k":1,"\u212a":2}`, "-0", "[[[[", `"\u0000"`} {
		f.Add([]byte(raw))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if checkJSON(raw) != nil {
			return
		}
		if !json.Valid(raw) {
			t.Fatalf("accepted %q, which is not JSON", raw)
		}
		var v any
		if err := json.Unmarshal(raw, &v); err != nil {
			t.Fatalf("accepted %q: %v", raw, err)
		}
		again, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if err := checkJSON(again); err != nil {
			t.Fatalf("%q was accepted, its own re-encoding %q was not: %v", raw, again, err)
		}
	})
}
