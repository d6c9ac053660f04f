package check

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

func environment() []string {
	return []string{
		"WAYBILL_ORGANIZATION=vendor", "WAYBILL_MSPID=VendorMSP", "WAYBILL_VERSION=1.0", "WAYBILL_FILES=/srv/waybill",
		"WAYBILL_PACKAGE_ID=" + packageID,
	}
}

func compose(env []string) (*types.Project, error) {
	options, err := cli.NewProjectOptions([]string{"../compose/compose.yaml"}, cli.WithEnv(env), cli.WithResolvedPaths(true))
	if err != nil {
		return nil, err
	}
	return options.LoadProject(context.Background())
}

// Compose's own loader takes the file, and what nobody can run without is asked for by name.
func TestCompose(t *testing.T) {
	project, err := compose(environment())
	if err != nil {
		t.Fatal(err)
	}
	if got := project.ServiceNames(); len(got) != 5 {
		t.Fatalf("services %q", got)
	}
	for name, s := range project.Services {
		if s.User != "65532:65532" || !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) || s.Privileged ||
			!slices.Contains(s.SecurityOpt, "no-new-privileges:true") {
			t.Errorf("%s may do more than it needs: user %q, read-only %v, %v, %v", name, s.User, s.ReadOnly, s.CapDrop, s.SecurityOpt)
		}
		if !strings.HasSuffix(s.Image, ":1.0") {
			t.Errorf("%s is image %s", name, s.Image)
		}
		for _, v := range s.Volumes {
			if v.Type == types.VolumeTypeBind && (!v.ReadOnly || !strings.HasPrefix(v.Source, "/srv/waybill/")) {
				t.Errorf("%s mounts %+v", name, v)
			}
		}
	}
	chaincode := project.Services["chaincode"]
	if len(chaincode.Ports) > 0 || len(chaincode.Networks) != 1 || !project.Networks["rules"].Internal {
		t.Errorf("the chaincode is reached by more than the peer: ports %v, networks %v", chaincode.Ports, chaincode.Networks)
	}
	for _, name := range environment() {
		name, _, _ = strings.Cut(name, "=")
		without := slices.DeleteFunc(environment(), func(s string) bool { return strings.HasPrefix(s, name+"=") })
		if _, err := compose(without); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("without %s: %v", name, err)
		}
	}
}

// A container finds in compose what a pod finds in the chart: a variable that one of them learns,
// the other has too.
func TestSameEnvironment(t *testing.T) {
	project, err := compose(environment())
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range containers(t, template(t, set()...)) {
		service, ok := project.Services[name]
		if !ok {
			t.Errorf("compose has no %s", name)
			continue
		}
		for _, variable := range c.Env {
			// On one host operations are on the container's loopback, without TLS.
			if strings.Contains(variable.Name, "_OPERATIONS_") {
				continue
			}
			if got := service.Environment[variable.Name]; got == nil || *got != variable.Value {
				t.Errorf("%s: %s is %q in the chart, and not in compose", name, variable.Name, variable.Value)
			}
		}
	}
}
