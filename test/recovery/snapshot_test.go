package recovery

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/network/org"
	"github.com/waybill-dev/waybill/test/lab"
)

// bySnapshot: a peer begins with another organisation's snapshot, once two organisations have told the same metadata.
func bySnapshot(t *testing.T, ctx context.Context, l *lab.Lab, push func(int), recorded func(string)) {
	vendor, security, audit := folder(t, l, "vendor"), folder(t, l, "security"), folder(t, l, "audit")
	level(t, ctx, audit, security)
	report, err := audit.Status(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var next uint64 // the block that comes next
	for _, s := range report {
		if s.Kind == org.KindPeer {
			next = s.Height
		}
	}
	taken := make(chan string, 2)
	for _, f := range []*org.Folder{security, audit} {
		go func() {
			dir, err := f.Snapshot(ctx, next+1)
			if err != nil {
				t.Error(err)
			}
			taken <- dir
		}()
	}
	time.Sleep(time.Second) // both are asked for before the block comes
	push(20)
	recorded("while snapshots are made")
	if err := lab.Poll(ctx, 2*time.Minute, func() error {
		push(1)
		recorded("for another block")
		_, err := os.Stat(snapshotOf(audit, next+1))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	<-taken
	<-taken
	theirs, ours := snapshotOf(security, next+1), snapshotOf(audit, next+1)
	agrees := []string{"--agrees", filepath.Join(theirs, org.SnapshotMetadata), "--agrees", filepath.Join(ours, org.SnapshotMetadata)}
	resync := append([]string{"org", "resync", "peer", "--dir", vendor.Dir(), "--snapshot", theirs}, agrees...)
	if out, code := l.Waybill(ctx, resync[:len(resync)-2]...); code == 0 || !strings.Contains(out, "from two organisations at least") {
		t.Errorf("by one organisation's word: exit %d, %s", code, out)
	}
	began := time.Now()
	waybill(t, ctx, l, resync...)
	if err := vendor.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	t.Logf("the peer is back after %v", time.Since(began).Round(time.Second))
	push(20)
	short, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	if _, err := l.ReadJournal(short, "vendor", repo); err == nil {
		t.Error("a peer that began with a snapshot hands out earlier blocks")
	}
	settled(t, ctx, l) // its gateway, whose index is ahead of the snapshot, goes on
	waybill(t, ctx, l, "org", "resync", "peer", "--dir", vendor.Dir())
	if err := vendor.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	level(t, ctx, vendor, audit)
	recorded("after the peer began with a snapshot")
}

func snapshotOf(f *org.Folder, block uint64) string {
	return filepath.Join(f.Dir(), "peer", "data", "snapshots", "completed", f.Spec().Channel, strconv.FormatUint(block, 10))
}
