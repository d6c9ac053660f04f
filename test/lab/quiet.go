package lab

import (
	"context"
	"os"
	"path/filepath"
	"strings"
)

// QuietRegistry starts the registry anew, so that it notifies nobody: whoever fills a
// queue with its events has no second copy of them.
func (l *Lab) QuietRegistry(ctx context.Context) error {
	path := filepath.Join(l.Dir, "registry.yml")
	quiet := func(text string) string { before, _, _ := strings.Cut(text, "notifications:"); return before }
	if err := rewrite(path, path, quiet); err != nil {
		return err
	}
	if err := l.end("registry", os.Interrupt); err != nil {
		return err
	}
	return l.StartRegistry(ctx)
}
