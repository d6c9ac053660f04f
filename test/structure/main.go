// Command structure measures a checkout: how much of it there is, what exists
// twice, what points where. It judges nothing; test/arch does.
//
//	structure name=directory ...
//
// prints one column for each directory, then what the figures of the last one
// are made of. scripts/structure makes the directories from revisions.
package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
)

func main() {
	if err := run(os.Stdout, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "structure:", err)
		os.Exit(1)
	}
}

func run(out io.Writer, args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("give at least one name=directory")
	}
	var names []string
	var trees []*measured
	for _, arg := range args {
		name, dir, ok := strings.Cut(arg, "=")
		if !ok {
			return fmt.Errorf("%q is no name=directory", arg)
		}
		m, err := measure(dir)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		names, trees = append(names, name), append(trees, m)
	}
	figures(out, names, trees)
	details(out, names[len(names)-1], trees[len(trees)-1])
	return nil
}

// measured is what one checkout comes to.
type measured struct {
	*tree
	copies     []structCopies
	arrows     []arrow
	mutual     []mutualUse
	interfaces []wideInterface
}

func measure(dir string) (*measured, error) {
	t, err := read(dir)
	if err != nil {
		return nil, err
	}
	m := &measured{tree: t, copies: copiesOf(t), arrows: arrowsOf(t)}
	checked, err := check(t)
	if err != nil {
		return nil, err
	}
	m.mutual, m.interfaces = mutualUses(t, checked), wideInterfaces(t, checked)
	return m, nil
}

func (m *measured) copiedStructs() (n int) {
	for _, c := range m.copies {
		n += len(c.where)
	}
	return n
}

func figures(out io.Writer, names []string, trees []*measured) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(what string, figure func(*measured) int) {
		fmt.Fprint(w, what)
		for _, m := range trees {
			fmt.Fprintf(w, "\t%d", figure(m))
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintln(w, "\t"+strings.Join(names, "\t"))
	row("packages", func(m *measured) int { return len(m.dirs()) })
	for _, k := range kinds() {
		row("files, "+k.String(), func(m *measured) int { files, _ := m.amount(k); return files })
		row("lines, "+k.String(), func(m *measured) int { _, lines := m.amount(k); return lines })
	}
	row(fmt.Sprintf("files of ours over %d lines, code", longFile), func(m *measured) int { return len(m.long(code)) })
	row(fmt.Sprintf("files of ours over %d lines, tests", longFile), func(m *measured) int { return len(m.long(tests)) })
	row("lines of package gateway, code", func(m *measured) int { return m.linesIn("gateway") })
	row("lines of gateway/adapters.go", func(m *measured) int { return m.linesOf("gateway/adapters.go") })
	row("structs with a copy, different ones", func(m *measured) int { return len(m.copies) })
	row("structs with a copy, in all", (*measured).copiedStructs)
	row("arrows between packages", func(m *measured) int { return len(m.arrows) })
	row("arrows that leave package gateway", func(m *measured) int { return m.arrowsFrom("gateway") })
	row("pairs of files that use each other", func(m *measured) int { return len(m.mutual) })
	row("such pairs in package gateway", func(m *measured) int { return m.mutualIn("gateway") })
	row(fmt.Sprintf("interfaces with more than %d methods", mostMethods), func(m *measured) int { return len(m.interfaces) })
	row("those that declare so many themselves", func(m *measured) (n int) {
		for _, i := range m.interfaces {
			if i.own > mostMethods {
				n++
			}
		}
		return n
	})
	_ = w.Flush() // nobody is told of a closed pipe
}

// shown is how many lines a list of details has at most, unless all of it matters.
const shown = 15

func details(out io.Writer, name string, m *measured) {
	title := func(format string, args ...any) { fmt.Fprintf(out, "\n"+format+"\n", args...) }
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := func(cells ...any) {
		for _, c := range cells {
			fmt.Fprintf(w, "  %v\t", c)
		}
		fmt.Fprintln(w)
	}
	title("%s: the largest files", name)
	for _, f := range m.largest(shown) {
		line(f.lines, f.rel)
	}
	_ = w.Flush()
	title("%s: the largest packages (lines of code, files, arrows out, pairs of files that use each other)", name)
	for _, p := range m.largestPackages(shown) {
		line(p.lines, p.dir, fmt.Sprintf("%d files", p.files), fmt.Sprintf("%d out", m.arrowsFrom(p.dir)), fmt.Sprintf("%d pairs", m.mutualIn(p.dir)))
	}
	_ = w.Flush()
	title("%s: structs with the same fields in several packages", name)
	for _, c := range m.copies {
		line(fmt.Sprintf("%d fields", c.fields), strings.Join(c.where, " "))
	}
	_ = w.Flush()
	title("%s: pairs of files that use each other (names used one way, the other way)", name)
	for _, p := range m.mutual {
		line(p.dir, p.a+" "+p.b, fmt.Sprintf("%d, %d", len(p.aUsesB), len(p.bUsesA)))
	}
	_ = w.Flush()
	title("%s: interfaces with more than %d methods (in all, not embedded)", name, mostMethods)
	for _, i := range m.interfaces {
		line(i.methods, i.own, i.name)
	}
	_ = w.Flush()
}
