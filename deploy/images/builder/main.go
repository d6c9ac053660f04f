// Command builder is the three programs with which a peer installs chaincode, as one without a
// shell: its name says which of detect, build and release it is. It does what the scripts in the
// folder of an organisation do.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// homes are where the addresses and the keys of the organisation's own chaincode may lie; they
// never travel in the package.
func homes(program string) []string {
	return []string{filepath.Join(filepath.Dir(program), ".."), "/etc/waybill/builder"}
}

func main() {
	if err := run(os.Args); err != nil {
		fmt.Fprintln(os.Stderr, filepath.Base(os.Args[0])+":", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	step := filepath.Base(args[0])
	want := map[string]int{"detect": 3, "build": 4, "release": 3}[step]
	switch {
	case want == 0:
		return errors.New("want the name detect, build or release")
	case len(args) != want:
		return fmt.Errorf("got %d arguments, want %d", len(args)-1, want-1)
	case step == "detect":
		return detect(args[2])
	case step == "build":
		return build(args[1], args[2], args[3])
	default:
		return release(args[1], args[2], homes(args[0]))
	}
}

// metadata is what a package says of itself.
type metadata struct {
	Type  string `json:"type"`
	Label string `json:"label"`
}

func readMetadata(dir string) (m metadata, err error) {
	raw, err := os.ReadFile(filepath.Join(dir, "metadata.json"))
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		return m, fmt.Errorf("metadata.json: %w", err)
	}
	return m, nil
}

// detect claims packages of type ccaas, whose chaincode runs as a process of its own.
func detect(dir string) error {
	m, err := readMetadata(dir)
	if err != nil {
		return err
	}
	if m.Type != "ccaas" {
		return fmt.Errorf("a package of type %q is not for this builder", m.Type)
	}
	return nil
}

// build keeps what the package brought, and what it is called.
func build(source, dir, output string) error {
	if err := os.CopyFS(output, os.DirFS(source)); err != nil {
		return err
	}
	raw, err := os.ReadFile(filepath.Join(dir, "metadata.json"))
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(output, "metadata.json"), raw, 0o600)
}

// release tells the peer where its organisation's own process of this version is: in a file named
// by the package's label, or in that of all that have none.
func release(built, output string, homes []string) error {
	names := []string{"connection.json"}
	m, err := readMetadata(built)
	if err != nil {
		return err
	}
	if label := m.Label; label != "" && filepath.IsLocal(label) && filepath.Base(label) == label {
		names = []string{"connection-" + label + ".json", "connection.json"}
	}
	for _, name := range names {
		for _, home := range homes {
			raw, err := os.ReadFile(filepath.Join(home, name))
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return err
			}
			dir := filepath.Join(output, "chaincode", "server")
			if err := os.MkdirAll(dir, 0o700); err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(dir, "connection.json"), raw, 0o600)
		}
	}
	return fmt.Errorf("no connection.json in %q", homes)
}
