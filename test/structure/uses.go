package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/types"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
)

// arrow is an import of one package of ours by the code of another.
type arrow struct{ from, to string }

func arrowsOf(t *tree) []arrow {
	seen := map[arrow]bool{}
	for _, f := range t.files {
		if f.test {
			continue
		}
		for _, spec := range f.ast.Imports {
			if to, ours := t.within(strings.Trim(spec.Path.Value, `"`)); ours {
				seen[arrow{f.dir, to}] = true
			}
		}
	}
	return slices.SortedFunc(maps.Keys(seen), func(a, b arrow) int {
		return cmp.Or(strings.Compare(a.from, b.from), strings.Compare(a.to, b.to))
	})
}

func (m *measured) arrowsFrom(dir string) (n int) {
	for _, a := range m.arrows {
		if a.from == dir {
			n++
		}
	}
	return n
}

// checked is the code of one package with its types.
type checked struct {
	pkg  *types.Package
	info *types.Info
}

// check finds out what every name in the code stands for. Packages of others are
// read as the go command compiled them.
func check(t *tree) (map[string]checked, error) {
	foreign, err := exports(t)
	if err != nil {
		return nil, err
	}
	others := importer.ForCompiler(t.fset, "gc", func(imported string) (io.ReadCloser, error) {
		if foreign[imported] == "" {
			return nil, fmt.Errorf("nothing imports %s", imported)
		}
		return os.Open(foreign[imported])
	})
	c := &checker{t: t, others: others, done: map[string]checked{}}
	for _, dir := range t.dirs() {
		if _, err := c.dir(dir); err != nil {
			return nil, err
		}
	}
	return c.done, nil
}

type checker struct {
	t      *tree
	others types.Importer
	done   map[string]checked
}

// Import gives the type checker a package; the go command saw that none imports itself.
func (c *checker) Import(imported string) (*types.Package, error) {
	if dir, ours := c.t.within(imported); ours {
		return c.dir(dir)
	}
	return c.others.Import(imported)
}

func (c *checker) dir(dir string) (*types.Package, error) {
	if known, ok := c.done[dir]; ok {
		return known.pkg, nil
	}
	var files []*ast.File
	for _, f := range c.t.files {
		if f.dir == dir && !f.test {
			files = append(files, f.ast)
		}
	}
	info := &types.Info{Uses: map[*ast.Ident]types.Object{}, Defs: map[*ast.Ident]types.Object{}}
	conf := types.Config{Importer: c}
	pkg, err := conf.Check(path.Join(c.t.module, dir), c.t.fset, files, info)
	if err != nil {
		return nil, err
	}
	c.done[dir] = checked{pkg, info}
	return pkg, nil
}

// exports asks the go command for the compiled form of everything of others that
// our code imports, by import path.
func exports(t *tree) (map[string]string, error) {
	var foreign []string
	for _, f := range t.files {
		if f.test {
			continue
		}
		for _, spec := range f.ast.Imports {
			if from := strings.Trim(spec.Path.Value, `"`); from != "unsafe" {
				if _, ours := t.within(from); !ours {
					foreign = append(foreign, from)
				}
			}
		}
	}
	slices.Sort(foreign)
	cmd := exec.Command("go", append([]string{"list", "-deps", "-export", "-json=ImportPath,Export", "--"}, slices.Compact(foreign)...)...)
	cmd.Dir = t.root
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	listed, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w: %s", err, stderr.String())
	}
	out := map[string]string{}
	for dec := json.NewDecoder(bytes.NewReader(listed)); ; {
		var p struct{ ImportPath, Export string }
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return out, nil
		} else if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		out[p.ImportPath] = p.Export
	}
}

// mutualUse is a pair of files of one package, each of which uses what the other
// declares: something at package level, or a method.
type mutualUse struct {
	dir, a, b      string
	aUsesB, bUsesA []string // names
}

func mutualUses(t *tree, all map[string]checked) []mutualUse {
	type way struct{ dir, from, to string }
	uses := map[way]map[string]bool{}
	for _, f := range t.files {
		c, ok := all[f.dir]
		if !ok || f.kind != code {
			continue
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			id, ok := n.(*ast.Ident)
			if !ok {
				return true
			}
			obj := c.info.Uses[id]
			if fn, ok := obj.(*types.Func); ok {
				obj = fn.Origin()
			}
			if obj == nil || obj.Pkg() != c.pkg || !declares(c.pkg, obj) {
				return true
			}
			from, to := path.Base(f.rel), path.Base(t.fset.Position(obj.Pos()).Filename)
			if from != to {
				w := way{f.dir, from, to}
				if uses[w] == nil {
					uses[w] = map[string]bool{}
				}
				uses[w][obj.Name()] = true
			}
			return true
		})
	}
	var out []mutualUse
	for w, names := range uses {
		if back := uses[way{w.dir, w.to, w.from}]; back != nil && w.from < w.to {
			out = append(out, mutualUse{w.dir, w.from, w.to, slices.Sorted(maps.Keys(names)), slices.Sorted(maps.Keys(back))})
		}
	}
	slices.SortFunc(out, func(a, b mutualUse) int {
		return cmp.Or(strings.Compare(a.dir, b.dir), strings.Compare(a.a, b.a), strings.Compare(a.b, b.b))
	})
	return out
}

// declares tells whether an object stands at package level or is a method.
func declares(pkg *types.Package, obj types.Object) bool {
	if fn, ok := obj.(*types.Func); ok && fn.Signature().Recv() != nil {
		return !types.IsInterface(fn.Signature().Recv().Type())
	}
	return obj.Parent() == pkg.Scope()
}

func (m *measured) mutualIn(dir string) (n int) {
	for _, p := range m.mutual {
		if p.dir == dir {
			n++
		}
	}
	return n
}

// mostMethods is what an interface of ours has at most.
const mostMethods = 3

type wideInterface struct {
	name         string // package.Type
	methods, own int    // in all, and those that it does not embed
}

// wideInterfaces lists the interfaces of the code with more methods than
// mostMethods, those of embedded ones included.
func wideInterfaces(t *tree, all map[string]checked) []wideInterface {
	var out []wideInterface
	for _, f := range t.files {
		if f.kind != code {
			continue
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok || spec.Assign.IsValid() || all[f.dir].info == nil || all[f.dir].info.Defs[spec.Name] == nil {
				return true
			}
			if i, ok := all[f.dir].info.Defs[spec.Name].Type().Underlying().(*types.Interface); ok && i.NumMethods() > mostMethods {
				out = append(out, wideInterface{f.dir + "." + spec.Name.Name, i.NumMethods(), i.NumExplicitMethods()})
			}
			return true
		})
	}
	slices.SortFunc(out, func(a, b wideInterface) int {
		return cmp.Or(cmp.Compare(b.methods, a.methods), strings.Compare(a.name, b.name))
	})
	return out
}
