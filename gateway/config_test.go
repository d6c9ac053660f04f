package gateway

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/waybill-dev/waybill/gateway/intake"
	"github.com/waybill-dev/waybill/gateway/queue"
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
		"witness[0]":                  func(c *Config) { c.Witness = []string{"partner.example/team"} },
		"witness[1]":                  func(c *Config) { c.Witness = []string{"*.example", "[a"} },
		"queue.url_file":              func(c *Config) { c.Queue.URLFile = c.Identity.Cert }, // readable by others
		"index.url_file":              func(c *Config) { c.Index.URLFile = c.Identity.Cert },
		"registries[0].pulls":         func(c *Config) { c.Registries[0].Pulls = "secret" },
		"keep_clients cannot":         func(c *Config) { c.Registries[0].KeepClients = -1 },
		"registries[0].ca_file":       func(c *Config) { c.Registries[0].CAFile = "absent" },
		"token_host or blob_hosts":    func(c *Config) { c.Registries[0].BlobHosts = []string{"https://cdn.example"} },
		"oidc.keys_file":              func(c *Config) { c.Connectors[0].OIDC.KeysFile = "absent" },
		"a name stands twice":         func(c *Config) { c.Connectors[0].Prefixes = []NamedValue{{"a", "b"}, {"a", "c"}} },
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

// A connector's kind may want settings that only intake can judge: they reach it.
func TestConnectorsReachIntake(t *testing.T) {
	c := valid(t)
	secret := c.Connectors[0].SecretFiles[0]
	if err := os.WriteFile(secret, []byte("0123456789abcdef0123456789abcdef\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	keys := filepath.Join(t.TempDir(), "keys.json")
	if err := os.WriteFile(keys, []byte(`{"keys":[]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	c.Connectors = append(c.Connectors,
		ConnectorConfig{Name: "nexus", Kind: "nexus", Host: "reg.example", SecretFiles: []string{secret}, Prefixes: []NamedValue{{"Docker-Hosted", "team"}}, OwnActor: "waybill"},
		ConnectorConfig{Name: "gar", Kind: "gar", Host: "reg.example", Origins: []string{"projects/p/subscriptions/s"}, OIDC: OIDCConfig{
			Issuers: []string{"https://accounts.example"}, Audience: "waybill", Claims: []NamedValue{{"email", "push@example"}}, KeysFile: keys,
		}})
	c.Registries[0].Pulls = "channel"
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	connectors, err := readConnectors(c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := intake.New(intake.Config{Connectors: connectors[:2], Sink: (*queue.Queue)(nil)}); err != nil {
		t.Errorf("intake refuses: %v", err)
	}
	if connectors[0].Pulls != "channel" || connectors[2].Pulls != "channel" {
		t.Errorf("pulls: %q, %q", connectors[0].Pulls, connectors[2].Pulls)
	}
	nexus, gar := connectors[1], connectors[2]
	if nexus.Prefixes["Docker-Hosted"] != "team" || nexus.OwnActor != "waybill" || string(nexus.Secrets[0]) != "0123456789abcdef0123456789abcdef" {
		t.Errorf("nexus: %+v", nexus)
	}
	if b, err := gar.OIDC.Keys(); err != nil || string(b) != `{"keys":[]}` || gar.OIDC.Claims["email"] != "push@example" || gar.OIDC.Audience != "waybill" || len(gar.Origins) != 1 {
		t.Errorf("gar: %+v, %v", gar, err)
	}
	// The other kinds must not look as if they presented tokens.
	if connectors[0].OIDC.Keys != nil || len(connectors[0].OIDC.Claims) != 0 {
		t.Errorf("distribution: %+v", connectors[0].OIDC)
	}
}

func TestPlaces(t *testing.T) {
	c := valid(t)
	if where, err := queuePlace(c); err != nil || where != filepath.Join(c.DataDir, queueFile) {
		t.Errorf("%s, %v", where, err)
	}
	if where, err := indexPlace(c); err != nil || where != filepath.Join(c.DataDir, indexFile) {
		t.Errorf("%s, %v", where, err)
	}
	c.Queue.URLFile = c.Identity.Key
	if _, err := queuePlace(c); err == nil {
		t.Error("a file that holds no URL was taken")
	}
	if err := os.WriteFile(c.Queue.URLFile, []byte("postgres://waybill@db.example/waybill\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if where, err := queuePlace(c); err != nil || where != "postgres://waybill@db.example/waybill" {
		t.Errorf("%s, %v", where, err)
	}
	if where, err := indexPlace(c); err != nil || where != filepath.Join(c.DataDir, indexFile) {
		t.Errorf("the queue's database is the index's only when it says so: %s, %v", where, err)
	}
	c.Index.URLFile = c.Queue.URLFile
	if where, err := indexPlace(c); err != nil || where != "postgres://waybill@db.example/waybill" {
		t.Errorf("%s, %v", where, err)
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
