package backup

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"filippo.io/age"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// Bounds of what is read before anything in it is believed.
const (
	maxManifest = 16 << 20
	maxFiles    = 100_000
)

// magic is how an encrypted backup begins.
const magic = "age-encryption.org/"

// Encrypted tells whether a backup wants a passphrase.
func Encrypted(from *bufio.Reader) bool {
	start, err := from.Peek(len(magic))
	return err == nil && string(start) == magic
}

// Restore makes the folder again that a backup is of, in a directory that is empty or not there. Each file is compared
// with the manifest. After an error the directory is left without org.json, so that nothing takes it for an organisation.
func Restore(from io.Reader, dir string, passphrase []byte) (Manifest, error) {
	m, err := restore(from, dir, passphrase)
	if err != nil {
		return m, fmt.Errorf("restore: %w", err)
	}
	return m, nil
}

func restore(from io.Reader, dir string, passphrase []byte) (Manifest, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Manifest{}, err
	}
	if len(entries) > 0 {
		return Manifest{}, provenance.Errorf(provenance.Conflict, "%s is not empty", dir)
	}
	buffered := bufio.NewReader(from)
	var plain io.Reader = buffered
	if Encrypted(buffered) {
		if len(passphrase) == 0 {
			return Manifest{}, provenance.Errorf(provenance.Invalid, "the backup is encrypted: a passphrase is missing")
		}
		identity, err := age.NewScryptIdentity(string(passphrase))
		if err != nil {
			return Manifest{}, provenance.Wrap(provenance.Invalid, err, "passphrase")
		}
		if plain, err = age.Decrypt(buffered, identity); err != nil {
			return Manifest{}, provenance.Wrap(provenance.Invalid, err, "the backup does not open with this passphrase")
		}
	}
	unpacked, err := gzip.NewReader(plain)
	if err != nil {
		return Manifest{}, provenance.Wrap(provenance.Invalid, err, "not a backup")
	}
	in := tar.NewReader(unpacked)
	m, err := readManifest(in)
	if err != nil {
		return m, err
	}
	root, err := openRoot(dir)
	if err != nil {
		return m, err
	}
	defer root.Close() //nolint:errcheck // every file is closed with its error
	var spec []byte
	for _, f := range m.Files {
		h, err := in.Next()
		if err != nil {
			return m, provenance.Wrap(provenance.Invalid, err, "the backup ends before %s", f.Path)
		}
		if h.Name != f.Path || h.Typeflag != tar.TypeReg || h.Size != f.Size || !filepath.IsLocal(filepath.FromSlash(f.Path)) {
			return m, provenance.Errorf(provenance.Invalid, "%.80q is not what the manifest says", h.Name)
		}
		if f.Path == "org.json" { // last of all: from then on the folder is one
			spec, err = io.ReadAll(io.LimitReader(in, maxManifest))
			if err == nil && sumOf(spec) != f.SHA256 {
				err = provenance.Errorf(provenance.Invalid, "org.json is not what the manifest says")
			}
		} else {
			err = writeFile(root, f, in)
		}
		if err != nil {
			return m, err
		}
	}
	if spec == nil {
		return m, provenance.Errorf(provenance.Invalid, "there is no org.json in it")
	}
	return m, writeFile(root, File{Path: "org.json", Size: int64(len(spec)), Mode: 0o644, SHA256: sumOf(spec)}, bytes.NewReader(spec))
}

func openRoot(dir string) (*os.Root, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	return os.OpenRoot(dir)
}

func readManifest(in *tar.Reader) (Manifest, error) {
	var m Manifest
	h, err := in.Next()
	if err != nil || h.Name != manifestName {
		return m, provenance.Errorf(provenance.Invalid, "not a backup: it does not begin with %s", manifestName)
	}
	raw, err := io.ReadAll(io.LimitReader(in, maxManifest+1))
	if err != nil {
		return m, err
	}
	if len(raw) > maxManifest {
		return m, provenance.Errorf(provenance.Invalid, "the manifest has more than %d bytes", maxManifest)
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		return m, provenance.Wrap(provenance.Invalid, err, "manifest")
	}
	if m.Version != manifestVersion {
		return m, provenance.Errorf(provenance.Invalid, "version %d of a backup; this program reads version %d", m.Version, manifestVersion)
	}
	if len(m.Files) > maxFiles {
		return m, provenance.Errorf(provenance.Invalid, "%d files; at most %d are restored", len(m.Files), maxFiles)
	}
	return m, nil
}

// writeFile writes one file below root and nowhere else, and compares what it wrote.
func writeFile(root *os.Root, f File, in io.Reader) error {
	path := filepath.FromSlash(f.Path)
	if err := root.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	out, err := root.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_EXCL, f.Mode.Perm())
	if err != nil {
		return err
	}
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(out, sum), io.LimitReader(in, f.Size))
	if err := errors.Join(err, out.Sync(), out.Close()); err != nil {
		return fmt.Errorf("write %s: %w", f.Path, err)
	}
	if n != f.Size || hex.EncodeToString(sum.Sum(nil)) != f.SHA256 {
		return provenance.Errorf(provenance.Invalid, "%s is not what the manifest says", f.Path)
	}
	return nil
}

func sumOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
