package gateway

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// valid returns a configuration that passes, with its files in a temporary folder.
func valid(t *testing.T) Config {
	t.Helper()
	dir := t.TempDir()
	file := func(name string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte("x"), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return Config{
		MSPID: "VendorMSP", DataDir: filepath.Join(dir, "data"),
		Identity:   IdentityConfig{Cert: file("cert", 0o644), Key: file("key", 0o600)},
		Peer:       PeerConfig{Address: "127.0.0.1:7051", TLSCA: file("ca", 0o644)},
		API:        APIConfig{Listen: "127.0.0.1:7056", TLSCert: file("api.crt", 0o644), TLSKey: file("api.key", 0o600)},
		Hooks:      HooksConfig{Listen: "127.0.0.1:7058"},
		Registries: []RegistryConfig{{Host: "reg.example"}},
		Connectors: []ConnectorConfig{{Name: "main", Kind: "distribution", Host: "reg.example", SecretFiles: []string{file("secret", 0o600)}}},
	}.WithDefaults()
}

func TestValidate(t *testing.T) {
	if err := valid(t).Validate(); err != nil {
		t.Fatalf("a good configuration: %v", err)
	}
	for want, spoil := range map[string]func(*Config){
		"mspid is missing":            func(c *Config) { c.MSPID = "" },
		"data_dir \"x\"":              func(c *Config) { c.DataDir = "x" },
		"identity.key":                func(c *Config) { c.Identity.Key += "-absent" },
		"chmod 600":                   func(c *Config) { c.Identity.Key = c.Identity.Cert },
		"without a scheme":            func(c *Config) { c.Peer.Address = "http://127.0.0.1:7051" },
		"must be a loopback address":  func(c *Config) { c.Hooks.Listen = "0.0.0.0:80" },
		"queue.lanes 65":              func(c *Config) { c.Queue.Lanes = 65 },
		"cannot be negative":          func(c *Config) { c.Queue.MinFreeBytes = -1 },
		"registries[0].host":          func(c *Config) { c.Registries[0].Host = "a b" },
		"listed twice":                func(c *Config) { c.Registries = append(c.Registries, c.Registries[0]) },
		"username and password_file":  func(c *Config) { c.Registries[0].Username = "u" },
		"connectors[0].kind":          func(c *Config) { c.Connectors[0].Kind = "carrier-pigeon" },
		"connectors[0].name":          func(c *Config) { c.Connectors[0].Name = "../x" },
		"is not one of registries":    func(c *Config) { c.Connectors[0].Host = "other.example" },
		"want one file, or two":       func(c *Config) { c.Connectors[0].SecretFiles = nil },
		"connectors[1].name \"main\"": func(c *Config) { c.Connectors = append(c.Connectors, c.Connectors[0]) },
	} {
		c := valid(t)
		spoil(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
	// Everything at once.
	if err := (Config{}).WithDefaults().Validate(); strings.Count(err.Error(), "\n") < 6 {
		t.Errorf("an empty configuration: %v", err)
	}
}

func TestRunRefusesAnEmptyFolder(t *testing.T) {
	c := valid(t)
	if err := os.MkdirAll(c.DataDir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Run(t.Context(), c); err == nil || !strings.Contains(err.Error(), "init") {
		t.Errorf("run in an empty folder: %v", err)
	}
	if entries, _ := os.ReadDir(c.DataDir); len(entries) != 0 {
		t.Errorf("it left %v", entries)
	}
}
