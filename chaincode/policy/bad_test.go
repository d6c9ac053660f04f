package policy_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// soon is how long a refusal may take.
const soon = 50 * time.Millisecond

// refused parses a document that must be refused: with a code, an error that
// names what is wrong, and before it costs anything.
func refused(t *testing.T, doc []byte, code provenance.Code, says string) {
	t.Helper()
	_, err := policy.Parse(doc)
	if provenance.CodeOf(err) != code || !strings.Contains(err.Error(), says) {
		t.Errorf("got %v, want %s and %q", err, code, says)
	}
	if err != nil && (len(err.Error()) > 1200 || strings.ContainsAny(err.Error(), "\x00\u202e\u200b\n")) {
		t.Errorf("the error is as hostile as the document: %q", err)
	}
	for range 5 { // the machine may be busy: the fastest of some counts
		start := time.Now()
		_, _ = policy.Parse(doc)
		if time.Since(start) < soon {
			return
		}
	}
	t.Errorf("refused only after %v", soon)
}

// TestBad parses the corpus of bad documents, named after the items of the
// reliability plan (B9-B13, B42-B45) or after the rule they break.
func TestBad(t *testing.T) {
	b, err := os.ReadFile("testdata/bad.expected.json")
	if err != nil {
		t.Fatal(err)
	}
	expected := map[string]struct {
		Code provenance.Code `json:"code"`
		Says string          `json:"says"`
	}{}
	if err := json.Unmarshal(b, &expected); err != nil {
		t.Fatal(err)
	}
	paths, err := filepath.Glob("testdata/bad/*.json")
	if err != nil || len(paths) != len(expected) || len(paths) < 100 {
		t.Fatalf("%d documents, %d expectations, %v", len(paths), len(expected), err)
	}
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".json")
		t.Run(name, func(t *testing.T) {
			doc, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			want, ok := expected[name]
			if !ok {
				t.Fatal("no expectation")
			}
			refused(t, doc, want.Code, want.Says)
		})
	}
}

// TestBadLarge are documents of the corpus that are too large to keep.
func TestBadLarge(t *testing.T) {
	sound := string(twentyRules(t))
	ampersands := `stage != \"` + strings.Repeat("&", 1900) + `\"` // six bytes each in the canonical form
	for name, doc := range map[string]string{
		"B12 10 MB text":           `{"metadata":{"name":"` + strings.Repeat("a", 10<<20) + `"}}`,
		"B12 a million elements":   `{"spec":{"match":[` + strings.Repeat(`"a",`, 1_000_000) + `"a"]}}`,
		"B12 depth a million":      strings.Repeat("[", 1_000_000),
		"B42 1 MB expression":      strings.Replace(sound, `context.incident == false`, strings.Repeat(`stage == "x" || `, 1<<16)+`stage == "y"`, 1),
		"spaces to the limit":      sound + strings.Repeat(" ", policy.MaxBytes),
		"a canonical form too big": strings.NewReplacer(`context.incident == false`, ampersands, `labels.tier == \"gold\"`, ampersands, `image.size < 1000000000`, ampersands).Replace(sound),
	} {
		t.Run(name, func(t *testing.T) { refused(t, []byte(doc), provenance.Invalid, "") })
	}
}

// TestBadFacts are facts that DecodeFacts refuses.
func TestBadFacts(t *testing.T) {
	for name, doc := range map[string]string{
		"empty": ``, "list": `[]`, "text": `"a"`, "null": `null`, "null within": `{"a":null}`, "fraction": `{"a":1.5}`, "whole float": `{"a":1.0}`, "exponent": `{"a":1e3}`,
		"huge": `{"a":1e999}`, "beyond 64 bits": `{"a":9223372036854775808}`, "twice": `{"a":1,"a":2}`, "twice within": `{"a":[{"b":1,"b":1}]}`,
		"after": `{} {}`, "deep": `{"a":` + strings.Repeat("[", 8) + strings.Repeat("]", 8) + `}`, "UTF-8": "{\"a\":\"\xff\"}", "lone surrogate": `{"a":"\ud800"}`,
		"U+0000": `{"a":"\u0000"}`, "BOM": "\ufeff{}", "comment": `{/**/}`, "minus zero": `{"a":-0}`, "leading zero": `{"a":01}`, "NaN": `{"a":NaN}`,
	} {
		if _, err := policy.DecodeFacts([]byte(doc)); provenance.CodeOf(err) != provenance.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	facts, err := policy.DecodeFacts([]byte(`{"n":-3,"t":"ä","b":true,"l":[1,[],{}],"d":[[[[[[[]]]]]]]}`))
	if err != nil {
		t.Fatal(err)
	}
	if n, ok := facts["n"].(int64); !ok || n != -3 {
		t.Errorf("n is %T %v", facts["n"], facts["n"])
	}
}
