package arch

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const maxLines = 400

// sources walks the Go files of the module, leaving out nested modules, test
// data and hidden folders, and returns their paths relative to root.
func sources(root string) ([]string, error) {
	var out []string
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if rel == "." {
				return nil
			}
			_, nested := os.Stat(filepath.Join(name, "go.mod"))
			if nested == nil || entry.Name() == "testdata" || strings.HasPrefix(entry.Name(), ".") {
				return filepath.SkipDir
			}
			return nil
		}
		if strings.HasSuffix(rel, ".go") {
			out = append(out, filepath.ToSlash(rel))
		}
		return nil
	})
	return out, err
}

// misbehaviours reads one file and returns what breaks the manners, as
// "file:line: words".
func misbehaviours(rel string, src []byte) ([]string, error) {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, rel, src, parser.ParseComments)
	if err != nil {
		return nil, fmt.Errorf("parse %s: %w", rel, err)
	}
	if ast.IsGenerated(file) {
		return nil, nil
	}
	var out []string
	if n := bytes.Count(src, []byte("\n")); n > maxLines {
		out = append(out, fmt.Sprintf("%s: %d lines, at most %d: it holds more than one thing", rel, n, maxLines))
	}
	if strings.HasSuffix(rel, "_test.go") || strings.HasPrefix(rel, "test/") {
		return out, nil
	}
	say := func(pos token.Pos, format string, args ...any) {
		out = append(out, fmt.Sprintf("%s:%d: %s", rel, fset.Position(pos).Line, fmt.Sprintf(format, args...)))
	}
	names := importNames(file)
	ast.Inspect(file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		switch name := callee(call, names); {
		case name == "panic":
			say(call.Pos(), "panic: return an error")
		case name == "time.Sleep":
			say(call.Pos(), "time.Sleep: wait on a ticker or a timer, and on ctx")
		case (name == "os.Exit" || strings.HasPrefix(name, "log.Fatal")) && file.Name.Name != "main":
			say(call.Pos(), "%s below main: return an error", name)
		case strings.HasPrefix(rel, "chaincode/") && clockOrEnvironment(name):
			say(call.Pos(), "%s in the chaincode: peers would disagree", name)
		}
		return true
	})
	return out, nil
}

func clockOrEnvironment(name string) bool {
	switch name {
	case "time.Now", "time.Since", "time.Until", "os.Getenv", "os.LookupEnv", "os.Environ":
		return true
	}
	return false
}

// importNames maps the name a file uses to the package it imports.
func importNames(file *ast.File) map[string]string {
	out := map[string]string{}
	for _, spec := range file.Imports {
		imported := strings.Trim(spec.Path.Value, `"`)
		name := imported[strings.LastIndexByte(imported, '/')+1:]
		if spec.Name != nil {
			name = spec.Name.Name
		}
		out[name] = imported
	}
	return out
}

// callee names a called function: "panic", or "package.Function" with the
// package's own name whatever the file calls it; "" for anything else.
func callee(call *ast.CallExpr, names map[string]string) string {
	switch fun := call.Fun.(type) {
	case *ast.Ident:
		return fun.Name
	case *ast.SelectorExpr:
		if x, ok := fun.X.(*ast.Ident); ok && names[x.Name] != "" {
			return names[x.Name] + "." + fun.Sel.Name
		}
	}
	return ""
}
