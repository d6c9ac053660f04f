package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/waybill-dev/waybill/network/org"
)

// TestInitFindsPorts: what is for this host only keeps out of the way of what was asked for, and what cannot be is refused
// before there is a folder.
func TestInitFindsPorts(t *testing.T) {
	w := newWorld(t)
	bin := programs(t)
	at := "peer=127.0.0.2:7051,orderer=127.0.0.2:7050,gateway=127.0.0.2:7443"
	base := t.TempDir()
	for i, tt := range []struct {
		name, host string
		listen     []string
		want       string // of the error; "" where there is none
	}{
		{"hooks on the next port", at, []string{"hooks=127.0.0.2:7052"}, ""},
		{"on all addresses", at, []string{"0.0.0.0", "chaincode=127.0.0.1:7053"}, ""},
		{"the peer's own port", at, []string{"hooks=127.0.0.2:7051"}, "listen on one port"},
		{"on all addresses, the peer's port", at, []string{"hooks=0.0.0.0:7051"}, "--listen hooks=HOST:PORT"},
		{"two at one address", "peer=127.0.0.2:7051,orderer=127.0.0.2:7051,gateway=127.0.0.2:7443", nil, "listen on one port"},
		{"no ports behind the peer's", "peer=127.0.0.2:65532,orderer=127.0.0.2:7050,gateway=127.0.0.2:7443", nil, "say where it listens"},
		{"no port", at, []string{"hooks=127.0.0.2"}, "want HOST:PORT"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := filepath.Join(base, strconv.Itoa(i))
			args := []string{"org", "init", "vendor", "--msp", "VendorMSP", "--dir", dir, "--programs", bin, "--host", tt.host}
			for _, l := range tt.listen {
				args = append(args, "--listen", l)
			}
			code, _, errOut := w.run(args...)
			if tt.want != "" {
				if _, err := os.Stat(dir); code == 0 || !strings.Contains(errOut, tt.want) || !os.IsNotExist(err) {
					t.Errorf("exit %d, %s; the folder: %v", code, errOut, err)
				}
				return
			}
			if code != 0 {
				t.Fatalf("exit %d, %s", code, errOut)
			}
			var spec org.Spec
			raw, err := os.ReadFile(filepath.Join(dir, "org.json"))
			if err == nil {
				err = json.Unmarshal(raw, &spec)
			}
			if err != nil || spec.Validate() != nil {
				t.Errorf("%v, %v", err, spec.Validate())
			}
		})
	}
}

// TestOrgNodes: names are known before anything is done, and what runs in containers is not started.
func TestOrgNodes(t *testing.T) {
	w := newWorld(t)
	dir := initialised(t, w, "vendor", "127.0.0.2")
	for _, args := range [][]string{{"up", "nobody"}, {"down", "peer", "nobody"}, {"restart", "nobody"}} {
		if code, _, errOut := w.run(append(append([]string{"org"}, args...), "--dir", dir)...); code != exitUsage || !strings.Contains(errOut, "peer") {
			t.Errorf("%v: exit %d, %s", args, code, errOut)
		}
	}
	if code, _, errOut := w.run("org", "up", "peer", "--foreground", "--dir", dir); code != exitUsage {
		t.Errorf("exit %d, %s", code, errOut)
	}
	if code, _, errOut := w.run("org", "down", "peer", "--dir", dir); code != 0 {
		t.Errorf("what does not run is stopped: exit %d, %s", code, errOut)
	}
	file := filepath.Join(dir, "org.json")
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(string(raw), "{", `{"nodesElsewhere": true,`, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"up", "peer"}, {"restart", "peer"}} {
		if code, _, errOut := w.run(append(append([]string{"org"}, args...), "--dir", dir)...); code == 0 || !strings.Contains(errOut, "containers") {
			t.Errorf("%v: exit %d, %s", args, code, errOut)
		}
	}
}
