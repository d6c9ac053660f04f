package intake

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// What no sender's document may do; package strictjson shows each in all its
// forms, and here that it is asked, and within which limits.
func TestJSON(t *testing.T) {
	names := func(n int) string {
		all := make([]string, n)
		for i := range all {
			all[i] = fmt.Sprintf(`"k%d":0`, i)
		}
		return "{" + strings.Join(all, ",") + "}"
	}
	long := strings.Repeat("a", 2<<20) // a manifest within a notification
	good := []string{
		`{}`, ` { "a" : [ 1 , null , false ] } `, `{"a":{"b":1},"c":{"b":2}}`, `{"events":[],"later":{"unknown":["fields"]}}`,
		`{"a":"\ud83d\ude00�","b":-1.5e-3,"c":9007199254740991}`, `{"manifest":"` + long + `"}`, `{"` + long + `":1}`, names(4000),
		strings.Repeat("[", maxDepth) + "1" + strings.Repeat("]", maxDepth),
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
		"empty": "", "open": "{", "comment": `{/* a */"a":1}`, "trailing comma": `{"a":1,}`,
		"key twice": `{"digest":"A","digest":"B"}`, "escaped twin": `{"digest":1,"d\u0069gest":2}`,
		"second doc": `{} {}`, "trailing NUL": "{}\x00", "BOM": "\ufeff{}", "escaped NUL": `"\u0000"`, "lone surrogate": `"\ud800"`, "bad UTF-8": "\"\xff\"",
		"raw newline": "\"a\nb\"", "1e999": "1e999", "-0": "-0", "2^53": "9007199254740992", "huge": strings.Repeat("9", 400), "leading zero": "01",
		"deep": strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000), "one too deep": strings.Repeat("[", maxDepth+1) + strings.Repeat("]", maxDepth+1),
		"many values": "[" + strings.Repeat("0,", 1_000_000) + "0]",
	}
	for name, raw := range bad {
		if err := checkJSON([]byte(raw)); provenance.CodeOf(err) != provenance.Invalid {
			t.Errorf("%s: %v, want Invalid", name, err)
		}
	}
}

// A field that is read has one spelling in a document; what nobody reads may
// have several, at any depth, as an image's labels do.
func TestFieldsAreReadOnce(t *testing.T) {
	type form struct {
		Kind   string `json:"kind"`
		Target *struct {
			Tag    string          `json:"tag"`
			Labels json.RawMessage `json:"labels"`
		} `json:"target"`
		Parts []struct {
			Digest string `json:"digest"`
		} `json:"parts"`
	}
	good := []string{
		`{"kind":"a"}`, `{"Kind":"a"}`, `{"x1":1,"X1":2}`, `{"target":{"labels":{"tag":"a","Tag":"b"}}}`, `{"labels":{"Kind":1,"kind":2}}`,
		`{"parts":[{"digest":"a","annotations":{"Digest":1,"digest":2}},{"Digest":"b"}]}`, `{"target":null,"parts":null}`, `{"kind":"a","target":{"kind":"b","Kind":"c"}}`,
		`{"kind":"a","ki` + "\u200b" + `nd":"b"}`,
	}
	for _, raw := range good {
		var in form
		if err := decode([]byte(raw), &in, "a form"); err != nil {
			t.Errorf("%s: %v", raw, err)
		}
	}
	bad := []string{
		`{"kind":"a","Kind":"b"}`, `{"kind":"a","` + "\u212a" + `ind":"b"}`, `{"KIND":"a","Kind":"b"}`, `{"kind":null,"Kind":null}`, `{"kind":"a","\u004bind":"b"}`,
		`{"target":{"tag":"a","TAG":"b"}}`, `{"target":{},"Target":{}}`, `{"parts":[{},{"digest":"a","DIGEST":"a"}]}`, `{"parts":[],"part` + "\u017f" + `":[]}`,
	}
	for _, raw := range bad {
		var in form
		if err := decode([]byte(raw), &in, "a form"); provenance.CodeOf(err) != provenance.Invalid || isForeign(err) {
			t.Errorf("%s: %v, want Invalid", raw, err)
		}
	}
}
