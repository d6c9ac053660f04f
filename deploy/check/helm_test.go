package check

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	helm "helm.sh/helm/v4/pkg/cmd"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
)

const (
	chart     = "../chart/waybill"
	namespace = "vendor"
	// What Helm renders for where it has no server to ask: the version of network/tools.
	kubernetes = "1.34.0"
	packageID  = "waybill_1:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
)

// set are the values that no default can be given for.
func set(more ...string) []string {
	args := []string{"--set", "organization.name=vendor,organization.mspid=VendorMSP,chaincode.packageID=" + packageID}
	for _, m := range more {
		args = append(args, "--set", m)
	}
	return args
}

// variants are releases that differ in what they have.
func variants() map[string][]string {
	return map[string][]string{
		"defaults": set(),
		"replicas": set("gateway.replicas=3,gateway.postgresql.secret=postgresql,gateway.init=false,chaincode.replicas=2",
			"gateway.secrets[0].name=hooks,gateway.secrets[0].mountPath=/etc/waybill-hooks"),
		"upgrade":   set("chaincode.next.packageID=" + packageID + ",chaincode.next.tag=2.0"),
		"bare":      set("orderer.enabled=false,networkPolicy.enabled=false,podDisruptionBudget.enabled=false"),
		"monitored": set("serviceMonitor.enabled=true,serviceMonitor.clientSecret=metrics,serviceMonitor.labels.release=prometheus"),
		"closed":    set("networkPolicy.monitoring=null"),
		"narrow": set("networkPolicy.members[0].ipBlock.cidr=203.0.113.0/24,networkPolicy.egress[0].ipBlock.cidr=192.0.2.0/24,networkPolicy.hooks.from[0].ipBlock.cidr=198.51.100.0/24",
			"networkPolicy.admin[0].podSelector.matchLabels.role=admin,peer.service.type=LoadBalancer,peer.service.annotations.a=b",
			"peer.nodeSelector.disk=ssd,peer.storage.class=fast,image.pullSecrets[0]=registry,peer.checksum=abc"),
	}
}

// run runs Helm's own command. It is another process, this test's program, because Helm keeps
// its flags in globals.
func run(t *testing.T, args ...string) (string, error) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	cmd := exec.CommandContext(t.Context(), self, args...)
	cmd.Env = append(os.Environ(), "WAYBILL_CHECK_HELM=1", "HOME="+home,
		"HELM_CACHE_HOME="+home, "HELM_CONFIG_HOME="+home, "HELM_DATA_HOME="+home)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func TestMain(m *testing.M) {
	if os.Getenv("WAYBILL_CHECK_HELM") == "" {
		os.Exit(m.Run())
	}
	command, err := helm.NewRootCmd(os.Stdout, os.Args[1:], func(bool) {})
	if err == nil {
		err = command.ExecuteContext(context.Background())
	}
	if err != nil {
		os.Stderr.WriteString(err.Error() + "\n")
		os.Exit(1)
	}
}

// rendered are the charts that were rendered, by their arguments. A rendering is a process of its own, and always the same.
var rendered sync.Map

func template(t *testing.T, args ...string) string {
	t.Helper()
	key := strings.Join(args, "\x00")
	if have, ok := rendered.Load(key); ok {
		return have.(string)
	}
	out := render(t, args...)
	rendered.Store(key, out)
	return out
}

func render(t *testing.T, args ...string) string {
	t.Helper()
	out, err := run(t, append([]string{"template", "vendor", chart, "--namespace", namespace, "--kube-version", kubernetes}, args...)...)
	if err != nil {
		t.Fatalf("helm template %q: %v\n%s", args, err, out)
	}
	return out
}

// objects splits what Helm rendered.
func objects(t *testing.T, manifests string) []*unstructured.Unstructured {
	t.Helper()
	var all []*unstructured.Unstructured
	d := yaml.NewYAMLOrJSONDecoder(strings.NewReader(manifests), 4096)
	for {
		o := &unstructured.Unstructured{}
		if err := d.Decode(&o.Object); err == io.EOF {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		if len(o.Object) > 0 {
			all = append(all, o)
		}
	}
}

func TestLint(t *testing.T) {
	for name, args := range variants() {
		out, err := run(t, append([]string{"lint", chart, "--strict", "--namespace", namespace}, args...)...)
		if err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

// What nobody can mean is refused before it reaches a cluster, by name.
func TestRefused(t *testing.T) {
	for values, want := range map[string]string{
		"gateway.replicas=2":                             "gateway.postgresql.secret",
		"chaincode.packageID=":                           "chaincode.packageID is not set",
		"chaincode.packageID=waybill":                    "packageID",
		"serviceMonitor.enabled=true":                    "serviceMonitor.clientSecret is not set",
		"peer.port=443":                                  "port",
		"peer.prot=7051":                                 "prot",
		"orderer.digest=sha256:12":                       "digest",
		"organization.name=Vendor Inc":                   "organization",
		"orderer.storage.accessMode=ReadWriteMany":       "accessMode",
		"peer.updateStrategy=Recreate":                   "updateStrategy",
		"peer.files[0].path=../../tmp/x":                 "path",
		"peer.files=null":                                "files",
		"gateway.secrets[0].mountPath=/etc/waybill/peer": "secrets",
		"chaincode.next.packageID=" + packageID:          "name its tag or digest",
		"image.registry=":                                "registry",
	} {
		out, err := run(t, append([]string{"template", "vendor", chart, "--kube-version", kubernetes}, set(values)...)...)
		if err == nil || !strings.Contains(out, want) {
			t.Errorf("%s: %v; want an error with %q:\n%.400s", values, err, want, out)
		}
	}
}

// The names of a Secret's keys in the values are those that the folder's files have.
func TestNothingSecretIsRendered(t *testing.T) {
	for name, args := range variants() {
		for _, o := range objects(t, template(t, args...)) {
			if o.GetKind() == "Secret" || o.GetKind() == "ConfigMap" {
				t.Errorf("%s: the chart makes a %s: what it makes lies in the release, and changes with each rendering", name, o.GetKind())
			}
			if o.GetNamespace() != namespace {
				t.Errorf("%s: %s %s is in %q", name, o.GetKind(), o.GetName(), o.GetNamespace())
			}
		}
	}
}

// Nobody reaches a node, and no node reaches anybody, whom no value names.
func TestNetworkPoliciesDeny(t *testing.T) {
	rules := func(name, part, direction, side string) (all []any) {
		for _, o := range objects(t, template(t, variants()[name]...)) {
			if o.GetKind() != "NetworkPolicy" || o.GetLabels()["app.kubernetes.io/component"] != part {
				continue
			}
			list, _, err := unstructured.NestedSlice(o.Object, "spec", direction)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range list {
				rule := r.(map[string]any)
				peers, _ := rule[side].([]any)
				ports, _ := rule["ports"].([]any)
				if dns := len(ports) == 2 && direction == "egress" && len(peers) == 0; dns {
					continue
				}
				if len(peers) == 0 || direction == "ingress" && len(ports) == 0 {
					t.Errorf("%s: %s of the %s is open: %v", name, direction, part, rule)
				}
				for _, p := range peers {
					if len(p.(map[string]any)) == 0 {
						t.Errorf("%s: %s of the %s is of anybody: %v", name, direction, part, rule)
					}
				}
				all = append(all, peers...)
			}
		}
		return all
	}
	count := func(list []any, what string) (n int) {
		for _, p := range list {
			if text, err := json.Marshal(p); err != nil || strings.Contains(string(text), what) {
				n++
			}
		}
		return n
	}
	for _, part := range []string{"peer", "orderer", "chaincode", "gateway"} {
		for _, name := range []string{"defaults", "closed", "narrow"} {
			in, out := rules(name, part, "ingress", "from"), rules(name, part, "egress", "to")
			if own := count(in, "ipBlock") + count(out, "ipBlock"); name != "narrow" && own > 0 {
				t.Errorf("%s: the %s has addresses by itself: %v %v", name, part, in, out)
			}
			want := 0
			if name == "narrow" && (part == "peer" || part == "orderer") {
				want = 1
			}
			if count(in, "203.0.113.0/24") != want || count(out, "203.0.113.0/24") != want {
				t.Errorf("%s: the others and the %s: %v %v", name, part, in, out)
			}
			if registry := count(out, "192.0.2.0/24"); (registry == 1) != (name == "narrow" && part == "gateway") {
				t.Errorf("%s: the %s reaches registries: %v", name, part, out)
			}
		}
	}
	// What the nodes of one release need of each other.
	for part, asks := range map[string][]string{"peer": {"orderer", "chaincode"}, "gateway": {"peer"}} {
		for _, asked := range asks {
			if count(rules("defaults", part, "egress", "to"), `"`+asked+`"`) != 1 || count(rules("defaults", asked, "ingress", "from"), `"`+part+`"`) != 1 {
				t.Errorf("the %s does not reach the %s", part, asked)
			}
		}
	}
}

// Rendered twice, it is the same.
func TestRendersTheSame(t *testing.T) {
	if first, second := render(t, set()...), render(t, set()...); !bytes.Equal([]byte(first), []byte(second)) {
		t.Error("two renderings differ")
	}
	if _, err := os.Stat(filepath.Join(chart, "Chart.yaml")); err != nil {
		t.Fatal(err)
	}
}
