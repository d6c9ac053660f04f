package recovery

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/network"
	"github.com/waybill-dev/waybill/network/org"
	"github.com/waybill-dev/waybill/test/lab"
)

// foundAnew: two of four are gone for good, and the two that are left go on in a channel of their own, with all that was
// recorded and all that waited.
func foundAnew(t *testing.T, ctx context.Context, l *lab.Lab, push func(int), recorded func(string)) {
	survivors := []*org.Folder{folder(t, l, "vendor"), folder(t, l, "audit")}
	old, image := l.Clients, l.Registry+"/"+repo+":t1"
	past, code := l.Waybill(ctx, "history", image, "--as", "vendor/auditor")
	if code != 0 || !strings.Contains(past, "push") {
		t.Fatalf("history: exit %d, %s", code, past)
	}
	for _, lost := range []string{"security", "platform"} {
		f := folder(t, l, lost)
		if err := errors.Join(f.Stop(ctx), os.RemoveAll(f.Dir())); err != nil {
			t.Fatal(err)
		}
	}
	push(10) // they wait: nothing is decided any more

	began := time.Now()
	dir := t.TempDir()
	var found, flags []string
	for _, f := range survivors {
		descriptor := filepath.Join(dir, f.Spec().Name+".json")
		waybill(t, ctx, l, "org", "export", "-o", descriptor, "--dir", f.Dir())
		flags = append(flags, "--org", descriptor)
	}
	for _, f := range survivors {
		last, block := filepath.Join(dir, f.Spec().Name+".last"), filepath.Join(dir, f.Spec().Name+".block")
		waybill(t, ctx, l, "channel", "last", "-o", last, "--dir", f.Dir())
		waybill(t, ctx, l, append([]string{"channel", "found", "--after", last, "-o", block}, flags...)...)
		waybill(t, ctx, l, append([]string{"channel", "inspect", block, "--after", last}, flags...)...)
		found = append(found, block)
	}
	first, second := read(t, found[0]), read(t, found[1])
	if !bytes.Equal(first, second) {
		t.Fatal("the survivors make two different first blocks")
	}
	if out, code := l.Waybill(ctx, append([]string{"channel", "inspect", found[0]}, flags...)...); code != 1 || !strings.Contains(out, "goes on from channel waybill") {
		t.Errorf("a block that goes on from where nobody said: exit %d, %s", code, out)
	}
	wrongEnd(t, ctx, l, survivors[1], filepath.Join(dir, "audit.last"), flags)

	if err := l.StopGateway("vendor"); err != nil {
		t.Fatal(err)
	}
	for i, f := range survivors {
		waybill(t, ctx, l, "org", "refound", found[i], "--dir", f.Dir())
	}
	for _, f := range survivors { // once all are in it: a block takes both
		waybill(t, ctx, l, "chaincode", "approve", "--dir", f.Dir())
	}
	waybill(t, ctx, l, "chaincode", "commit", "--dir", survivors[1].Dir())
	waybill(t, ctx, l, "channel", "import", "--dir", survivors[1].Dir(), "--as", "audit/admin")
	t.Logf("founded anew after %v", time.Since(began).Round(time.Second))

	vendor, err := org.Open(survivors[0].Dir(), org.Options{})
	if err != nil {
		t.Fatal(err)
	}
	l.Clients = network.ClientsOf(vendor)
	if err := l.StartGateway(ctx, "vendor"); err != nil {
		t.Fatalf("%v\n%s", err, l.Log("gateway-vendor"))
	}
	push(20)
	recorded("in the channel that goes on") // those of the old chain among them, each once
	if now, code := l.Waybill(ctx, "history", image, "--as", "vendor/auditor"); code != 0 || now != past {
		t.Errorf("what happened before is told otherwise: exit %d\n%s\nwas\n%s", code, now, past)
	}
	if err := l.StopGateway("vendor"); err != nil {
		t.Fatal(err)
	}
	// The index was carried on from the old chain's; made anew of both, it is the same.
	if out, code := l.Gateway(ctx, "vendor", nil, "fsck"); code != 0 {
		t.Errorf("fsck: exit %d, %s", code, out)
	}
	anew := l.Clients
	l.Clients = old
	j, err := l.ReadJournal(ctx, "vendor", repo) // the old chain alone, every block's hash checked
	if err != nil || len(j.Images) == 0 {
		t.Errorf("the old chain cannot be read any more: %d images, %v", len(j.Images), err)
	}
	l.Clients = anew
}

// wrongEnd: a block that names another end than the own peer has is refused, whoever made it.
func wrongEnd(t *testing.T, ctx context.Context, l *lab.Lab, f *org.Folder, last string, flags []string) {
	t.Helper()
	text := string(read(t, last))
	at := strings.Index(text, `"header":"`) + len(`"header":"`)
	lie := filepath.Join(t.TempDir(), "lie")
	if err := os.WriteFile(lie, []byte(text[:at]+strings.Repeat("0", 64)+text[at+64:]), 0o600); err != nil {
		t.Fatal(err)
	}
	waybill(t, ctx, l, append([]string{"channel", "found", "--after", lie, "-o", lie + ".block"}, flags...)...)
	if out, code := l.Waybill(ctx, "org", "refound", lie+".block", "--dir", f.Dir()); code == 0 || !strings.Contains(out, "ends here as") {
		t.Errorf("another end of the channel: exit %d, %s", code, out)
	}
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}
