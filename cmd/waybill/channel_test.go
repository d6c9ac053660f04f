package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"google.golang.org/protobuf/proto"

	"github.com/waybill-dev/waybill/network/channel/channeltest"
)

// files writes descriptors of four organisations and returns the flags that name them.
func descriptorFiles(t *testing.T) (dir string, flags []string) {
	t.Helper()
	dir = t.TempDir()
	for i, name := range []string{"vendor", "security", "platform", "audit"} {
		file := filepath.Join(dir, name+".json")
		if err := os.WriteFile(file, channeltest.New(t, name, 7000+10*i).File(t), 0o600); err != nil {
			t.Fatal(err)
		}
		flags = append(flags, "--org", file)
	}
	return dir, flags
}

// Two organisations found the same channel each for itself, and a third one looks at it.
func TestChannelFoundAndInspect(t *testing.T) {
	w := newWorld(t)
	dir, flags := descriptorFiles(t)
	one, two := filepath.Join(dir, "one.block"), filepath.Join(dir, "two.block")
	code, out, errOut := w.run(append([]string{"channel", "found", "--channel", "images", "-o", one}, flags...)...)
	if code != 0 || !strings.Contains(out, "exactly what the descriptors say") || !strings.Contains(out, "4 consenters: 3 must sign a block, 1 may lie or be gone") {
		t.Fatalf("exit %d, %s%s", code, out, errOut)
	}
	turned := []string{"channel", "found", "--channel", "images", "-o", two}
	for i := len(flags) - 2; i >= 0; i -= 2 {
		turned = append(turned, flags[i:i+2]...)
	}
	if code, _, errOut := w.run(turned...); code != 0 {
		t.Fatalf("exit %d, %s", code, errOut)
	}
	a, errA := os.ReadFile(one)
	b, errB := os.ReadFile(two)
	if errA != nil || errB != nil || !bytes.Equal(a, b) {
		t.Error("the two blocks differ")
	}
	hash := out[strings.Index(out, "genesis hash "):]
	code, out, errOut = w.run(append([]string{"channel", "inspect", one}, flags...)...)
	if code != 0 || !strings.Contains(out, hash) || !strings.Contains(out, "Channel/Application: Endorsement\n    3 of AuditMSP.peer, PlatformMSP.peer, SecurityMSP.peer, VendorMSP.peer\n") {
		t.Errorf("exit %d, %s%s", code, out, errOut)
	}
	if code, out, _ := w.run("channel", "inspect", one, "-o", "json"); code != 0 || !strings.Contains(out, `"exact": false`) {
		t.Errorf("without descriptors: exit %d, %s", code, out)
	}
	if code, _, errOut := w.run(turned...); code != exitError || !strings.Contains(errOut, "is there already") {
		t.Errorf("a second time: exit %d, %s", code, errOut)
	}
}

func TestChannelInspectRefuses(t *testing.T) {
	w := newWorld(t)
	dir, flags := descriptorFiles(t)
	file := filepath.Join(dir, "genesis.block")
	if code, _, errOut := w.run(append([]string{"channel", "found", "-o", file}, flags...)...); code != 0 {
		t.Fatal(errOut)
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	block := &common.Block{}
	if err := proto.Unmarshal(raw, block); err != nil {
		t.Fatal(err)
	}
	block.Metadata.Metadata[0] = []byte("x")
	if raw, err = proto.Marshal(block); err != nil {
		t.Fatal(err)
	}
	write := func(name string, b []byte) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	other, nonsense := write("other.block", raw), write("nonsense", []byte("\xff\xff"))
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"another frame":         {append([]string{"channel", "inspect", other}, flags...), "do not join it"},
		"a descriptor less":     {append([]string{"channel", "inspect", file}, flags[2:]...), "do not join it"},
		"not a block":           {[]string{"channel", "inspect", nonsense}, "not a block"},
		"a block as descriptor": {[]string{"channel", "inspect", file, "--org", file}, "descriptor"},
		"no file":               {[]string{"channel", "inspect", filepath.Join(dir, "gone")}, "read the block"},
		"twice the same":        {append(append([]string{"channel", "found", "-o", filepath.Join(dir, "x")}, flags...), flags[:2]...), "the same"},
	} {
		if code, out, errOut := w.run(c.args...); code != exitError || !strings.Contains(errOut, c.want) {
			t.Errorf("%s: exit %d, %s%s", name, code, out, errOut)
		}
	}
}
