package state

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"testing"
)

// TestTypesAreAll: a type of key that is missing from the list would be lost where a channel goes on from another one.
func TestTypesAreAll(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "keys.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	private, all := []string{TypeClients, TypePurged}, 0
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Names) != 1 || len(spec.Names[0].Name) < 5 || spec.Names[0].Name[:4] != "Type" {
			return true
		}
		value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		all++
		if slices.Contains(Types(), value) == slices.Contains(private, value) {
			t.Errorf("%s (%q): in Types or private, one of both", spec.Names[0].Name, value)
		}
		return true
	})
	if all != len(Types())+len(private) {
		t.Errorf("%d constants, %d types", all, len(Types()))
	}
}

// TestStateHashTellsApart: where one value ends and the next key begins is part of it.
func TestStateHashTellsApart(t *testing.T) {
	seen := map[string]bool{}
	for _, entries := range [][]StateEntry{
		nil, {{Key: "a", Value: []byte("bc")}}, {{Key: "ab", Value: []byte("c")}}, {{Key: "a", Value: []byte("b")}, {Key: "c"}}, {{Key: "c"}, {Key: "a", Value: []byte("b")}},
	} {
		hash, err := StateHash("", entries)
		if err != nil || seen[hash] {
			t.Errorf("%v: %s, %v", entries, hash, err)
		}
		seen[hash] = true
	}
	whole, err := StateHash("", []StateEntry{{Key: "a"}, {Key: "b"}})
	if err != nil {
		t.Fatal(err)
	}
	part, err := StateHash("", []StateEntry{{Key: "a"}})
	if err != nil {
		t.Fatal(err)
	}
	if part, err = StateHash(part, []StateEntry{{Key: "b"}}); err != nil || part != whole {
		t.Errorf("in pages %s, at once %s, %v", part, whole, err)
	}
}
