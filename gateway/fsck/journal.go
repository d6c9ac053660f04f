package fsck

import (
	"crypto/sha256"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/block"
)

// journal is what the ledger holds: 24 bytes of each event, a line of each segment.
type journal struct {
	scope
	queue    string // the name that opens the names of this queue's lanes
	segments []written
	events   []standing
	lanes    map[string]map[uint64]int // this queue's: lane -> number -> place in segments
	txs      int64
	own      int64 // events of this queue
	found    []difference
}

// scope says which events a queue ought to know besides those it recorded
// itself: what an earlier queue of the organisation recorded of the registries
// that notify this gateway may be delivered to it once more.
type scope struct {
	msp     string
	hosts   map[provenance.Host]bool
	forgets time.Time // ids of events before it may be forgotten by the queue; zero: none
}

// written is a segment on the ledger.
type written struct {
	host   provenance.Host
	lane   string
	seq    uint64
	sum    [sha256.Size]byte
	tx     string
	block  uint64
	events int
	own    bool // of this queue
	ours   bool // this queue ought to know its events
}

func (w written) String() string { return fmt.Sprintf("%s/%d", w.lane, w.seq) }

// standing is an event on the ledger.
type standing struct {
	id      provenance.EventID
	old     bool // the queue may have forgotten its id
	segment int32
}

func newJournal(queueName string, of scope) *journal {
	return &journal{scope: of, queue: queueName, lanes: map[string]map[uint64]int{}}
}

// block notes the segments of a block, those of other queues too: an event that
// stands in one of them must not be recorded once more by ours.
func (j *journal) block(b block.Block) {
	for _, tx := range b.Txs {
		j.txs++
		for _, w := range tx.Writes {
			name, ok := state.SplitJournal(w.Key)
			if !ok || w.Delete {
				continue
			}
			if err := j.segment(b.Number, tx, name, w.Value); err != nil {
				j.found = append(j.found, differs(LedgerUnreadable, fmt.Sprintf("block %d", b.Number), "segment %s %s %s/%d: %v", name.Host, name.MSP, name.Lane, name.Seq, err))
			}
		}
	}
}

func (j *journal) segment(block uint64, tx block.Tx, name state.Journal, value []byte) error {
	events, err := provenance.DecodeSegment(value)
	if err != nil {
		return err
	}
	w := written{host: name.Host, lane: name.Lane, seq: name.Seq, tx: tx.ID, block: block, events: len(events)}
	place := int32(len(j.segments))
	for _, e := range events {
		old := e.OccurredAt.Before(j.forgets) || tx.At.Before(j.forgets)
		j.events = append(j.events, standing{id: e.ID, segment: place, old: old})
	}
	w.ours = tx.Creator.MSP == j.msp && j.hosts[w.host]
	// Another organisation may call its lane as ours is called; its segments are under its own name.
	if _, named := j.number(w.lane); named && name.MSP == j.msp {
		w.own = true
		w.ours = true
		w.sum = sha256.Sum256(value)
		if j.lanes[w.lane] == nil {
			j.lanes[w.lane] = map[uint64]int{}
		}
		j.lanes[w.lane][w.seq] = int(place)
		j.own += int64(len(events))
	}
	j.segments = append(j.segments, w)
	return nil
}

// number takes a lane's name apart; ok is false for another queue's.
func (j *journal) number(lane string) (n int, ok bool) {
	text, ours := strings.CutPrefix(lane, j.queue+"-")
	n, err := strconv.Atoi(text)
	return n, ours && err == nil
}

// at returns the segment that stands under a number of this queue's lane.
func (j *journal) at(lane string, seq uint64) (written, bool) {
	place, ok := j.lanes[lane][seq]
	if !ok {
		return written{}, false
	}
	return j.segments[place], true
}

func (j *journal) ownSegments() int64 {
	n := 0
	for _, seqs := range j.lanes {
		n += len(seqs)
	}
	return int64(n)
}
