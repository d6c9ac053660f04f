package org

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func announcing() Spec {
	at := func(port string) string { return "10.0.0.1:" + port }
	return Spec{
		Version: SpecVersion, Name: "vendor", MSPID: "VendorMSP", Channel: "waybill", Chaincode: "waybill", Contract: Contract{Version: FirstVersion},
		Announce: Announce{Peer: at("7051"), Orderer: at("7050"), Gateway: at("7443")},
		Listen: Listen{
			Peer: at("7051"), PeerOperations: at("7052"), PeerChaincode: at("7053"), Orderer: at("7050"), OrdererAdmin: at("7054"),
			OrdererOperations: at("7055"), Chaincode: at("7056"), Gateway: at("7443"), GatewayMetrics: at("7057"), Hooks: at("7058"),
		},
	}
}

// What an organisation cannot announce is said before a certificate names it.
func TestAnnouncing(t *testing.T) {
	t.Parallel()
	was := announcing()
	for what, change := range map[string]func(*Spec, *Announce, *Listen){
		"nobody can dial":            func(_ *Spec, a *Announce, _ *Listen) { a.Peer = "0.0.0.0:7051" },
		"neither an address":         func(_ *Spec, a *Announce, _ *Listen) { a.Orderer = "two words:7050" },
		"want a port":                func(_ *Spec, a *Announce, _ *Listen) { a.Gateway = "10.0.0.2:0" },
		"listen on one port":         func(_ *Spec, _ *Announce, l *Listen) { l.Orderer = was.Listen.Chaincode },
		"an upgrade of the contract": func(s *Spec, _ *Announce, _ *Listen) { s.Next = &Contract{Version: "2"} },
	} {
		spec, announce, listen := was, was.Announce, was.Listen
		change(&spec, &announce, &listen)
		if _, err := spec.Announcing(announce, listen); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("want %q, got %v", what, err)
		}
	}
	announce, listen := was.Announce, was.Listen
	announce.Peer, listen.Peer, listen.Hooks = "peer.vendor.example:7051", "0.0.0.0:7051", "10.0.0.1:1"
	now, err := was.Announcing(announce, listen)
	if err != nil || now.Announce.Peer != announce.Peer || now.Listen.Peer != listen.Peer || now.Listen.Hooks != was.Listen.Hooks {
		t.Errorf("%+v, %v", now, err)
	}
}

// Of a gateway's configuration two addresses change, whatever its operator wrote beside them; where they are not what
// they were, nothing does.
func TestReaddressGateway(t *testing.T) {
	t.Parallel()
	f := &Folder{dir: t.TempDir()}
	file := filepath.Join(f.dir, "gateway", "config.yaml")
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	before := announcing()
	after := before
	after.Announce.Peer, after.Listen.Gateway = "10.0.9.1:7051", "10.0.9.1:7443"
	const old = "# mine\npeer:\n  address: \"10.0.0.1:7051\"\napi:\n  listen: \"10.0.0.1:7443\"\nhooks:\n  listen: \"10.0.0.1:7058\"\n"
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	read := func() string {
		t.Helper()
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	write(old)
	want := strings.NewReplacer("10.0.0.1:7051", "10.0.9.1:7051", "10.0.0.1:7443", "10.0.9.1:7443").Replace(old)
	for range 2 { // a call that was cut short is made again
		if err := f.readdressGateway(before, after); err != nil || read() != want {
			t.Fatalf("%v:\n%s", err, read())
		}
	}
	write(strings.Replace(old, "10.0.0.1:7443", "127.0.0.1:1", 1))
	if err := f.readdressGateway(before, after); err == nil || !strings.Contains(read(), "127.0.0.1:1") || !strings.Contains(read(), "10.0.0.1:7051") {
		t.Errorf("%v:\n%s", err, read())
	}
}
