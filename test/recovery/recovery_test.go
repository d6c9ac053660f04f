// Package recovery loses a peer's data, an orderer's, and a whole host, and walks the pages of docs/operate.
package recovery

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/network/doctor"
	"github.com/waybill-dev/waybill/network/org"
	"github.com/waybill-dev/waybill/test/lab"
)

const repo = "recovery/app"

func TestRecovery(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a whole network")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 18*time.Minute)
	defer cancel()
	l := lab.For(ctx, t)
	if err := l.StartGateway(ctx, "vendor"); err != nil {
		t.Fatalf("%v\n%s", err, l.Log("gateway-vendor"))
	}
	if err := l.AddRegistry(ctx, l.Registry, "distribution", lab.Owner); err != nil {
		t.Fatal(err)
	}
	if err := l.PushBlob(ctx, repo); err != nil {
		t.Fatal(err)
	}
	pushed := 0
	push := func(n int) {
		t.Helper()
		for range n {
			pushed++
			if _, err := l.PushImage(ctx, repo, fmt.Sprint("t", pushed), fmt.Sprint("image ", pushed)); err != nil {
				t.Fatal(err)
			}
		}
	}
	recorded := func(when string) {
		t.Helper()
		var j lab.Journal
		err := lab.Poll(ctx, 2*time.Minute, func() (err error) {
			if j, err = l.ReadJournal(ctx, "vendor", provenance.Repository(repo)); err == nil && len(j.Images) < pushed {
				err = fmt.Errorf("%d of %d images recorded", len(j.Images), pushed)
			}
			return err
		})
		for event, n := range j.Pushes {
			if n > 1 {
				err = errors.Join(err, fmt.Errorf("%v is recorded %d times", event, n))
			}
		}
		if err != nil {
			t.Fatalf("%s: %v\n%s", when, err, l.Log("gateway-vendor"))
		}
	}
	push(20)
	recorded("at first")
	first, err := l.PushImage(ctx, repo, "t1", "image 1") // again
	if err == nil {
		err = pull(ctx, l, first, *events)
	}
	if err != nil {
		t.Fatal(err)
	}
	settled(t, ctx, l)
	vendor := folder(t, l, "vendor")
	healthy(t, ctx, vendor, "at first")

	for _, node := range []string{"peer", "orderer"} {
		t.Run("Resync "+node, func(t *testing.T) {
			began := time.Now()
			waybill(t, ctx, l, "org", "resync", node, "--dir", vendor.Dir())
			if err := vendor.Ready(ctx); err != nil {
				t.Fatal(err)
			}
			t.Logf("the %s is back after %v", node, time.Since(began).Round(time.Second))
			push(20)
			recorded("after the " + node + " was lost")
		})
	}
	t.Run("Snapshot", func(t *testing.T) { bySnapshot(t, ctx, l, push, recorded) })
	t.Run("LostHost", func(t *testing.T) { lostHost(t, ctx, l, vendor, push, recorded) })
	t.Run("OnlyKeys", func(t *testing.T) { onlyKeys(t, ctx, l, push, recorded) })
	t.Run("FoundAnew", func(t *testing.T) { foundAnew(t, ctx, l, push, recorded) }) // two organisations do not come back: last
}

// lostHost: a backup with keys, made while events flow, and then nothing is left of the host.
func lostHost(t *testing.T, ctx context.Context, l *lab.Lab, vendor *org.Folder, push func(int), recorded func(string)) {
	file, word := filepath.Join(t.TempDir(), "vendor.keys"), filepath.Join(t.TempDir(), "word")
	if err := os.WriteFile(word, []byte("correct horse battery staple\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	push(20)
	waybill(t, ctx, l, "org", "backup", "--with-keys", "-o", file, "--dir", vendor.Dir(), "--passphrase-file", word)
	raw, err := os.ReadFile(file)
	if err != nil || bytes.Contains(raw, []byte("PRIVATE KEY")) {
		t.Fatalf("keys in the clear: %v", err)
	}
	push(20) // what the backup does not know of
	recorded("before the host is lost")
	if err := errors.Join(l.KillGateway("vendor"), vendor.Stop(ctx), os.RemoveAll(vendor.Dir())); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	waybill(t, ctx, l, "org", "restore", file, "--dir", vendor.Dir(), "--passphrase-file", word)
	waybill(t, ctx, l, "org", "up", "--dir", vendor.Dir())
	if err := vendor.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	t.Logf("endorses again after %v", time.Since(began).Round(time.Second))
	level(t, ctx, vendor, folder(t, l, "audit"))
	t.Logf("has the whole chain after %v", time.Since(began).Round(time.Second))
	// It has no index: it learns what is recorded, and makes one, before it takes anything.
	if err := l.StartGateway(ctx, "vendor"); err != nil {
		t.Fatalf("%v\n%s", err, l.Log("gateway-vendor"))
	}
	inTime(t, began)
	push(20)
	recorded("after the host was lost")
	out, code := l.Waybill(ctx, "status", "--as", "vendor/admin")
	if code != 0 || !strings.Contains(out, "0 given up") {
		t.Errorf("status: exit %d, %s", code, out)
	}
	healthy(t, ctx, vendor, "after the host was lost")
	sameIndex(t, ctx, l, "audit")
}

// level returns when a peer has the blocks that another one has.
func level(t *testing.T, ctx context.Context, behind, other *org.Folder) {
	t.Helper()
	height := func(f *org.Folder) uint64 {
		report, err := f.Status(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range report {
			if s.Kind == org.KindPeer {
				return s.Height
			}
		}
		return 0
	}
	if err := lab.Poll(ctx, 5*time.Minute, func() error {
		if have, want := height(behind), height(other); have < want {
			return fmt.Errorf("%d of %d blocks", have, want)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

func folder(t *testing.T, l *lab.Lab, name string) *org.Folder {
	t.Helper()
	f, err := l.Net.Org(name)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func waybill(t *testing.T, ctx context.Context, l *lab.Lab, args ...string) {
	t.Helper()
	if out, code := l.Waybill(ctx, args...); code != 0 {
		t.Fatalf("waybill %s: exit %d, %s", strings.Join(args, " "), code, out)
	}
}

// healthy has the doctor look: nothing fails, and every peer's clock and endpoint was looked at.
func healthy(t *testing.T, ctx context.Context, f *org.Folder, when string) {
	t.Helper()
	var findings []doctor.Finding
	err := lab.Poll(ctx, 30*time.Second, func() error {
		findings = doctor.Run(ctx, f, doctor.Options{})
		if doctor.Worst(findings) == doctor.Failure {
			return errors.New("something fails")
		}
		return nil
	})
	seen := map[string]int{}
	for _, finding := range findings {
		seen[finding.Check]++
		if finding.Level != doctor.Fine {
			t.Logf("%s: %+v", when, finding)
		}
	}
	if err != nil || seen["clock"] != 4 || seen["endpoint"] != 8 || seen["node"] != 3 || seen["disk"] != 1 || seen["chaincode"] != 1 {
		t.Errorf("%s: %v, looked at %v", when, err, seen)
	}
}
