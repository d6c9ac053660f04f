package arch

import (
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
	"testing"
)

// documents are the hand-written pages below root: READMEs, and what lies in
// docs but for docs/cli, which is generated.
func documents(root string) (map[string]string, error) {
	out := map[string]string{}
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		switch {
		case entry.IsDir() && rel != "." && (strings.HasPrefix(entry.Name(), ".") || rel == "docs/cli" || rel == "bin"):
			return filepath.SkipDir
		case entry.IsDir() || path.Ext(rel) != ".md":
			return nil
		}
		b, err := os.ReadFile(name)
		out[rel] = string(b)
		return err
	})
	return out, err
}

func allDocuments(t *testing.T) map[string]string {
	t.Helper()
	all, err := documents(root)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 20 {
		t.Fatalf("%d documents were found: the check would check little", len(all))
	}
	return all
}

// section returns what stands below a heading, up to the next of its rank.
func section(text, heading string) string {
	_, below, _ := strings.Cut("\n"+text, "\n"+heading+"\n")
	rank := heading[:strings.IndexByte(heading, ' ')+1]
	below, _, _ = strings.Cut(below, "\n"+rank)
	return below
}

var codeSpan = regexp.MustCompile("`([^`\n]+)`")

// spans are the texts in backticks.
func spans(text string) (out []string) {
	for _, m := range codeSpan.FindAllStringSubmatch(text, -1) {
		out = append(out, m[1])
	}
	return out
}

// rows are the cells of the rows of the tables in a text, headings left out.
func rows(text string) (out [][]string) {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		heading := i+1 < len(lines) && strings.HasPrefix(lines[i+1], "|---")
		if !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "|---") || heading {
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for j := range cells {
			cells[j] = strings.TrimSpace(cells[j])
		}
		out = append(out, cells)
	}
	return out
}

// names are what Go source declares at the top: functions, types, constants,
// variables, and methods as Type.method.
func names(files ...*ast.File) map[string]bool {
	out := map[string]bool{}
	for _, f := range files {
		for _, d := range f.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				out[receiver(d)+d.Name.Name] = true
			case *ast.GenDecl:
				for _, s := range d.Specs {
					switch s := s.(type) {
					case *ast.TypeSpec:
						out[s.Name.Name] = true
					case *ast.ValueSpec:
						for _, n := range s.Names {
							out[n.Name] = true
						}
					}
				}
			}
		}
	}
	return out
}

// receiver is "Type." of a method, "" of a function.
func receiver(d *ast.FuncDecl) string {
	if d.Recv == nil || len(d.Recv.List) == 0 {
		return ""
	}
	typ := d.Recv.List[0].Type
	for {
		switch t := typ.(type) {
		case *ast.StarExpr:
			typ = t.X
		case *ast.IndexExpr:
			typ = t.X
		case *ast.Ident:
			return t.Name + "."
		default:
			return ""
		}
	}
}

// parse reads a Go file of the repository.
func parse(rel string) (*ast.File, error) {
	return parser.ParseFile(token.NewFileSet(), filepath.Join(root, rel), nil, parser.ParseComments|parser.SkipObjectResolution)
}

// parseText reads Go source.
func parseText(src string) (*ast.File, error) {
	return parser.ParseFile(token.NewFileSet(), "", src, parser.SkipObjectResolution)
}

// folder parses the Go files of a folder, tests too.
func folder(root, dir string) ([]*ast.File, error) {
	paths, err := filepath.Glob(filepath.Join(root, dir, "*.go"))
	if err != nil {
		return nil, err
	}
	var out []*ast.File
	for _, p := range paths {
		f, err := parser.ParseFile(token.NewFileSet(), p, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		out = append(out, f)
	}
	return out, nil
}

var link = regexp.MustCompile(`\]\(([^)\s]+)\)`)

// brokenLinks lists the links of a document, to files of the repository and to
// headings, that lead nowhere.
func brokenLinks(root, rel, text string) (wrong []string) {
	for _, m := range link.FindAllStringSubmatch(text, -1) {
		if strings.Contains(m[1], "://") {
			continue
		}
		file, anchor, _ := strings.Cut(m[1], "#")
		target := text
		if file != "" {
			to := filepath.Join(root, path.Dir(rel), file)
			if _, err := os.Stat(to); err != nil {
				wrong = append(wrong, fmt.Sprintf("%s: a link to %s, which is not there", rel, m[1]))
				continue
			}
			if anchor != "" {
				b, err := os.ReadFile(to)
				if err != nil {
					wrong = append(wrong, fmt.Sprintf("%s: %v", rel, err))
					continue
				}
				target = string(b)
			}
		}
		if anchor != "" && !slices.Contains(anchors(target), anchor) {
			wrong = append(wrong, fmt.Sprintf("%s: a link to %s, and no heading is called that", rel, m[1]))
		}
	}
	return wrong
}

var heading = regexp.MustCompile(`(?m)^#+ (.+)$`)

// anchors are what links to the headings of a document are called.
func anchors(text string) (out []string) {
	for _, m := range heading.FindAllStringSubmatch(text, -1) {
		var b strings.Builder
		for _, r := range strings.ToLower(m[1]) {
			switch {
			case r == ' ':
				b.WriteByte('-')
			case r == '-' || r == '_' || r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
				b.WriteRune(r)
			}
		}
		out = append(out, b.String())
	}
	return out
}

func TestLinks(t *testing.T) {
	for rel, text := range allDocuments(t) {
		for _, w := range brokenLinks(root, rel, text) {
			t.Error(w)
		}
	}
}

func TestLinksFail(t *testing.T) {
	for text, want := range map[string]int{
		"[a](SECURITY.md) [b](../README.md) [c](https://example.org/none) [d](#here)\n\n## Here": 0,
		"[a](GONE.md)":               1,
		"[a](#nowhere)":              1,
		"[a](SECURITY.md#nowhere)":   1,
		"[a](SECURITY.md#reporting)": 0,
	} {
		if got := brokenLinks(root, "docs/x.md", text); len(got) != want {
			t.Errorf("%q: %q, want %d", text, got, want)
		}
	}
}
