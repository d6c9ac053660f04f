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
		`{"a":"\ud83d\ude00�","b":-1.5e-3,"c":9007199254740991}`, `{"manifest":"` + long + `"}`, `{"` + long + `":1}`, names(maxNames),
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
		"key twice": `{"digest":"A","digest":"B"}`, "case twins": `{"digest":"A","Digest":"B"}`, "Kelvin twin": `{"kind":1,"` + "\u212a" + `ind":2}`,
		"escaped twin": `{"digest":1,"d\u0069gest":2}`, "deep twins": `{"events":[{"target":{"tag":"a","Tag":"b"}}]}`, "hidden twin": `{"tag":1,"ta` + "\u200b" + `g":2}`,
		"second doc": `{} {}`, "trailing NUL": "{}\x00", "BOM": "\ufeff{}", "escaped NUL": `"\u0000"`, "lone surrogate": `"\ud800"`, "bad UTF-8": "\"\xff\"",
		"raw newline": "\"a\nb\"", "1e999": "1e999", "-0": "-0", "2^53": "9007199254740992", "huge": strings.Repeat("9", 400), "leading zero": "01",
		"deep": strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000), "one too deep": strings.Repeat("[", maxDepth+1) + strings.Repeat("]", maxDepth+1),
		"many values": "[" + strings.Repeat("0,", 1_000_000) + "0]", "many keys": names(maxNames + 1),
	}
	for name, raw := range bad {
		if err := checkJSON([]byte(raw)); provenance.CodeOf(err) != provenance.Invalid {
			t.Errorf("%s: %v, want Invalid", name, err)
		}
	}
}
