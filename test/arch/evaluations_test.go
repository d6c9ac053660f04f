package arch

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"strings"
)

// bench is where a verdict is made: one package, and in it one call. Whoever
// evaluates beside it gathers facts of its own, and two bodies drift apart until
// a gateway says what no peer would.
const bench = "chaincode/state/"

// evaluations returns where a file uses policy.Evaluate, as "file:line". The
// package itself and tests may; a file that brings the package's names into its
// own cannot be told apart and counts as a use.
func evaluations(rel string, src []byte) ([]string, error) {
	if strings.HasSuffix(rel, "_test.go") || strings.HasPrefix(rel, "test/") || strings.HasPrefix(rel, "chaincode/policy/") {
		return nil, nil
	}
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, rel, src, 0)
	if err != nil {
		return nil, fmt.Errorf("parse %s: %w", rel, err)
	}
	var out []string
	say := func(pos token.Pos) { out = append(out, fmt.Sprintf("%s:%d", rel, fset.Position(pos).Line)) }
	rules := full("chaincode/policy")
	names := importNames(file)
	for _, spec := range file.Imports {
		if spec.Name != nil && spec.Name.Name == "." && strings.Trim(spec.Path.Value, `"`) == rules {
			say(spec.Pos())
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if use, ok := n.(*ast.SelectorExpr); ok && use.Sel.Name == "Evaluate" {
			if x, ok := use.X.(*ast.Ident); ok && names[x.Name] == rules {
				say(use.Pos())
			}
		}
		return true
	})
	return out, nil
}

// judged says what is wrong with the places where policy.Evaluate is used.
func judged(uses []string) []string {
	var out []string
	for i, use := range uses {
		switch {
		case !strings.HasPrefix(use, bench):
			out = append(out, use+": policy.Evaluate beside the bench: ask state.Judge, or Judgement.Again")
		case i > 0 && strings.HasPrefix(uses[i-1], bench):
			out = append(out, use+": policy.Evaluate once more: Judgement.Again is the one place")
		}
	}
	return out
}
