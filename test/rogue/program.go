package rogue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/waybill-dev/waybill/test/lab"
)

// Program is one of ours, changed by whoever runs it.
type Program struct {
	Name  string
	File  string      // the source that is changed, from the repository's root
	Edits [][2]string // what stands there, and what is put in its place
}

// Change returns the source as it is changed. A place that reads otherwise than when
// the change was thought out, or that stands there twice, is an error.
func (p Program) Change(root string) (string, error) {
	b, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(p.File)))
	if err != nil {
		return "", err
	}
	text := string(b)
	for _, e := range p.Edits {
		if n := strings.Count(text, e[0]); n != 1 {
			return "", fmt.Errorf("%q: %s has %d places that read %q, want one", p.Name, p.File, n, e[0])
		}
		text = strings.Replace(text, e[0], e[1], 1)
	}
	return text, nil
}

// Build runs go build over the changed source, with dir for what is only needed on the
// way.
func (p Program) Build(ctx context.Context, dir string, args ...string) error {
	root, err := lab.Root()
	if err != nil {
		return err
	}
	source := filepath.Join(root, filepath.FromSlash(p.File))
	text, err := p.Change(root)
	if err != nil {
		return err
	}
	changed, overlay := filepath.Join(dir, "planted.go"), filepath.Join(dir, "overlay.json")
	replace, err := json.Marshal(map[string]map[string]string{"Replace": {source: changed}})
	if err != nil {
		return err
	}
	if err := errors.Join(os.WriteFile(changed, []byte(text), 0o600), os.WriteFile(overlay, replace, 0o600)); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", append([]string{"build", "-buildvcs=false", "-overlay", overlay}, args...)...)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build with %q: %w\n%s", p.Name, err, out)
	}
	return nil
}

// Chaincode is the contract of an organisation that releases whatever it is asked
// to, and says of everything that it may run.
func Chaincode() Program {
	return Program{
		Name: "everything is released", File: "chaincode/contract/decision.go",
		Edits: [][2]string{
			{"\tcase v.Closed:\n", "\tcase false:\n"},
			{"\tcase v.Releasable:\n", "\tcase true:\n"},
			{"func (r *decision) verdict(tx *Tx) policy.Verdict { return r.judgement.Again(tx.now) }", "func (r *decision) verdict(tx *Tx) policy.Verdict {\n\tv := r.judgement.Again(tx.now)\n\tv.Verdict, v.Releasable = policy.Allowed, true\n\treturn v\n}"},
		},
	}
}
