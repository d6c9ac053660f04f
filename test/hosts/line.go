package hosts

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// inFlight is how many frames a line holds in one direction; more are lost, as in a router that is full.
const inFlight = 8192

// frameSize is of a frame that was not yet cut into packets, with the header that says so.
const frameSize = 1<<16 + 256

// Of linux/if_packet.h; package syscall lacks them.
const (
	packetVnetHdr        = 15
	packetIgnoreOutgoing = 23
)

// line stands between a host's cable and the bridge and delays what passes: netem is not in every kernel. It
// takes whole Ethernet frames off one interface and puts them onto the other when their time has come, so
// that name, port, handshake and a pulled cable are delayed like everything else. Frames that the
// kernel has not cut or summed yet pass with the kernel's own note about it (PACKET_VNET_HDR).
type line struct {
	sockets [2]int
	ended   atomic.Bool
	readers sync.WaitGroup
	lost    atomic.Int64
}

type frame struct {
	due   time.Time
	bytes []byte
}

// SetDelay makes every frame to and from the host take d longer, so that the round trip between two hosts
// with the same delay takes four times d longer. With 0 the cable goes into the bridge itself.
func (h *Host) SetDelay(d time.Duration) error {
	far, bridge := "f-"+h.Name, "b-"+h.Name
	if h.line != nil {
		h.line.end()
		h.bed.Say("the line of %s lost %d frames", h.Name, h.line.lost.Load())
		h.line = nil
		if err := errors.Join(ip("link del "+bridge), ip("link set "+h.Name+" master br0")); err != nil {
			return err
		}
	}
	if d == 0 {
		return nil
	}
	for _, args := range []string{
		"link set " + h.Name + " nomaster", "link add " + bridge + " type veth peer name " + far,
		"link set " + bridge + " arp off", "link set " + far + " arp off", "link set " + bridge + " addrgenmode none", "link set " + far + " addrgenmode none",
		"link set " + bridge + " master br0", "link set " + bridge + " up", "link set " + far + " up",
	} {
		if err := ip(args); err != nil {
			return err
		}
	}
	var err error
	h.line, err = newLine(h.Name, far, d)
	return err
}

func newLine(a, b string, d time.Duration) (*line, error) {
	l := &line{}
	for i, name := range []string{a, b} {
		var err error
		if l.sockets[i], err = rawSocket(name); err != nil {
			return nil, err
		}
	}
	l.readers.Add(2)
	for i := range l.sockets {
		queue := make(chan frame, inFlight)
		go l.read(l.sockets[i], d, queue)
		go l.write(l.sockets[1-i], queue)
	}
	return l, nil
}

// rawSocket takes every frame that comes in at an interface, and sends there.
func rawSocket(name string) (int, error) {
	nic, err := net.InterfaceByName(name)
	if err != nil {
		return 0, err
	}
	const all = syscall.ETH_P_ALL<<8&0xff00 | syscall.ETH_P_ALL>>8 // in the network's byte order
	s, err := syscall.Socket(syscall.AF_PACKET, syscall.SOCK_RAW|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("a socket of frames: %w", err)
	}
	wait := syscall.NsecToTimeval(int64(200 * time.Millisecond)) // how soon an end is noticed
	err = errors.Join(
		syscall.SetsockoptInt(s, syscall.SOL_PACKET, packetVnetHdr, 1),
		syscall.SetsockoptInt(s, syscall.SOL_PACKET, packetIgnoreOutgoing, 1),
		syscall.SetsockoptInt(s, syscall.SOL_SOCKET, syscall.SO_RCVBUFFORCE, 32<<20),
		syscall.SetsockoptInt(s, syscall.SOL_SOCKET, syscall.SO_SNDBUFFORCE, 32<<20),
		syscall.SetsockoptTimeval(s, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &wait),
		syscall.Bind(s, &syscall.SockaddrLinklayer{Protocol: all, Ifindex: nic.Index}),
	)
	if err != nil {
		return 0, errors.Join(fmt.Errorf("a socket of frames at %s: %w", name, err), syscall.Close(s))
	}
	return s, nil
}

func (l *line) read(from int, d time.Duration, queue chan<- frame) {
	defer l.readers.Done()
	defer close(queue)
	buffer := make([]byte, frameSize)
	for !l.ended.Load() {
		n, err := syscall.Read(from, buffer)
		if err != nil || n == 0 {
			continue // nothing for a while, or the cable was pulled
		}
		select {
		case queue <- frame{time.Now().Add(d), append([]byte(nil), buffer[:n]...)}:
		default:
			l.lost.Add(1)
		}
	}
}

func (l *line) write(to int, queue <-chan frame) {
	for f := range queue {
		time.Sleep(time.Until(f.due))
		if _, err := syscall.Write(to, f.bytes); err != nil {
			l.lost.Add(1)
		}
	}
	_ = syscall.Close(to) // nobody reads from it: both readers have ended or are about to
}

// end lets go of the interfaces; what is under way is lost.
func (l *line) end() {
	l.ended.Store(true)
	l.readers.Wait()
}
