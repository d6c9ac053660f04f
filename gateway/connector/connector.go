package connector

import (
	"sync"
	"time"

	"github.com/waybill-dev/waybill/gateway/intake"
	"github.com/waybill-dev/waybill/gateway/selftest"
)

// Connectors are the sources of notifications as admins see them. The secrets
// in them leave this process in a test only, towards our own hook.
type Connectors struct {
	All    []intake.Connector
	Counts *Counts
	SelfTest
}

// List implements api.Connectors.
func (c *Connectors) List() []selftest.Connector {
	out := make([]selftest.Connector, len(c.All))
	for i, one := range c.All {
		out[i] = c.describe(one)
	}
	return out
}

func (c *Connectors) describe(one intake.Connector) selftest.Connector {
	out := c.Counts.entry(one.Name)
	out.Name, out.Kind, out.Host, out.Path = one.Name, one.Kind, one.Host, intake.Prefix+one.Name
	out.Repositories, out.Authentication, out.Weakness = one.Repositories, one.Proof(), one.Weak()
	return out
}

// Counts remembers what came to each connector since this process started. The
// metrics count the same for whoever scrapes them; an operator without a
// scraper asks here.
type Counts struct {
	now func() time.Time

	mu      sync.Mutex
	entries map[string]selftest.Connector
}

// NewCounts returns counts that begin now.
func NewCounts() *Counts { return &Counts{now: time.Now, entries: map[string]selftest.Connector{}} }

func (b *Counts) entry(name string) selftest.Connector {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.entries[name]
}

func (b *Counts) change(name string, change func(*selftest.Connector)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.entries[name]
	change(&e)
	b.entries[name] = e
}

// Wrap returns metrics that tell the book as well.
func (b *Counts) Wrap(m intake.Metrics) intake.Metrics {
	return intake.Metrics{
		Request: func(connector string, status int) {
			m.Request(connector, status)
			if connector == "" || status < 300 { // strangers' addresses must not fill the book
				return
			}
			b.change(connector, func(e *selftest.Connector) {
				e.Refused++
				e.LastRefused, e.LastStatus = b.now(), status
			})
		},
		Event: func(connector, outcome string, n int) {
			m.Event(connector, outcome, n)
			b.change(connector, func(e *selftest.Connector) {
				switch outcome {
				case "accepted":
					e.Accepted += int64(n)
					e.LastEvent = b.now()
				case "duplicate":
					e.Duplicate += int64(n)
				default:
					e.Ignored += int64(n)
				}
			})
		},
	}
}
