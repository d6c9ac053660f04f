package main

import (
	"archive/tar"
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

const (
	testVersion = "1.2.3+test"
	testCommit  = "0123456789abcdef0123456789abcdef01234567"
)

var shared string // where all images are made, once

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "waybill-images-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	shared = dir
	status := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(status)
}

// arguments are those of every run here.
func arguments(more ...string) []string {
	return append([]string{"--version", testVersion, "--commit", testCommit}, more...)
}

var makeAll = sync.OnceValue(func() error {
	return run(context.Background(), arguments("--source", "../..", "-o", shared), io.Discard, os.Stderr)
})

// all returns every image, made once.
func all(t *testing.T) map[string]v1.Image {
	t.Helper()
	if err := makeAll(); err != nil {
		t.Fatal(err)
	}
	images := map[string]v1.Image{}
	for _, p := range programs() {
		images[p.name] = stored(t, filepath.Join(shared, p.name))
	}
	return images
}

// stored reads the image of a layout.
func stored(t *testing.T, dir string) v1.Image {
	t.Helper()
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	list, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	img, err := index.Image(list.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// The same sources in another folder, in another time zone, with other habits of who builds, give
// the same bytes: of the images and of what is said about them.
func TestReproducible(t *testing.T) {
	all(t)
	elsewhere := t.TempDir()
	copyTree(t, elsewhere)
	t.Setenv("TZ", "Pacific/Chatham")
	t.Setenv("GOAMD64", "v3")
	t.Setenv("GOFLAGS", "-trimpath=false")
	t.Setenv("CGO_ENABLED", "1")
	out := t.TempDir()
	again := []string{"waybill-gateway", "waybill-peer"} // one of ours, one of Fabric's with ours beside it
	if err := run(t.Context(), arguments("--source", elsewhere, "-o", out, "--only", strings.Join(again, ",")), io.Discard, os.Stderr); err != nil {
		t.Fatal(err)
	}
	for _, p := range again {
		first, second := tree(t, filepath.Join(shared, p)), tree(t, filepath.Join(out, p))
		if !slices.Equal(first, second) {
			t.Errorf("%s was made twice:\n%s\nand then\n%s", p, strings.Join(first, "\n"), strings.Join(second, "\n"))
		}
		if len(first) < 8 { // index, layout, manifest, config, two layers, two referrers of two blobs each
			t.Errorf("%s: only %d files were compared", p, len(first))
		}
	}
}

// tree lists the files of a folder with the hashes of what is in them.
func tree(t *testing.T, dir string) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		hash, _, err := v1.SHA256(bytes.NewReader(raw))
		files = append(files, strings.TrimPrefix(path, dir)+" "+hash.Hex)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// copyTree copies what images are made from.
func copyTree(t *testing.T, to string) {
	t.Helper()
	for _, part := range []string{"go.mod", "go.sum", "chaincode", "gateway", "cmd", "network", "proof", "deploy"} {
		from := filepath.Join("..", "..", part)
		info, err := os.Stat(from)
		if err != nil {
			t.Fatal(err)
		}
		if info.IsDir() {
			err = os.CopyFS(filepath.Join(to, part), os.DirFS(from))
		} else {
			var raw []byte
			if raw, err = os.ReadFile(from); err == nil {
				err = os.WriteFile(filepath.Join(to, part), raw, 0o600)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// What is in an image is the program and what a system is to it; nobody there is root.
func TestContents(t *testing.T) {
	here, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	common := []string{
		"etc -rwxr-xr-x 0", "etc/group -rw-r--r-- 0", "etc/passwd -rw-r--r-- 0", "etc/waybill -rwxr-xr-x 0", "tmp trwxrwxrwx 0",
		"usr -rwxr-xr-x 0", "usr/bin -rwxr-xr-x 0", "var -rwxr-xr-x 0", "var/lib -rwxr-xr-x 0", "var/lib/waybill -rwx------ 65532",
	}
	web := []string{"etc/ssl -rwxr-xr-x 0", "etc/ssl/certs -rwxr-xr-x 0", "etc/ssl/certs/ca-certificates.crt -rw-r--r-- 0"}
	home := strings.TrimPrefix(builderHome, "/")
	want := map[string][]string{
		"waybill":           append(web, "usr/bin/waybill -rwxr-xr-x 0"),
		"waybill-gateway":   append(slices.Clone(web), "usr/bin/waybill-gateway -rwxr-xr-x 0"),
		"waybill-chaincode": {"usr/bin/waybill-chaincode -rwxr-xr-x 0"},
		"waybill-orderer":   {"usr/bin/orderer -rwxr-xr-x 0"},
		"waybill-peer": {
			"usr/bin/peer -rwxr-xr-x 0", "usr/lib -rwxr-xr-x 0", "usr/lib/waybill -rwxr-xr-x 0", home + " -rwxr-xr-x 0", home + "/bin -rwxr-xr-x 0",
			home + "/bin/build -rwxr-xr-x 0", home + "/bin/detect -rwxr-xr-x 0", home + "/bin/release -rwxr-xr-x 0",
		},
	}
	for name, img := range all(t) {
		if err := validate.Image(img); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		var got []string
		for _, e := range entries(t, img) {
			mode := strings.Replace(e.FileInfo().Mode().String(), "d", "-", 1)
			got = append(got, fmt.Sprintf("%s %s %d", strings.TrimSuffix(e.Name, "/"), strings.Replace(mode, "-t", "t", 1), e.Uid))
			if e.Typeflag == tar.TypeReg && e.Mode&0o111 != 0 {
				checkStatic(t, name, e.content, here)
			}
		}
		slices.Sort(got)
		expected := slices.Sorted(slices.Values(append(slices.Clone(common), want[name]...)))
		if !slices.Equal(got, expected) {
			t.Errorf("%s holds\n%s\nwant\n%s", name, strings.Join(got, "\n"), strings.Join(expected, "\n"))
		}
		config, err := img.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		if config.Config.User != "65532:65532" || config.Config.Labels["org.opencontainers.image.revision"] != testCommit {
			t.Errorf("%s: user %q, labels %v", name, config.Config.User, config.Config.Labels)
		}
	}
}

// checkStatic fails for a program that needs a loader, or that knows where it was built.
func checkStatic(t *testing.T, name string, program []byte, here string) {
	t.Helper()
	f, err := elf.NewFile(bytes.NewReader(program))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			t.Errorf("%s is not static", name)
		}
	}
	if bytes.Contains(program, []byte(here)) {
		t.Errorf("%s knows that it was built in %s", name, here)
	}
}

type entry struct {
	*tar.Header
	content []byte
}

func entries(t *testing.T, img v1.Image) []entry {
	t.Helper()
	flat := mutate.Extract(img)
	defer flat.Close()
	var all []entry
	for r := tar.NewReader(flat); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, entry{h, content})
	}
}

// Two platforms make an index of two images.
func TestPlatforms(t *testing.T) {
	tiny := program{
		name: "tiny", built: []built{{module: "deploy/images", pkg: "./builder", paths: []string{"/usr/bin/detect"}}}, entry: []string{"/usr/bin/detect"},
	}
	o, err := parse(arguments("--source", "../..", "-o", t.TempDir(), "--platform", "linux/amd64,linux/arm64"), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	made, err := tiny.make(t.Context(), o, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if len(made) != 2 || made[0].Digest == made[1].Digest || made[1].Platform != "linux/arm64" {
		t.Fatalf("made %+v", made)
	}
	index, err := layout.ImageIndexFromPath(filepath.Join(o.out, "tiny"))
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(index); err != nil {
		t.Error(err)
	}
	list, err := index.IndexManifest()
	if err != nil || len(list.Manifests) != 5 || !list.Manifests[0].MediaType.IsIndex() {
		t.Errorf("the layout lists %+v, %v; want an index and four referrers", list, err)
	}
}

func TestArguments(t *testing.T) {
	for _, args := range [][]string{{"--platform", "windows/amd64"}, {"--platform", ""}, {"--only", "peer"}, {"stray"}} {
		if _, err := parse(args, io.Discard); err == nil {
			t.Errorf("%q was taken", args)
		}
	}
	t.Setenv("SOURCE_DATE_EPOCH", "yesterday")
	if _, err := parse(nil, io.Discard); err == nil {
		t.Error("a date in words was taken")
	}
}
