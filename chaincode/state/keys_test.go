package state

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
	"testing"
)

// A key type that came before pages would cost every push what it costs to write all
// pages again, a part at a time, and nothing else would tell.
func TestPagesComeFirst(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "keys.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	types := 0
	ast.Inspect(file, func(n ast.Node) bool {
		v, ok := n.(*ast.ValueSpec)
		if !ok || len(v.Values) != 1 || !strings.HasPrefix(v.Names[0].Name, "Type") {
			return true
		}
		literal, ok := v.Values[0].(*ast.BasicLit)
		if !ok {
			t.Fatalf("%s is no literal", v.Names[0].Name)
		}
		name, err := strconv.Unquote(literal.Value)
		if err != nil {
			t.Fatal(err)
		}
		types++
		if name != TypePage && Key(name) <= Key(TypePage) {
			t.Errorf("keys of type %q come before pages", name)
		}
		return true
	})
	if types < 40 {
		t.Errorf("%d types of keys were read", types)
	}
}
