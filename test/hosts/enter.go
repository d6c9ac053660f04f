package hosts

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"testing"
)

// What a copy of the test program is started as.
const (
	atBridge = "WAYBILL_HOSTS_BRIDGE" // the tests, in the network namespace of the bridge: the folder of what was built
	asInit   = "WAYBILL_HOSTS_INIT"   // the first process of a host: its settings
)

// Main is what TestMain of a package calls that tests with hosts: it runs the tests at a bridge of their
// own, in namespaces that the kernel takes away with them. prepare runs before, where there is a way to
// the outside: what it builds into dir is at Built afterwards. Main does not return.
func Main(m *testing.M, prepare func(dir string) error) {
	if settings := os.Getenv(asInit); settings != "" {
		fmt.Fprintln(os.Stderr, initialise(settings))
		os.Exit(1)
	}
	if os.Getenv(atBridge) != "" || unable() != "" {
		os.Exit(m.Run())
	}
	status, err := rerun(prepare)
	if err != nil {
		fmt.Fprintln(os.Stderr, "hosts:", err)
		os.Exit(1)
	}
	os.Exit(status)
}

// Built is the folder that prepare has built into.
func Built() string { return os.Getenv(atBridge) }

// unable says why there can be no hosts here; "" where there can.
func unable() string {
	if os.Geteuid() != 0 {
		return "namespaces of networks, mounts and processes need root"
	}
	for _, program := range []string{"ip", "nsenter"} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Sprintf("there is no %s (Debian: iproute2, util-linux)", program)
		}
	}
	probe := exec.Command("ip", "link", "add", "waybill0", "type", "bridge")
	probe.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWUTS}
	if out, err := probe.CombinedOutput(); err != nil {
		return fmt.Sprintf("namespaces, or a bridge in one, are not to be had: %v %s", err, out)
	}
	return ""
}

// rerun prepares, runs this program again at the bridge and returns its exit status.
func rerun(prepare func(dir string) error) (status int, err error) {
	dir, err := os.MkdirTemp("", "waybill-hosts-bin-")
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := prepare(dir); err != nil {
		return 1, fmt.Errorf("prepare programs: %w", err)
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), atBridge+"="+dir)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGQUIT) // the last: a test timed out
	if err := cmd.Start(); err != nil {
		return 1, fmt.Errorf("start the tests at the bridge: %w", err)
	}
	go func() {
		for s := range signals {
			_ = cmd.Process.Signal(s) // it may have ended
		}
	}()
	var exit *exec.ExitError
	switch err := cmd.Wait(); {
	case err == nil:
		return 0, nil
	case errors.As(err, &exit) && exit.ExitCode() > 0:
		return exit.ExitCode(), nil
	default:
		return 1, fmt.Errorf("the tests at the bridge: %w", err)
	}
}

// machine is what the first process of a host is told.
type machine struct {
	Name     string // its host name
	Folder   string // becomes /srv
	Tmp      string // becomes /tmp
	Names    string // becomes /etc/hosts
	Programs string // becomes /usr/local/bin, read-only
	Hidden   string // the folder of the testbed, with the other hosts' in it
}

// initialise makes the host's view of the file tree and then reaps processes until the host is ended. It
// returns an error or not at all.
func initialise(settings string) error {
	var m machine
	if err := json.Unmarshal([]byte(settings), &m); err != nil {
		return err
	}
	bind := func(from, to string) error { return syscall.Mount(from, to, "", syscall.MS_BIND, "") }
	for _, step := range []struct {
		what string
		do   func() error
	}{
		{"keep mounts to oneself", func() error { return syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, "") }},
		{"mount /proc", func() error { return syscall.Mount("proc", "/proc", "proc", 0, "") }},
		{"bind /srv", func() error { return bind(m.Folder, "/srv") }},
		{"bind /etc/hosts", func() error { return bind(m.Names, "/etc/hosts") }},
		{"bind the programs", func() error { return bind(m.Programs, "/usr/local/bin") }},
		{"write-protect the programs", func() error {
			return syscall.Mount("", "/usr/local/bin", "", syscall.MS_BIND|syscall.MS_REMOUNT|syscall.MS_RDONLY, "")
		}},
		// Bound while it can still be reached: the two folders below hide what is in them.
		{"bind /mnt", func() error { return bind(m.Tmp, "/mnt") }},
		{"hide the other hosts", func() error { return syscall.Mount("none", m.Hidden, "tmpfs", syscall.MS_RDONLY, "size=4k,mode=0700") }},
		{"bind /tmp", func() error { return bind("/mnt", "/tmp") }},
		{"name the host", func() error { return syscall.Sethostname([]byte(m.Name)) }},
		{"enter /srv", func() error { return os.Chdir("/srv") }},
	} {
		if err := step.do(); err != nil {
			return fmt.Errorf("host %s: %s: %w", m.Name, step.what, err)
		}
	}
	if _, err := fmt.Println("up"); err != nil {
		return err
	}
	for {
		// Whoever loses its parent becomes a child of the first process.
		if pid, err := syscall.Wait4(-1, nil, 0, nil); pid <= 0 || err != nil {
			pause()
		}
	}
}
