package provision

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/ledger"
	"github.com/waybill-dev/waybill/network"
)

// journal is a ledger that remembers who asked for what.
type journal struct {
	mu    sync.Mutex
	lines []string
	fail  string
	late  []error // returned first, one by one: peers that are behind
}

type door struct {
	*journal
	org string
}

func (d door) Submit(_ context.Context, fn string, args ...string) (ledger.Result, error) {
	line := d.org + " " + fn + " " + strings.Join(args, " ")
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, line)
	if len(d.late) > 0 {
		err := d.late[0]
		d.late = d.late[1:]
		return ledger.Result{}, err
	}
	if line == d.fail {
		return ledger.Result{}, errors.New("refused")
	}
	return ledger.Result{}, nil
}

func (d door) Close() error { return nil }

func clients() network.Clients {
	people := map[string]network.Identity{}
	for _, name := range network.People() {
		people[name] = network.Identity{Cert: "/n/" + name + ".crt", Key: "/n/" + name + ".key"}
	}
	return network.Clients{Channel: "waybill", Chaincode: "waybill", Orgs: []network.Client{
		{Org: "vendor", MSPID: "VendorMSP", PeerAddress: "127.0.0.1:1", PeerTLSCA: "/n/ca.crt", GatewayAddress: "127.0.0.1:2", People: people},
		{Org: "audit", MSPID: "AuditMSP", People: people},
	}}
}

func TestMembersJoinBeforeAnyGrant(t *testing.T) {
	var j journal
	dial := func(c network.Client) (Acts, error) { return door{&j, c.Org}, nil }
	if err := members(t.Context(), clients(), dial); err != nil {
		t.Fatal(err)
	}
	want := []string{`vendor member:Found ["VendorMSP","AuditMSP"]`, "vendor member:Join Vendor", "audit member:Join Audit"}
	if diff := cmp.Diff(want, j.lines[:3]); diff != "" {
		t.Errorf("joins (-want +got):\n%s", diff)
	}
	grants := slices.Sorted(slices.Values(j.lines[3:]))
	want = nil
	for _, org := range []string{"audit", "vendor"} {
		for _, role := range []string{"auditor", "gateway", "publisher", "release-manager", "scanner"} {
			want = append(want, org+" member:Grant "+role+" "+role)
		}
	}
	if diff := cmp.Diff(want, grants); diff != "" {
		t.Errorf("grants (-want +got):\n%s", diff)
	}
}

func TestMembersNameWhatFailed(t *testing.T) {
	for fail, want := range map[string]string{
		`vendor member:Found ["VendorMSP","AuditMSP"]`: "found the consortium as vendor: refused",
		"audit member:Join Audit":                      "join audit: refused",
		"vendor member:Grant scanner scanner":          "grant scanner to scanner of vendor: refused",
	} {
		j := journal{fail: fail}
		err := members(t.Context(), clients(), func(c network.Client) (Acts, error) { return door{&j, c.Org}, nil })
		if err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %q", fail, err, want)
		}
	}
}

func TestMembersWaitForPeersThatAreBehind(t *testing.T) {
	j := journal{late: []error{
		provenance.Errorf(provenance.Unavailable, "ProposalResponsePayloads do not match"),
		provenance.ErrorIn(provenance.Membership, provenance.Forbidden, "VendorMSP is not invited yet: a founder names it"),
		provenance.ErrorIn(provenance.Membership, provenance.Forbidden, "VendorMSP is not a member yet; its admin joins it with member:Join"),
	}}
	if err := members(t.Context(), clients(), func(c network.Client) (Acts, error) { return door{&j, c.Org}, nil }); err != nil {
		t.Fatal(err)
	}
	refused := provenance.Errorf(provenance.Forbidden, "auditor@VendorMSP needs one of the roles [admin]")
	j = journal{late: []error{refused}}
	err := members(t.Context(), clients(), func(c network.Client) (Acts, error) { return door{&j, c.Org}, nil })
	if !errors.Is(err, refused) || len(j.lines) != 1 {
		t.Errorf("got %v after %d tries; a refusal is final", err, len(j.lines))
	}
}

func TestGatewayConfigIsStrictYAML(t *testing.T) {
	paths := network.GatewayPaths{
		Dir: "/n/it's \"here\"", Config: "/n/config.yaml", TLSCert: "/n/tls.crt", TLSKey: "/n/tls.key",
		Channel: "waybill", Chaincode: "waybill", APIAddress: "127.0.0.1:2", MetricsAddress: "127.0.0.1:3", IntakeAddress: "127.0.0.1:4",
	}
	b, err := GatewayConfig(clients().Orgs[0], paths)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := yaml.UnmarshalStrict(b, &got); err != nil {
		t.Fatalf("%v\n%s", err, b)
	}
	want := map[string]any{
		"org": "vendor", "mspid": "VendorMSP", "data_dir": "/n/it's \"here\"/data",
		"identity": map[string]any{"cert": "/n/gateway.crt", "key": "/n/gateway.key"},
		"peer":     map[string]any{"address": "127.0.0.1:1", "tls_ca": "/n/ca.crt"},
		"channel":  "waybill", "chaincode": "waybill",
		"api":        map[string]any{"listen": "127.0.0.1:2", "tls_cert": "/n/tls.crt", "tls_key": "/n/tls.key", "anonymous_reads": false},
		"hooks":      map[string]any{"listen": "127.0.0.1:4"},
		"metrics":    map[string]any{"listen": "127.0.0.1:3"},
		"connectors": []any{}, "registries": []any{},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("configuration (-want +got):\n%s", diff)
	}
	// What stands in comments is YAML too, once it is taken out of them.
	comment := regexp.MustCompile(`(?m)^( *)# (( *)(- )?[a-z_]+:( .*)?)$`)
	all := comment.ReplaceAll(regexp.MustCompile(`(?m)^(connectors|registries): \[\]$`).ReplaceAll(b, nil), []byte("$1$2"))
	got = nil
	if err := yaml.UnmarshalStrict(all, &got); err != nil {
		t.Fatalf("%v\n%s", err, all)
	}
	if s, ok := got["sweep"].(map[string]any); !ok || s["grace"] != "2m" || len(got["connectors"].([]any)) != 1 || got["hooks"].(map[string]any)["max_body"] == nil {
		t.Errorf("%v", got)
	}
}
