package policy

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

const written = `# Who releases what. Voted on with the rules, and decides nothing.
apiVersion: waybill.dev/v1
kind: ReleasePolicy
metadata: {name: team}   # the whole team
spec:
  match: ["reg.example/team/**"]
  stages:
    - name: production
      maxAge: 24h
      freeze: [{days: [Fri], from: "16:00", to: 08:00}]
      approvals:
        min: 2
        robots: false
      conditions:
        - name: calm
          cel: |
            context.incident == false
  context: {incident: PlatformMSP}
`

// What is written as YAML is what it would be as JSON, and comments and layout are
// nothing of it.
func TestParseText(t *testing.T) {
	document, err := yaml.YAMLToJSONStrict([]byte(written))
	if err != nil {
		t.Fatal(err)
	}
	want, err := Parse(document)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"YAML": written, "JSON": string(document), "canonical": string(want.Canonical()), "another comment": written + "# more\n", "a document's start": "---\n" + written,
	} {
		p, err := ParseText([]byte(text))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !bytes.Equal(p.Canonical(), want.Canonical()) || p.Hash() != want.Hash() {
			t.Errorf("%s:\n%s\nwant\n%s", name, p.Canonical(), want.Canonical())
		}
	}
}

// A text that some reader could take for something else is refused.
func TestParseTextRefuses(t *testing.T) {
	replaced := func(old, with string) string {
		if !strings.Contains(written, old) {
			t.Fatalf("%q is not in the text", old)
		}
		return strings.Replace(written, old, with, 1)
	}
	for name, c := range map[string]struct{ text, want string }{
		"nothing":                  {"", "empty"},
		"comments only":            {"# nothing\n", "empty"},
		"a list":                   {"- a\n", "want a mapping"},
		"a scalar":                 {"policy\n", "want a mapping"},
		"two documents":            {written + "---\n" + written, "more than one document"},
		"a second empty document":  {written + "---\n", "more than one document"},
		"a doubled field":          {written + "kind: ReleasePolicy\n", "kind"},
		"an unknown field":         {written + "other: 1\n", "other"},
		"an alias of nothing":      {replaced("min: 2", "min: *two"), "two"},
		"an alias of itself":       {replaced("[Fri]", "&d [*d]"), "deeper"},
		"aliases of aliases":       {"a: &a [" + strings.Repeat("x, ", 200) + "x]\nb: &b [" + strings.Repeat("*a, ", 200) + "x]\nc: [" + strings.Repeat("*b, ", 200) + "x]\n", "more than"},
		"a merge key":              {replaced("min: 2", "<<: {min: 2}"), "named by no text"},
		"a tag":                    {replaced("min: 2", "min: !!int \"2\""), "tag"},
		"a tag of one's own":       {replaced("maxAge: 24h", "maxAge: !x 24h"), "tag"},
		"yes":                      {replaced("robots: false", "robots: yes"), "every reader"},
		"Off":                      {replaced("robots: false", "robots: Off"), "every reader"},
		"True":                     {replaced("robots: false", "robots: True"), "every reader"},
		"an octal number":          {replaced("min: 2", "min: 010"), "every reader"},
		"a hexadecimal number":     {replaced("min: 2", "min: 0x2"), "every reader"},
		"a number with a gap":      {replaced("min: 2", "min: 1_0"), "every reader"},
		"a fraction":               {replaced("min: 2", "min: 2.0"), "every reader"},
		"an exponent":              {replaced("min: 2", "min: 1e3"), "every reader"},
		"a date":                   {replaced("name: team", "name: 2026-03-02"), "every reader"},
		"nothing where a value is": {replaced("maxAge: 24h", "maxAge:"), "null"},
		"a number as a field":      {replaced("name: team", "1: team"), "named by no text"},
		"a list as a field":        {replaced("name: team", "[a]: team"), "named by no text"},
		"a carriage return":        {replaced("whole team", "whole team\r      robots: true"), "carriage return"},
		"a next line":              {replaced("whole team", "whole\u0085team"), "U+0085"},
		"a line separator":         {replaced("whole team", "whole\u2028team"), "U+2028"},
		"a turn of direction":      {replaced("whole team", "whole\u202eteam"), "U+202E"},
		"a zero width space":       {replaced("whole team", "whole\u200bteam"), "U+200B"},
		"a byte order mark":        {"\ufeff" + written, "U+FEFF"},
		"an escape":                {replaced("whole team", "whole\x1b[2Kteam"), "U+001B"},
		"a hidden escape":          {replaced("name: team", `name: "te\u202eam"`), "U+202E"},
		"a tab":                    {replaced("  match", "\tmatch"), "a tab"},
		"not UTF-8":                {replaced("whole team", "whole \xff"), "not UTF-8"},
		"UTF-16":                   {"\xff\xfea\x00", "not UTF-8"},
		"JSON with an escape":      {`{"kind":"` + "\u202e" + `"}`, "U+202E"},
		"JSON and more":            {`{"kind":"ReleasePolicy"} # a comment` + "\n---\n", "more than one document"},
		"too deep":                 {"a: " + strings.Repeat("[", 40) + strings.Repeat("]", 40) + "\n", "deeper"},
		"far too deep":             {"a: " + strings.Repeat("[", MaxBytes-10), ""},
		"too long":                 {written + "#" + strings.Repeat(" ", MaxBytes), "at most"},
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			_, err := ParseText([]byte(c.text))
			if provenance.CodeOf(err) != provenance.Invalid || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want it to say %q", err, c.want)
			}
			if d := time.Since(start); d > 2*time.Second {
				t.Errorf("it took %s", d)
			}
		})
	}
}

// A hostile text costs little, whatever it is made of.
func TestParseTextIsBounded(t *testing.T) {
	for name, part := range map[string]string{
		"comments": "#\n", "empty lines": "\n", "fields": "a:\n", "elements": "- \n", "flow": "{a: ", "quotes": `"\n`, "anchors": "&a ", "aliases": "*a ", "keys": "? ", "directives": "%YAML 1.2\n", "documents": "--- a\n",
	} {
		start := time.Now()
		_, err := ParseText([]byte(strings.Repeat(part, MaxBytes/len(part))))
		if provenance.CodeOf(err) != provenance.Invalid {
			t.Errorf("%s: %v", name, err)
		}
		if d := time.Since(start); d > 2*time.Second {
			t.Errorf("%s took %s", name, d)
		}
	}
}

// The examples that people copy are texts, one with an alias, and mean what a
// reader of YAML says.
func TestParseTextOfExamples(t *testing.T) {
	files, err := filepath.Glob("../../scripts/*policy*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		document, err := yaml.YAMLToJSONStrict(b)
		if err != nil {
			t.Fatal(err)
		}
		want, err := Parse(document)
		if err != nil {
			t.Fatal(err)
		}
		if p, err := ParseText(b); err != nil || !bytes.Equal(p.Canonical(), want.Canonical()) {
			t.Errorf("%s: %v\n%s", file, err, p.Canonical())
		}
	}
}

// Nothing panics; what is accepted is the same each time, and its canonical form
// is a text of the same rules.
func FuzzParseText(f *testing.F) {
	f.Add([]byte(written))
	f.Add([]byte(`{"apiVersion":"waybill.dev/v1"}`))
	f.Add([]byte("a: &x [*x]\n<<: *x\n"))
	f.Add([]byte("%TAG ! tag:x,2000:\n--- !a\n? - b\n: c\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := ParseText(text)
		if err != nil {
			if provenance.CodeOf(err) != provenance.Invalid {
				t.Fatal(err)
			}
			return
		}
		again, err := ParseText(p.Canonical())
		if err != nil || !bytes.Equal(again.Canonical(), p.Canonical()) {
			t.Errorf("its canonical form is read as\n%s\nand was\n%s, %v", again.Canonical(), p.Canonical(), err)
		}
	})
}
