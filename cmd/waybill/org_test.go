package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/waybill-dev/waybill/network"
	"github.com/waybill-dev/waybill/network/channel"
	"github.com/waybill-dev/waybill/network/org"
)

// programs is a folder with what nodes are run with, by name.
func programs(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"peer", "orderer", "waybill-chaincode", "waybill-gateway"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\nexit 1\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// initialised makes an organisation and returns its folder.
func initialised(t *testing.T, w *world, name, host string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), name)
	mspID := strings.ToUpper(name[:1]) + name[1:] + "MSP"
	code, _, errOut := w.run("org", "init", name, "--msp", mspID, "--dir", dir, "--programs", programs(t),
		"--host", "peer="+host+":7051,orderer="+host+":7050,gateway="+host+":7443")
	if code != 0 {
		t.Fatalf("exit %d, %s", code, errOut)
	}
	return dir
}

func exported(t *testing.T, w *world, dir string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "org.json")
	if code, out, errOut := w.run("org", "export", "-o", file, "--dir", dir); code != 0 || !strings.Contains(out, "fingerprint") {
		t.Fatalf("exit %d, %s%s", code, out, errOut)
	}
	return file
}

func TestOrgFoundsAndJoins(t *testing.T) {
	w := newWorld(t)
	vendor, audit := initialised(t, w, "vendor", "127.0.0.2"), initialised(t, w, "audit", "10.0.0.3")
	a, b := exported(t, w, vendor), exported(t, w, audit)
	code, out, _ := w.run("org", "inspect", b)
	for _, want := range []string{"audit (AuditMSP)", "10.0.0.3:7050", "https://10.0.0.3:7443", "1 roots, 0 intermediates"} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("exit %d, nothing of %q in:\n%s", code, want, out)
		}
	}
	if code, _, errOut := w.run("org", "up", "--dir", vendor); code != exitError || !strings.Contains(errOut, "waybill org join") {
		t.Errorf("up before joining: exit %d, %s", code, errOut)
	}
	// A block of others, one that another vendor is in, and no block at all.
	desk := t.TempDir()
	block := func(name string, descriptors ...string) string {
		file := filepath.Join(desk, name)
		args := []string{"channel", "found", "-o", file}
		for _, d := range descriptors {
			args = append(args, "--org", d)
		}
		if code, _, errOut := w.run(args...); code != 0 {
			t.Fatalf("exit %d, %s", code, errOut)
		}
		return file
	}
	impostor := exported(t, w, initialised(t, w, "vendor", "127.0.0.2"))
	for name, file := range map[string]string{
		"without vendor": block("without.block", b), "with another vendor": block("other.block", impostor, b), "no block": b,
	} {
		if code, _, errOut := w.run("org", "join", file, "--dir", vendor); code != exitError || strings.Contains(errOut, "joined channel") {
			t.Errorf("%s: exit %d, %s", name, code, errOut)
		}
		if _, err := os.Stat(filepath.Join(vendor, "channel", "genesis.block")); err == nil {
			t.Fatalf("%s: the block was kept", name)
		}
	}
	f, err := org.Open(vendor, org.Options{})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(block("right.block", a, b))
	if err != nil {
		t.Fatal(err)
	}
	if err := f.CheckGenesis(raw); err != nil {
		t.Errorf("its own channel: %v", err)
	}
	if code, out, _ := w.run("org", "status", "--dir", vendor); code != 0 || strings.Count(out, "stopped") != 4 || !strings.Contains(out, "vendor-gateway") {
		t.Errorf("exit %d:\n%s", code, out)
	}
}

func TestOrgInitRefuses(t *testing.T) {
	w := newWorld(t)
	for name, args := range map[string][]string{
		"no orderer":        {"--host", "peer=10.0.0.1:7051,gateway=10.0.0.1:7443"},
		"a node too many":   {"--host", "peer=10.0.0.1:1,orderer=10.0.0.1:2,gateway=10.0.0.1:3,pear=10.0.0.1:4"},
		"no port":           {"--host", "peer=10.0.0.1,orderer=10.0.0.1:2,gateway=10.0.0.1:3"},
		"every address":     {"--host", "peer=0.0.0.0:7051,orderer=10.0.0.1:7050,gateway=10.0.0.1:7443"},
		"a name of nothing": {"--host", "peer=10.0.0.1:7051,orderer=-:7050,gateway=10.0.0.1:7443"},
		"one port twice":    {"--host", "peer=10.0.0.1:7051,orderer=10.0.0.1:7051,gateway=10.0.0.1:7443"},
		"a listener twice":  {"--host", "peer=10.0.0.1:7051,orderer=10.0.0.1:7050,gateway=10.0.0.1:7443", "--listen", "hooks=10.0.0.1:7050"},
		"no such listener":  {"--host", "peer=10.0.0.1:7051,orderer=10.0.0.1:7050,gateway=10.0.0.1:7443", "--listen", "doorbell=10.0.0.1:1"},
	} {
		dir := filepath.Join(t.TempDir(), "vendor")
		all := append([]string{"org", "init", "vendor", "--msp", "VendorMSP", "--dir", dir, "--programs", programs(t)}, args...)
		if code, _, errOut := w.run(all...); code == 0 || errOut == "" {
			t.Errorf("%s: exit %d, %q", name, code, errOut)
		}
		if _, err := os.Stat(filepath.Join(dir, "ca")); err == nil {
			t.Errorf("%s: keys were made", name)
		}
	}
}

// A person's encrypted key opens with its passphrase only, for exporting and for signing.
func TestPassphrase(t *testing.T) {
	w := newWorld(t)
	dir := initialised(t, w, "vendor", "127.0.0.2")
	word, wrong := filepath.Join(t.TempDir(), "word"), filepath.Join(t.TempDir(), "wrong")
	for file, text := range map[string]string{word: "open sesame\n", wrong: "open barley\n"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if code, _, errOut := w.run("org", "protect", "gateway", "--dir", dir, "--passphrase-file", word); code == 0 {
		t.Errorf("the gateway's key was encrypted: %s", errOut)
	}
	if code, _, errOut := w.run("org", "protect", "admin", "--dir", dir, "--passphrase-file", word); code != 0 {
		t.Fatalf("exit %d, %s", code, errOut)
	}
	key, err := os.ReadFile(filepath.Join(dir, "people", "admin", "key.pem"))
	if err != nil || !strings.HasPrefix(string(key), "-----BEGIN ENCRYPTED PRIVATE KEY-----") {
		t.Fatalf("the key is\n%s (%v)", key, err)
	}
	file := filepath.Join(t.TempDir(), "vendor.json")
	for passphrase, want := range map[string]string{"": "wants a passphrase", wrong: "wrong passphrase"} {
		args := []string{"org", "export", "-o", file, "--dir", dir}
		if passphrase != "" {
			args = append(args, "--passphrase-file", passphrase)
		}
		if code, _, errOut := w.run(args...); code == 0 || !strings.Contains(errOut, want) {
			t.Errorf("exit %d, %q, want %q", code, errOut, want)
		}
	}
	w.env["WAYBILL_PASSPHRASE_FILE"] = word
	if code, _, errOut := w.run("org", "export", "-o", file, "--dir", dir); code != 0 {
		t.Fatalf("exit %d, %s", code, errOut)
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := channel.Open(raw); err != nil {
		t.Error(err)
	}
	clients, err := network.LoadClients(dir)
	if err != nil {
		t.Fatal(err)
	}
	me, err := findIdentity(clients, "vendor/admin")
	if err != nil {
		t.Fatal(err)
	}
	for passphrase, opens := range map[string]bool{word: true, wrong: false} {
		a := newApp("waybill", strings.NewReader(""), &strings.Builder{}, &strings.Builder{}, os.Getenv)
		a.passphraseFile = passphrase
		p, err := a.unlocked(me)
		if (err == nil) != opens || (p.openKey() != nil) != opens {
			t.Errorf("%s: %v", passphrase, err)
			continue
		}
		if !opens {
			continue
		}
		live := liveBackends()
		peer, err := live.peer(clients, p)
		if err != nil {
			t.Errorf("the ledger's client: %v", err)
		} else {
			_ = peer.Close() // nothing was sent
		}
		gateway, err := live.gateway(context.Background(), p.org.GatewayAddress, p.org.GatewayTLSCA, p, "")
		if err != nil {
			t.Errorf("the gateway's client: %v", err)
		} else {
			_ = gateway.Close() // nothing was sent
		}
	}
}

func TestOrgService(t *testing.T) {
	w := newWorld(t)
	dir := initialised(t, w, "vendor", "127.0.0.2")
	code, out, _ := w.run("org", "service", "--user", "waybill", "--dir", dir)
	for _, want := range []string{"ExecStart=/", " org up --foreground --dir " + dir + "\n", "User=waybill\n", "ReadWritePaths=" + dir + "\n", "KillMode=mixed\n"} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("exit %d, nothing of %q in:\n%s", code, want, out)
		}
	}
}

func TestUnitPath(t *testing.T) {
	for path, want := range map[string]string{
		"/srv/waybill/vendor-1": "/srv/waybill/vendor-1",
		"/srv/way bill/100%":    `"/srv/way bill/100%%"`,
		`/srv/a"b\c`:            `"/srv/a\"b\\c"`,
		"/srv/50%":              `"/srv/50%%"`,
	} {
		if got, err := unitPath(path); err != nil || got != want {
			t.Errorf("%s: %s (%v), want %s", path, got, err, want)
		}
	}
	if got, err := unitPath("/srv/a\nUser=root"); err == nil {
		t.Errorf("a line of its own: %s", got)
	}
}
