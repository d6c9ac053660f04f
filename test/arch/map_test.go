package arch

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// misdrawn compares the package map of docs/ARCHITECTURE.md with the packages:
// each has a row, or lies below one that has; and a row says what the package
// imports of ours, one of the gateway's what it imports of the gateway.
func misdrawn(text string, g graph) (wrong []string) {
	drawn := map[string][]string{}
	for _, cells := range rows(text) {
		pkg := spans(cells[0])
		if len(cells) != 3 || len(pkg) != 1 {
			wrong = append(wrong, "want a package, a sentence and its imports: "+strings.Join(cells, " | "))
			continue
		}
		imports := []string{}
		for _, name := range spans(cells[2]) {
			if within(pkg[0], "gateway") {
				name = "gateway/" + name
			}
			imports = append(imports, name)
		}
		drawn[pkg[0]] = imports
	}
	for pkg, imports := range drawn {
		n, ok := g[full(pkg)]
		if !ok {
			wrong = append(wrong, "there is no package "+pkg)
			continue
		}
		var real []string
		for _, i := range n.imports {
			_, room := drawn[short(i)]
			closet := within(i, full(pkg)) && !room
			if within(i, module) && !closet && (!within(pkg, "gateway") || within(i, full("gateway"))) {
				real = append(real, short(i))
			}
		}
		slices.Sort(real)
		slices.Sort(imports)
		if !slices.Equal(real, imports) {
			wrong = append(wrong, fmt.Sprintf("%s imports [%s], drawn are [%s]", pkg, strings.Join(real, " "), strings.Join(imports, " ")))
		}
	}
	for _, pkg := range g.ours() {
		if within(pkg, "test") {
			if !strings.Contains(text, "`"+strings.Join(strings.Split(pkg, "/")[:2], "/")+"`") {
				wrong = append(wrong, pkg+" is not on the map")
			}
			continue
		}
		on := false
		for d := range drawn {
			on = on || pkg == d || d != "gateway" && d != "network" && within(pkg, d)
		}
		if !on {
			wrong = append(wrong, pkg+" is not on the map")
		}
	}
	slices.Sort(wrong)
	return wrong
}

func TestMap(t *testing.T) {
	g, err := load(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range misdrawn(section(allDocuments(t)["docs/ARCHITECTURE.md"], "## Package map"), g) {
		t.Error(w)
	}
}

func TestMapFails(t *testing.T) {
	g := graph{
		full("gateway/queue"):           {imports: []string{full("gateway/delivery"), full("chaincode/state"), "fmt"}},
		full("gateway/queue/queuetest"): {imports: []string{full("gateway/queue")}},
		full("gateway/delivery"):        {},
		full("cmd/waybill"):             {imports: []string{full("gateway/queue")}},
	}
	const head = "| package | what | imports |\n|---|---|---|\n"
	delivery, cmd := "| `gateway/delivery` | a | |\n", "| `cmd/waybill` | a | `gateway/queue` |\n"
	for row, want := range map[string]int{
		delivery + cmd + "| `gateway/queue` | a | `delivery` |\n":                                  0,
		delivery + cmd + "| `gateway/queue` | a | `delivery` `index` |\n":                          1,
		delivery + cmd + "| `gateway/queue` | a | |\n":                                             1,
		delivery + "| `gateway/queue` | a | `delivery` |\n":                                        1, // cmd/waybill
		cmd + "| `gateway/queue` | a | `delivery` |\n":                                             1, // gateway/delivery
		delivery + cmd + "| `gateway/queue` | a | `delivery` |\n| `gateway/attic` | a | |\n":       1,
		delivery + cmd + "| `gateway/queue` | a | `delivery` |\n| `gateway/a` `gateway/b` | a |\n": 1,
	} {
		if got := misdrawn(head+row, g); len(got) != want {
			t.Errorf("%q: %q, want %d", row, got, want)
		}
	}
}
