package arch

import (
	"fmt"
	"go/ast"
	"testing"
)

// maxMethods is how many methods an interface declares itself. What needs more of
// another room is composed of named parts, so that each says what it is about and
// a test stands in for the part it is about.
const maxMethods = 3

// wide lists the interfaces of a file that declare more.
func wide(rel string, file *ast.File) (out []string) {
	if ast.IsGenerated(file) {
		return nil
	}
	called := map[*ast.InterfaceType]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.TypeSpec:
			if i, ok := n.Type.(*ast.InterfaceType); ok {
				called[i] = n.Name.Name
			}
		case *ast.InterfaceType:
			own := 0
			for _, m := range n.Methods.List {
				own += len(m.Names) // none where another interface is embedded
			}
			if own > maxMethods {
				out = append(out, fmt.Sprintf("%s: interface %s declares %d methods, at most %d: compose it of named parts", rel, called[n], own, maxMethods))
			}
		}
		return true
	})
	return out
}

func TestInterfaces(t *testing.T) {
	files, err := sources(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, rel := range files {
		file, err := parse(rel)
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range wide(rel, file) {
			t.Error(w)
		}
	}
}

func TestInterfacesFail(t *testing.T) {
	for src, want := range map[string]int{
		"type a interface { b(); c(); d() }":                  0,
		"type a interface { b; c; d; e; f }":                  0,
		"type a interface { b; c(); d(); e() }":               0,
		"type a interface { b(); c(); d(); e() }":             1,
		"type a struct { b interface{ c(); d(); e(); f() } }": 1,
		"func a(b interface{ c(); d(); e(); f() }) {}":        1,
	} {
		file, err := parseText("package p\n" + src)
		if err != nil {
			t.Fatalf("%q: %v", src, err)
		}
		if got := wide("p.go", file); len(got) != want {
			t.Errorf("%q: %q, want %d", src, got, want)
		}
	}
}
