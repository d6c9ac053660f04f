package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/waybill-dev/waybill/network"
)

// StartRegistry starts the registry and waits until it answers.
func (l *Lab) StartRegistry(ctx context.Context) error { return l.startRegistry(ctx) }

func (l *Lab) startRegistry(ctx context.Context, env ...string) error {
	if err := l.runIn(env, "registry", l.programs.Registry, "serve", filepath.Join(l.Dir, "registry.yml")); err != nil {
		return err
	}
	return Poll(ctx, 15*time.Second, func() error { return dial(l.Registry) })
}

// StartGateway creates an organisation's databases where they are missing,
// runs its gateway and waits until it is ready.
func (l *Lab) StartGateway(ctx context.Context, org string) error {
	gateway, config := filepath.Join(l.Bin, "waybill-gateway"), l.gatewayConfig(org)
	if _, err := os.Stat(filepath.Join(filepath.Dir(config), "data", "queue.db")); errors.Is(err, fs.ErrNotExist) {
		if out, err := exec.CommandContext(ctx, gateway, "init", "--config", config).CombinedOutput(); err != nil {
			return fmt.Errorf("gateway init: %w: %s", err, out)
		}
	}
	if err := l.run("gateway-"+org, gateway, "run", "--config", config); err != nil {
		return err
	}
	o, err := l.Clients.Org(org)
	if err != nil {
		return err
	}
	return Poll(ctx, 60*time.Second, func() error {
		// By its address: another organisation's would answer instead.
		if out, code := l.Waybill(ctx, "status", "--gateway", o.GatewayAddress, "--as", org+"/auditor"); code != 0 {
			return fmt.Errorf("gateway of %s: exit %d: %s", org, code, out)
		}
		return nil
	})
}

// Listens tells whether an organisation's gateway takes questions.
func (l *Lab) Listens(org string) bool { return dial(local(l.ports[org].GatewayAPI)) == nil }

// KillGateway ends a gateway with SIGKILL.
func (l *Lab) KillGateway(org string) error { return l.end("gateway-"+org, syscall.SIGKILL) }

// StopGateway asks a gateway to end, and waits.
func (l *Lab) StopGateway(org string) error { return l.end("gateway-"+org, os.Interrupt) }

// GatewayPID returns a running gateway's process id, 0 when it does not run.
func (l *Lab) GatewayPID(org string) int {
	if c := l.procs["gateway-"+org]; c != nil {
		return c.Process.Pid
	}
	return 0
}

// Waybill runs the CLI and returns what it printed and its exit status.
func (l *Lab) Waybill(ctx context.Context, args ...string) (string, int) {
	return l.exec(ctx, filepath.Join(l.Bin, "waybill"), append([]string{"--dir", filepath.Join(l.Dir, "network")}, args...)...)
}

// AddSigningTools puts cosign, oras and notation into Bin.
func (l *Lab) AddSigningTools(ctx context.Context) error {
	tools, err := network.BuildSigningTools(ctx, l.log)
	if err != nil {
		return err
	}
	for _, program := range []string{tools.Cosign, tools.ORAS, tools.Notation} {
		if err := os.Symlink(program, filepath.Join(l.Bin, filepath.Base(program))); err != nil {
			return err
		}
	}
	return nil
}

// Crane runs the registry client.
func (l *Lab) Crane(ctx context.Context, args ...string) (string, error) {
	out, code := l.exec(ctx, l.programs.Crane, append(args, "--insecure")...)
	if code != 0 {
		return out, fmt.Errorf("crane %s: exit %d: %s", strings.Join(args, " "), code, out)
	}
	return strings.TrimSpace(out), nil
}

func (l *Lab) exec(ctx context.Context, name string, args ...string) (string, int) {
	cmd := exec.CommandContext(ctx, name, args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if cmd.ProcessState == nil {
		return err.Error(), -1
	}
	return out.String(), cmd.ProcessState.ExitCode()
}

// run starts a process whose output is appended to <name>.log.
func (l *Lab) run(name, program string, args ...string) error {
	return l.runIn(nil, name, program, args...)
}

func (l *Lab) runIn(env []string, name, program string, args ...string) error {
	log, err := os.OpenFile(filepath.Join(l.Dir, name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // the child holds its own copy
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = log, log
	// Dies with the tests, however they die.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Env = append(append(os.Environ(), "OTEL_TRACES_EXPORTER=none"), env...)
	if err := cmd.Start(); err != nil {
		return err
	}
	l.procs[name] = cmd
	return nil
}

func (l *Lab) end(name string, sig os.Signal) error {
	cmd := l.procs[name]
	if cmd == nil {
		return nil
	}
	delete(l.procs, name)
	if err := cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	done := make(chan struct{})
	go func() { _ = cmd.Wait(); close(done) }() // how it ended is the test's to judge from its log
	select {
	case <-done:
		return nil
	case <-time.After(20 * time.Second):
		return errors.Join(fmt.Errorf("%s did not end in 20s", name), cmd.Process.Kill())
	}
}

// Log returns the end of a process's log.
func (l *Lab) Log(name string) string {
	b, err := os.ReadFile(filepath.Join(l.Dir, name+".log"))
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-8000):])
}

func dial(address string) error {
	c, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return err
	}
	return c.Close()
}
