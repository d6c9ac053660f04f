// Package sigstoretest is what keyless verification is tested with: the client
// conformance suite of Sigstore, and a Sigstore of one's own.
package sigstoretest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

// Case is one of the suite: a bundle about an artifact and who should have signed it,
// below a trusted root or with the key. It verifies unless it Fails.
type Case struct {
	Name             string
	Fails            bool
	Bundle, Root     []byte
	Artifact         []byte
	Key              string // PEM; "" where a certificate signs
	Identity, Issuer string
}

// The suite's defaults: its README, beside the cases.
const (
	beacon = "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/.github/workflows/extremely-dangerous-oidc-beacon.yml@refs/heads/main"
	issuer = "https://token.actions.githubusercontent.com"
)

// archive is where the suite lies, beside the repository or above it.
const archive = "shared/data/sigstore-conformance-assets.tar.gz"

// known is how many cases the suite has that this was written for.
const known = 70

// Suite returns the cases of the conformance suite, and none with a word about it where
// its archive does not lie beside the repository.
func Suite(t testing.TB) []Case {
	t.Helper()
	files := unpack(t)
	if files == nil {
		t.Logf("NOT RUN: the Sigstore conformance suite: no %s beside the repository", archive)
		return nil
	}
	const dir = "test/assets/bundle-verify/"
	var cases []Case
	for name, bundle := range files {
		if path.Base(name) != "bundle.sigstore.json" {
			continue
		}
		in := path.Dir(name) + "/"
		file := func(name string, otherwise []byte) []byte {
			if b, ok := files[in+name]; ok {
				return b
			}
			return otherwise
		}
		text := func(name, otherwise string) string { return strings.TrimSpace(string(file(name, []byte(otherwise)))) }
		c := Case{
			Name: path.Base(in), Fails: strings.HasSuffix(path.Dir(name), "_fail"), Bundle: bundle,
			Root:     file("trusted_root.json", publicGood(t, files[dir+"trust-root-tlog-validity-end-inclusive/trusted_root.json"])),
			Artifact: file("artifact", files[dir+"a.txt"]), Key: string(file("key.pub", nil)),
			Identity: text("identity", beacon), Issuer: text("issuer", issuer),
		}
		cases = append(cases, c)
	}
	if len(cases) < known {
		t.Fatalf("the suite has %d cases, and had %d", len(cases), known)
	}
	return cases
}

// publicGood is the public root: the suite has it with a log that ends too early.
func publicGood(t testing.TB, ended []byte) []byte {
	t.Helper()
	const end = `"end": "2023-07-12T15:56:36Z"`
	if !bytes.Contains(ended, []byte(end)) {
		t.Fatalf("the suite's public root is another one than this was written for")
	}
	return bytes.Replace(ended, []byte(end), []byte(`"end": null`), 1)
}

func unpack(t testing.TB) map[string][]byte {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; ; dir = filepath.Dir(dir) {
		f, err := os.Open(filepath.Join(dir, archive)) //nolint:gosec // a test's own path
		if err == nil {
			defer func() { _ = f.Close() }() // it was read
			return read(t, f)
		}
		if dir == filepath.Dir(dir) {
			return nil
		}
	}
}

func read(t testing.TB, f io.Reader) map[string][]byte {
	t.Helper()
	zipped, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for r := tar.NewReader(zipped); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if files[h.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
}
