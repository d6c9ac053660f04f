package org

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/waybill-dev/waybill/network/disk"
)

// process names one process for good. Process ids are used again, so a pid alone might be a
// stranger's; with the time it started and the boot it belongs to, it is ours or it is gone.
type process struct {
	PID   int    `json:"pid"`
	Start uint64 `json:"start"` // clock ticks after boot
	Boot  string `json:"boot"`
}

// identify returns the identity of a running process; ok is false if it has ended.
func identify(pid int) (p process, ok bool) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return process{}, false
	}
	// The second field is the program's name in brackets and may hold spaces and brackets itself.
	_, rest, found := cutLast(string(raw), ")")
	fields := strings.Fields(rest)
	if !found || len(fields) < 20 || fields[0] == "X" {
		return process{}, false
	}
	// A zombie whose other threads are still ending holds its ports and ledgers until they have.
	if threads := fields[17]; fields[0] == "Z" && (threads == "0" || threads == "1") {
		return process{}, false
	}
	start, err := strconv.ParseUint(fields[19], 10, 64)
	if err != nil {
		return process{}, false
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return process{}, false
	}
	return process{PID: pid, Start: start, Boot: strings.TrimSpace(string(boot))}, true
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// alive reports whether this very process still runs.
func (p process) alive() bool {
	if p.PID <= 0 {
		return false
	}
	now, ok := identify(p.PID)
	return ok && now == p
}

// readProcess returns the process recorded in file, or the zero process if there is none.
func readProcess(file string) (process, error) {
	raw, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return process{}, nil
	}
	if err != nil {
		return process{}, err
	}
	var p process
	if err := json.Unmarshal(raw, &p); err != nil {
		return process{}, fmt.Errorf("read pid file %s: %w", file, err)
	}
	return p, nil
}

// start runs a program that outlives this one, in a session of its own, so that neither a closed
// terminal nor Ctrl-C reaches it. It records the process in pidFile.
func start(cmd *exec.Cmd, logFile, pidFile string) (process, error) {
	if err := os.MkdirAll(filepath.Dir(logFile), 0o700); err != nil {
		return process{}, err
	}
	if err := rotate(logFile, maxLog, keptLogs); err != nil {
		return process{}, err
	}
	log, err := os.OpenFile(logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return process{}, err
	}
	defer log.Close() //nolint:errcheck // the child has its own descriptor
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return process{}, err
	}
	p, ok := identify(cmd.Process.Pid)
	// Collects the exit status if this program lives longer, as a test does; else init does it.
	go func() { _ = cmd.Wait() }()
	if !ok {
		return process{}, fmt.Errorf("%s ended at once, see %s", filepath.Base(cmd.Path), logFile)
	}
	if err := p.record(pidFile); err != nil {
		// Nobody would ever find it again.
		_ = syscall.Kill(p.PID, syscall.SIGKILL)
		return process{}, fmt.Errorf("record process %d: %w", p.PID, err)
	}
	return p, nil
}

// record writes the process to its file.
func (p process) record(pidFile string) error {
	raw, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return disk.Write(pidFile, raw, 0o600)
}

// stop asks the process to end and, after the grace time, ends it.
func (p process) stop(ctx context.Context, grace time.Duration) error {
	if !p.alive() {
		return nil
	}
	if err := p.signal(syscall.SIGTERM); err != nil {
		return err
	}
	polite, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	if p.gone(polite) == nil {
		return nil
	}
	// Also when ctx has ended: half stopped is the worst state to leave behind.
	if err := p.signal(syscall.SIGKILL); err != nil {
		return err
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	return p.gone(last)
}

// gone waits until the process has ended.
func (p process) gone(ctx context.Context) error {
	return poll(ctx, func(context.Context) error {
		if p.alive() {
			return fmt.Errorf("process %d still runs", p.PID)
		}
		return nil
	})
}

func (p process) signal(sig syscall.Signal) error {
	if !p.alive() {
		return nil
	}
	err := syscall.Kill(p.PID, sig)
	if err == nil || errors.Is(err, syscall.ESRCH) {
		return nil
	}
	return fmt.Errorf("signal process %d: %w", p.PID, err)
}
