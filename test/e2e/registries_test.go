package e2e

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/waybill-dev/waybill/test/lab"
)

// TestRegistries drives registries other than the lab's own with real clients,
// as their users would: zot, which notifies nobody, of the platform team, and
// Debian's distribution 2.8, of the security team. Each script is one of them.
func TestRegistries(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	l := lab.For(ctx, t)
	if err := l.AddSigningTools(ctx); err != nil {
		t.Fatal(err)
	}
	hosts := startRegistries(ctx, t, l)
	s := session{l}
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "registries"),
		Setup: func(env *testscript.Env) error {
			name := strings.TrimPrefix(filepath.Base(env.WorkDir), "script-")
			env.Setenv("PATH", l.Bin+string(filepath.ListSeparator)+os.Getenv("PATH"))
			env.Setenv("WAYBILL_DIR", filepath.Join(l.Dir, "network"))
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("REG", hosts[name])
			env.Setenv("TEAM", name)
			env.Setenv("APP", hosts[name]+"/"+name+"/app")
			return nil
		},
		// [debian]: the registry could be had on this machine.
		Condition: func(name string) (bool, error) { return name == "debian" && hosts[name] != "", nil },
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"waybill": s.waybill, "code": s.code, "recorded": s.recorded, "digest": digest, "subst": subst, "until": until, "grab": grab,
		},
	})
}

// startRegistries starts the registries and the gateways of their owners, and
// returns their names by script.
func startRegistries(ctx context.Context, t *testing.T, l *lab.Lab) map[string]string {
	t.Helper()
	zot, err := l.StartZot(ctx)
	if err != nil {
		t.Fatalf("%v\n%s", err, l.Log("zot"))
	}
	hosts, owners := map[string]string{"zot": zot}, map[string]string{"platform": zot}
	debian, err := l.StartDebian(ctx, "security")
	switch {
	case errors.Is(err, exec.ErrNotFound):
		t.Logf("SKIPPED, NOT TESTED: Debian's registry: install the package %s", lab.Debian)
	case err != nil:
		t.Fatalf("%v\n%s", err, l.Log(lab.Debian))
	default:
		hosts["debian"], owners["security"] = debian, debian
	}
	for org, host := range owners {
		if err := l.ReadRegistry(org, host, "sweep: {grace: 1s, rate: 200}"); err != nil {
			t.Fatal(err)
		}
		if err := l.StartGateway(ctx, org); err != nil {
			t.Fatalf("%v\n%s", err, l.Log("gateway-"+org))
		}
	}
	return hosts
}
