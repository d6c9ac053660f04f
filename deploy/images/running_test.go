package main

import (
	"archive/tar"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Each image's file tree is all that its program sees, and it runs as the image's user: that is
// what can be said of a container where there is no engine for one.
func TestPrograms(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root may change a process's root and user; the images' programs are not run")
	}
	for name, want := range map[string]struct {
		args []string
		says string
		ends int
	}{
		"waybill":           {[]string{"/usr/bin/waybill", "version"}, testVersion, 0},
		"waybill-gateway":   {[]string{"/usr/bin/waybill-gateway", "version"}, testVersion, 0},
		"waybill-chaincode": {[]string{"/usr/bin/waybill-chaincode"}, "CHAINCODE_SERVER_ADDRESS is not set", 1},
		"waybill-orderer":   {[]string{"/usr/bin/orderer", "version"}, "linux/", 0},
		"waybill-peer":      {[]string{"/usr/bin/peer", "version"}, "linux/", 0},
	} {
		dir := unpack(t, all(t)[name])
		out, status := inside(t, dir, want.args...)
		if status != want.ends || !strings.Contains(out, want.says) {
			t.Errorf("%s ended with %d:\n%s", name, status, out)
		}
		if out, status := inside(t, dir, "/bin/sh"); status != -1 {
			t.Errorf("%s has a shell:\n%s", name, out)
		}
	}
}

// The builder in the peer's image does what the shell scripts of an organisation's folder do.
func TestBuilder(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root may change a process's root and user; the peer's builder is not run")
	}
	dir := unpack(t, all(t)["waybill-peer"])
	connection, next := `{"address":"vendor-chaincode:7054"}`, `{"address":"vendor-chaincode:7055"}`
	for path, text := range map[string]string{
		"tmp/meta/metadata.json": `{"type":"ccaas","label":"waybill_1"}`, "tmp/other/metadata.json": `{"type":"golang"}`,
		"tmp/next/metadata.json": `{"type":"ccaas","label":"waybill_2"}`, "tmp/odd/metadata.json": `{"type":"ccaas","label":"../../tmp/x"}`,
		"tmp/src/connection.json": "{}", "etc/waybill/builder/connection.json": connection,
		"etc/waybill/builder/connection-waybill_2.json": next, "etc/waybill/builder/connection-..": "", "tmp/x.json": "stray",
	} {
		write(t, filepath.Join(dir, path), text)
	}
	bin := builderHome + "/bin/"
	for _, step := range []struct {
		args []string
		ends int
	}{
		{[]string{bin + "detect", "/tmp/src", "/tmp/meta"}, 0},
		{[]string{bin + "detect", "/tmp/src", "/tmp/other"}, 1},
		{[]string{bin + "detect", "/tmp/src"}, 1},
		{[]string{bin + "build", "/tmp/src", "/tmp/meta", "/tmp/built"}, 0},
		{[]string{bin + "release", "/tmp/built", "/tmp/released"}, 0},
		{[]string{bin + "release", "/tmp/next", "/tmp/released-next"}, 0},
		{[]string{bin + "release", "/tmp/odd", "/tmp/released-odd"}, 0},
	} {
		if out, status := inside(t, dir, step.args...); status != step.ends {
			t.Errorf("%q ended with %d, want %d:\n%s", step.args, status, step.ends, out)
		}
	}
	for where, want := range map[string]string{"released": connection, "released-next": next, "released-odd": connection} {
		got, err := os.ReadFile(filepath.Join(dir, "tmp", where, "chaincode/server/connection.json"))
		if err != nil || string(got) != want {
			t.Errorf("%s is %q, %v; want %q", where, got, err, want)
		}
	}
	if got, err := os.ReadFile(filepath.Join(dir, "tmp/built/connection.json")); err != nil || string(got) != "{}" {
		t.Errorf("built %q, %v", got, err)
	}
}

// inside runs a program with an image's tree as its root, as the image's user; -1: it is not there.
func inside(t *testing.T, root string, args ...string) (out string, status int) {
	t.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir, cmd.Env = "/", []string{"PATH=/usr/bin", "HOME=" + data}
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	raw, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		if !os.IsNotExist(err) {
			t.Fatalf("%q: %v", args, err)
		}
		return string(raw), -1
	}
	return string(raw), cmd.ProcessState.ExitCode()
}

// unpack lays an image out as an engine would.
func unpack(t *testing.T, img v1.Image) string {
	t.Helper()
	dir := t.TempDir()
	for _, e := range entries(t, img) {
		path := filepath.Join(dir, e.Name)
		var err error
		switch e.Typeflag {
		case tar.TypeDir:
			err = os.MkdirAll(path, 0o755)
		case tar.TypeLink:
			err = os.Link(filepath.Join(dir, e.Linkname), path)
		default:
			err = os.WriteFile(path, e.content, 0o644)
		}
		if err == nil && e.Typeflag != tar.TypeLink {
			err = os.Chown(path, e.Uid, e.Gid)
		}
		if err == nil && e.Typeflag != tar.TypeLink {
			err = os.Chmod(path, e.FileInfo().Mode())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for above := dir; above != os.TempDir() && above != "/"; above = filepath.Dir(above) {
		if err := os.Chmod(above, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
