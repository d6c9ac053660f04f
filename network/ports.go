package network

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// PortTakenError says that something else listens where a node should.
type PortTakenError struct {
	Port   int
	Node   string
	Holder string // what holds it, if this user may know
}

func (e *PortTakenError) Error() string {
	holder := e.Holder
	if holder == "" {
		holder = "a process that is not ours"
	}
	return fmt.Sprintf("port %d, wanted by %s, is taken by %s; stop it, or make the network on other ports with --port-base",
		e.Port, e.Node, holder)
}

// checkPort finds out before a node starts what it would only write to its log.
func checkPort(port int, node string) error {
	l, err := net.Listen("tcp", address(port))
	if err == nil {
		return l.Close()
	}
	if errors.Is(err, syscall.EADDRINUSE) {
		return &PortTakenError{Port: port, Node: node, Holder: holder(port)}
	}
	return fmt.Errorf("listen for %s: %w", node, err)
}

// holder names the process that listens on port, or "" when /proc does not tell.
func holder(port int) string {
	sockets := map[string]bool{}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		raw, err := os.ReadFile(table)
		if err != nil {
			continue
		}
		for _, line := range strings.Split(string(raw), "\n") {
			// sl local_address rem_address st … inode; 0A is LISTEN
			f := strings.Fields(line)
			if len(f) > 9 && f[3] == "0A" && strings.HasSuffix(f[1], fmt.Sprintf(":%04X", port)) {
				sockets["socket:["+f[9]+"]"] = true
			}
		}
	}
	fds, err := filepath.Glob("/proc/[0-9]*/fd/[0-9]*")
	if err != nil || len(sockets) == 0 {
		return ""
	}
	for _, fd := range fds {
		if target, err := os.Readlink(fd); err != nil || !sockets[target] {
			continue
		}
		pid := strings.Split(fd, "/")[2]
		name, err := os.ReadFile("/proc/" + pid + "/comm")
		if err != nil {
			continue
		}
		return strings.TrimSpace(string(name)) + " (pid " + pid + "), not ours"
	}
	return ""
}

// FreePortBase returns a base whose ports for the given number of organisations are all free now.
// Between asking and starting somebody else may take one; Up then says which.
func FreePortBase(orgs int, from int) (int, error) {
	for base := from; base+portsPerOrg*orgs < 32000; base += portsPerOrg * orgs {
		free := true
		for p := base; p < base+portsPerOrg*orgs && free; p++ {
			free = checkPort(p, "") == nil
		}
		if free {
			return base, nil
		}
	}
	return 0, errors.New("no block of free ports from " + strconv.Itoa(from) + " to 32000")
}
