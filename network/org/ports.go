package org

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
	return fmt.Sprintf("port %d, wanted by %s, is taken by %s; stop it, or use other ports (network up --port-base, org init --host)",
		e.Port, e.Node, holder)
}

func splitAddress(address string) (host, port string, err error) {
	host, port, err = net.SplitHostPort(address)
	if err != nil {
		return "", "", fmt.Errorf("address %q: %w", address, err)
	}
	return host, port, nil
}

// checkListen finds out before a node starts what it would only write to its log.
func checkListen(address, node string) error {
	l, err := net.Listen("tcp", address)
	if err == nil {
		return l.Close()
	}
	_, text, splitErr := splitAddress(address)
	port, portErr := strconv.Atoi(text)
	if errors.Is(err, syscall.EADDRINUSE) && splitErr == nil && portErr == nil {
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
