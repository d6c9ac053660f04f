package check

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/yannh/kubeconform/pkg/validator"
	"sigs.k8s.io/yaml"
)

// The OpenAPI document of the pinned Kubernetes says which fields there are, and nothing else may
// be written.
func TestSchemas(t *testing.T) {
	v := conform(t, schemas(t))
	for name, args := range variants() {
		checked := 0
		for _, r := range v.Validate(name, reader(template(t, args...))) {
			sig, err := r.Resource.Signature()
			switch {
			case err != nil:
				t.Errorf("%s: %v", name, err)
			case sig.Kind == "ServiceMonitor": // not Kubernetes': below
			case r.Status == validator.Valid:
				checked++
			case r.Status != validator.Empty:
				t.Errorf("%s: %s %s: %v", name, sig.Kind, sig.Name, r.Err)
			}
		}
		if checked < 5 {
			t.Errorf("%s: only %d objects were compared with their schemas", name, checked)
		}
	}
	wrong := strings.Replace(template(t, set()...), "terminationGracePeriodSeconds", "terminationGracePeriod", 1)
	invalid := 0
	for _, r := range v.Validate("wrong", reader(wrong)) {
		if r.Status == validator.Invalid {
			invalid++
		}
	}
	if invalid != 1 {
		t.Errorf("of a misspelt field %d objects are invalid, want 1", invalid)
	}
}

func reader(text string) io.ReadCloser { return io.NopCloser(strings.NewReader(text)) }

func conform(t *testing.T, dir string) validator.Validator {
	t.Helper()
	v, err := validator.New([]string{dir + "/{{ .ResourceKind }}{{ .KindSuffix }}.json"},
		validator.Opts{Strict: true, SkipKinds: map[string]struct{}{"ServiceMonitor": {}}})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// schemas makes a folder of JSON schemas, one for each kind, of Kubernetes' OpenAPI document.
func schemas(t *testing.T) string {
	t.Helper()
	list := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "k8s.io/kubernetes")
	list.Dir, list.Env = filepath.Join("..", "..", "network", "tools", "kubernetes"), append(os.Environ(), "GOFLAGS=-mod=readonly", "GOWORK=off")
	module, err := list.Output()
	if err != nil {
		t.Fatalf("where Kubernetes' sources are: %v", err)
	}
	raw, err := os.ReadFile(filepath.Join(string(bytes.TrimSpace(module)), "api", "openapi-spec", "swagger.json"))
	if err != nil {
		t.Fatal(err)
	}
	var document struct {
		Definitions map[string]map[string]any `json:"definitions"`
	}
	if err := json.Unmarshal(raw, &document); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, d := range document.Definitions {
		tighten(d)
		kinds, _ := d["x-kubernetes-group-version-kind"].([]any)
		if len(kinds) != 1 {
			continue
		}
		k := kinds[0].(map[string]any)
		group, _, _ := strings.Cut(k["group"].(string), ".")
		file := strings.ToLower(k["kind"].(string))
		if group != "" {
			file += "-" + group
		}
		store(t, filepath.Join(dir, file+"-"+k["version"].(string)+".json"), map[string]any{"$ref": "definitions.json#/definitions/" + name})
	}
	store(t, filepath.Join(dir, "definitions.json"), map[string]any{"definitions": document.Definitions})
	return dir
}

// tighten makes a definition of OpenAPI 2 a strict JSON schema.
func tighten(d map[string]any) {
	if d["format"] == "int-or-string" {
		d["type"] = []any{"string", "integer"}
	}
	delete(d, "format") // of bytes and dates, in words that others read otherwise
	properties, _ := d["properties"].(map[string]any)
	if properties != nil && d["additionalProperties"] == nil {
		d["additionalProperties"] = false
	}
	for _, p := range properties {
		tighten(p.(map[string]any))
	}
	for _, key := range []string{"items", "additionalProperties"} {
		if below, ok := d[key].(map[string]any); ok {
			tighten(below)
		}
	}
}

func store(t *testing.T, file string, content any) {
	t.Helper()
	raw, err := json.Marshal(content)
	if err == nil {
		err = os.WriteFile(file, raw, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// A ServiceMonitor is what the operator's own types say.
func TestServiceMonitors(t *testing.T) {
	found := 0
	for _, o := range objects(t, template(t, variants()["monitored"]...)) {
		if o.GetKind() != "ServiceMonitor" {
			continue
		}
		found++
		raw, err := o.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		var m monitoring.ServiceMonitor
		if err := yaml.UnmarshalStrict(raw, &m); err != nil {
			t.Errorf("%s: %v", o.GetName(), err)
		}
		if len(m.Spec.Endpoints) != 1 || m.Spec.Endpoints[0].Port == "" {
			t.Errorf("%s watches %+v", o.GetName(), m.Spec.Endpoints)
		}
	}
	if found != 3 {
		t.Errorf("%d ServiceMonitors, want those of peer, orderer and gateway", found)
	}
}
