package cert

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/waybill-dev/waybill/network/disk"
)

// The links in a pair's folder below pairs/.
const (
	current = "current"
	next    = "next"
)

const (
	certFile = "cert.pem"
	keyFile  = "key.pem"
)

// generations is where a pair's certificates lie.
func (f *Folder) generations(p Pair) string { return f.at("pairs", p.Name) }

// stage writes a certificate and its key beside those in use. Nothing reads them yet. A crash before the last line
// leaves a generation that no link names, which the next stage removes.
func (f *Folder) stage(p Pair, cert, key []byte) error {
	dir := f.generations(p)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := f.forget(p); err != nil {
		return err
	}
	n, err := f.newest(p)
	if err != nil {
		return err
	}
	name := strconv.Itoa(n + 1)
	if err := writeGeneration(filepath.Join(dir, name), cert, key); err != nil {
		return err
	}
	return link(name, filepath.Join(dir, next))
}

// staged returns the generation that is prepared, "" if there is none.
func (f *Folder) staged(p Pair) (string, error) {
	to, err := readLink(filepath.Join(f.generations(p), next))
	if err != nil || to == "" {
		return "", err
	}
	now, err := readLink(filepath.Join(f.generations(p), current))
	if err != nil || now == to {
		return "", err // a crash came between the switch and its tidying
	}
	return filepath.Join(f.generations(p), to), nil
}

// activate switches the pair to what was staged. Each step leaves a certificate with its key: the files become
// links to copies of themselves, and then one rename changes where both lead.
func (f *Folder) activate(p Pair) error {
	to, err := f.staged(p)
	if err != nil {
		return err
	}
	if to == "" {
		return fmt.Errorf("%s: nothing is prepared", p.Name)
	}
	if err := f.adopt(p); err != nil {
		return err
	}
	if err := link(filepath.Base(to), filepath.Join(f.generations(p), current)); err != nil {
		return err
	}
	return f.forget(p)
}

// adopt makes links of the files that the nodes read.
func (f *Folder) adopt(p Pair) error {
	dir := f.generations(p)
	through := map[string]string{p.Key: filepath.Join(dir, current, keyFile), p.Cert: filepath.Join(dir, current, certFile)}
	linked := true
	for file := range through {
		to, err := readLink(file)
		if err != nil {
			return err
		}
		linked = linked && to != ""
	}
	if linked {
		return nil
	}
	cert, key, err := readPair(p)
	if err != nil {
		return err
	}
	same, err := holds(filepath.Join(dir, current), cert, key)
	if err != nil {
		return err
	}
	if !same { // the first time, and after somebody put other files in the links' place
		if err := fits(cert, key); err != nil {
			return err
		}
		n, err := f.newest(p)
		if err != nil {
			return err
		}
		if _, err := os.Lstat(filepath.Join(dir, "0")); errors.Is(err, fs.ErrNotExist) {
			n = -1 // zero is for what came before renewals: it is the oldest, whatever was staged meanwhile
		}
		name := strconv.Itoa(n + 1)
		if err := writeGeneration(filepath.Join(dir, name), cert, key); err != nil {
			return err
		}
		if err := link(name, filepath.Join(dir, current)); err != nil {
			return err
		}
	}
	for file, to := range through {
		rel, err := filepath.Rel(filepath.Dir(file), to)
		if err != nil {
			return err
		}
		if err := link(rel, file); err != nil {
			return err
		}
	}
	return nil
}

// forget removes keys that no link names but the one before that in use, which lets a person go back. Certificates stay:
// a revocation has to find them.
func (f *Folder) forget(p Pair) error {
	dir := f.generations(p)
	to, err := f.staged(p)
	if err != nil {
		return err
	}
	if to == "" {
		if err := os.Remove(filepath.Join(dir, next)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	now, err := readLink(filepath.Join(dir, current))
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	before := -1
	if at, err := strconv.Atoi(now); err == nil {
		for _, e := range entries {
			if n, err := strconv.Atoi(e.Name()); err == nil && n < at {
				before = max(before, n)
			}
		}
	}
	for _, e := range entries {
		n, err := strconv.Atoi(e.Name())
		switch {
		case !e.IsDir(), err == nil && (n == before || e.Name() == now || e.Name() == filepath.Base(to)):
			continue
		case err == nil:
			err = os.RemoveAll(filepath.Join(dir, e.Name(), keyFile))
		default:
			err = os.RemoveAll(filepath.Join(dir, e.Name())) // cut short
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// holds tells whether a generation is exactly this pair.
func holds(dir string, cert, key []byte) (bool, error) {
	for name, want := range map[string][]byte{certFile: cert, keyFile: key} {
		have, err := os.ReadFile(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) || err == nil && !bytes.Equal(have, want) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
	}
	return true, nil
}

func (f *Folder) newest(p Pair) (int, error) {
	entries, err := os.ReadDir(f.generations(p))
	if err != nil {
		return 0, err
	}
	most := 0
	for _, e := range entries {
		if n, err := strconv.Atoi(e.Name()); err == nil {
			most = max(most, n)
		}
	}
	return most, nil
}

// writeGeneration makes a folder with a certificate and its key, whole or not at all. A certificate that is not there
// yet, because somebody else signs it, is left out.
func writeGeneration(dir string, cert, key []byte) error {
	tmp, err := os.MkdirTemp(filepath.Dir(dir), ".new-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(tmp) }() // gone already once renamed
	if err := writeSynced(filepath.Join(tmp, keyFile), key, 0o600); err != nil {
		return err
	}
	if cert != nil {
		if err := writeSynced(filepath.Join(tmp, certFile), cert, 0o644); err != nil {
			return err
		}
	}
	if err := os.RemoveAll(dir); err != nil { // of an attempt that was cut short
		return err
	}
	if err := os.Rename(tmp, dir); err != nil {
		return err
	}
	return disk.SyncDir(filepath.Dir(dir))
}

func writeSynced(file string, data []byte, mode fs.FileMode) error {
	out, err := os.OpenFile(file, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	_, err = out.Write(data)
	return errors.Join(err, out.Sync(), out.Close())
}

// link makes name a symbolic link to target, whatever it was before, in one step.
func link(target, name string) error {
	tmp := name + ".new"
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Symlink(target, tmp); err != nil {
		return err
	}
	if err := os.Rename(tmp, name); err != nil {
		return err
	}
	return disk.SyncDir(filepath.Dir(name))
}

// readLink returns where a link leads; "" for what is there and no link, or not there.
func readLink(name string) (string, error) {
	info, err := os.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.Mode()&fs.ModeSymlink == 0 {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return os.Readlink(name)
}
