// Package delivery holds a registry's notification on its way: what intake hands
// to the queue, and what the queue tells its operators: dead letters, and every
// unusable event.
package delivery

import (
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// Delivery is one event as it was delivered.
type Delivery struct {
	Host       provenance.Host
	Connector  string
	Event      provenance.Event
	BodyHash   [32]byte // of the event's own JSON, without white space
	ReceivedAt time.Time
}

// Unresolved tells that the event is a push whose sender named a tag and no
// digest (Quay, Docker Hub, Nexus): Event.Digest is zero, Event.Check refuses
// it, and somebody has to ask the registry what the tag names now before the
// event may stand on the ledger. Such a push is only a hint that the tag moved:
// two of them in a row may resolve to one digest. Quay's retries have no id to
// repeat: one that follows a lost answer is another event with the same BodyHash.
//
// It is a method, not a field, because it follows from the event alone and so
// survives every store that keeps the event.
func (d Delivery) Unresolved() bool { return Unresolved(d.Event) }

// Unresolved tells the same of an event.
func Unresolved(e provenance.Event) bool {
	return e.Action == provenance.Push && e.Digest.IsZero() && e.Tag != ""
}

// IfGone tells that the event is a deletion which its sender reported of a tag, with the
// image that the tag named (ECR, zot): the image may be gone with its last tag, or have
// others. It is a fact only if the registry no longer serves the image; otherwise,
// and where nobody can ask the registry, it is none.
func IfGone(e provenance.Event) bool { return e.Action == provenance.Delete && e.Tag != "" }

// Placeholder stands in the queue for the digest of an unresolved push: the hash
// of nothing, which no manifest has.
func Placeholder() provenance.Digest { return provenance.SHA256Of(nil) }

// Accepted counts the deliveries that one call stored, and those it knew.
type Accepted struct{ New, Duplicate int }

// Stats counts the deliveries of a queue.
type Stats struct {
	Pending int64 // waiting for a segment
	Sealed  int64 // in a segment that is not yet known to be recorded
	Dead    int64
	Done    int64 // recorded since the database was created
	// OldestPending is when the oldest waiting one was received; zero when none waits.
	OldestPending time.Time
}

// DeadLetter is a delivery, or a task that followed from one, that the gateway
// gave up on.
type DeadLetter struct {
	ID         int64
	Host       provenance.Host
	Connector  string // or the kind of task
	Event      provenance.Event
	Attempts   int
	Reason     string
	ReceivedAt time.Time
}

// MaxUnusable is how much of an event that cannot be used is kept, in bytes.
const MaxUnusable = 16 << 10

// Unusable is what a known sender sent and nothing could be made of: an event,
// or a whole body that could not be read. It is kept so that an operator sees
// it; nothing follows from it by itself.
type Unusable struct {
	ID        int64 // of the store that keeps it
	Host      provenance.Host
	Connector string
	Reason    string
	// Hash and Size are of all that was received of it, of which Body holds at most
	// the first MaxUnusable bytes, without what is confidential in it.
	Hash       [32]byte
	Size       int64
	Body       []byte
	Times      int64 // how often the same came
	ReceivedAt time.Time
	LastAt     time.Time
}

// UnusableCount is how many are kept of one connector, and how many had to
// leave for newer ones.
type UnusableCount struct{ Kept, Dropped int64 }
