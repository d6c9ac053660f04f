package gateway

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// FsckCode names a kind of difference. Codes are stable: scripts may match them.
type FsckCode string

// The differences that Fsck knows, by who is wrong as far as can be told.
const (
	FsckIndexMissing  FsckCode = "index-missing"
	FsckIndexAhead    FsckCode = "index-ahead"
	FsckIndexHash     FsckCode = "index-hash"
	FsckIndexContents FsckCode = "index-contents"

	FsckQueueSegmentRecorded   FsckCode = "queue-segment-recorded"
	FsckQueueSegmentSuperseded FsckCode = "queue-segment-superseded"
	FsckQueueSegmentTorn       FsckCode = "queue-segment-torn"
	FsckQueueSegmentUnreadable FsckCode = "queue-segment-unreadable"
	FsckQueueSegmentRepeats    FsckCode = "queue-segment-repeats"
	FsckQueueItemRecorded      FsckCode = "queue-item-recorded"
	FsckQueueItemTwice         FsckCode = "queue-item-twice"
	FsckQueueItemBroken        FsckCode = "queue-item-broken"
	FsckQueueEventLost         FsckCode = "queue-event-lost"
	FsckQueueEventForgotten    FsckCode = "queue-event-forgotten"
	FsckQueueNumber            FsckCode = "queue-number"
	FsckQueueCount             FsckCode = "queue-count"

	FsckLedgerChain      FsckCode = "ledger-chain"
	FsckLedgerUnreadable FsckCode = "ledger-unreadable"
	FsckLedgerTwice      FsckCode = "ledger-twice"
	FsckLedgerGap        FsckCode = "ledger-gap"
	FsckLedgerBehind     FsckCode = "ledger-behind"
)

// next is what to do about a difference.
func (c FsckCode) next() string {
	switch c {
	case FsckIndexAhead, FsckLedgerBehind:
		return "wait until this peer has caught up and compare its height with another organisation's; if it was reset for good, rejoin it, then waybill-gateway reindex"
	case FsckQueueSegmentUnreadable:
		return "start the gateway: it asks what became of the stored transaction; put a backup of the queue back if it stays"
	case FsckQueueSegmentRepeats:
		return "keep the gateway stopped until somebody has looked: sending this segment records events a second time"
	case FsckQueueItemBroken:
		return "compare the row with the registry's own record; waybill sweep finds a push that is not recorded"
	case FsckQueueEventLost:
		return "the senders were told that these are safe: waybill sweep finds pushes that are not recorded; pulls and deletions have to be looked up at the registry"
	case FsckLedgerChain:
		return "this peer's chain is damaged or not the one seen before: compare with another organisation's peer, and join this one anew"
	case FsckLedgerUnreadable:
		return "use a gateway of the version that the channel's chaincode has"
	case FsckLedgerTwice:
		return "the ledger cannot be changed: both records stand, and counts of pulls include both; find out which two queues recorded it"
	case FsckLedgerGap:
		return "compare with another organisation's peer; if all lack the numbers, a queue was changed by hand"
	}
	return "stop the gateway and run waybill-gateway fsck --repair"
}

// Finding is one difference between queue, index and ledger.
type Finding struct {
	Code  FsckCode `json:"code"`
	Thing string   `json:"thing"` // what differs: a lane, a segment, an event, a table
	Text  string   `json:"text"`
	Next  string   `json:"next,omitempty"` // what to do about it; empty when it is repaired
	// Repair is what Fsck can do about it; empty: nothing here.
	Repair   string `json:"repair,omitempty"`
	Repaired bool   `json:"repaired"`
}

// FsckReport is what Fsck found.
type FsckReport struct {
	Ledger struct {
		Height       uint64 `json:"height"`
		Hash         string `json:"hash"` // of the last block
		Transactions int64  `json:"transactions"`
		Segments     int64  `json:"segments"`
		Events       int64  `json:"events"`
		// OwnSegments and OwnEvents are those that this queue brought there.
		OwnSegments int64 `json:"ownSegments"`
		OwnEvents   int64 `json:"ownEvents"`
	} `json:"ledger"`
	Index struct {
		Height uint64 `json:"height"`
		Hash   string `json:"hash"`
		// Fingerprint is of what the index holds, Rebuilt of what it ought to hold.
		Fingerprint string `json:"fingerprint"`
		Rebuilt     string `json:"rebuilt"`
	} `json:"index"`
	Queue struct {
		Name    string           `json:"name"` // opens the names of its lanes
		Waiting int64            `json:"waiting"`
		Sealed  int64            `json:"sealed"`
		Dead    int64            `json:"dead"`
		Done    int64            `json:"done"`
		Known   int64            `json:"known"`             // ids of events, recorded or not
		Reasons map[string]int64 `json:"reasons,omitempty"` // of dead letters
	} `json:"queue"`
	// Notes are worth knowing and no differences.
	Notes    []string  `json:"notes"`
	Findings []Finding `json:"findings"`
}

// Left counts the differences that are not repaired.
func (r FsckReport) Left() int {
	n := 0
	for _, f := range r.Findings {
		if !f.Repaired {
			n++
		}
	}
	return n
}

// String prints the report for people.
func (r FsckReport) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "ledger   height %d, %d transactions, %d segments with %d events; of this queue %d with %d\n",
		r.Ledger.Height, r.Ledger.Transactions, r.Ledger.Segments, r.Ledger.Events, r.Ledger.OwnSegments, r.Ledger.OwnEvents)
	fmt.Fprintf(&b, "index    height %d\n", r.Index.Height)
	fmt.Fprintf(&b, "queue    %d waiting, %d sealed, %d dead, %d done, %d ids known\n", r.Queue.Waiting, r.Queue.Sealed, r.Queue.Dead, r.Queue.Done, r.Queue.Known)
	for _, reason := range slices.Sorted(maps.Keys(r.Queue.Reasons)) {
		fmt.Fprintf(&b, "dead     %d: %s\n", r.Queue.Reasons[reason], reason)
	}
	for _, n := range r.Notes {
		fmt.Fprintf(&b, "note     %s\n", n)
	}
	for _, f := range r.Findings {
		fmt.Fprintf(&b, "differs  %s %s: %s\n", f.Code, f.Thing, f.Text)
		switch {
		case f.Repaired:
			fmt.Fprintf(&b, "         repaired: %s\n", f.Repair)
		case f.Repair != "":
			fmt.Fprintf(&b, "         --repair would: %s\n", f.Repair)
		default:
			fmt.Fprintf(&b, "         next: %s\n", f.Next)
		}
	}
	if len(r.Findings) == 0 {
		fmt.Fprintf(&b, "clean    queue, index and ledger say the same\n")
	}
	return b.String()
}
