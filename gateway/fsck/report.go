package fsck

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Code names a kind of difference. Codes are stable: scripts may match them.
type Code string

// The differences that Fsck knows, by who is wrong as far as can be told.
const (
	IndexMissing  Code = "index-missing"
	IndexAhead    Code = "index-ahead"
	IndexHash     Code = "index-hash"
	IndexContents Code = "index-contents"

	QueueSegmentRecorded   Code = "queue-segment-recorded"
	QueueSegmentSuperseded Code = "queue-segment-superseded"
	QueueSegmentTorn       Code = "queue-segment-torn"
	QueueSegmentUnreadable Code = "queue-segment-unreadable"
	QueueSegmentRepeats    Code = "queue-segment-repeats"
	QueueItemRecorded      Code = "queue-item-recorded"
	QueueItemTwice         Code = "queue-item-twice"
	QueueItemBroken        Code = "queue-item-broken"
	QueueEventLost         Code = "queue-event-lost"
	QueueEventForgotten    Code = "queue-event-forgotten"
	QueueNumber            Code = "queue-number"
	QueueCount             Code = "queue-count"

	LedgerChain      Code = "ledger-chain"
	LedgerUnreadable Code = "ledger-unreadable"
	LedgerTwice      Code = "ledger-twice"
	LedgerGap        Code = "ledger-gap"
	LedgerBehind     Code = "ledger-behind"
)

// next is what to do about a difference.
func (c Code) next() string {
	switch c {
	case IndexAhead, LedgerBehind:
		return "wait until this peer has caught up and compare its height with another organisation's; if it was reset for good, rejoin it, then waybill-gateway reindex"
	case QueueSegmentUnreadable:
		return "start the gateway: it asks what became of the stored transaction; put a backup of the queue back if it stays"
	case QueueSegmentRepeats:
		return "keep the gateway stopped until somebody has looked: sending this segment records events a second time"
	case QueueItemBroken:
		return "compare the row with the registry's own record; waybill sweep finds a push that is not recorded"
	case QueueEventLost:
		return "the senders were told that these are safe: waybill sweep finds pushes that are not recorded; pulls and deletions have to be looked up at the registry"
	case LedgerChain:
		return "this peer's chain is damaged or not the one seen before: compare with another organisation's peer, and join this one anew"
	case LedgerUnreadable:
		return "use a gateway of the version that the channel's chaincode has"
	case LedgerTwice:
		return "the ledger cannot be changed: both records stand, and counts of pulls include both; find out which two queues recorded it"
	case LedgerGap:
		return "compare with another organisation's peer; if all lack the numbers, a queue was changed by hand"
	}
	return "stop the gateway and run waybill-gateway fsck --repair"
}

// Finding is one difference between queue, index and ledger.
type Finding struct {
	Code  Code   `json:"code"`
	Thing string `json:"thing"` // what differs: a lane, a segment, an event, a table
	Text  string `json:"text"`
	Next  string `json:"next,omitempty"` // what to do about it; empty when it is repaired
	// Repair is what Fsck can do about it; empty: nothing here.
	Repair   string `json:"repair,omitempty"`
	Repaired bool   `json:"repaired"`
}

// Report is what Fsck found.
type Report struct {
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
func (r Report) Left() int {
	n := 0
	for _, f := range r.Findings {
		if !f.Repaired {
			n++
		}
	}
	return n
}

// String prints the report for people.
func (r Report) String() string {
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
