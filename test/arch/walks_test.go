package arch

import (
	"fmt"
	"strings"
	"testing"
)

// lost lists the steps of a walk (a file and functions in it) that are not there.
// Every row that names a function names its file.
func lost(text string) (steps int, wrong []string) {
	for _, cells := range rows(text) {
		if len(cells) != 4 {
			wrong = append(wrong, fmt.Sprintf("a row of %d cells: %s", len(cells), strings.Join(cells, " | ")))
			continue
		}
		files, functions := spans(cells[2]), spans(cells[3])
		if len(files) == 0 && len(functions) == 0 {
			continue // the step is another walk
		}
		if len(files) != 1 || len(functions) == 0 {
			wrong = append(wrong, fmt.Sprintf("want a file and its functions: %s", strings.Join(cells, " | ")))
			continue
		}
		steps++
		file, err := parse(files[0])
		if err != nil {
			wrong = append(wrong, err.Error())
			continue
		}
		there := names(file)
		for _, f := range functions {
			if !there[f] {
				wrong = append(wrong, fmt.Sprintf("%s has no %s", files[0], f))
			}
		}
	}
	return steps, wrong
}

// docs/ARCHITECTURE.md follows a push, an approval and a signature through the
// rooms. Who follows it finds each step.
func TestWalks(t *testing.T) {
	text := allDocuments(t)["docs/ARCHITECTURE.md"]
	for _, walk := range []string{"### A push", "### An approval", "### A signature"} {
		steps, wrong := lost(section(section(text, "## Three walks"), walk))
		if steps < 10 {
			t.Errorf("%s has %d steps", walk, steps)
		}
		for _, w := range wrong {
			t.Errorf("%s: %s", walk, w)
		}
	}
}

func TestWalksFail(t *testing.T) {
	const head = "| | what | file | function |\n|---|---|---|---|\n"
	for row, want := range map[string]int{
		"| 1 | a | `test/arch/walks_test.go` | `lost` |":         0,
		"| 1 | a | `test/arch/graph_test.go` | `graph.path` |":   0,
		"| 1 | as a push | | |":                                  0,
		"| 1 | a | `test/arch/walks_test.go` | `lost` `found` |": 1,
		"| 1 | a | `test/arch/graph_test.go` | `path` |":         1, // a method goes by its type
		"| 1 | a | `test/arch/gone.go` | `lost` |":               1,
		"| 1 | a | `test/arch/walks_test.go` | |":                1,
		"| 1 | a | | `lost` |":                                   1,
		"| 1 | a | `test/arch/walks_test.go` |":                  1,
	} {
		if _, got := lost(head + row + "\n"); len(got) != want {
			t.Errorf("%q: %q, want %d", row, got, want)
		}
	}
}
