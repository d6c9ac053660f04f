package e2e

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/waybill-dev/waybill/test/lab"
)

// TestRegistries drives registries other than the lab's own with real clients,
// as their users would: zot, which notifies nobody.
func TestRegistries(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	l, err := lab.Start(ctx, testWriter{t})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("platform's gateway:\n%s\nzot:\n%s", l.Log("gateway-platform"), l.Log("zot"))
		}
		if err := l.Stop(context.WithoutCancel(ctx)); err != nil {
			t.Error(err)
		}
	})
	if err := l.AddSigningTools(ctx); err != nil {
		t.Fatal(err)
	}
	zot, err := l.StartZot(ctx)
	if err != nil {
		t.Fatalf("%v\n%s", err, l.Log("zot"))
	}
	if err := l.Configure("platform", zot, "sweep: {grace: 1s, rate: 200}"); err != nil {
		t.Fatal(err)
	}
	if err := l.StartGateway(ctx, "platform"); err != nil {
		t.Fatalf("%v\n%s", err, l.Log("gateway-platform"))
	}
	s := session{l}
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "registries"),
		ContinueOnError: true,
		Setup: func(env *testscript.Env) error {
			name := filepath.Base(env.WorkDir)
			env.Setenv("PATH", l.Bin+string(filepath.ListSeparator)+os.Getenv("PATH"))
			env.Setenv("WAYBILL_DIR", filepath.Join(l.Dir, "network"))
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("REG", zot)
			env.Setenv("TEAM", name)
			env.Setenv("APP", zot+"/"+name+"/app")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"waybill": s.waybill, "code": s.code, "recorded": s.recorded, "digest": digest, "subst": subst, "until": until, "grab": grab,
		},
	})
}
