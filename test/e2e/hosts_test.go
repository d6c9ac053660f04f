package e2e

import (
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/waybill-dev/waybill/test/lab"
	"github.com/waybill-dev/waybill/test/rogue"
)

// host is one organisation's: an address, a folder, and a desk where files that came from others lie.
type host struct{ org, address, folder, desk string }

// road walks the README's road for organisations on hosts of their own.
type road struct {
	t     *testing.T
	env   []string
	hosts []host
}

// run runs a script on a host, as its admin, and returns what it printed.
func (r road) run(ctx context.Context, h host, script string) (string, error) {
	cmd := exec.CommandContext(ctx, "bash", "-euc", script)
	cmd.Dir = h.desk
	cmd.Env = append(slices.Clone(r.env), "WAYBILL_DIR="+h.folder, "WAYBILL_AS="+h.org+"/admin")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s: %w\n%s\n%s", h.org, err, script, out)
	}
	return string(out), nil
}

// must runs a script on hosts, side by side, and returns what each printed.
func (r road) must(ctx context.Context, hosts []host, script func(host) string) []string {
	r.t.Helper()
	outs := make([]string, len(hosts))
	group, ctx := errgroup.WithContext(ctx)
	for i, h := range hosts {
		group.Go(func() (err error) {
			outs[i], err = r.run(ctx, h, script(h))
			return err
		})
	}
	if err := group.Wait(); err != nil {
		r.t.Fatal(err)
	}
	return outs
}

func same(script string) func(host) string { return func(host) string { return script } }

// own puts a host's name and address where vendor's stand.
func own(script string) func(host) string {
	return func(h host) string {
		mspID := strings.ToUpper(h.org[:1]) + h.org[1:] + "MSP"
		return strings.NewReplacer("/srv/waybill", h.folder, "VendorMSP", mspID, "vendor", h.org, "10.0.0.1", h.address).Replace(script)
	}
}

// steps are the code blocks of the README's section.
func steps(t *testing.T) []string {
	t.Helper()
	root, err := lab.Root()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "## Organisations on hosts of their own\n")
	section, _, ended := strings.Cut(section, "\n## ")
	blocks := regexp.MustCompile(`(?m)(^    .*\n)+`).FindAllString(section, -1)
	if !found || !ended || len(blocks) != 5 {
		t.Fatalf("%d steps in the README", len(blocks))
	}
	return blocks
}

func newRoad(t *testing.T) road {
	t.Helper()
	root, err := lab.Root()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	bin := filepath.Join(dir, "bin")
	build := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-o", bin+"/", "./cmd/...")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	r := road{t: t, env: append(os.Environ(), "PATH="+bin+string(filepath.ListSeparator)+os.Getenv("PATH"), "WAYBILL_TOOLS="+filepath.Join(root, "network", "tools"))}
	net := 1 + rand.IntN(250) // every address of 127.0.0.0/8 is this machine
	for i, org := range []string{"vendor", "security", "platform", "audit"} {
		h := host{org: org, address: fmt.Sprintf("127.77.%d.%d", net, i+1), folder: filepath.Join(dir, org, "waybill"), desk: filepath.Join(dir, org, "desk")}
		if err := os.MkdirAll(h.desk, 0o700); err != nil {
			t.Fatal(err)
		}
		r.hosts = append(r.hosts, h)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		for _, h := range r.hosts {
			if _, err := r.run(ctx, h, "waybill org down"); err != nil {
				t.Error(err)
			}
		}
	})
	return r
}

// send puts everybody's descriptor on everybody's desk: all that ever crosses.
func (r road) send() {
	r.t.Helper()
	for _, from := range r.hosts {
		raw, err := os.ReadFile(filepath.Join(from.desk, from.org+".json"))
		if err != nil {
			r.t.Fatal(err)
		}
		for _, to := range r.hosts {
			if err := os.WriteFile(filepath.Join(to.desk, from.org+".json"), raw, 0o600); err != nil {
				r.t.Fatal(err)
			}
		}
	}
}

// keys returns the private keys on a host.
func keys(t *testing.T, h host) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(filepath.Dir(h.folder), func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := os.ReadFile(file)
		for _, key := range regexp.MustCompile(`(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?-----END`).FindAllString(strings.ReplaceAll(string(raw), `\n`, "\n"), -1) {
			out[key] = file
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestOrganisationsOnHostsOfTheirOwn(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 6*time.Minute)
	defer cancel()
	road, script := newRoad(t), steps(t)
	later, other := road.built(ctx, rogue.Later()), road.built(ctx, rogue.Other())
	road.must(ctx, road.hosts, own(script[0]))
	road.send()
	hash := regexp.MustCompile(`joined channel waybill, genesis hash [0-9a-f ]+`)
	said := road.must(ctx, road.hosts, same(script[1]))
	for _, out := range said {
		if h := hash.FindString(out); h == "" || h != hash.FindString(said[0]) {
			t.Errorf("another genesis hash, or none:\n%s", out)
		}
	}
	road.must(ctx, road.hosts, same(script[2]))
	road.must(ctx, road.hosts[:1], same(script[3]))
	for i := range road.hosts { // one after the other: all write the one list of members
		until := func() error { _, err := road.run(ctx, road.hosts[i], own(script[4])(road.hosts[i])); return err }
		if err := lab.Poll(ctx, 30*time.Second, until); err != nil {
			t.Fatal(err)
		}
	}
	for i, h := range road.hosts {
		mine := keys(t, h)
		if len(mine) < 12 {
			t.Errorf("%s has %d keys: the check would check little", h.org, len(mine))
		}
		for _, other := range road.hosts[i+1:] {
			for key, file := range keys(t, other) {
				if mine[key] != "" {
					t.Errorf("%s of %s is on %s's host: %s", file, other.org, h.org, mine[key])
				}
			}
		}
	}
	road.upgrade(ctx, later())
	road.move(ctx)
	road.disagrees(ctx, later(), other())
}
