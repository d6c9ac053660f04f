package recovery

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/network/org"
	"github.com/waybill-dev/waybill/network/provision"
	"github.com/waybill-dev/waybill/test/lab"
)

// within is how long a host may take to be what it was, with 10^5 events on the channel.
const within = 5 * time.Minute

var events = flag.Int("recovery.events", 1000, "pulls that are on the channel before hosts are lost")

// pull tells the gateway of pulls of an image, each by another client.
func pull(ctx context.Context, l *lab.Lab, digest string, n int) error {
	const most = 500 // in one notification
	for at := 0; at < n; at += most {
		var list []string
		for i := at; i < min(n, at+most); i++ {
			list = append(list, fmt.Sprintf(`{"id":"pull-%d","timestamp":%q,"action":"pull","target":{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":%q,"repository":%q},`+
				`"request":{"id":"r%d","addr":"10.%d.%d.%d:4711","host":%q,"method":"GET","useragent":"containerd/2.1"},"actor":{"name":"puller-%d"},"source":{"addr":"r:5000","instanceID":"i"}}`,
				i, time.Now().UTC().Format(time.RFC3339Nano), digest, repo, i, i>>16&255, i>>8&255, i&255, l.Registry, i))
		}
		body := `{"events":[` + strings.Join(list, ",") + `]}`
		if err := lab.Poll(ctx, time.Minute, func() error { return l.Notify(ctx, body) }); err != nil {
			return err
		}
	}
	return nil
}

// settled waits until nothing waits in the owner's queue.
func settled(t *testing.T, ctx context.Context, l *lab.Lab) {
	t.Helper()
	if err := lab.Poll(ctx, 5*time.Minute, func() error {
		c, err := l.API(ctx, "vendor", "auditor")
		if err != nil {
			return err
		}
		defer func() { _ = c.Close() }() // only read from
		s, err := c.GetStatus(ctx)
		if err == nil && s.GetQueue().GetPending() > 0 {
			err = fmt.Errorf("%d events wait", s.GetQueue().GetPending())
		}
		return err
	}); err != nil {
		t.Fatalf("%v\n%s", err, l.Log("gateway-vendor"))
	}
}

// sameIndex stops the gateway and compares its index with one that another organisation's gateway makes of its own peer's
// chain.
func sameIndex(t *testing.T, ctx context.Context, l *lab.Lab, other string) {
	t.Helper()
	if err := l.StopGateway("vendor"); err != nil {
		t.Fatal(err)
	}
	level(t, ctx, folder(t, l, other), folder(t, l, "vendor"))
	level(t, ctx, folder(t, l, "vendor"), folder(t, l, other))
	type report struct {
		Ledger struct {
			Height uint64 `json:"height"`
			Hash   string `json:"hash"`
			Events int    `json:"events"`
		} `json:"ledger"`
		Index struct {
			Rebuilt json.RawMessage `json:"rebuilt"`
		} `json:"index"`
	}
	var reports [2]report
	for i, name := range []string{"vendor", other} {
		if _, err := os.Stat(filepath.Join(l.GatewayData(name), "queue.db")); errors.Is(err, fs.ErrNotExist) {
			if out, code := l.Gateway(ctx, name, nil, "init"); code != 0 {
				t.Fatalf("init: exit %d, %s", code, out)
			}
		}
		if name == other { // without one it makes one of the whole chain, and compares no older one with it
			if err := os.Remove(filepath.Join(l.GatewayData(name), "index.db")); err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Fatal(err)
			}
		}
		out, code := l.Gateway(ctx, name, nil, "fsck", "-o", "json")
		at := strings.Index(out, "{\n")
		if at < 0 || code > 1 || name == "vendor" && code != 0 {
			t.Fatalf("fsck of %s: exit %d, %s", name, code, out)
		}
		if err := json.NewDecoder(strings.NewReader(out[at:])).Decode(&reports[i]); err != nil {
			t.Fatalf("fsck of %s: %v, %s", name, err, out)
		}
	}
	if diff := cmp.Diff(reports[1], reports[0]); diff != "" || reports[0].Ledger.Events < *events {
		t.Errorf("%d events; -%s's +vendor's:\n%s", reports[0].Ledger.Events, other, diff)
	}
	if err := l.StartGateway(ctx, "vendor"); err != nil {
		t.Fatalf("%v\n%s", err, l.Log("gateway-vendor"))
	}
}

// onlyKeys: of the host nothing is left but org.json, certificates and keys; the first block comes from another member.
func onlyKeys(t *testing.T, ctx context.Context, l *lab.Lab, push func(int), recorded func(string)) {
	vendor := folder(t, l, "vendor")
	spec, dir := vendor.Spec(), vendor.Dir()
	genesis, config := read(t, folder(t, l, "audit").GenesisPath()), read(t, l.GatewayConfig("vendor"))
	if err := errors.Join(l.KillGateway("vendor"), vendor.Stop(ctx), os.Rename(dir, dir+".lost")); err != nil {
		t.Fatal(err)
	}
	if err := copyKeys(dir+".lost", dir); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	// As waybill org init does, with the words of the first time.
	f, err := org.Create(ctx, dir, spec, org.Options{GatewayConfig: provision.GatewayConfig})
	if err != nil {
		t.Fatal(err)
	}
	block := filepath.Join(t.TempDir(), "genesis.block")
	if err := errors.Join(os.WriteFile(block, genesis, 0o600), os.WriteFile(l.GatewayConfig("vendor"), config, 0o600)); err != nil {
		t.Fatal(err)
	}
	waybill(t, ctx, l, "org", "join", block, "--dir", dir)
	if err := f.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	t.Logf("endorses again after %v", time.Since(began).Round(time.Second))
	level(t, ctx, f, folder(t, l, "audit"))
	for _, args := range [][]string{{"init"}, {"fsck", "--repair"}} {
		if out, code := l.Gateway(ctx, "vendor", nil, args...); code != 0 {
			t.Fatalf("%v: exit %d, %s", args, code, out)
		}
	}
	if err := l.StartGateway(ctx, "vendor"); err != nil {
		t.Fatalf("%v\n%s", err, l.Log("gateway-vendor"))
	}
	inTime(t, began)
	push(20)
	recorded("after nothing but keys was left")
	sameIndex(t, ctx, l, "audit")
}

func inTime(t *testing.T, began time.Time) {
	t.Helper()
	took := time.Since(began)
	t.Logf("as before after %v", took.Round(time.Second))
	if took > within {
		t.Errorf("it took %v", took)
	}
}

// copyKeys copies what docs/operate/lost-host.md says that is enough.
func copyKeys(from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil || d.IsDir() {
			return err
		}
		top, rest, _ := strings.Cut(rel, "/")
		wanted := rel == "org.json"
		switch top {
		case "ca", "people", "msp", "pairs":
			wanted = true
		case "peer", "orderer", "chaincode", "gateway":
			ext := filepath.Ext(rest)
			wanted = !strings.HasPrefix(rest, "data/") && (strings.HasPrefix(rest, "msp/") || ext == ".crt" || ext == ".key" || ext == ".pem")
		}
		if !wanted {
			return nil
		}
		target := filepath.Join(to, rel)
		if err := os.MkdirAll(filepath.Dir(target), 0o700); err != nil {
			return err
		}
		if d.Type()&fs.ModeSymlink != 0 {
			link, err := os.Readlink(path)
			if err != nil {
				return err
			}
			return os.Symlink(link, target)
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		return os.WriteFile(target, raw, info.Mode().Perm())
	})
}
