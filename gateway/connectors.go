package gateway

import (
	"sync"
	"time"

	"github.com/waybill-dev/waybill/gateway/api"
	"github.com/waybill-dev/waybill/gateway/intake"
)

// connectors are the sources of notifications as admins see them. The secrets
// in them leave this process in a test only, towards our own hook.
type connectors struct {
	all  []intake.Connector
	book *book
	trier
}

// List implements api.Connectors.
func (c *connectors) List() []api.Connector {
	out := make([]api.Connector, len(c.all))
	for i, one := range c.all {
		out[i] = c.describe(one)
	}
	return out
}

func (c *connectors) describe(one intake.Connector) api.Connector {
	out := c.book.entry(one.Name)
	out.Name, out.Kind, out.Host, out.Path = one.Name, one.Kind, one.Host, intake.Prefix+one.Name
	out.Repositories, out.Authentication, out.Weakness = one.Repositories, one.Proof(), one.Weak()
	return out
}

// book remembers what came to each connector since this process started. The
// metrics count the same for whoever scrapes them; an operator without a
// scraper asks here.
type book struct {
	now func() time.Time

	mu      sync.Mutex
	entries map[string]api.Connector
}

func newBook() *book { return &book{now: time.Now, entries: map[string]api.Connector{}} }

func (b *book) entry(name string) api.Connector {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.entries[name]
}

func (b *book) change(name string, change func(*api.Connector)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.entries[name]
	change(&e)
	b.entries[name] = e
}

// wrap returns metrics that tell the book as well.
func (b *book) wrap(m intake.Metrics) intake.Metrics {
	return intake.Metrics{
		Request: func(connector string, status int) {
			m.Request(connector, status)
			if connector == "" || status < 300 { // strangers' addresses must not fill the book
				return
			}
			b.change(connector, func(e *api.Connector) {
				e.Refused++
				e.LastRefused, e.LastStatus = b.now(), status
			})
		},
		Event: func(connector, outcome string, n int) {
			m.Event(connector, outcome, n)
			b.change(connector, func(e *api.Connector) {
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
