package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"sigs.k8s.io/yaml"
)

// format is how results are printed: the -o flag.
type format string

// The formats. Table is for people and may change; json and yaml are stable.
const (
	formatTable format = "table"
	formatJSON  format = "json"
	formatYAML  format = "yaml"
)

// String implements pflag.Value.
func (f *format) String() string { return string(*f) }

// Type implements pflag.Value.
func (f *format) Type() string { return "format" }

// Set implements pflag.Value.
func (f *format) Set(s string) error {
	switch v := format(s); v {
	case formatTable, formatJSON, formatYAML:
		*f = v
		return nil
	}
	return fmt.Errorf("want table, json or yaml")
}

// emit prints a result: v itself as JSON or YAML, or what table writes for people.
func (a *app) emit(v any, table func(w io.Writer)) error {
	switch a.output {
	case formatJSON:
		b, err := encodeJSON(v)
		if err != nil {
			return err
		}
		_, err = a.out.Write(b)
		return err
	case formatYAML:
		b, err := yaml.Marshal(v)
		if err != nil {
			return fmt.Errorf("encode yaml: %w", err)
		}
		_, err = io.WriteString(a.out, sanitizeLines(string(b)))
		return err
	default:
		var b bytes.Buffer
		table(&b)
		_, err := a.out.Write(b.Bytes())
		return err
	}
}

func encodeJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("encode json: %w", err)
	}
	return escapeJSON(b.Bytes()), nil
}

// grid is a table of text. Cells are sanitized as they are printed, so no
// caller can forget it.
type grid struct {
	head []string
	rows [][]string
}

func table(head ...string) *grid { return &grid{head: head} }

func (g *grid) row(cells ...string) { g.rows = append(g.rows, cells) }

// write prints the columns aligned, or none when there is no row.
func (g *grid) write(w io.Writer, none string) {
	if len(g.rows) == 0 && none != "" {
		fmt.Fprintln(w, none)
		return
	}
	lines := g.rows
	if len(g.head) > 0 {
		lines = append([][]string{g.head}, g.rows...)
	}
	var b bytes.Buffer
	columns := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, line := range lines {
		fmt.Fprintln(columns, strings.Join(sanitizeAll(line), "\t")) // sanitize leaves no tab in a cell
	}
	_ = columns.Flush() // a buffer takes everything
	for line := range strings.Lines(b.String()) {
		fmt.Fprintln(w, strings.TrimRight(line, " \n"))
	}
}

func sanitizeAll(cells []string) []string {
	out := make([]string, len(cells))
	for i, c := range cells {
		out[i] = sanitize(c)
	}
	return out
}
