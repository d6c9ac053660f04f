package org

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// TestCheckSnapshot: nothing is taken that another organisation's peer does not have, nor beside what the metadata names.
func TestCheckSnapshot(t *testing.T) {
	make := func(t *testing.T) (dir string, metadata []byte) {
		t.Helper()
		dir = t.TempDir()
		file := filepath.Join(dir, "public_state.data")
		if err := os.WriteFile(file, []byte("state"), 0o600); err != nil {
			t.Fatal(err)
		}
		hash, err := hashFile(file)
		if err != nil {
			t.Fatal(err)
		}
		metadata = fmt.Appendf(nil, `{"channel_name":"waybill","last_block_number":7,"snapshot_files_raw_hashes":{"public_state.data":%q}}`, hash)
		if err := os.WriteFile(filepath.Join(dir, SnapshotMetadata), metadata, 0o600); err != nil {
			t.Fatal(err)
		}
		return dir, metadata
	}
	dir, metadata := make(t)
	if block, err := CheckSnapshot(dir, [][]byte{metadata, metadata}); err != nil || block != 7 {
		t.Errorf("block %d, %v", block, err)
	}
	if _, err := CheckSnapshot(dir, [][]byte{metadata, append([]byte(" "), metadata...)}); provenance.CodeOf(err) != provenance.Conflict {
		t.Errorf("another organisation has another one: %v", err)
	}
	for what, change := range map[string]func(dir string) error{
		"other bytes": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "public_state.data"), []byte("lies"), 0o600)
		},
		"a file more":    func(dir string) error { return os.WriteFile(filepath.Join(dir, "more"), nil, 0o600) },
		"a file less":    func(dir string) error { return os.Remove(filepath.Join(dir, "public_state.data")) },
		"no metadata":    func(dir string) error { return os.Remove(filepath.Join(dir, SnapshotMetadata)) },
		"a folder in it": func(dir string) error { return os.Mkdir(filepath.Join(dir, "folder"), 0o700) },
		"a link": func(dir string) error {
			file := filepath.Join(dir, "public_state.data")
			if err := os.Rename(file, dir+".state"); err != nil {
				return err
			}
			return os.Symlink(dir+".state", file)
		},
	} {
		dir, metadata := make(t)
		if err := change(dir); err != nil {
			t.Fatal(err)
		}
		if _, err := CheckSnapshot(dir, [][]byte{metadata, metadata}); err == nil {
			t.Errorf("%s: taken", what)
		}
	}
}
