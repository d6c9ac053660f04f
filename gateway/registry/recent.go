package registry

import (
	"sync"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// Bounds of recent: what a gateway that records and collects at full speed reads in a
// few seconds.
const (
	recentManifests = 4096
	recentBytes     = 16 << 20
	recentFor       = time.Minute
)

// recent are manifests that were read back a moment ago. What was pushed beside an
// image is read twice, by whoever records the push and by whoever collects it: the
// second reading is spared. Each is had once, so that another look at an artifact asks
// the registry.
type recent struct {
	mu    sync.Mutex
	held  map[recentKey]recentManifest
	order []recentKey // oldest first; those that were had are still in it
	bytes int
}

type recentKey struct {
	repo   provenance.Repository
	digest provenance.Digest
}

type recentManifest struct {
	body        []byte
	contentType string
	at          time.Time
}

func (r *recent) keep(k recentKey, m recentManifest) {
	if len(m.body) > small {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.held == nil {
		r.held = map[recentKey]recentManifest{}
	}
	r.drop(k)
	r.held[k], r.order, r.bytes = m, append(r.order, k), r.bytes+len(m.body)
	for len(r.order) > recentManifests || r.bytes > recentBytes {
		r.drop(r.order[0])
		r.order = r.order[1:]
	}
}

func (r *recent) take(k recentKey, now time.Time) (recentManifest, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m, ok := r.held[k]
	r.drop(k)
	return m, ok && now.Sub(m.at) < recentFor
}

func (r *recent) drop(k recentKey) {
	r.bytes -= len(r.held[k].body)
	delete(r.held, k)
}
