package intake

import (
	"strings"
	"testing"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

func TestNewRefuses(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"no sink":         func(c *Config) { c.Sink = nil },
		"name":            func(c *Config) { c.Connectors[0].Name = "Main/../x" },
		"no name":         func(c *Config) { c.Connectors[0].Name = "" },
		"kind":            func(c *Config) { c.Connectors[0].Kind = "harbour" },
		"host":            func(c *Config) { c.Connectors[0].Host = "https://reg.example" },
		"host case":       func(c *Config) { c.Connectors[0].Host = "Reg.Example" },
		"no secret":       func(c *Config) { c.Connectors[0].Secrets = nil },
		"short secret":    func(c *Config) { c.Connectors[0].Secrets = [][]byte{[]byte("short")} },
		"secret newline":  func(c *Config) { c.Connectors[0].Secrets = [][]byte{[]byte(secretA + "\n")} },
		"three secrets":   func(c *Config) { c.Connectors[0].Secrets = make([][]byte, 3) },
		"pattern":         func(c *Config) { c.Connectors[0].Repositories = []string{"team-a/**/x"} },
		"twice":           func(c *Config) { c.Connectors = append(c.Connectors, connector()) },
		"negative limit":  func(c *Config) { c.MaxBody = -1 },
		"negative number": func(c *Config) { c.Concurrency = -1 },
	} {
		c := Config{Connectors: []Connector{connector()}, Sink: newSink()}
		change(&c)
		if _, err := New(c); provenance.CodeOf(err) != provenance.Invalid || strings.Contains(err.Error(), secretA) {
			t.Errorf("%s: %v, want Invalid", name, err)
		}
	}
	// Everything wrong at once.
	_, err := New(Config{Connectors: []Connector{{Name: "a", Kind: "x"}, {Name: "B", Kind: KindDistribution}}})
	for _, want := range []string{"no sink", `"a": kind`, `"B": the name`, "0 secrets"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}
