package lab

import (
	"context"
	"os"
	"path/filepath"
	"strings"
)

// QuietRegistry starts the registry anew, so that it notifies nobody: whoever fills a
// queue with its events has no second copy of them. It runs as docs/guides/distribution.md
// advises where it shares a machine: it remembers which blobs it has, writes no access log, and
// collects garbage a quarter as often.
func (l *Lab) QuietRegistry(ctx context.Context) error {
	path := filepath.Join(l.Dir, "registry.yml")
	quiet := func(text string) string {
		before, _, _ := strings.Cut(text, "notifications:")
		return strings.NewReplacer("level: warn", "level: warn, accesslog: {disabled: true}", "storage: {", "storage: {cache: {blobdescriptor: inmemory}, ").Replace(before)
	}
	if err := rewrite(path, path, quiet); err != nil {
		return err
	}
	if err := l.end("registry", os.Interrupt); err != nil {
		return err
	}
	return l.startRegistry(ctx, "GOGC=400", "GOMEMLIMIT=512MiB")
}
