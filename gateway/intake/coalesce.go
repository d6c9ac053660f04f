package intake

import (
	"context"
	"crypto/sha256"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/delivery"
)

const (
	// coalesceWindow is within which time, by the registry's clock, the requests of
	// one client for one image are one pull.
	coalesceWindow = 30 * time.Second
	// maxCoalesced bounds what a connector remembers of pulls, in keys of 16 bytes;
	// the oldest is forgotten first.
	maxCoalesced = 8192
)

// client is who asked the registry, and what it is about to ask for next.
type client struct {
	address, agent string
	index          bool                // it asked for an index, whose platforms come next …
	children       []provenance.Digest // … and these are they, where that is known
}

// addressOf returns the address without its port, which is another one on each
// connection; "" where the registry names no address.
func addressOf(text string) string {
	if host, _, err := net.SplitHostPort(text); err == nil {
		text = host
	}
	ip, err := netip.ParseAddr(text)
	if err != nil {
		return ""
	}
	return ip.Unmap().WithZone("").String()
}

// Children returns the platform images of an index, none where it is not known.
// Distribution names them only where it is told to (includereferences).
type Children func(ctx context.Context, host provenance.Host, repo provenance.Repository, index provenance.Digest) ([]provenance.Digest, error)

// learnChildren fills in the children of indexes whose pull begins here. What cannot be
// learnt, as of an index that is not recorded yet, only keeps its platforms from
// being coalesced.
func (f *coalescer) learnChildren(ctx context.Context, ask Children, deliveries []delivery.Delivery, clients []client) error {
	for i, c := range clients {
		if ask == nil || !c.index || len(c.children) > 0 || c.address == "" || f.known(c, deliveries[i].Event) {
			continue
		}
		d := deliveries[i]
		children, err := ask(ctx, d.Host, d.Event.Repository, d.Event.Digest)
		if err != nil {
			return provenance.Wrap(provenance.CodeOf(err), err, "children of %s", d.Event.Digest)
		}
		clients[i].children = children
	}
	return nil
}

func (f *coalescer) known(c client, e provenance.Event) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.seen[keyOf(c, e, e.Digest)].covers(e)
}

// coalescer makes one fact of one pull: a client asks for a tag, for what the tag
// names, and for the platform of an index, and registries report each request.
// What follows within the window is part of the first.
//
// Only clients whose address is known are coalesced: two machines that share an
// account are two pulls. Machines behind one address with the same account and
// program are not told apart. Memory only: what a restart, or other pulls since,
// made it forget costs a fact recorded once more, and never loses one.
type coalescer struct {
	mu    sync.Mutex
	seen  map[pullKey]*pull
	order []pullKey // a ring over the keys of seen
	next  int
}

// pullKey names an image in a client's hands.
type pullKey [16]byte

// pull is the first request of a pull.
type pull struct {
	id     provenance.EventID
	at     time.Time
	keys   []pullKey
	done   chan struct{} // closed when it is on disk, or will not be
	stored bool          // it is on disk; valid once done is closed
}

// accept hands on what is a fact of its own and returns how many deliveries
// were only part of one. It returns nil only when every fact is on disk, those
// that another request brought included. A crash, or an error, between two
// facts is harmless: the registry got no answer and sends again, and what is on
// disk is a duplicate then.
func (f *coalescer) accept(ctx context.Context, sink Sink, deliveries []delivery.Delivery, clients []client) (total delivery.Accepted, coalesced int, err error) {
	for len(deliveries) > 0 {
		s := f.split(deliveries, clients)
		if len(s.lead) > 0 {
			got, err := f.store(ctx, sink, s)
			if err != nil {
				return total, coalesced, err
			}
			total.New, total.Duplicate = total.New+got.New, total.Duplicate+got.Duplicate
		}
		// Our own are finished before we wait: two requests that wait for each
		// other do not.
		deliveries, clients = nil, nil
		for i, p := range s.of {
			select {
			case <-p.done:
			case <-ctx.Done():
				return total, coalesced, provenance.Wrap(provenance.Unavailable, ctx.Err(), "pull %s is not on disk yet", p.id)
			}
			if p.stored {
				coalesced++
				continue
			}
			deliveries, clients = append(deliveries, s.follow[i]), append(clients, s.clients[i])
		}
	}
	return total, coalesced, nil
}

// sortedPulls is what a request's deliveries are to the pulls we know.
type sortedPulls struct {
	lead    []delivery.Delivery // facts of their own …
	mine    []*pull             // … and the pulls among them
	follow  []delivery.Delivery // parts …
	clients []client            // … of the same index: whose
	of      []*pull             // … and of what
}

func (f *coalescer) split(deliveries []delivery.Delivery, clients []client) (s sortedPulls) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, d := range deliveries {
		c := clients[i]
		if d.Event.Action != provenance.Pull || c.address == "" {
			s.lead = append(s.lead, d)
			continue
		}
		key := keyOf(c, d.Event, d.Event.Digest)
		p := f.seen[key]
		switch {
		case !p.covers(d.Event):
			s.lead, s.mine = append(s.lead, d), append(s.mine, f.begin(key, c, d.Event))
		case p.id == d.Event.ID:
			// The first one again: the queue knows whether it says the same.
			s.lead = append(s.lead, d)
		default:
			s.follow, s.clients, s.of = append(s.follow, d), append(s.clients, c), append(s.of, p)
		}
	}
	return s
}

// covers tells whether an event of the same client and image is part of p.
func (p *pull) covers(e provenance.Event) bool {
	return p != nil && e.OccurredAt.Sub(p.at).Abs() <= coalesceWindow
}

// begin remembers a pull that is about to be stored.
func (f *coalescer) begin(key pullKey, c client, e provenance.Event) *pull {
	p := &pull{id: e.ID, at: e.OccurredAt, done: make(chan struct{}), keys: []pullKey{key}}
	for _, child := range c.children {
		p.keys = append(p.keys, keyOf(c, e, child))
	}
	for _, k := range p.keys {
		f.put(k, p)
	}
	return p
}

// store hands the facts on and tells who waits for them.
func (f *coalescer) store(ctx context.Context, sink Sink, s sortedPulls) (got delivery.Accepted, err error) {
	stored := false
	defer func() { f.finish(s.mine, stored) }() // also where the sink panics
	got, err = sink.Accept(ctx, s.lead)
	stored = err == nil
	return got, err
}

func (f *coalescer) finish(pulls []*pull, stored bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range pulls {
		if p.stored = stored; !stored {
			for _, k := range p.keys {
				if f.seen[k] == p {
					delete(f.seen, k)
				}
			}
		}
		p.keys = nil
		close(p.done)
	}
}

func (f *coalescer) put(key pullKey, p *pull) {
	if f.seen == nil {
		f.seen = make(map[pullKey]*pull)
	}
	if len(f.order) < maxCoalesced {
		f.order = append(f.order, key)
	} else {
		delete(f.seen, f.order[f.next])
		f.order[f.next] = key
		f.next = (f.next + 1) % maxCoalesced
	}
	f.seen[key] = p
}

// keyOf hashes the parts, each closed by a byte that none of them holds: texts
// of clients are claims, and may be long.
func keyOf(c client, e provenance.Event, d provenance.Digest) (key pullKey) {
	h := sha256.New()
	for _, part := range []string{e.Actor, c.address, c.agent, string(e.Repository), d.String()} {
		h.Write([]byte(part))
		h.Write([]byte{0xff}) // in no UTF-8 text
	}
	copy(key[:], h.Sum(nil))
	return key
}
