package lab

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Usage is what the processes of one kind have taken so far, all of them together.
type Usage struct {
	CPU       time.Duration
	Resident  int64 // bytes held now
	Peak      int64 // the most bytes that one of them has held since it began
	Written   int64 // bytes sent to the disk, pages of files counted when they become dirty
	Processes int
}

// Usage returns what each kind of process has taken. One that was started again
// counts from zero.
func (l *Lab) Usage(ctx context.Context) (map[string]Usage, error) {
	used := map[string]Usage{}
	return used, l.each(ctx, func(kind string, pid int) {
		u := used[kind]
		u.CPU += cpuTime(pid)
		u.Resident += Resident(pid)
		u.Peak = max(u.Peak, procField(pid, "status", "VmHWM:")<<10)
		u.Written += procField(pid, "io", "\nwrite_bytes:")
		u.Processes++
		used[kind] = u
	})
}

// each calls do with every process of the installation and this one, by its kind.
func (l *Lab) each(ctx context.Context, do func(kind string, pid int)) error {
	nodes, err := l.Net.Status(ctx)
	if err != nil {
		return err
	}
	for _, n := range nodes {
		if n.PID != 0 {
			do(string(n.Kind)+"s", n.PID)
		}
	}
	for name, cmd := range l.procs {
		do(strings.SplitN(name, "-", 2)[0], cmd.Process.Pid)
	}
	do("bench", os.Getpid())
	return nil
}

// Resident reads how much memory a process holds now, in bytes; 0 where the process is gone.
func Resident(pid int) int64 { return procField(pid, "status", "VmRSS:") << 10 }

// procField reads a number of /proc/<pid>/<file> (proc(5)) by the label before it;
// 0 where the process is gone.
func procField(pid int, file, label string) int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
	if err != nil {
		return 0
	}
	_, after, _ := strings.Cut(string(b), label)
	fields := strings.Fields(after)
	if len(fields) == 0 {
		return 0
	}
	n, err := strconv.ParseInt(fields[0], 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// Disk returns how many bytes of the disk an organisation's peer, orderer and
// gateway take, by what they are for: "peer/chains", "gateway/queue.db".
func (l *Lab) Disk(org string) (map[string]int64, error) {
	home := filepath.Join(l.Dir, "network", "orgs", org)
	taken := map[string]int64{}
	for name, root := range map[string]string{
		"peer": filepath.Join(home, "peer", "data", "ledgersData"), "orderer": filepath.Join(home, "orderer", "data"), "gateway": l.GatewayData(org),
	} {
		entries, err := os.ReadDir(root)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			// A database's log and shared memory are its own.
			part := name + "/" + strings.TrimSuffix(strings.TrimSuffix(e.Name(), "-wal"), "-shm")
			n, err := DiskUsage(filepath.Join(root, e.Name()))
			if err != nil {
				return nil, err
			}
			taken[part] += n
		}
	}
	return taken, nil
}

// DiskUsage returns how many bytes of the disk a file or all that is below a folder
// takes. What goes away meanwhile does not count.
func DiskUsage(root string) (total int64, err error) {
	err = filepath.WalkDir(root, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil {
			return ignoreGone(err)
		}
		info, err := entry.Info()
		if err != nil {
			return ignoreGone(err)
		}
		if s, ok := info.Sys().(*syscall.Stat_t); ok && info.Mode().IsRegular() {
			total += s.Blocks * 512 // stat(2)
		}
		return nil
	})
	return total, err
}

func ignoreGone(err error) error {
	if os.IsNotExist(err) {
		return nil
	}
	return err
}

// DiskFree returns how many bytes of the disk that holds a folder are left.
func DiskFree(dir string) (int64, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0, fmt.Errorf("disk of %s: %w", dir, err)
	}
	return int64(s.Bavail) * s.Bsize, nil
}
