// Package secretfile says whether a file that holds a secret is read by others.
package secretfile

import (
	"io/fs"
	"os"
	"syscall"
)

// Exposed says whether others than this process's user may read or change a file. The group may read
// one that is root's where we are not root: that is how a system, or the volume of a pod, hands a
// secret to one group.
func Exposed(info fs.FileInfo) bool { return exposed(info, os.Geteuid()) }

func exposed(info fs.FileInfo, self int) bool {
	perm := info.Mode().Perm()
	if owner, ok := info.Sys().(*syscall.Stat_t); ok && owner.Uid == 0 && self != 0 {
		perm &^= 0o040
	}
	return perm&0o077 != 0
}
