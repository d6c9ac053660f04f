package evidence

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/chaincode/sigstore"
)

// rows returns the cells of the one table of docs/evidence.md that stands below a
// heading, without its head.
func rows(t *testing.T, heading string) [][]string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "docs", "evidence.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, below, found := strings.Cut(string(b), "\n## "+heading+"\n")
	if !found {
		t.Fatalf("docs/evidence.md has no %q", heading)
	}
	below, _, _ = strings.Cut(below, "\n## ")
	var out [][]string
	for line := range strings.Lines(below) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "|") {
			continue
		}
		var cells []string
		for cell := range strings.SplitSeq(strings.Trim(line, "|"), "|") {
			cells = append(cells, strings.TrimSpace(cell))
		}
		out = append(out, cells)
	}
	if len(out) < 3 {
		t.Fatalf("the table of %q has %d rows", heading, len(out))
	}
	return out[2:]
}

var quoted = regexp.MustCompile("`([^`]+)`")

// names are what stands in backquotes in a cell, but for what stands in brackets
// there: the members of a fact.
func names(cell string) []string {
	var out []string
	for _, m := range quoted.FindAllStringSubmatch(regexp.MustCompile(`\([^()]*\)`).ReplaceAllString(cell, ""), -1) {
		out = append(out, m[1])
	}
	return out
}

func TestDocumentedFormats(t *testing.T) {
	var page []Format
	for _, row := range rows(t, "Formats") {
		page = append(page, Format(names(row[0])[0]))
	}
	if diff := cmp.Diff(Formats(), page); diff != "" {
		t.Errorf("docs/evidence.md, Formats (-code +page):\n%s", diff)
	}
	for _, f := range Formats() {
		_, err := open(Request{Subject: image, Format: f, Envelope: []byte("{}"), Now: now})
		if f != FormatPlain && (err == nil || strings.Contains(err.Error(), "is unknown")) {
			t.Errorf("%s is not opened: %v", f, err)
		}
	}
}

func TestDocumentedKinds(t *testing.T) {
	type row struct{ Name, Type, Predicates string }
	var code, page []row
	for _, k := range Kinds() {
		code = append(code, row{k.Name, k.Type, strings.Join(k.Predicates, " ")})
	}
	for _, cells := range rows(t, "Documents") {
		page = append(page, row{cells[0], names(cells[1])[0], strings.Join(names(cells[2]), " ")})
	}
	if diff := cmp.Diff(code, page); diff != "" {
		t.Errorf("docs/evidence.md, Documents (-code +page):\n%s", diff)
	}
	for _, typ := range Types() {
		if !slices.ContainsFunc(Kinds(), func(k Kind) bool { return k.Type == typ }) {
			t.Errorf("no kind of document is a %s", typ)
		}
	}
}

func TestDocumentedFacts(t *testing.T) {
	signature, err := signatureFacts("", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	code := map[string][]string{TypeSignature: slices.Sorted(maps.Keys(signature))}
	for typ, schema := range factSchemas() {
		var s struct{ Properties map[string]any }
		if err := json.Unmarshal([]byte(schema), &s); err != nil {
			t.Fatal(err)
		}
		code[typ] = slices.Sorted(maps.Keys(s.Properties))
	}
	page, order := map[string][]string{}, []string{}
	for _, row := range rows(t, "Facts by type") {
		typ := names(row[0])[0]
		if typ == "custom/MSP/NAME" {
			continue
		}
		page[typ] = slices.Sorted(slices.Values(names(row[1])))
		order = append(order, typ)
	}
	if diff := cmp.Diff(code, page); diff != "" {
		t.Errorf("docs/evidence.md, Facts by type (-code +page):\n%s", diff)
	}
	if diff := cmp.Diff(Types(), order); diff != "" {
		t.Errorf("docs/evidence.md, Facts by type, order (-code +page):\n%s", diff)
	}
}

// The bounds that docs/limits.md states are those of the code.
func TestDocumentedBounds(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("..", "..", "docs", "limits.md"))
	if err != nil {
		t.Fatal(err)
	}
	page := strings.Join(strings.Fields(string(b)), " ")
	thousands := func(n int) string { return fmt.Sprintf("%d,%03d", n/1000, n%1000) }
	for _, want := range []string{
		fmt.Sprintf("verified whole up to %d MiB", MaxEnvelope>>20),
		fmt.Sprintf("documents that no key signed, up to %d KiB", MaxSmall>>10),
		fmt.Sprintf("1 to %d levels or properties and %d policies", maxLevels, maxPolicies),
		fmt.Sprintf("through %d relationships and is in %d groups", maxCSAFDepth, maxCSAFGroups),
		fmt.Sprintf("has %d aliases", maxAliases),
		fmt.Sprintf("at most %d log entries, %d timestamps and %d hashes", sigstore.MaxEntries, sigstore.MaxTimestamps, sigstore.MaxHashes),
		fmt.Sprintf("at most %d KiB, %d authorities of a kind", sigstore.MaxTrustedRoot>>10, sigstore.MaxAuthorities),
		fmt.Sprintf("%s values, %s objects, 64 levels: %d times its size", thousands(maxPayloadValues), thousands(maxPayloadObjects), maxBlowUp),
		fmt.Sprintf("its facts on the ledger | %d KiB", MaxFacts>>10),
	} {
		if !strings.Contains(page, want) {
			t.Errorf("docs/limits.md does not say %q", want)
		}
	}
}
