package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "gateway.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLoadConfig(t *testing.T) {
	path := write(t, "mspid: VendorMSP\ndata_dir: data\napi: {listen: '127.0.0.1:1', anonymous_reads: false}\nregistries:\n  - {host: reg.example, timeout: 5s, read_back: false}\n")
	t.Setenv("WAYBILL_API_ANONYMOUS_READS", "true")
	t.Setenv("WAYBILL_QUEUE_LANES", "3")
	t.Setenv("WAYBILL_AUTO_RELEASE", "false")
	c, err := loadConfig(path)
	if err != nil {
		t.Fatal(err)
	}
	if !c.API.AnonymousReads || c.Queue.Lanes != 3 || c.API.Listen != "127.0.0.1:1" || c.Channel != "waybill" {
		t.Errorf("%+v", c)
	}
	if c.DataDir != filepath.Join(filepath.Dir(path), "data") {
		t.Errorf("data_dir %s is not beside the file", c.DataDir)
	}
	if c.AutoRelease == nil || *c.AutoRelease || c.Collect != nil {
		t.Errorf("auto_release %v, collect %v", c.AutoRelease, c.Collect)
	}
	if r := c.Registries[0]; r.Timeout.Seconds() != 5 || r.ReadBack == nil || *r.ReadBack {
		t.Errorf("%+v", r)
	}
}

// Names of an operator's choice keep their case, and dots are no nesting.
func TestLoadConfigNames(t *testing.T) {
	c, err := loadConfig(write(t, "mspid: VendorMSP\nwitness: ['*.example']\nregistries: [{host: r.example, blob_hosts: [cdn.example], ca_file: ca.pem}]\n"+
		"connectors:\n  - {name: a, kind: artifactory, prefixes: [{name: Docker.Local, value: team}], oidc: {keys_file: keys.json, claims: [{name: email, value: A@b}]}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	k := c.Connectors[0]
	if len(k.Prefixes) != 1 || k.Prefixes[0].Name != "Docker.Local" || k.OIDC.Claims[0].Value != "A@b" || !filepath.IsAbs(k.OIDC.KeysFile) || !filepath.IsAbs(c.Registries[0].CAFile) || c.Witness[0] != "*.example" {
		t.Errorf("%+v", c)
	}
}

func TestLoadConfigRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"unknown key":       "mspid: A\nmsp_id: B\n",
		"nested unknown":    "api: {listen: a, tls: true}\n",
		"unknown in a list": "registries: [{host: a, unsecure: true}]\n",
		"duplicate key":     "mspid: A\nmspid: B\n",
		"wrong type":        "queue: {lanes: many}\n",
		"not YAML":          "mspid: [\n",
	} {
		if c, err := loadConfig(write(t, text)); err == nil {
			t.Errorf("%s: accepted as %+v", name, c)
		}
	}
	t.Setenv("WAYBILL_API_LISTN", "127.0.0.1:1")
	if _, err := loadConfig(write(t, "mspid: A\n")); err == nil || !strings.Contains(err.Error(), "WAYBILL_API_LISTN") {
		t.Errorf("a mistyped variable: %v", err)
	}
}
