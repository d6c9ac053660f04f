package registry

import (
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// maxPatience is how long a host is left alone at most, whatever it asks for: a
// registry must not be able to keep itself from being looked at.
const maxPatience = 5 * time.Minute

// calm leaves hosts alone for as long as they asked for with Retry-After
// (RFC 9110, section 10.2.3). Our callers retry by themselves, each for its own
// image: together they would go on asking a registry that is drowning.
type calm struct {
	now   func() time.Time
	mu    sync.Mutex
	until map[string]time.Time
}

// asked refuses a request to a host that asked to be left alone.
func (c *calm) asked(host string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	until := c.until[host]
	if left := until.Sub(c.now()); left > 0 {
		return provenance.Errorf(provenance.Unavailable, "%s asked to be left alone for another %s", host, left.Round(time.Second))
	}
	return nil
}

// heard notes what an answer asks for.
func (c *calm) heard(host string, resp *http.Response) {
	if resp.StatusCode != http.StatusTooManyRequests && resp.StatusCode != http.StatusServiceUnavailable {
		return
	}
	now := c.now()
	wait := patience(resp.Header.Get("Retry-After"), now)
	if wait == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.until == nil {
		c.until = map[string]time.Time{}
	}
	c.until[host] = now.Add(wait)
}

// patience reads a Retry-After: seconds or a date; anything else asks for nothing.
func patience(text string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		return min(time.Duration(seconds)*time.Second, maxPatience)
	}
	if at, err := http.ParseTime(text); err == nil {
		return min(max(at.Sub(now), 0), maxPatience)
	}
	return 0
}
