package cluster

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/waybill-dev/waybill/network/org"
	"github.com/waybill-dev/waybill/network/provision"
)

// folder is an organisation's, as waybill org init makes it for a cluster.
func folder(t *testing.T) *org.Folder {
	t.Helper()
	spec := org.Spec{
		Version: org.SpecVersion, Name: "vendor", MSPID: "VendorMSP", Channel: "waybill", Chaincode: "waybill",
		Announce: org.Announce{Peer: "peer.vendor.example:7051", Orderer: "orderer.vendor.example:7050", Gateway: "waybill.vendor.example:8443"},
		Listen: org.Listen{
			Peer: "0.0.0.0:7051", PeerOperations: "127.0.0.1:9443", PeerChaincode: "127.0.0.1:7052",
			Orderer: "0.0.0.0:7050", OrdererAdmin: "127.0.0.1:7053", OrdererOperations: "127.0.0.1:9444",
			Chaincode: "vendor-chaincode:7054", Gateway: "0.0.0.0:8443", GatewayMetrics: "127.0.0.1:9445", Hooks: "127.0.0.1:8444",
		},
	}
	f, err := org.Create(t.Context(), filepath.Join(t.TempDir(), "vendor"), spec, org.Options{GatewayConfig: provision.GatewayConfig})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func paths(n Node) (all []string) {
	for _, f := range n.Files {
		all = append(all, f.Path)
	}
	return all
}

// Each node is given what its configuration names, under the paths that hold in a container, and
// nobody's key but its own.
func TestNodes(t *testing.T) {
	f := folder(t)
	nodes, err := Nodes(f.Dir(), f.Spec())
	if err != nil {
		t.Fatal(err)
	}
	if len(nodes) != 4 {
		t.Fatalf("%d nodes", len(nodes))
	}
	keys := map[string][]string{
		"peer": {"peer/msp/keystore/priv_sk", "peer/tls/server.key"}, "orderer": {"orderer/msp/keystore/priv_sk", "orderer/tls/server.key"},
		"chaincode": {"chaincode/server.key"}, "gateway": {"gateway/tls.key", "people/gateway/key.pem"},
	}
	for _, n := range nodes {
		have := paths(n)
		var private []string
		for _, file := range n.Files {
			if bytes.Contains(file.Content, []byte("PRIVATE KEY")) && file.Path != "builder/connection.json" { // the peer's key to its chaincode
				private = append(private, file.Path)
			}
			if bytes.Contains(file.Content, []byte(f.Dir())) {
				t.Errorf("%s still names the folder:\n%s", file.Path, file.Content)
			}
			for line := range strings.Lines(string(file.Content)) {
				_, named, found := strings.Cut(line, home+"/")
				if end := strings.IndexAny(named, "\"'},] \n"); found && end >= 0 {
					named = named[:end]
					inside := func(p string) bool { return p == named || strings.HasPrefix(p, named+"/") }
					if !slices.ContainsFunc(have, inside) {
						t.Errorf("%s names %s/%s, which the %s is not given", file.Path, home, named, n.Name)
					}
				}
			}
		}
		if !slices.Equal(private, keys[n.Name]) {
			t.Errorf("the %s is given the keys %q, want %q", n.Name, private, keys[n.Name])
		}
	}
}

func TestSecretsAndValues(t *testing.T) {
	f := folder(t)
	nodes, err := Nodes(f.Dir(), f.Spec())
	if err != nil {
		t.Fatal(err)
	}
	raw, err := Secrets(nodes, "vendor", "waybill")
	if err != nil {
		t.Fatal(err)
	}
	var list struct {
		Items []struct {
			Metadata struct{ Name, Namespace string }
			Data     map[string][]byte
		}
	}
	if err := json.Unmarshal(raw, &list); err != nil || len(list.Items) != 4 {
		t.Fatalf("%d Secrets, %v", len(list.Items), err)
	}
	raw, err = Values(nodes, f.Spec())
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(raw, []byte("PRIVATE")) {
		t.Error("the values hold a key")
	}
	var values map[string]struct {
		Files     []struct{ Key, Path string }
		Checksum  string
		PackageID string
	}
	if err := json.Unmarshal(raw, &values); err != nil {
		t.Fatal(err)
	}
	for _, s := range list.Items {
		name := strings.TrimPrefix(s.Metadata.Name, "vendor-")
		if len(values[name].Files) != len(s.Data) || values[name].Checksum == "" || s.Metadata.Namespace != "waybill" {
			t.Errorf("%s: %d files and %d entries, checksum %q", s.Metadata.Name, len(values[name].Files), len(s.Data), values[name].Checksum)
		}
		for _, file := range values[name].Files {
			if _, ok := s.Data[file.Key]; !ok {
				t.Errorf("%s has no entry %s", s.Metadata.Name, file.Key)
			}
		}
	}
	if values["chaincode"].PackageID != f.Spec().Contract.PackageID {
		t.Errorf("package id %q", values["chaincode"].PackageID)
	}
	before := nodes[0].Checksum()
	nodes[0].Files[0].Content = append(nodes[0].Files[0].Content, '\n')
	if nodes[0].Checksum() == before {
		t.Error("a change of a file does not change the checksum")
	}
}

// Whatever a configuration names, these stay where they are.
func TestRefused(t *testing.T) {
	for add, want := range map[string]string{
		"\nx: {file: FOLDER/ca/ca.key}\n":               "stays with",
		"\nx: \"FOLDER/people/admin/key.pem\"\n":        "stays with",
		"\nx: [FOLDER/orderer/admin/client.key]\n":      "stays with",
		"\nx: FOLDER/people/release-manager/cert.pem\n": "stays with",
	} {
		f := folder(t)
		file := filepath.Join(f.Dir(), "gateway", "config.yaml")
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, append(raw, strings.ReplaceAll(add, "FOLDER", f.Dir())...), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Nodes(f.Dir(), f.Spec()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", add, err)
		}
	}
	f := folder(t)
	if err := os.WriteFile(filepath.Join(f.Dir(), "people", "gateway", "key.pem"), []byte("-----BEGIN ENCRYPTED PRIVATE KEY-----\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Nodes(f.Dir(), f.Spec()); err == nil || !strings.Contains(err.Error(), "passphrase") {
		t.Errorf("an encrypted key: %v", err)
	}
}

// Paths are replaced where they are the folder's, and nowhere else.
func TestRewrite(t *testing.T) {
	got, named := rewrite([]byte("a: /o/peer/msp\nb: {file: /o/peer/data/x}\nc: [\"/o/ca/ca.crt\", /other/o/peer]\nd: /o/builder\ne: x/o/peer/y /o/peer/database"), "/o", "peer")
	want := "a: /etc/waybill/peer/msp\nb: {file: /var/lib/waybill/x}\nc: [\"/etc/waybill/ca/ca.crt\", /other/o/peer]\nd: /usr/lib/waybill/builder\ne: x/o/peer/y /etc/waybill/peer/database"
	if string(got) != want || len(named) != 5 {
		t.Errorf("got\n%s\nnaming %q, want\n%s", got, named, want)
	}
}
