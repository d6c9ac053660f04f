package arch

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path"
	"slices"
	"strings"
)

const module = "github.com/waybill-dev/waybill"

// graph holds, per import path, what the package's non-test files import.
// Packages of other modules and of the standard library are in it too.
type graph map[string]node

type node struct {
	imports  []string
	standard bool
	problem  string // the go command cannot load it
}

// listed is the part of `go list -json` we read.
type listed struct {
	ImportPath string
	Standard   bool
	Imports    []string
	ImportMap  map[string]string
	Error      *struct{ Err string }
}

// load asks the go command for the import graph below root.
func load(root string) (graph, error) {
	cmd := exec.Command("go", "list", "-e", "-deps", "-json=ImportPath,Standard,Imports,ImportMap,Error", "./...")
	cmd.Dir = root
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w: %s", err, stderr.String())
	}
	g := graph{}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return g, nil
		} else if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		for i, imported := range p.Imports {
			if real, ok := p.ImportMap[imported]; ok {
				p.Imports[i] = real
			}
		}
		n := node{imports: p.Imports, standard: p.Standard}
		if p.Error != nil {
			n.problem = p.Error.Err
		}
		g[p.ImportPath] = n
	}
}

// ours lists the module's own packages, sorted, relative to the module.
func (g graph) ours() []string {
	var out []string
	for name := range g {
		if within(name, module) {
			out = append(out, short(name))
		}
	}
	slices.Sort(out)
	return out
}

// path returns the shortest import chain from one package to the first package
// that bad accepts, or nil.
func (g graph) path(from string, bad func(string) bool) []string {
	type step struct {
		name string
		prev *step
	}
	seen := map[string]bool{from: true}
	for todo := []*step{{name: from}}; len(todo) > 0; todo = todo[1:] {
		at := todo[0]
		for _, next := range g[at.name].imports {
			if seen[next] {
				continue
			}
			seen[next] = true
			s := &step{name: next, prev: at}
			if bad(next) {
				var chain []string
				for ; s != nil; s = s.prev {
					chain = append(chain, short(s.name))
				}
				slices.Reverse(chain)
				return chain
			}
			todo = append(todo, s)
		}
	}
	return nil
}

// within tells whether a package is dir or below it.
func within(name, dir string) bool {
	return name == dir || strings.HasPrefix(name, dir+"/")
}

func withinAny(name string, dirs []string) bool {
	return slices.ContainsFunc(dirs, func(dir string) bool { return within(name, dir) })
}

func short(name string) string { return strings.TrimPrefix(name, module+"/") }

func full(name string) string { return path.Join(module, name) }

func arrows(chain []string) string { return strings.Join(chain, "\n\t-> ") }
