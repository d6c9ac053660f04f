package readmodel

import "time"

// Freshness is how well the gateway follows its peer.
type Freshness struct {
	// Stale: the block stream is silent or behind, so answers may be old.
	Stale bool
	// Ready: the index has caught up with the peer and the stream is alive.
	Ready bool
	// PeerHeight is what the peer said when it was last asked: the index may have passed it since.
	PeerHeight uint64
	// LastBlock is when the stream last spoke; zero before that.
	LastBlock time.Time
	// Waiting says why recorded events do not reach the ledger; "" when they do.
	Waiting string
}
