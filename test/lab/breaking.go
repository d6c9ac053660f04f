package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// KillRegistry ends the registry with SIGKILL: the notifications that it has
// not delivered yet are in its memory, and gone.
func (l *Lab) KillRegistry() error { return l.end("registry", syscall.SIGKILL) }

// SendHookTo makes the registry notify another address than the gateway's own,
// from its next start on.
func (l *Lab) SendHookTo(url string) error {
	path := filepath.Join(l.Dir, "registry.yml")
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if !bytes.Contains(b, []byte(l.HookURL())) {
		return fmt.Errorf("%s does not name %s", path, l.HookURL())
	}
	return os.WriteFile(path, bytes.Replace(b, []byte(l.HookURL()), []byte(url), 1), 0o600)
}

// ReplaceChaincode has an organisation's peer run another contract from now on: the
// program at a path, which answers in the place of Waybill's.
func (l *Lab) ReplaceChaincode(ctx context.Context, org, program string) error {
	own := filepath.Join(l.Bin, "waybill-chaincode")
	honest := own + ".honest"
	if err := errors.Join(os.Rename(own, honest), os.Rename(program, own)); err != nil {
		return err
	}
	node := org + "-chaincode"
	err := l.Net.Kill(ctx, node, syscall.SIGKILL)
	if err == nil {
		err = l.Net.StartNode(ctx, node)
	}
	// The others' chaincode is started from the same place.
	return errors.Join(err, os.Rename(own, program), os.Rename(honest, own))
}

// SpawnGateway runs an organisation's gateway and waits for nothing: its peer
// may be down.
func (l *Lab) SpawnGateway(org string) error {
	return l.run("gateway-"+org, filepath.Join(l.Bin, "waybill-gateway"), "run", "--config", l.GatewayConfig(org))
}

// Gateway runs a command of waybill-gateway with an organisation's
// configuration and more environment ("WAYBILL_KEY=value"), and returns what it
// printed and its exit status.
func (l *Lab) Gateway(ctx context.Context, org string, env []string, args ...string) (string, int) {
	program := filepath.Join(l.Bin, "waybill-gateway")
	return l.exec(ctx, "env", append(append(env, program), append(args, "--config", l.GatewayConfig(org))...)...)
}

// GatewayConfig is the path of an organisation's gateway configuration.
func (l *Lab) GatewayConfig(org string) string { return l.gatewayConfig(org) }

// GatewayData is the folder of an organisation's queue and index.
func (l *Lab) GatewayData(org string) string {
	return filepath.Join(filepath.Dir(l.gatewayConfig(org)), "data")
}

// GatewayRuns tells whether a gateway that was started is still there. One
// that ended by itself is a zombie until it is waited for.
func (l *Lab) GatewayRuns(org string) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", l.GatewayPID(org)))
	if err != nil {
		return false
	}
	_, after, _ := strings.Cut(string(b), ") ") // proc(5): the state follows the name
	return !strings.HasPrefix(after, "Z")
}
