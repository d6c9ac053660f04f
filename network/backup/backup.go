// Package backup writes an organisation's folder to one file while everything runs, and makes a folder of such a
// file again.
//
// What the channel gives back is left out: ledgers, and the gateway's index. What only this organisation has is in
// it: configuration, certificates, the gateway's queue; and, where they are asked for, the keys, in a file that is
// encrypted then.
package backup

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"filippo.io/age"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// manifestName is the first entry of a backup.
const manifestName = "backup.json"

// manifestVersion is the layout that this package writes and reads.
const manifestVersion = 1

// Manifest says what a backup is of.
type Manifest struct {
	Version  int       `json:"version"`
	Made     time.Time `json:"made"`
	WithKeys bool      `json:"withKeys"`
	Files    []File    `json:"files"`
}

// File is one file of a backup, by its path in the folder with slashes.
type File struct {
	Path   string      `json:"path"`
	Size   int64       `json:"size"`
	Mode   fs.FileMode `json:"mode"`
	SHA256 string      `json:"sha256"`
}

// Options say what is written.
type Options struct {
	WithKeys   bool
	Passphrase []byte // encrypts the file; with keys there must be one
	Now        func() time.Time
	// Queue copies the gateway's queue, which is in use, to a file that is none.
	Queue func(ctx context.Context, from, to string) error
	// work is how hard a passphrase is to guess, as scrypt's 2^n; 0 means age's own.
	work int
}

// skipped are the parts of a folder that are the ledger's to give back, or a running process's own.
var skipped = []string{"logs", "run", "peer/data", "orderer/data", ".lock", "csr/.lock", "pairs/.lock", "pairs/renewal.json"} //nolint:gochecknoglobals // a constant of a type that cannot be one

// Write writes a backup of the organisation's folder.
func Write(ctx context.Context, dir string, to io.Writer, o Options) (Manifest, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.WithKeys && len(o.Passphrase) == 0 {
		return Manifest{}, provenance.Errorf(provenance.Invalid, "keys are backed up encrypted only: a passphrase is missing")
	}
	if _, err := os.Stat(filepath.Join(dir, "org.json")); err != nil {
		return Manifest{}, provenance.Wrap(provenance.NotFound, err, "%s is no organisation's folder", dir)
	}
	temporary, err := os.MkdirTemp(dir, ".backup-*")
	if err != nil {
		return Manifest{}, err
	}
	defer os.RemoveAll(temporary) //nolint:errcheck // what is left is named so that anybody sees what it is
	content, m, err := collect(ctx, dir, temporary, o)
	if err != nil {
		return Manifest{}, err
	}
	out := to
	if len(o.Passphrase) > 0 {
		recipient, err := age.NewScryptRecipient(string(o.Passphrase))
		if err != nil {
			return Manifest{}, provenance.Wrap(provenance.Invalid, err, "passphrase")
		}
		if o.work > 0 {
			recipient.SetWorkFactor(o.work)
		}
		sealed, err := age.Encrypt(to, recipient)
		if err != nil {
			return Manifest{}, err
		}
		defer sealed.Close() //nolint:errcheck // closed below, where its error counts
		if err := pack(sealed, m, content); err != nil {
			return Manifest{}, err
		}
		return m, sealed.Close()
	}
	return m, pack(out, m, content)
}

// collect decides what goes in, and where each file's bytes are.
func collect(ctx context.Context, dir, temporary string, o Options) (map[string]string, Manifest, error) {
	content := map[string]string{}
	m := Manifest{Version: manifestVersion, Made: o.Now().UTC(), WithKeys: o.WithKeys}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		switch {
		case rel == ".":
			return nil
		case slices.Contains(skipped, rel), strings.Contains(rel, "/data.before-"), strings.HasPrefix(filepath.Base(rel), ".new-"), strings.HasPrefix(rel, ".backup-"):
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		case d.IsDir():
			return nil
		}
		from, err := source(ctx, path, rel, temporary, o)
		if err != nil || from == "" {
			return err
		}
		content[rel] = from
		f, err := describe(from, rel)
		m.Files = append(m.Files, f)
		return err
	})
	return content, m, err
}

// source returns where a file's bytes are to be read, "" for a file that stays out.
func source(ctx context.Context, path, rel, temporary string, o Options) (string, error) {
	info, err := os.Stat(path) // through the links of renewed certificates
	if err != nil {
		return "", err
	}
	if info.IsDir() || !info.Mode().IsRegular() {
		return "", nil // pairs/NAME/current: what it leads to is there by its own name
	}
	if strings.HasPrefix(rel, "gateway/") {
		switch base := filepath.Base(rel); {
		case base == "queue.db":
			to := filepath.Join(temporary, "queue.db")
			if o.Queue == nil {
				return "", nil
			}
			return to, o.Queue(ctx, path, to)
		case strings.HasPrefix(base, "queue.db-"), strings.HasPrefix(base, "index.db"), strings.HasPrefix(base, "reindex.db"):
			return "", nil
		}
	}
	secret, err := isSecret(path, rel)
	if err != nil || secret && !o.WithKeys {
		return "", err
	}
	return path, nil
}

// isSecret tells whether a file stays here unless keys are asked for: whatever holds a private key, and of the gateway's
// files those that it would not let others read, such as connectors' secrets and databases' addresses.
func isSecret(path, rel string) (bool, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return false, err
	}
	if holdsKey(raw) {
		return true, nil
	}
	if !strings.HasPrefix(rel, "gateway/") {
		return false, nil
	}
	switch filepath.Ext(rel) {
	case ".yaml", ".crt", ".pem":
		return false, nil
	case ".json": // of its data it is how far a loop is; elsewhere, a registry's login
		return !strings.HasPrefix(rel, "gateway/data/"), nil
	}
	return filepath.Base(rel) != ".initialised", nil
}

// holdsKey tells whether there is a private key in a file: as PEM, or in base64 as Kubernetes' Secrets have it.
func holdsKey(raw []byte) bool {
	const mark = "PRIVATE KEY"
	if bytes.Contains(raw, []byte(mark)) {
		return true
	}
	for shift, first := range []int{0, 2, 3} { // of three, where the text begins; what its neighbours decide is left out
		text := base64.RawStdEncoding.EncodeToString(append(make([]byte, shift), mark...))
		last := len(text)
		if (shift+len(mark))%3 != 0 {
			last--
		}
		if bytes.Contains(raw, []byte(text[first:last])) {
			return true
		}
	}
	return false
}

func describe(from, rel string) (File, error) {
	in, err := os.Open(from)
	if err != nil {
		return File{}, err
	}
	defer in.Close() //nolint:errcheck // it was only read from
	info, err := in.Stat()
	if err != nil {
		return File{}, err
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, in); err != nil {
		return File{}, err
	}
	return File{Path: rel, Size: info.Size(), Mode: info.Mode().Perm(), SHA256: hex.EncodeToString(sum.Sum(nil))}, nil
}

// pack writes the manifest and the files. One that changed since it was described is an error: the backup is made again.
func pack(to io.Writer, m Manifest, content map[string]string) error {
	packed := gzip.NewWriter(to)
	out := tar.NewWriter(packed)
	raw, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	if err := out.WriteHeader(&tar.Header{Name: manifestName, Mode: 0o600, Size: int64(len(raw)), ModTime: m.Made}); err != nil {
		return err
	}
	if _, err := out.Write(raw); err != nil {
		return err
	}
	for _, f := range m.Files {
		if err := packFile(out, m, f, content[f.Path]); err != nil {
			return fmt.Errorf("back up %s: %w", f.Path, err)
		}
	}
	return errors.Join(out.Close(), packed.Close())
}

func packFile(out *tar.Writer, m Manifest, f File, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close() //nolint:errcheck // it was only read from
	if err := out.WriteHeader(&tar.Header{Name: f.Path, Mode: int64(f.Mode), Size: f.Size, ModTime: m.Made}); err != nil {
		return err
	}
	sum := sha256.New()
	if _, err := io.Copy(io.MultiWriter(out, sum), io.LimitReader(in, f.Size)); err != nil {
		return err
	}
	if hex.EncodeToString(sum.Sum(nil)) != f.SHA256 {
		return provenance.Errorf(provenance.Conflict, "it changed meanwhile; try again")
	}
	return nil
}
