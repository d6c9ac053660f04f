package registry

import (
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// maxRetryAfter is how long a host is left alone at most, whatever it asks for: a
// registry must not be able to keep itself from being looked at.
const maxRetryAfter = 5 * time.Minute

// retryAfter leaves hosts alone for as long as they asked for with Retry-After
// (RFC 9110, section 10.2.3). Our callers retry by themselves, each for its own
// image: together they would go on asking a registry that is drowning.
type retryAfter struct {
	now   func() time.Time
	mu    sync.Mutex
	until map[string]time.Time
}

// check refuses a request to a host that asked to be left alone.
func (r *retryAfter) check(host string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	until := r.until[host]
	if left := until.Sub(r.now()); left > 0 {
		return provenance.Errorf(provenance.Unavailable, "%s asked with Retry-After to be left alone for another %s", host, left.Round(time.Second))
	}
	return nil
}

// note remembers what an answer asks for.
func (r *retryAfter) note(host string, resp *http.Response) {
	if resp.StatusCode != http.StatusTooManyRequests && resp.StatusCode != http.StatusServiceUnavailable {
		return
	}
	now := r.now()
	wait := parseRetryAfter(resp.Header.Get("Retry-After"), now)
	if wait == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.until == nil {
		r.until = map[string]time.Time{}
	}
	r.until[host] = now.Add(wait)
}

// parseRetryAfter reads a Retry-After: seconds or a date; anything else asks for nothing.
func parseRetryAfter(text string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		return min(time.Duration(seconds)*time.Second, maxRetryAfter)
	}
	if at, err := http.ParseTime(text); err == nil {
		return min(max(at.Sub(now), 0), maxRetryAfter)
	}
	return 0
}
