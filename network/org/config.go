package org

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"os"
	"text/template"

	"github.com/waybill-dev/waybill/network/disk"
)

//go:embed templates
var templates embed.FS

type peerConfig struct {
	ID, MSPID, Dir, Address, Listen, ChaincodeListen, Ops, Builder string
}

type ordererConfig struct {
	ID, MSPID, Dir, Host, Port, Admin, Ops string
}

// render fills in one of the embedded templates. Paths are rendered bare, so CheckDir refuses a
// directory whose name would need quoting.
func render(name string, data any) ([]byte, error) {
	t, err := template.New(name).Option("missingkey=error").ParseFS(templates, "templates/"+name)
	if err != nil {
		return nil, fmt.Errorf("parse template %s: %w", name, err)
	}
	var out bytes.Buffer
	if err := t.Execute(&out, data); err != nil {
		return nil, fmt.Errorf("render %s: %w", name, err)
	}
	return out.Bytes(), nil
}

// makeConfig writes the nodes' configuration. It is rendered anew each time: it holds no secret
// and no state, and a newer Waybill may know better values. Only the gateway's is kept: a person
// may have changed it since.
func (f *Folder) makeConfig() error {
	s := f.spec
	core, err := render("core.yaml.tmpl", peerConfig{
		ID: s.Name + "-peer", MSPID: s.MSPID, Dir: f.at("peer"),
		Address: s.Announce.Peer, Listen: s.Listen.Peer, ChaincodeListen: s.Listen.PeerChaincode, Ops: s.Listen.PeerOperations,
		Builder: f.at("builder"),
	})
	if err != nil {
		return err
	}
	host, port, err := splitAddress(s.Listen.Orderer)
	if err != nil {
		return err
	}
	orderer, err := render("orderer.yaml.tmpl", ordererConfig{
		ID: s.Name + "-orderer", MSPID: s.MSPID, Dir: f.at("orderer"),
		Host: host, Port: port, Admin: s.Listen.OrdererAdmin, Ops: s.Listen.OrdererOperations,
	})
	if err != nil {
		return err
	}
	if err := disk.Write(f.at("peer", "core.yaml"), core, 0o644); err != nil {
		return err
	}
	if err := disk.Write(f.at("orderer", "orderer.yaml"), orderer, 0o644); err != nil {
		return err
	}
	if err := f.makeBuilder(); err != nil {
		return fmt.Errorf("chaincode builder of %s: %w", s.Name, err)
	}
	return f.makeGatewayConfig()
}

func (f *Folder) makeGatewayConfig() error {
	if f.opts.GatewayConfig == nil {
		return nil
	}
	paths := f.gatewayPaths()
	config, err := f.opts.GatewayConfig(f.Client(), paths)
	if err != nil {
		return fmt.Errorf("gateway configuration of %s: %w", f.spec.Name, err)
	}
	return disk.WriteOnce(paths.Config, config, 0o600)
}

// makeBuilder writes the three programs a peer runs to install chaincode. The address and keys of
// the organisation's own chaincode process come from a file beside them and not from the package,
// so that every organisation installs the same package and the package ids agree.
func (f *Folder) makeBuilder() error {
	pem := map[string]string{}
	for _, name := range []string{"client.crt", "client.key", "ca.crt"} {
		raw, err := os.ReadFile(f.at("chaincode", name))
		if err != nil {
			return err
		}
		pem[name] = string(raw)
	}
	connection := func(address string) ([]byte, error) {
		return json.MarshalIndent(map[string]any{
			"address":              address,
			"dial_timeout":         "5s",
			"tls_required":         true,
			"client_auth_required": true,
			"client_key":           pem["client.key"],
			"client_cert":          pem["client.crt"],
			"root_cert":            pem["ca.crt"],
		}, "", "  ")
	}
	for file, address := range f.connections() {
		raw, err := connection(address)
		if err != nil {
			return fmt.Errorf("encode %s: %w", file, err)
		}
		if err := disk.Write(f.at("builder", file), raw, 0o600); err != nil {
			return err
		}
	}
	for _, step := range []string{"detect", "build", "release"} {
		script, err := templates.ReadFile("templates/builder/" + step)
		if err != nil {
			return err
		}
		if err := disk.Write(f.at("builder", "bin", step), script, 0o755); err != nil {
			return err
		}
	}
	return nil
}

// connections says where the process of each version is: of the first, and of any that is named
// otherwise, in a file with the label of its package.
func (f *Folder) connections() map[string]string {
	files := map[string]string{"connection.json": f.spec.Listen.Chaincode}
	for _, c := range []*Contract{&f.spec.Contract, f.spec.Next} {
		if c != nil && c.Version != FirstVersion {
			files["connection-"+f.spec.Chaincode+"_"+c.Version+".json"] = f.contractAddress(*c)
		}
	}
	return files
}
