package policy

import (
	"crypto/sha256"
	"sync"
)

// maxCached bounds a Cache; a ledger has few policies in force.
const maxCached = 64

// Cache keeps parsed policies by their text, because to compile one costs more
// than to judge by it: milliseconds against some hundred microseconds. Parse is
// a function of the text alone, so that a peer which has parsed it before and
// one which has not agree. The zero Cache is ready, and nil keeps nothing. It
// may be used by several goroutines.
type Cache struct {
	mu     sync.Mutex
	parsed map[[sha256.Size]byte]*Policy
}

// Parse is Parse of the package. The policy is shared: nobody may alter it.
func (c *Cache) Parse(b []byte) (*Policy, error) {
	if c == nil || len(b) > MaxBytes {
		p, err := Parse(b)
		if err != nil {
			return nil, err
		}
		return &p, nil
	}
	key := sha256.Sum256(b)
	c.mu.Lock()
	p, known := c.parsed[key]
	c.mu.Unlock()
	if known {
		return p, nil
	}
	fresh, err := Parse(b)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.parsed == nil || len(c.parsed) >= maxCached {
		c.parsed = map[[sha256.Size]byte]*Policy{}
	}
	c.parsed[key] = &fresh
	return &fresh, nil
}
