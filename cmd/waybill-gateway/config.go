package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/spf13/viper"

	"github.com/waybill-dev/waybill/gateway"
)

// loadConfig reads the YAML file and the environment into a Config. An unknown
// key is an error, in the file as in the environment's reach; relative paths
// are relative to the file.
func loadConfig(path string) (gateway.Config, error) {
	v := viper.New()
	v.SetConfigFile(path)
	v.SetConfigType("yaml")
	v.SetEnvPrefix("WAYBILL")
	v.SetEnvKeyReplacer(strings.NewReplacer(".", "_"))
	if err := bindEnvironment(v, os.Environ()); err != nil {
		return gateway.Config{}, err
	}
	if err := v.ReadInConfig(); err != nil {
		return gateway.Config{}, fmt.Errorf("configuration %s: %w", path, err)
	}
	var cfg gateway.Config
	if err := v.UnmarshalExact(&cfg); err != nil {
		return gateway.Config{}, fmt.Errorf("configuration %s: %w", path, err)
	}
	base, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return gateway.Config{}, err
	}
	absolute(base, &cfg)
	return cfg.WithDefaults(), nil
}

// bindEnvironment lets WAYBILL_<KEY> override the file. A variable that names
// no key is refused like an unknown key of the file: a typing mistake must not
// leave a default in force. The CLI's own variables are not ours to judge.
func bindEnvironment(v *viper.Viper, environment []string) error {
	known := map[string]bool{"WAYBILL_AS": true, "WAYBILL_DIR": true, "WAYBILL_GATEWAY": true, "WAYBILL_TOOLS": true, "WAYBILL_DEMO_PORT_BASE": true, "WAYBILL_LAB_KEEP": true}
	var wrong []error
	for _, key := range scalarKeys("", reflect.TypeFor[gateway.Config]()) {
		known["WAYBILL_"+strings.ToUpper(strings.ReplaceAll(key, ".", "_"))] = true
		wrong = append(wrong, v.BindEnv(key))
	}
	for _, e := range environment {
		if name, _, _ := strings.Cut(e, "="); strings.HasPrefix(name, "WAYBILL_") && !known[name] {
			wrong = append(wrong, fmt.Errorf("environment variable %s names no configuration key", name))
		}
	}
	return errors.Join(wrong...)
}

// scalarKeys lists the dotted keys that one environment variable can hold.
// Lists of structures come from the file only.
func scalarKeys(prefix string, t reflect.Type) (keys []string) {
	for i := range t.NumField() {
		name := t.Field(i).Tag.Get("mapstructure")
		if name == "" || name == "-" {
			continue
		}
		switch t.Field(i).Type.Kind() {
		case reflect.Struct:
			keys = append(keys, scalarKeys(prefix+name+".", t.Field(i).Type)...)
		case reflect.Slice:
		default:
			keys = append(keys, prefix+name)
		}
	}
	return keys
}

func absolute(base string, c *gateway.Config) {
	paths := []*string{&c.DataDir, &c.Identity.Cert, &c.Identity.Key, &c.Peer.TLSCA, &c.API.TLSCert, &c.API.TLSKey, &c.Hooks.TLSCert, &c.Hooks.TLSKey, &c.Queue.URLFile, &c.Index.URLFile}
	for i := range c.Registries {
		paths = append(paths, &c.Registries[i].PasswordFile, &c.Registries[i].CAFile)
	}
	for i := range c.Connectors {
		paths = append(paths, &c.Connectors[i].OIDC.KeysFile)
		for j := range c.Connectors[i].SecretFiles {
			paths = append(paths, &c.Connectors[i].SecretFiles[j])
		}
	}
	for _, p := range paths {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(base, *p)
		}
	}
}
