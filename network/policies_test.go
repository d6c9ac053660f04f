package network

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

type rule struct {
	Type string `yaml:"Type"`
	Rule string `yaml:"Rule"`
}

type policyGroup struct {
	Policies      map[string]rule `yaml:"Policies"`
	Organizations []struct {
		Policies map[string]rule `yaml:"Policies"`
	} `yaml:"Organizations"`
}

// below returns the principals that the organisations' own policies of a name ask for.
func (g policyGroup) below(name string) []string {
	var all []string
	for _, o := range g.Organizations {
		all = append(all, principalsOf(o.Policies[name].Rule)...)
	}
	return slices.Compact(slices.Sorted(slices.Values(all)))
}

var principal = regexp.MustCompile(`'([^']+)'`)

func principalsOf(rule string) []string {
	var all []string
	for _, m := range principal.FindAllStringSubmatch(rule, -1) {
		all = append(all, m[1])
	}
	return slices.Sorted(slices.Values(all))
}

// What names its principals is the law that the meta policy in its place would be: any of
// the organisations below, or a majority of them, whatever their number.
func TestPoliciesSayWhatTheMetaPolicyWould(t *testing.T) {
	for count := 1; count <= 8; count++ {
		t.Run(fmt.Sprint(count), func(t *testing.T) {
			topology := Topology{}
			for i := range count {
				topology.Orgs = append(topology.Orgs, Org{Name: fmt.Sprintf("org%d", i), MSPID: fmt.Sprintf("Org%dMSP", i)})
			}
			n, err := New(Options{Dir: filepath.Join(t.TempDir(), "net"), Topology: topology})
			if err != nil {
				t.Fatal(err)
			}
			raw, err := n.channelYAML()
			if err != nil {
				t.Fatal(err)
			}
			var parsed struct {
				Profiles map[string]struct {
					Policies    map[string]rule `yaml:"Policies"`
					Orderer     policyGroup     `yaml:"Orderer"`
					Application policyGroup     `yaml:"Application"`
				} `yaml:"Profiles"`
			}
			if err := yaml.Unmarshal(raw, &parsed); err != nil {
				t.Fatal(err)
			}
			p := parsed.Profiles["Waybill"]
			if len(p.Application.Organizations) != count || len(p.Orderer.Organizations) != count {
				t.Fatalf("%d and %d organisations", len(p.Application.Organizations), len(p.Orderer.Organizations))
			}
			for _, name := range []string{"Readers", "Writers"} {
				orderer, application := p.Orderer.below(name), p.Application.below(name)
				both := slices.Compact(slices.Sorted(slices.Values(slices.Concat(orderer, application))))
				for where, c := range map[string]struct {
					has  rule
					want []string
				}{
					"the channel": {p.Policies[name], both}, "orderers": {p.Orderer.Policies[name], orderer}, "application": {p.Application.Policies[name], application},
				} {
					if c.has.Type != "Signature" || !strings.HasPrefix(c.has.Rule, "OR(") || !slices.Equal(principalsOf(c.has.Rule), c.want) {
						t.Errorf("%s of %s: %v, want any of %v", name, where, c.has, c.want)
					}
				}
			}
			endorsement := p.Application.Policies["Endorsement"]
			if !strings.HasPrefix(endorsement.Rule, "OutOf("+strconv.Itoa(count/2+1)+", ") || !slices.Equal(principalsOf(endorsement.Rule), p.Application.below("Endorsement")) {
				t.Errorf("Endorsement: %v, want a majority of %v", endorsement, p.Application.below("Endorsement"))
			}
		})
	}
}
