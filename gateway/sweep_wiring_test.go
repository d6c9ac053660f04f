package gateway

import (
	"strings"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/gateway/sweep"
)

func TestWatchedBy(t *testing.T) {
	limited := ConnectorConfig{Host: "reg.example", Repositories: []string{"c/*"}}
	for _, c := range []struct {
		connectors []ConnectorConfig
		a, cd      bool
	}{
		{nil, true, true},
		{[]ConnectorConfig{limited, {Host: "other.example"}}, false, true},
		{[]ConnectorConfig{limited, {Host: "reg.example"}}, true, true},
	} {
		watched := watchedBy("reg.example", c.connectors)
		if watched("a") != c.a || watched("c/d") != c.cd {
			t.Errorf("%+v: a %t, c/d %t", c.connectors, watched("a"), watched("c/d"))
		}
	}
}

func TestSweepSettings(t *testing.T) {
	for want, spoil := range map[string]func(*Config){
		"sweep.every":                func(c *Config) { c.Sweep.Every = time.Second },
		"sweep.rate":                 func(c *Config) { c.Sweep.Rate = -1 },
		"sweep.grace":                func(c *Config) { c.Sweep.Grace = time.Millisecond },
		"registries[0].repositories": func(c *Config) { c.Registries[0].Repositories = []string{"a b"} },
	} {
		c := valid(t)
		if c.Sweep != (sweep.Config{Every: 24 * time.Hour, Rate: 20, Grace: 2 * time.Minute}) {
			t.Fatalf("by default %+v", c.Sweep)
		}
		spoil(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}
