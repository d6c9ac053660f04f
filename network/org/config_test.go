package org

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/waybill-dev/waybill/network/disk"
)

var update = flag.Bool("update", false, "rewrite testdata/golden")

// rendered returns the configuration of an organisation in /net/orgs/vendor.
func rendered(t *testing.T) map[string][]byte {
	t.Helper()
	core, err := render("core.yaml.tmpl", peerConfig{
		ID: "vendor-peer", MSPID: "VendorMSP", Dir: "/net/orgs/vendor/peer", Address: "127.0.0.1:7050", Listen: "127.0.0.1:7050",
		ChaincodeListen: "127.0.0.1:7058", Ops: "127.0.0.1:7051", Builder: "/net/orgs/vendor/builder",
	})
	if err != nil {
		t.Fatal(err)
	}
	orderer, err := render("orderer.yaml.tmpl", ordererConfig{
		ID: "vendor-orderer", MSPID: "VendorMSP", Dir: "/net/orgs/vendor/orderer", Host: "127.0.0.1", Port: "7052",
		Admin: "127.0.0.1:7053", Ops: "127.0.0.1:7054",
	})
	if err != nil {
		t.Fatal(err)
	}
	return map[string][]byte{"core.yaml": core, "orderer.yaml": orderer}
}

func TestConfigGolden(t *testing.T) {
	for name, got := range rendered(t) {
		file := filepath.Join("testdata", "golden", name)
		if *update {
			if err := disk.Write(file, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(want) {
			t.Errorf("%s differs from %s; if that is meant: go test ./network/org -run Golden -update", name, file)
		}
	}
}

// Each of these keys does harm when it is absent or has the value of Fabric's sample file.
func TestConfigHasTheKeysThatMatter(t *testing.T) {
	files := map[string]map[string]any{}
	for name, raw := range rendered(t) {
		var parsed map[string]any
		if err := yaml.Unmarshal(raw, &parsed); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		files[name] = parsed
	}
	for _, c := range []struct {
		file, key string
		want      any
	}{
		{"core.yaml", "peer.discovery.enabled", true},
		{"core.yaml", "peer.gossip.orgLeader", true},
		{"core.yaml", "peer.gossip.useLeaderElection", false},
		{"core.yaml", "peer.gossip.state.enabled", false},
		{"core.yaml", "peer.gossip.reconnectInterval", "1s"},
		{"core.yaml", "peer.gossip.externalEndpoint", "127.0.0.1:7050"},
		{"core.yaml", "peer.deliveryclient.blockGossipEnabled", false},
		{"core.yaml", "peer.deliveryclient.reConnectBackoffThreshold", "5s"},
		{"core.yaml", "peer.limits.concurrency.gatewayService", 5000},
		{"core.yaml", "vm.endpoint", ""},
		{"core.yaml", "chaincode.startuptimeout", "15s"},
		{"core.yaml", "chaincode.system._lifecycle", "enable"},
		{"core.yaml", "chaincode.runtimeParams.useWriteBatch", true},
		{"core.yaml", "chaincode.runtimeParams.maxSizeWriteBatch", 5000},
		{"core.yaml", "chaincode.runtimeParams.useGetMultipleKeys", true},
		{"core.yaml", "ledger.state.totalQueryLimit", 100000},
		{"core.yaml", "ledger.history.enableHistoryDatabase", false},
		{"orderer.yaml", "General.BootstrapMethod", "none"},
		{"orderer.yaml", "General.Backoff.MaxDelay", "5s"},
		{"orderer.yaml", "Admin.TLS.ClientAuthRequired", true},
		{"orderer.yaml", "ChannelParticipation.Enabled", true},
	} {
		var at any = files[c.file]
		for _, part := range strings.Split(c.key, ".") {
			m, _ := at.(map[string]any)
			at = m[part]
		}
		if at != c.want {
			t.Errorf("%s: %s is %v, want %v", c.file, c.key, at, c.want)
		}
	}
}
