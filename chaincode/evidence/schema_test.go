package evidence

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

const loadTest = `{"type":"object","title":"Load test","additionalProperties":false,"required":["passed","p99"],"properties":{
	"passed":{"type":"boolean","enum":[true,false]},
	"p99":{"type":"integer","minimum":0,"maximum":60000},
	"tool":{"type":"string","maxLength":4,"enum":["k6","wrk","été"]},
	"regions":{"type":"array","maxItems":2,"items":{"type":"object","required":["name"],"properties":{"name":{"type":"string","maxLength":8}}}}}}`

func TestValidateSchema(t *testing.T) {
	for facts, want := range map[string]string{
		`{"passed":true,"p99":120}`:                                  "",
		`{"passed":true,"p99":0,"tool":"été","regions":[]}`:          "",
		`{"passed":true,"p99":1,"regions":[{"name":"eu","zone":1}]}`: "",
		`{"p99":120}`:                                                      `"passed" is required`,
		`{"passed":"true","p99":120}`:                                      "facts.passed: want boolean",
		`{"passed":true,"p99":-1}`:                                         "below the minimum 0",
		`{"passed":true,"p99":60001}`:                                      "above the maximum 60000",
		`{"passed":true,"p99":1.5}`:                                        "facts.p99: want integer",
		`{"passed":true,"p99":1,"tool":"ab"}`:                              "enum",
		`{"passed":true,"p99":1,"extra":1}`:                                `"extra" is not among`,
		`{"passed":true,"p99":1,"Passed":true}`:                            "again",
		`{"passed":true,"p99":1,"regions":[{"name":"a"},{"name":"b"},{}]}`: "more than maxItems 2",
		`{"passed":true,"p99":1,"regions":[{}]}`:                           `facts.regions[]: "name" is required`,
		`{"passed":true,"p99":1,"regions":[{"name":"much too long"}]}`:     "longer than maxLength 8",
		`{"passed":true,"p99":1,"regions":["eu"]}`:                         "want object",
		`[]`: "facts: want object",
		`{`:  "facts",
		`{"passed":true,"p99":1,"tool":"` + strings.Repeat("x", MaxFacts) + `"}`: "facts",
	} {
		err := ValidateSchema(json.RawMessage(loadTest), json.RawMessage(facts))
		if want == "" && err != nil || want != "" && (provenance.CodeOf(err) != provenance.Invalid || !strings.Contains(err.Error(), want)) {
			t.Errorf("%.60s: got %v, want %q", facts, err, want)
		}
	}
}

func TestCheckSchema(t *testing.T) {
	deep := strings.Repeat(`{"type":"array","items":`, 10) + `{"type":"string"}` + strings.Repeat("}", 10)
	object := func(rest string) string { return `{"type":"object",` + rest + `}` }
	for schema, want := range map[string]string{
		loadTest:                       "",
		`{"type":"object"}`:            "",
		`{}`:                           "outermost type is object",
		`{"type":"array"}`:             "outermost type is object",
		`{"type":["object","string"]}`: "outermost type is object",
		`null`:                         "want an object",
		object(`"pattern":"a"`):        `keyword "pattern" is not among`,
		object(`"$ref":"#/x"`):         `keyword "$ref"`,
		object(`"minimum":1`):          "minimum is for type integer",
		object(`"title":1`):            "want a text",
		object(`"properties":[]`):      "object of schemas",
		object(`"properties":{"a":1}`): "object of schemas",
		object(`"properties":{"a":{"type":"number"}}`):                   `schema.a.type "number"`,
		object(`"properties":{"a":{"type":"integer","minimum":1.5}}`):    "want an integer",
		object(`"properties":{"a":{"type":"string","maxLength":-1}}`):    "from 0",
		object(`"properties":{"a":{"type":"string","enum":[]}}`):         "1 to 64 values",
		object(`"properties":{"a":{"type":"string","enum":[1]}}`):        "of the type",
		object(`"properties":{"a":{"type":"array","items":[]}}`):         "want a schema",
		object(`"required":["a"]`):                                       "stand in properties",
		object(`"required":"a"`):                                         "list of at most 64",
		object(`"additionalProperties":{}`):                              "true or false",
		object(`"properties":{"a":` + deep + `}`):                        "nested deeper",
		object(`"description":"` + strings.Repeat("x", MaxSchema) + `"`): "at most",
		object(`"Type":"string"`):                                        "again",
	} {
		err := CheckSchema(json.RawMessage(schema))
		if want == "" && err != nil || want != "" && (provenance.CodeOf(err) != provenance.Invalid || !strings.Contains(err.Error(), want)) {
			t.Errorf("%.60s: got %v, want %q", schema, err, want)
		}
	}
}

// TestNumbersBesideTheSchema: what a schema does not name may be any number; what it
// names is an integer that everybody reads alike.
func TestNumbersBesideTheSchema(t *testing.T) {
	signer := newECDSA(t)
	k := publicKey(t, signer)
	document := m{"count": 3, "startedAt": json.Number("1700000000000000000"), "inode": json.Number("18446744073709551615"), "drift": json.Number("-0.0")}
	for name, ok := range map[string]bool{"count": true, "startedAt": false, "inode": false, "drift": false} {
		for _, r := range []Request{
			request(FormatPlain, toJSON(t, document)),
			request(FormatDSSE, toJSON(t, dsseEnvelope(t, inToto(t, ownPredicate+"custom/trace/v1", document, m{"sha256": imageHex}), signer))),
		} {
			by := &k
			if r.Format == FormatPlain {
				r.Type, by = "custom/trace", nil
			}
			r.Schema = func(string) (json.RawMessage, error) {
				return json.RawMessage(`{"type":"object","properties":{"` + name + `":{"type":"integer"}}}`), nil
			}
			if !ok {
				refused(t, r, by, "facts hold integers")
			} else if got := accepted(t, r, by); string(got.Facts) != `{"count":3}` {
				t.Errorf("%s", got.Facts)
			}
		}
	}
}
