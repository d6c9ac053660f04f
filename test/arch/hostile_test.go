package arch

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var (
	// shownRow is a row of docs/HOSTILE.md: its number, and the tests in its last cell.
	shownRow = regexp.MustCompile(`(?m)^\| ([BDFV][0-9]+) \|.*\|(.*)\|$`)
	// shownTest is a folder and a test, and perhaps the name of one of its cases.
	shownTest = regexp.MustCompile("`([a-z0-9/]+)\\.(Test[A-Za-z0-9]+)(?:/([^`]+))?`")
)

// shown lists what is wrong with the table of hostile inputs: numbers without a
// test, and tests that are not there. exists tells the latter.
func shown(table string, numbers []string, exists func(folder, test, name string) error) []string {
	var wrong []string
	covered := map[string]bool{}
	for _, row := range shownRow.FindAllStringSubmatch(table, -1) {
		tests := shownTest.FindAllStringSubmatch(row[2], -1)
		covered[row[1]] = len(tests) > 0
		for _, t := range tests {
			if err := exists(t[1], t[2], t[3]); err != nil {
				wrong = append(wrong, row[1]+": "+err.Error())
			}
		}
		if n := strings.Count(row[2], "`") / 2; n != len(tests) {
			wrong = append(wrong, fmt.Sprintf("%s: %d names, of which %d are tests", row[1], n, len(tests)))
		}
	}
	for _, n := range numbers {
		if !covered[n] {
			wrong = append(wrong, n+" has no test")
		}
	}
	return wrong
}

func hostileNumbers() (out []string) {
	for _, r := range []struct {
		letter   string
		from, to int
	}{{"B", 1, 8}, {"B", 17, 45}, {"F", 18, 24}, {"D", 1, 3}, {"V", 1, 11}} {
		for n := r.from; n <= r.to; n++ {
			out = append(out, r.letter+strconv.Itoa(n))
		}
	}
	return out
}

// testIn looks for a test in a folder, and for the name of a case as a text in
// its files: of its table, or of the corpus beside it.
func testIn(folder, test, name string) error {
	files, err := filepath.Glob(filepath.Join(root, folder, "*_test.go"))
	if err != nil {
		return err
	}
	found := ""
	for _, f := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), f, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(parsed.Decls, func(d ast.Decl) bool {
			fn, ok := d.(*ast.FuncDecl)
			return ok && fn.Recv == nil && fn.Name.Name == test
		}) {
			found = f
		}
	}
	if found == "" {
		return fmt.Errorf("%s has no %s", folder, test)
	}
	corpus, err := filepath.Glob(filepath.Join(root, folder, "testdata", "*", "*.json"))
	if err != nil {
		return err
	}
	for _, f := range append(corpus, found) {
		b, err := os.ReadFile(f)
		if err != nil {
			return err
		}
		if name == "" || strings.Contains(string(b), strconv.Quote(name)) {
			return nil
		}
	}
	return fmt.Errorf("%s.%s has no case %q", folder, test, name)
}

// docs/HOSTILE.md promises a test for each number. It cannot rot unseen.
func TestHostileTable(t *testing.T) {
	table, err := os.ReadFile(filepath.Join(root, "docs", "HOSTILE.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range shown(string(table), hostileNumbers(), testIn) {
		t.Error(w)
	}
}

// The check must be able to fail.
func TestHostileTableFails(t *testing.T) {
	for table, want := range map[string]int{
		"| B1 | refused | `test/arch.TestHostileTable` |\n| F2 | waits | `test/arch.TestHostileTableFails` |":           0,
		"| B1 | refused | `test/arch.TestHostileTable` |\n":                                                             1, // F2 is missing
		"| B1 | refused | `test/arch.TestHostileTable` |\n| F2 | waits | |\n":                                           1,
		"| B1 | refused | `test/arch.TestGone` |\n| F2 | waits | `test/arch.TestHostileTable` |":                        1,
		"| B1 | refused | `nowhere.TestHostileTable` |\n| F2 | waits | `test/arch.TestHostileTable` |":                  1,
		"| B1 | refused | `test/arch.TestHostileTable/no " + "such case` |\n| F2 | w | `test/arch.TestHostileTable` |":  1,
		"| B1 | refused | `TestHostileTable` `test/arch.TestHostileTable` |\n| F2 | w | `test/arch.TestHostileTable` |": 1,
	} {
		if got := shown(table, []string{"B1", "F2"}, testIn); len(got) != want {
			t.Errorf("%q: %q, want %d", table, got, want)
		}
	}
}

// docs/ARCHITECTURE.md says who can do what, and shows it: every row of the table
// names tests, and they are there.
func TestPositionsAreShown(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "docs", "ARCHITECTURE.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "## Who can do what")
	section, _, _ = strings.Cut(section, "\n## ")
	rows := 0
	for line := range strings.Lines(section) {
		if !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "|---") || strings.HasPrefix(line, "| who |") {
			continue
		}
		rows++
		tests := shownTest.FindAllStringSubmatch(line, -1)
		if len(tests) == 0 {
			t.Errorf("no test: %s", line)
		}
		for _, name := range tests {
			if err := testIn(name[1], name[2], name[3]); err != nil {
				t.Error(err)
			}
		}
	}
	if !found || rows < 20 {
		t.Errorf("the table has %d rows", rows)
	}
}
