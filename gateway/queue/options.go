package queue

import (
	"log/slog"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// Limits and defaults of Options.
const (
	maxLanes            = 64
	defaultLanes        = 4
	defaultMaxPending   = 1_000_000
	defaultMinFreeBytes = 64 << 20
	defaultLaneTTL      = 5 * time.Second
	minLaneTTL          = 200 * time.Millisecond
	minRemember         = time.Hour
)

// Options say how a queue is opened.
type Options struct {
	// Lanes is the number of independent orders of recording, 1 to 64 (default
	// 4). Repositories are spread over lanes; inside a lane everything happens
	// one after the other. It may change between runs while no segment is open,
	// and on PostgreSQL while no other replica runs.
	Lanes int
	// MaxPending bounds the items that are not yet recorded (default 1,000,000).
	// Replicas that share a database see each other's items with a delay of
	// seconds, and may pass the bound by as much as comes in meanwhile.
	MaxPending int
	// ConnectorShare is how many percent of MaxPending one connector may hold, 1
	// to 100 (default 100: no limit of its own). With 100 divided by the number
	// of connectors none can take another's room.
	ConnectorShare int
	// MinFreeBytes is the free disk space under which nothing is accepted
	// (default 64 MiB), so that the disk never fills in the middle of a commit.
	// On PostgreSQL it means nothing: the server's disk is the server's care.
	MinFreeBytes int64
	// Remember is how long the id of a recorded event stays known, at least an
	// hour; 0 is for ever. A delivery repeated later than that is a new event; a
	// file may know it for about an eighth longer.
	// Ids of events that are not recorded yet are never forgotten.
	Remember time.Duration
	// LaneTTL is how long a replica on PostgreSQL keeps its lanes without a word
	// (default 5 s): the time after which a dead one is replaced.
	LaneTTL time.Duration
	// Exclusive refuses a queue that another process works on, also on PostgreSQL;
	// there a replica that ended without a word is waited for, about LaneTTL. Until
	// Close nothing is forgotten. It does not keep out who comes later.
	Exclusive bool
	// Log receives what an operator should know; nil discards it.
	Log *slog.Logger

	memtable int // ids; 0: memtableIDs
}

func (o Options) withDefaults() (Options, error) {
	if o.Lanes == 0 {
		o.Lanes = defaultLanes
	}
	if o.MaxPending == 0 {
		o.MaxPending = defaultMaxPending
	}
	if o.ConnectorShare == 0 {
		o.ConnectorShare = 100
	}
	if o.MinFreeBytes == 0 {
		o.MinFreeBytes = defaultMinFreeBytes
	}
	if o.LaneTTL == 0 {
		o.LaneTTL = defaultLaneTTL
	}
	if o.memtable == 0 {
		o.memtable = memtableIDs
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Lanes < 1 || o.Lanes > maxLanes || o.MaxPending < 1 || o.MinFreeBytes < 0 {
		return o, provenance.Errorf(provenance.Invalid, "queue options: want 1 to %d lanes, at least 1 pending item, free bytes not negative", maxLanes)
	}
	if o.ConnectorShare < 1 || o.ConnectorShare > 100 {
		return o, provenance.Errorf(provenance.Invalid, "queue options: want a connector's share of 1 to 100 percent, not %d", o.ConnectorShare)
	}
	if o.Remember != 0 && o.Remember < minRemember || o.LaneTTL < minLaneTTL {
		return o, provenance.Errorf(provenance.Invalid, "queue options: want ids remembered for at least %s (0: for ever), lanes kept for at least %s", minRemember, minLaneTTL)
	}
	return o, nil
}

// connectorLimit is the most items of one connector that may be unrecorded.
func (o Options) connectorLimit() int64 {
	return max(1, int64(o.MaxPending)*int64(o.ConnectorShare)/100)
}
