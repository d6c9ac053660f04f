package postgres

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestServerKeepsItsDataThroughACrash(t *testing.T) {
	s := Start(t)
	sql := func(query string) string {
		t.Helper()
		out, err := exec.Command(filepath.Join(s.bin, "psql"), "-X", "-A", "-t", s.URL(), "-c", query).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", query, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	sql(`CREATE TABLE kept (n INTEGER)`)
	sql(`INSERT INTO kept VALUES (7)`)
	if err := s.Restart(); err != nil {
		t.Fatal(err)
	}
	if got := sql(`SELECT n FROM kept`); got != "7" {
		t.Fatalf("after a crash the row reads %q", got)
	}
	if got := sql(`SHOW fsync`); got != "on" {
		t.Fatalf("fsync is %s: a test would promise more than the server keeps", got)
	}
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(s.dir); !os.IsNotExist(err) {
		t.Fatalf("the folder is still there: %v", err)
	}
}
