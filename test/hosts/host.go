package hosts

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Host is one machine: an organisation's. Its files live in Folder, which is its /srv.
type Host struct {
	Name    string
	Address string
	Folder  string

	user int
	bed  *Testbed
	init *exec.Cmd // the first process; nil while the power is off
	line *line     // nil: the cable goes straight into the bridge
}

// Domain is the host's own name, as vendor.example.
func (h *Host) Domain() string { return h.Name + "." + Domain }

// Service is the name of a service of this host, as peer.vendor.example.
func (h *Host) Service(name string) string { return name + "." + h.Domain() }

// Path of a file of the host as the tests see it.
func (h *Host) Path(parts ...string) string {
	return filepath.Join(append([]string{h.Folder}, parts...)...)
}

// Write puts a file onto the host, as its people would.
func (h *Host) Write(path, text string) error {
	return errors.Join(os.WriteFile(h.Path(path), []byte(text), 0o600), os.Chown(h.Path(path), h.user, h.user))
}

// furnish makes the file tree.
func (h *Host) furnish() error {
	for _, dir := range []string{h.Folder, h.Path("tmp")} {
		if err := errors.Join(os.Mkdir(dir, 0o700), os.Chown(dir, h.user, h.user)); err != nil {
			return err
		}
	}
	return nil
}

// Wipe takes the disk away: what was in the host's file tree is gone. The power must be off.
func (h *Host) Wipe() error {
	if h.init != nil {
		return fmt.Errorf("host %s runs", h.Name)
	}
	return errors.Join(os.RemoveAll(h.Folder), h.furnish())
}

// Boot starts the machine with nothing running on it, and plugs it in.
func (h *Host) Boot() error {
	settings, err := json.Marshal(machine{
		Name: h.Name, Folder: h.Folder, Tmp: h.Path("tmp"), Names: filepath.Join(h.bed.Dir, "hosts"), Programs: h.bed.Programs, Hidden: h.bed.Dir,
	})
	if err != nil {
		return err
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), asInit+"="+string(settings))
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWUTS, Pdeathsig: syscall.SIGKILL,
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	h.init = cmd
	if word, err := bufio.NewReader(out).ReadString('\n'); word != "up\n" {
		return errors.Join(fmt.Errorf("the first process says %q: %w", word, err), h.PowerOff())
	}
	if err := ip(fmt.Sprintf("link add %s type veth peer name eth0 address 02:77:00:00:%02x:%02x netns %d", h.Name, h.user>>8&0xff, h.user&0xff, cmd.Process.Pid)); err != nil {
		return err
	}
	for _, args := range []string{"link set lo up", "addr add " + h.Address + "/24 dev eth0", "link set eth0 up"} {
		if out, err := h.command(context.Background(), 0, append([]string{"ip"}, strings.Fields(args)...)...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %w: %s", args, err, out)
		}
	}
	// The kernel at the bridge hears what a host says, but only the bridge itself is to answer.
	for _, args := range []string{"link set %s arp off", "link set %s addrgenmode none", "link set %s master br0", "link set %s up"} {
		if err := ip(fmt.Sprintf(args, h.Name)); err != nil {
			return err
		}
	}
	return nil
}

// PowerOff ends everything that runs on the host at once, as a failing power supply does.
func (h *Host) PowerOff() error {
	if h.init == nil {
		return nil
	}
	err := h.SetDelay(0)
	pid := h.init.Process.Pid
	if e := h.init.Process.Kill(); e != nil && !errors.Is(e, os.ErrProcessDone) {
		err = errors.Join(err, e)
	}
	_ = h.init.Wait() // killed: the status says so
	h.init = nil
	// The kernel ends the processes of a namespace before it takes the interface away, with its other end at the bridge.
	for began := time.Now(); ; pause() {
		if _, gone := os.Stat("/sys/class/net/" + h.Name); gone != nil && ip("link show "+h.Name) != nil {
			return err
		}
		if time.Since(began) > 10*time.Second {
			return errors.Join(err, fmt.Errorf("host %s (process %d) has an interface 10 s after its end", h.Name, pid), ip("link del "+h.Name))
		}
		if time.Since(began) > 2*time.Second {
			_ = ip("link del " + h.Name) // the namespace lingers behind a socket that is being closed
		}
	}
}

// Cut pulls the host's cable; Heal plugs it in again.
func (h *Host) Cut() error  { return ip("link set " + h.Name + " down") }
func (h *Host) Heal() error { return ip("link set " + h.Name + " up") }

// Command is a program to be run on the host as its user, in /srv. Where ctx ends it is killed.
func (h *Host) Command(ctx context.Context, args ...string) *exec.Cmd {
	return h.command(ctx, h.user, args...)
}

func (h *Host) command(ctx context.Context, user int, args ...string) *exec.Cmd {
	if h.init == nil {
		cmd := exec.CommandContext(ctx, "false")
		cmd.Err = fmt.Errorf("the power of host %s is off", h.Name)
		return cmd
	}
	id := strconv.Itoa(user)
	enter := []string{"--target", strconv.Itoa(h.init.Process.Pid), "--net", "--mount", "--pid", "--uts", "--wd", "--setuid", id, "--setgid", id, "--"}
	cmd := exec.CommandContext(ctx, "nsenter", append(enter, args...)...)
	cmd.Env = []string{"PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "HOME=/srv", "USER=" + h.Name, "TMPDIR=/tmp", "LANG=C.UTF-8", "OTEL_TRACES_EXPORTER=none"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return reach(cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// Run runs a program on the host and returns what it printed. An error has its exit status and output.
func (h *Host) Run(ctx context.Context, args ...string) (string, error) {
	cmd := h.Command(ctx, args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%s$ %s: %w\n%s", h.Name, strings.Join(args, " "), err, out.String())
	}
	return out.String(), nil
}

// Process is a program that runs on a host.
type Process struct {
	Log  string // where its output goes, as the tests see it
	cmd  *exec.Cmd
	done chan error
}

// Start starts a program on the host; its output is appended to /srv/<name>.log.
func (h *Host) Start(name string, args ...string) (*Process, error) {
	p := &Process{Log: h.Path(name + ".log"), cmd: h.Command(context.Background(), args...), done: make(chan error, 1)}
	log, err := os.OpenFile(p.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }() // the child holds its own copy
	p.cmd.Stdout, p.cmd.Stderr = log, log
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { p.done <- p.cmd.Wait() }()
	return p, nil
}

// Ended returns whether the program has ended, and how.
func (p *Process) Ended() (bool, error) {
	select {
	case err := <-p.done:
		p.done <- err
		return true, err
	default:
		return false, nil
	}
}

// Signal sends a signal to the program itself.
func (p *Process) Signal(s syscall.Signal) error { return reach(p.cmd.Process.Pid, s) }

// Stop asks the program to end and waits.
func (p *Process) Stop(within time.Duration) error {
	if err := p.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case err := <-p.done:
		p.done <- err
		return err
	case <-time.After(within):
		return errors.Join(fmt.Errorf("%s did not end in %s", p.cmd.Args[len(p.cmd.Args)-1], within), p.Signal(syscall.SIGKILL))
	}
}

// reach signals what nsenter started: it hands on no signals itself.
func reach(pid int, s syscall.Signal) error {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return os.ErrProcessDone
	}
	children := strings.Fields(string(raw))
	if len(children) == 0 {
		return os.ErrProcessDone
	}
	for _, c := range children {
		n, err := strconv.Atoi(c)
		if err != nil {
			return err
		}
		if err := syscall.Kill(n, s); err != nil && !errors.Is(err, syscall.ESRCH) {
			return err
		}
	}
	return nil
}

func pause() { time.Sleep(20 * time.Millisecond) }
