package doctor

import (
	"fmt"
	"net"
	"syscall"
)

// Of the disk that the folder is on: below the first, somebody should look; below the second, the gateway takes nothing more.
const (
	scarce = 5 << 30
	empty  = 512 << 20
)

// disk looks at the space that is left for the ledger and the queue.
func (e *examination) disk() {
	var s syscall.Statfs_t
	if err := syscall.Statfs(e.folder.Dir(), &s); err != nil {
		e.add("disk", e.folder.Dir(), Failure, err.Error(), "")
		return
	}
	level, says, todo := space(s.Bavail * uint64(s.Bsize)) //nolint:gosec // G115: a block's size
	e.add("disk", e.folder.Dir(), level, says, todo)
}

func space(free uint64) (level Level, says, todo string) {
	says = fmt.Sprintf("%.1f GiB free", float64(free)/(1<<30))
	switch {
	case free < empty:
		return Failure, says, "make room: below 256 MiB a gateway takes no notifications, and a peer that cannot write stops"
	case free < scarce:
		return Warning, says, "make room before a ledger fills it"
	}
	return Fine, says, ""
}

// host looks for what Fabric's peer wants of a machine: it does not start without an address beside the loopback.
func (e *examination) host() {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		e.add("host", "interfaces", Failure, err.Error(), "")
		return
	}
	level, says, todo := reachable(addresses)
	e.add("host", "interfaces", level, says, todo)
}

func reachable(addresses []net.Addr) (level Level, says, todo string) {
	for _, a := range addresses {
		if n, ok := a.(*net.IPNet); ok && !n.IP.IsLoopback() && n.IP.To4() != nil {
			return Fine, "an IPv4 address beside the loopback: " + n.IP.String(), ""
		}
	}
	return Failure, "no IPv4 address beside the loopback: a peer does not start", "give the host one"
}
