package org

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/waybill-dev/waybill/network/disk"
)

// The bounds of what nodes that run in the background leave in logs/.
const (
	maxLog   = 32 << 20         // bytes of one file, beyond which it is put aside
	keptLogs = 3                // files that were put aside, of each node; the oldest goes
	logEvery = 10 * time.Second // between looks
)

// keeperName is under which whoever keeps the logs short records itself beside the nodes.
const keeperName = "log-keeper"

// KeepLogs puts logs aside that have become long, until ctx ends or no node runs any more. Nodes write to their files
// themselves and outlive the command that started them, so that somebody has to stay for that.
func (f *Folder) KeepLogs(ctx context.Context) error {
	tick := time.NewTicker(logEvery)
	defer tick.Stop()
	for idle := 0; idle < 3; { // a node that is just being restarted does not run either
		files, err := filepath.Glob(f.at("logs", "*.log"))
		if err != nil {
			return err
		}
		for _, file := range files {
			if err := rotate(file, maxLog, keptLogs); err != nil { // a disk that is full may be empty again
				f.step(ctx, fmt.Sprintf("%s is not put aside: %v", filepath.Base(file), err))
			}
		}
		idle++
		nodes := f.Nodes()
		if later, err := Open(f.dir, f.opts); err == nil { // an upgrade brings a node more
			nodes = later.Nodes()
		}
		for _, n := range nodes {
			if p, err := readProcess(f.pidPath(n.Name)); err == nil && p.alive() {
				idle = 0
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
	return nil
}

// startKeeper starts the program that calls KeepLogs, where there is one and it does not run yet.
func (f *Folder) startKeeper() error {
	if len(f.opts.LogKeeper) == 0 {
		return nil
	}
	if p, err := readProcess(f.pidPath(keeperName)); err != nil || p.alive() {
		return err
	}
	cmd := exec.Command(f.opts.LogKeeper[0], slices.Concat(f.opts.LogKeeper[1:], []string{f.dir})...)
	cmd.Dir, cmd.Env = f.dir, []string{"PATH=" + os.Getenv("PATH"), "HOME=" + f.dir}
	if _, err := start(cmd, f.LogPath(keeperName), f.pidPath(keeperName)); err != nil {
		return fmt.Errorf("keep the logs short: %w", err)
	}
	return nil
}

// rotate puts a log aside as FILE.1 once it is longer than most, what was there before as FILE.2, and so on. Its writer has it open
// and goes on: the file is copied and then cut to nothing, so that a line that is written between the two is lost, and
// nothing else. The writer has to append.
func rotate(file string, most int64, keep int) error {
	log, err := os.OpenFile(file, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer log.Close() //nolint:errcheck // only read from, and cut
	if info, err := log.Stat(); err != nil || info.Size() <= most {
		return err
	}
	for n := keep; n > 1; n-- {
		if err := os.Rename(aside(file, n-1), aside(file, n)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	tmp, err := os.CreateTemp(filepath.Dir(file), ".new-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(tmp.Name()) }() // gone already once renamed
	_, err = io.Copy(tmp, log)
	if err = errors.Join(err, tmp.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp.Name(), aside(file, 1)); err != nil {
		return err
	}
	if err := log.Truncate(0); err != nil {
		return err
	}
	return disk.SyncDir(filepath.Dir(file))
}

func aside(file string, n int) string { return fmt.Sprintf("%s.%d", file, n) }
