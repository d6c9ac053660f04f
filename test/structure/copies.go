package main

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/types"
	"path"
	"slices"
	"strings"
)

// fewestFields is what makes two structs copies rather than alike by chance.
const fewestFields = 3

// structCopies is one struct that several packages declare.
type structCopies struct {
	fields int
	where  []string // package.Type
}

// copiesOf finds the named structs of the code that have the same fields, by name
// and type, as one of another package. A type of ours counts by its bare name:
// a copy refers to copies.
func copiesOf(t *tree) []structCopies {
	groups := map[string][]string{}
	fields := map[string]int{}
	for _, f := range t.files {
		if f.kind != code {
			continue
		}
		imported := importsOf(t, f.ast)
		ast.Inspect(f.ast, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok {
				return true
			}
			if s, ok := spec.Type.(*ast.StructType); ok && !spec.Assign.IsValid() {
				if list := fieldsOf(s, imported); len(list) >= fewestFields {
					key := strings.Join(list, "\n")
					groups[key] = append(groups[key], f.dir+"."+spec.Name.Name)
					fields[key] = len(list)
				}
			}
			return true
		})
	}
	var out []structCopies
	for key, where := range groups {
		slices.Sort(where)
		if !slices.ContainsFunc(where, func(w string) bool { return path.Dir(w)+packageOf(w) != path.Dir(where[0])+packageOf(where[0]) }) {
			continue
		}
		out = append(out, structCopies{fields[key], where})
	}
	slices.SortFunc(out, func(a, b structCopies) int {
		return cmp.Or(cmp.Compare(len(b.where), len(a.where)), strings.Compare(a.where[0], b.where[0]))
	})
	return out
}

// packageOf returns the last element of a package's path, of package.Type.
func packageOf(name string) string {
	last, _, _ := strings.Cut(path.Base(name), ".")
	return last
}

// fieldsOf returns a struct's fields as "name type", sorted.
func fieldsOf(s *ast.StructType, imported map[string]string) []string {
	var out []string
	for _, f := range s.Fields.List {
		as := typeText(f.Type, imported)
		if len(f.Names) == 0 {
			out = append(out, "embedded "+as)
		}
		for _, name := range f.Names {
			out = append(out, name.Name+" "+as)
		}
	}
	slices.Sort(out)
	return out
}

// typeText spells a type so that two packages spell the same one alike.
func typeText(e ast.Expr, imported map[string]string) string {
	text := types.ExprString(e)
	ast.Inspect(e, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if x, ok := sel.X.(*ast.Ident); ok {
			as := sel.Sel.Name
			if from := imported[x.Name]; from != "" {
				as = fmt.Sprintf("%q.%s", from, as)
			}
			text = strings.ReplaceAll(text, types.ExprString(sel), as)
		}
		return false
	})
	return text
}

// importsOf maps the names a file uses to the packages of others they stand for.
func importsOf(t *tree, f *ast.File) map[string]string {
	out := map[string]string{}
	for _, spec := range f.Imports {
		from := strings.Trim(spec.Path.Value, `"`)
		name := path.Base(from)
		if spec.Name != nil {
			name = spec.Name.Name
		}
		if _, ours := t.within(from); !ours {
			out[name] = from
		}
	}
	return out
}

// within returns the folder of a package, if it is of this module.
func (t *tree) within(imported string) (dir string, ours bool) {
	if imported == t.module {
		return ".", true
	}
	return strings.CutPrefix(imported, t.module+"/")
}
