package backup

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

const keyText = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"

// folder is an organisation's, with everything that may be in one.
func folder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for file, text := range map[string]string{
		"org.json": `{"name":"vendor"}`, "ca/ca.crt": "cert", "ca/ca.key": keyText, "people/admin/cert.pem": "cert", "peer/core.yaml": "peer:",
		"peer/msp/keystore/priv_sk": keyText, "peer/data/ledger/blocks": "blocks", "orderer/data/wal": "wal", "channel/genesis.block": "block",
		"builder/connection.json": `{"client_key":"-----BEGIN PRIVATE KEY-----"}`, "gateway/config.yaml": "channel: waybill", "gateway/data/sweep.json": "{}",
		"gateway/hook.secret": "s3cret", "gateway/data/index.db": "index", "gateway/tls.crt": "cert", "gateway/tls.key": keyText, "logs/vendor-peer.log": "log", "run/vendor-peer.json": "{}",
		"people/protected/key.pem": "-----BEGIN ENCRYPTED PRIVATE KEY-----", "peer/data.before-20260101T000000/blocks": "old",
		"gateway/logins/registry.json": `{"auths":{}}`, "cluster/secrets.json": `{"data":{"tls_server.key":"` + base64.StdEncoding.EncodeToString([]byte(keyText)) + `"}}`,
		"cluster/values.json": "{}", "pairs/admin/1/cert.pem": "cert", "pairs/admin/1/key.pem": keyText, ".lock": "",
	} {
		path := filepath.Join(dir, filepath.FromSlash(file))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		mode := os.FileMode(0o644)
		if strings.Contains(text, "PRIVATE KEY") {
			mode = 0o600
		}
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{"pairs/admin/current": "1", "people/admin/key.pem": "../../pairs/admin/current/key.pem"} {
		if err := os.Symlink(to, filepath.Join(dir, filepath.FromSlash(link))); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "gateway", "data", "queue.db"), []byte("half a page"), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// copyQueue stands for the queue's own: a file in use is not read as it lies there.
func copyQueue(_ context.Context, _, to string) error {
	return os.WriteFile(to, []byte("whole"), 0o600)
}

func names(m Manifest) []string {
	var out []string
	for _, f := range m.Files {
		out = append(out, f.Path)
	}
	slices.Sort(out)
	return out
}

// TestKeysStay: without being asked for, nothing that opens anything is in a backup; with keys, it is encrypted.
func TestKeysStay(t *testing.T) {
	dir := folder(t)
	var plain bytes.Buffer
	m, err := Write(t.Context(), dir, &plain, Options{Queue: copyQueue})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"ca/ca.crt", "channel/genesis.block", "cluster/values.json", "gateway/config.yaml", "gateway/data/queue.db", "gateway/tls.crt", "org.json", "pairs/admin/1/cert.pem", "peer/core.yaml", "people/admin/cert.pem"}
	if got := slices.DeleteFunc(names(m), func(f string) bool { return f == "gateway/data/sweep.json" }); !slices.Equal(got, want) {
		t.Errorf("in it are\n%v, want\n%v", got, want)
	}
	unpacked, err := gzip.NewReader(bytes.NewReader(plain.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	all, err := io.ReadAll(unpacked)
	if err != nil || bytes.Contains(all, []byte("PRIVATE KEY")) || bytes.Contains(all, []byte("s3cret")) {
		t.Errorf("a secret is in it: %v", err)
	}
	if _, err := Write(t.Context(), dir, io.Discard, Options{WithKeys: true, Queue: copyQueue}); provenance.CodeOf(err) != provenance.Invalid {
		t.Errorf("keys in the clear: %v", err)
	}
	var sealed bytes.Buffer
	if m, err = Write(t.Context(), dir, &sealed, Options{WithKeys: true, Passphrase: []byte("correct horse"), Queue: copyQueue, work: 10}); err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{"ca/ca.key", "people/admin/key.pem", "gateway/hook.secret", "builder/connection.json", "people/protected/key.pem", "cluster/secrets.json", "gateway/logins/registry.json"} {
		if !slices.Contains(names(m), f) {
			t.Errorf("%s is not in it", f)
		}
	}
	if bytes.Contains(sealed.Bytes(), []byte("PRIVATE")) || !bytes.HasPrefix(sealed.Bytes(), []byte(magic)) {
		t.Error("it is not encrypted")
	}
	left, err := filepath.Glob(filepath.Join(dir, ".backup-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}

	to := filepath.Join(t.TempDir(), "org")
	for _, word := range []string{"", "wrong"} {
		if _, err := Restore(bytes.NewReader(sealed.Bytes()), to, []byte(word)); provenance.CodeOf(err) != provenance.Invalid {
			t.Errorf("opened with %q: %v", word, err)
		}
	}
	if _, err := Restore(bytes.NewReader(sealed.Bytes()), to, []byte("correct horse")); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{"people/admin/key.pem": keyText, "org.json": `{"name":"vendor"}`, "gateway/hook.secret": "s3cret"} {
		if got, err := os.ReadFile(filepath.Join(to, filepath.FromSlash(file))); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", file, got, err)
		}
	}
	info, err := os.Stat(filepath.Join(to, "ca", "ca.key"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("a key is readable by others: %v, %v", info, err)
	}
	if got, err := os.ReadFile(filepath.Join(to, "gateway", "data", "queue.db")); err != nil || string(got) != "whole" {
		t.Errorf("the queue is %q, %v: not as it was copied", got, err)
	}
	if _, err := Restore(bytes.NewReader(sealed.Bytes()), to, []byte("correct horse")); provenance.CodeOf(err) != provenance.Conflict {
		t.Errorf("restored over a folder: %v", err)
	}
}

// TestHostileBackups: whoever made the file, nothing is written beside the folder, and what is not whole is no organisation.
func TestHostileBackups(t *testing.T) {
	make := func(m Manifest, entries ...tar.Header) []byte {
		var out bytes.Buffer
		packed := gzip.NewWriter(&out)
		w := tar.NewWriter(packed)
		raw, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		write := func(h tar.Header, text []byte) {
			h.Size = int64(len(text))
			if h.Typeflag != 0 && h.Typeflag != tar.TypeReg {
				h.Size, text = 0, nil
			}
			if err := w.WriteHeader(&h); err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write(text); err != nil {
				t.Fatal(err)
			}
		}
		write(tar.Header{Name: manifestName, Mode: 0o600}, raw)
		for _, h := range entries {
			write(h, []byte("x"))
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if err := packed.Close(); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	file := func(path string) File { return File{Path: path, Size: 1, Mode: 0o644, SHA256: sumOf([]byte("x"))} }
	wrong := file("ca/ca.crt")
	wrong.SHA256 = sumOf([]byte("y"))
	org := tar.Header{Name: "org.json", Mode: 0o644}
	for what, raw := range map[string][]byte{
		"nothing":          nil,
		"no archive":       []byte("hello"),
		"another version":  make(Manifest{Version: 2}),
		"above":            make(Manifest{Version: 1, Files: []File{file("../evil"), file("org.json")}}, tar.Header{Name: "../evil", Mode: 0o644}, org),
		"from the root":    make(Manifest{Version: 1, Files: []File{file("/etc/evil"), file("org.json")}}, tar.Header{Name: "/etc/evil", Mode: 0o644}, org),
		"a link":           make(Manifest{Version: 1, Files: []File{{Path: "ca"}, file("org.json")}}, tar.Header{Name: "ca", Typeflag: tar.TypeSymlink, Linkname: "/etc"}, org),
		"other bytes":      make(Manifest{Version: 1, Files: []File{wrong, file("org.json")}}, tar.Header{Name: "ca/ca.crt", Mode: 0o644}, org),
		"twice":            make(Manifest{Version: 1, Files: []File{file("a"), file("a"), file("org.json")}}, tar.Header{Name: "a", Mode: 0o644}, tar.Header{Name: "a", Mode: 0o644}, org),
		"a file too few":   make(Manifest{Version: 1, Files: []File{file("a"), file("org.json")}}, tar.Header{Name: "a", Mode: 0o644}),
		"no organisation":  make(Manifest{Version: 1, Files: []File{file("a")}}, tar.Header{Name: "a", Mode: 0o644}),
		"unexpected order": make(Manifest{Version: 1, Files: []File{file("a"), file("org.json")}}, org, tar.Header{Name: "a", Mode: 0o644}),
	} {
		root := t.TempDir()
		dir := filepath.Join(root, "org")
		if _, err := Restore(bytes.NewReader(raw), dir, nil); err == nil {
			t.Errorf("%s: restored", what)
		}
		if _, err := os.Stat(filepath.Join(dir, "org.json")); err == nil {
			t.Errorf("%s: it is an organisation now", what)
		}
		entries, err := os.ReadDir(root)
		if err != nil || len(entries) > 1 {
			t.Errorf("%s: %v, %v", what, entries, err)
		}
	}
}

// TestNoFolder: what is no organisation's folder is not backed up.
func TestNoFolder(t *testing.T) {
	if _, err := Write(context.Background(), t.TempDir(), io.Discard, Options{}); provenance.CodeOf(err) != provenance.NotFound {
		t.Errorf("got %v", err)
	}
}

func TestKeysInBase64(t *testing.T) {
	for before := range 4 {
		for after := range 4 {
			text := strings.Repeat("-", before) + "PRIVATE KEY" + strings.Repeat("\xff", after)
			if raw := base64.StdEncoding.EncodeToString([]byte(text)); !holdsKey([]byte(raw)) {
				t.Errorf("%d before, %d after: %s", before, after, raw)
			}
		}
	}
	if certificate := base64.StdEncoding.EncodeToString([]byte("-----BEGIN CERTIFICATE-----")); holdsKey([]byte(certificate)) {
		t.Errorf("%s is no key", certificate)
	}
}
