package intake

import (
	"crypto/sha256"
	"sync"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

const (
	// maxDedup bounds what a connector remembers; the oldest is forgotten first.
	maxDedup = 4096
	// retryWindow is within which time the same bytes may be a retry. Quay's
	// five tries are 30 seconds apart; Artifactory's are not documented.
	retryWindow = 10 * time.Minute
)

// dedup remembers, in memory, what a connector said lately, for sources whose
// payloads carry no id or one that is not signed. What a restart forgets costs
// at most one event recorded twice.
type dedup struct {
	mu    sync.Mutex
	seen  map[string]sighting
	order []string // a ring over the keys of seen
	next  int
}

type sighting struct {
	body [sha256.Size]byte
	at   time.Time
	open bool   // the sender did not wait for our answer
	by   string // who said it, where that matters
}

// first returns when this body was first said about key, if it is the last that
// was said about it and was first said within the window: a retry then has the
// time of what it repeats. Anything else said in between makes it news, so that
// a tag moved forth and back is two moves.
func (r *dedup) first(key string, body [sha256.Size]byte, now time.Time) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s, ok := r.seen[key]; ok && s.body == body && now.Sub(s.at).Abs() <= retryWindow {
		return s.at
	}
	r.put(key, sighting{body: body, at: now})
	return now
}

// again returns when this body was first said about key, if its sender hung up
// before we answered and it comes again within the window. Otherwise it is news:
// the next push of a tag may well have the same bytes.
func (r *dedup) again(key string, body [sha256.Size]byte, now time.Time) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s, ok := r.seen[key]; ok && s.open && s.body == body && now.Sub(s.at).Abs() <= retryWindow {
		r.put(key, sighting{body: body, at: s.at})
		return s.at
	}
	r.put(key, sighting{body: body, at: now})
	return now
}

// unanswered notes that the sender did not wait for what we said about keys.
func (r *dedup) unanswered(keys []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, key := range keys {
		if s, ok := r.seen[key]; ok {
			s.open = true
			r.seen[key] = s
		}
	}
}

// once returns Conflict if key came before with another body.
func (r *dedup) once(key string, body [sha256.Size]byte, now time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s, ok := r.seen[key]; ok {
		if s.body != body {
			return provenance.Errorf(provenance.Conflict, "a delivery with this id came before and said something else")
		}
		return nil
	}
	r.put(key, sighting{body: body, at: now})
	return nil
}

// leader returns the body that spoke first of those in which the same one says the
// same about key within the window, by the sender's clock: this one, where none did,
// or somebody else spoke in between.
func (r *dedup) leader(key, by string, body [sha256.Size]byte, at time.Time, window time.Duration) [sha256.Size]byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s, ok := r.seen[key]; ok && s.by == by && at.Sub(s.at).Abs() <= window {
		return s.body
	}
	r.put(key, sighting{body: body, at: at, by: by})
	return body
}

// ended has the next that is said about key be news.
func (r *dedup) ended(key string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.put(key, sighting{}) // long ago
}

func (r *dedup) put(key string, s sighting) {
	if r.seen == nil {
		r.seen = make(map[string]sighting)
	}
	if _, known := r.seen[key]; !known {
		if len(r.order) < maxDedup {
			r.order = append(r.order, key)
		} else {
			delete(r.seen, r.order[r.next])
			r.order[r.next] = key
			r.next = (r.next + 1) % maxDedup
		}
	}
	r.seen[key] = s
}
