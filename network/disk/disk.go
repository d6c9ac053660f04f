// Package disk writes what is in an organisation's folder: whole or not at all, readable by its owner,
// and by one process at a time.
package disk

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// Write replaces file, or the link of that name, whole or not at all; its folder is made if missing. Folders are private
// since most of them hold a key somewhere below.
func Write(file string, data []byte, mode fs.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(file), ".new-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(tmp.Name()) }() // gone already once renamed
	_, err = tmp.Write(data)
	err = errors.Join(err, tmp.Chmod(mode), tmp.Sync(), tmp.Close())
	if err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	if err := os.Rename(tmp.Name(), file); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(file))
}

// SyncDir makes a name that was just given in a folder outlive a power cut.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// WriteOnce writes file unless it exists.
func WriteOnce(file string, data []byte, mode fs.FileMode) error {
	have, err := Exists(file)
	if err != nil || have {
		return err
	}
	return Write(file, data, mode)
}

// CopyOnce copies src to dst unless that exists.
func CopyOnce(dst, src string) error {
	data, err := os.ReadFile(src)
	if err != nil {
		return err
	}
	return WriteOnce(dst, data, 0o644)
}

// Exists tells whether a file or folder is there.
func Exists(file string) (bool, error) {
	_, err := os.Stat(file)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// lockEvery is how often a lock that another process holds is tried again.
const lockEvery = 100 * time.Millisecond

// Lock takes the file lock, waiting for whoever holds it. The lock ends with its holder, so a
// killed one leaves nothing to clean up.
func Lock(ctx context.Context, file string) (unlock func(), err error) {
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(file, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	tick := time.NewTicker(lockEvery)
	defer tick.Stop()
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			_ = f.Close()
			return nil, fmt.Errorf("lock %s: %w", file, err)
		}
		select {
		case <-ctx.Done():
			_ = f.Close()
			return nil, fmt.Errorf("wait for the other process that holds %s: %w", file, ctx.Err())
		case <-tick.C:
		}
	}
}
