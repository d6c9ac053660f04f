package secretfile

import (
	"io/fs"
	"syscall"
	"testing"
)

// owned is a file's mode and owner.
type owned struct {
	fs.FileInfo
	mode fs.FileMode
	uid  uint32
}

func (o owned) Mode() fs.FileMode { return o.mode }
func (o owned) Sys() any          { return &syscall.Stat_t{Uid: o.uid} }

func TestExposedFiles(t *testing.T) {
	for _, c := range []struct {
		mode fs.FileMode
		uid  uint32
		self int
		want bool
	}{
		{0o600, 65532, 65532, false},
		{0o440, 0, 65532, false}, // a pod's Secret, by its fsGroup
		{0o640, 0, 65532, false},
		{0o440, 0, 0, true},
		{0o440, 65532, 65532, true},
		{0o460, 0, 65532, true},
		{0o444, 0, 65532, true},
		{0o604, 0, 65532, true},
	} {
		if got := exposed(owned{mode: c.mode, uid: c.uid}, c.self); got != c.want {
			t.Errorf("mode %04o of user %d is exposed to others than %d: %v, want %v", c.mode, c.uid, c.self, got, c.want)
		}
	}
}
