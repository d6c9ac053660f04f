// Package faults breaks the real installation while it works, and reads the
// ledger of a peer to see what was lost or recorded twice.
package faults

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/test/lab"
)

func start(t *testing.T, ctx context.Context) *lab.Lab {
	t.Helper()
	l := lab.For(ctx, t)
	for _, org := range []string{"vendor", "platform"} {
		if err := l.StartGateway(ctx, org); err != nil {
			t.Fatalf("%v\n%s", err, l.Log("gateway-"+org))
		}
	}
	policy := filepath.Join(l.Dir, "policy.yaml")
	text := fmt.Sprintf("apiVersion: waybill.dev/v1\nkind: ReleasePolicy\nmetadata: {name: faults}\nspec:\n  match: [%q]\n  stages:\n    - {name: production, approvals: {min: 2}}\n", l.Registry+"/**")
	if err := os.WriteFile(policy, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := l.AddRegistry(ctx, l.Registry, "distribution", lab.Owner); err != nil {
		t.Fatal(err)
	}
	for _, org := range []string{"vendor", "security", "platform"} {
		must(t, l, ctx, "policy", "apply", "-f", policy, "--as", org+"/admin")
	}
	return l
}

// must runs the CLI; an exit status of 12 (pending) is a success too.
func must(t *testing.T, l *lab.Lab, ctx context.Context, args ...string) string {
	t.Helper()
	out, code := l.Waybill(ctx, args...)
	if code != 0 && code != 12 {
		t.Fatalf("waybill %s: exit %d: %s", strings.Join(args, " "), code, out)
	}
	return out
}

func TestFaults(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	l := start(t, ctx)
	t.Run("KillsWhilePushesFlow", func(t *testing.T) { killsWhilePushesFlow(t, ctx, l) })
	t.Run("OrganisationsStop", func(t *testing.T) { organisationsStop(t, ctx, l) })
}

const pushes = 2000

func killsWhilePushesFlow(t *testing.T, ctx context.Context, l *lab.Lab) {
	const repo = "faults/flow"
	if err := l.PushBlob(ctx, repo); err != nil {
		t.Fatal(err)
	}
	var pushed atomic.Int64
	failed := make(chan error, 1)
	go func() {
		// Paced, so that every kill below finds pushes on their way.
		pace := time.NewTicker(15 * time.Millisecond)
		defer pace.Stop()
		for i := range pushes {
			<-pace.C
			if _, err := l.PushImage(ctx, repo, fmt.Sprintf("t%d", i%50), fmt.Sprint("image ", i)); err != nil {
				failed <- err
				return
			}
			pushed.Add(1)
		}
		failed <- nil
	}()
	reach := func(n int64) {
		t.Helper()
		if err := lab.Poll(ctx, 2*time.Minute, func() error {
			if pushed.Load() < n {
				return errors.New("pushes are slow")
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	up := func() {
		t.Helper()
		if err := l.Net.Up(ctx); err != nil {
			t.Fatal(err)
		}
	}
	for n := int64(200); n < pushes; n += 600 {
		reach(n)
		t.Logf("%d pushed: kill -9 the gateway", pushed.Load())
		if err := errors.Join(l.KillGateway("vendor"), l.StartGateway(ctx, "vendor")); err != nil {
			t.Fatal(err)
		}
		reach(n + 200)
		t.Logf("%d pushed: kill -9 the vendor's chaincode", pushed.Load())
		if err := l.Net.Kill(ctx, "vendor-chaincode", syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		up()
		reach(n + 400)
		t.Logf("%d pushed: kill -9 the vendor's peer", pushed.Load())
		if err := l.Net.Kill(ctx, "vendor-peer", syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		up()
	}
	if err := <-failed; err != nil {
		t.Fatal(err)
	}
	var j lab.Journal
	err := lab.Poll(ctx, 3*time.Minute, func() (err error) {
		if j, err = l.ReadJournal(ctx, "security", repo); err != nil {
			return err
		}
		if len(j.Images) < pushes {
			return fmt.Errorf("%d of %d images recorded", len(j.Images), pushes)
		}
		return nil
	})
	twice := 0
	for _, n := range j.Pushes {
		if n > 1 {
			twice++
		}
	}
	t.Logf("pushed %d, recorded %d images in %d push events, %d recorded twice, height %d", pushed.Load(), len(j.Images), len(j.Pushes), twice, j.Height)
	if err != nil {
		t.Error(err)
	}
	if len(j.Pushes) != pushes || twice != 0 {
		t.Errorf("%d push events and %d of them twice, want %d and 0", len(j.Pushes), twice, pushes)
	}
}

func organisationsStop(t *testing.T, ctx context.Context, l *lab.Lab) {
	const repo = "faults/stop"
	if err := l.PushBlob(ctx, repo); err != nil {
		t.Fatal(err)
	}
	recorded := func(image string) error {
		return lab.Poll(ctx, time.Minute, func() error {
			if out, code := l.Waybill(ctx, "status", image, "--as", "platform/auditor"); code != 0 {
				return fmt.Errorf("exit %d: %s", code, out)
			}
			return nil
		})
	}
	push := func(name string) string {
		t.Helper()
		d, err := l.PushImage(ctx, repo, "latest", name)
		if err != nil {
			t.Fatal(err)
		}
		return l.Registry + "/" + repo + "@" + d
	}

	if err := l.Net.StopOrg(ctx, "audit"); err != nil {
		t.Fatal(err)
	}
	first := push("one stopped")
	if err := recorded(first); err != nil {
		t.Fatalf("one organisation stopped, and nothing is recorded: %v", err)
	}
	must(t, l, ctx, "promote", first, "--to", "production", "--as", "vendor/release-manager")
	must(t, l, ctx, "approve", first, "--to", "production", "--as", "security/release-manager")
	must(t, l, ctx, "approve", first, "--to", "production", "--as", "platform/release-manager")
	if err := lab.Poll(ctx, 20*time.Second, func() error {
		if out, code := l.Waybill(ctx, "verify", first, "--stage", "production", "--as", "vendor/auditor"); code != 0 {
			return fmt.Errorf("exit %d: %s", code, out)
		}
		return nil
	}); err != nil {
		t.Fatalf("one organisation stopped, and its approval is missed: %v", err)
	}
	t.Log("one organisation stopped: recorded, approved, verified")

	if err := l.Net.StopOrg(ctx, "security"); err != nil {
		t.Fatal(err)
	}
	second := push("two stopped")
	if err := lab.Poll(ctx, time.Minute, func() error {
		out, _ := l.Waybill(ctx, "status", "--as", "vendor/auditor")
		if !strings.Contains(strings.ToLower(out), "waiting") {
			return fmt.Errorf("status does not say that writes wait: %s", out)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	out, code := l.Waybill(ctx, "quarantine", second, "--reason", "cannot be agreed on", "--as", "platform/scanner", "--timeout", "20s")
	if code != 14 {
		t.Errorf("a write with two organisations stopped: exit %d, want 14: %s", code, out)
	}
	t.Logf("two organisations stopped: %s", strings.TrimSpace(out))

	if err := l.Net.Up(ctx); err != nil {
		t.Fatal(err)
	}
	if err := recorded(second); err != nil {
		t.Errorf("the organisations are back, and what waited is lost: %v", err)
	}
}
