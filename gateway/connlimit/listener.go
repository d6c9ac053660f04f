package connlimit

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/waybill-dev/waybill/gateway/wait"
)

const (
	// maxConnections of a listener are open at once, at most; fewer where the
	// process may open fewer files: of three listeners (hooks, API, metrics) at
	// least a quarter is left to the queue, the index and the ledger.
	maxConnections = 2048
	fileShare      = 4 // a listener takes one in so many
	// networkShare is the part of them that one address may hold, one in so many.
	// A registry's notifications need a handful, and so do a cluster's questions.
	networkShare = 4

	// How long a listener waits for a file: at first, and at most.
	minStarved = 5 * time.Millisecond
	maxStarved = time.Second
)

// listener is a listener that keeps one address from holding every connection:
// somebody who opens thousands and says a word now and then must not keep the
// others' notifications and questions out, nor take the files that the queue needs.
type listener struct {
	net.Listener
	all, each int
	closed    chan struct{}
	closing   sync.Once

	mu   sync.Mutex
	open int
	by   map[netip.Prefix]int
}

// bounded bounds a listener by what the process may open.
func bounded(l net.Listener) *listener {
	all := maxConnections
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err == nil && files.Cur/fileShare < maxConnections {
		all = max(int(files.Cur/fileShare), networkShare)
	}
	return &listener{Listener: l, all: all, each: all / networkShare, closed: make(chan struct{}), by: map[netip.Prefix]int{}}
}

// Accept implements net.Listener. A connection too many is closed at once: its
// sender tries again, and the ones behind it are not kept waiting.
//
// Where the process or the machine has no file left, it waits: what holds the
// files ends some time, and a listener that gave up would end the gateway.
func (c *listener) Accept() (net.Conn, error) {
	for pause := wait.Backoff(minStarved, maxStarved); ; {
		accepted, err := c.Listener.Accept()
		if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
			if !c.pause(pause.NextBackOff()) {
				return nil, net.ErrClosed
			}
			continue
		}
		pause.Reset()
		if err != nil {
			return nil, err //nolint:wrapcheck // net/http looks at what kind of error it is
		}
		from := network(accepted.RemoteAddr())
		if c.enter(from) {
			return &conn{Conn: accepted, leave: sync.OnceFunc(func() { c.leave(from) })}, nil
		}
		_ = accepted.Close() // nothing was said on it
	}
}

// pause waits for a file; false: the listener was closed meanwhile.
func (c *listener) pause(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-c.closed:
		return false
	}
}

// Close implements net.Listener.
func (c *listener) Close() error {
	c.closing.Do(func() { close(c.closed) })
	return c.Listener.Close() //nolint:wrapcheck // net/http looks at what kind of error it is
}

// network is whom an address stands for: itself, or the /64 that somebody with
// IPv6 has to choose from.
func network(a net.Addr) netip.Prefix {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	ip := tcp.AddrPort().Addr().Unmap().WithZone("")
	bits := ip.BitLen()
	if ip.Is6() {
		bits = 64
	}
	p, err := ip.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}

func (c *listener) enter(from netip.Prefix) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open >= c.all || c.by[from] >= c.each {
		return false
	}
	c.open++
	c.by[from]++
	return true
}

func (c *listener) leave(from netip.Prefix) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open--
	if c.by[from]--; c.by[from] == 0 {
		delete(c.by, from)
	}
}

// conn is a connection that was let in.
type conn struct {
	net.Conn
	leave func()
}

// Close implements net.Conn.
func (g *conn) Close() error {
	g.leave()
	return g.Conn.Close()
}
