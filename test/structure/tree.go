package main

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// longFile is the number of lines beyond which a file holds more than one thing.
const longFile = 400

type kind int

const (
	code kind = iota
	tests
	generated
)

func kinds() []kind { return []kind{code, tests, generated} }

func (k kind) String() string { return []string{"code", "tests", "generated"}[k] }

// file is a Go file of the module.
type file struct {
	rel   string // relative to the checkout, with slashes
	dir   string
	lines int
	kind  kind
	test  bool // the go command calls it one
	ast   *ast.File
}

// tree is the Go source of one module, without nested modules, test data and
// hidden folders.
type tree struct {
	root, module string
	fset         *token.FileSet
	files        []file
}

func read(root string) (*tree, error) {
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		return nil, err
	}
	name := regexp.MustCompile(`(?m)^module\s+(\S+)`).FindSubmatch(mod)
	if name == nil {
		return nil, fmt.Errorf("%s/go.mod names no module", root)
	}
	t := &tree{root: root, module: string(name[1]), fset: token.NewFileSet()}
	err = filepath.WalkDir(root, func(full string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			_, nested := os.Stat(filepath.Join(full, "go.mod"))
			if full != root && (nested == nil || entry.Name() == "testdata" || strings.HasPrefix(entry.Name(), ".")) {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(full, ".go") {
			return nil
		}
		return t.add(full)
	})
	return t, err
}

func (t *tree) add(full string) error {
	rel, err := filepath.Rel(t.root, full)
	if err != nil {
		return err
	}
	src, err := os.ReadFile(full)
	if err != nil {
		return err
	}
	f := file{rel: filepath.ToSlash(rel), lines: strings.Count(string(src), "\n"), test: strings.HasSuffix(rel, "_test.go")}
	f.dir = path.Dir(f.rel)
	if f.ast, err = parser.ParseFile(t.fset, full, src, parser.ParseComments|parser.SkipObjectResolution); err != nil {
		return err
	}
	switch {
	case ast.IsGenerated(f.ast):
		f.kind = generated
	case f.test || forTests(f.dir):
		f.kind = tests
	}
	t.files = append(t.files, f)
	return nil
}

// forTests tells whether a folder holds what only tests use: below test/, or a
// package that is named for it, like queuetest.
func forTests(dir string) bool {
	return dir == "test" || strings.HasPrefix(dir, "test/") || strings.HasSuffix(dir, "test")
}

// dirs lists the packages.
func (t *tree) dirs() []string {
	var out []string
	for _, f := range t.files {
		out = append(out, f.dir)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (t *tree) amount(k kind) (files, lines int) {
	for _, f := range t.files {
		if f.kind == k {
			files, lines = files+1, lines+f.lines
		}
	}
	return files, lines
}

func (t *tree) long(k kind) (out []file) {
	for _, f := range t.files {
		if f.kind == k && f.lines > longFile {
			out = append(out, f)
		}
	}
	return out
}

func (t *tree) linesIn(dir string) (n int) {
	for _, f := range t.files {
		if f.kind == code && f.dir == dir {
			n += f.lines
		}
	}
	return n
}

func (t *tree) linesOf(rel string) int {
	for _, f := range t.files {
		if f.rel == rel {
			return f.lines
		}
	}
	return 0
}

// largest lists the largest files of ours: at least n, and every one that is too long.
func (t *tree) largest(n int) []file {
	ours := slices.DeleteFunc(slices.Clone(t.files), func(f file) bool { return f.kind == generated })
	slices.SortStableFunc(ours, func(a, b file) int { return cmp.Compare(b.lines, a.lines) })
	n = max(n, len(t.long(code))+len(t.long(tests)))
	return ours[:min(n, len(ours))]
}

// pkg is a package by its amount of code.
type pkg struct {
	dir          string
	files, lines int
}

func (t *tree) largestPackages(n int) []pkg {
	byDir := map[string]pkg{}
	for _, f := range t.files {
		if f.kind == code {
			p := byDir[f.dir]
			byDir[f.dir] = pkg{f.dir, p.files + 1, p.lines + f.lines}
		}
	}
	var out []pkg
	for _, p := range byDir {
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b pkg) int { return cmp.Or(cmp.Compare(b.lines, a.lines), strings.Compare(a.dir, b.dir)) })
	return out[:min(n, len(out))]
}
