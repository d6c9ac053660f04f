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

// connections are where the address and the keys of the organisation's own chaincode may lie; they
// never travel in the package.
func connections(program string) []string {
	return []string{filepath.Join(filepath.Dir(program), "..", "connection.json"), "/etc/waybill/builder/connection.json"}
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
		return os.CopyFS(args[3], os.DirFS(args[1]))
	default:
		return release(args[2], connections(args[0]))
	}
}

// detect claims packages of type ccaas, whose chaincode runs as a process of its own.
func detect(metadata string) error {
	raw, err := os.ReadFile(filepath.Join(metadata, "metadata.json"))
	if err != nil {
		return err
	}
	var m struct {
		Type string `json:"type"`
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		return fmt.Errorf("metadata.json: %w", err)
	}
	if m.Type != "ccaas" {
		return fmt.Errorf("a package of type %q is not for this builder", m.Type)
	}
	return nil
}

// release tells the peer where its organisation's own chaincode process is.
func release(output string, from []string) error {
	for _, file := range from {
		raw, err := os.ReadFile(file)
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
	return fmt.Errorf("no connection.json: looked at %q", from)
}
