// Package check judges a run in which things were broken: it compares what
// senders were promised with what the blocks of every peer, every queue and
// every index say afterwards. It is pure: it reads its arguments and nothing
// else, and it believes no part of Waybill. Which of its findings a defect
// brings about is shown by planting defects (gateway, TestCheckerCatches).
package check

import "strings"

// Claim is one thing that happened at a registry, as its sender tells it.
type Claim struct {
	ID  string // the sender's own, the same at every attempt
	Key string // what happened: Key of it
}

// Key names what happened in the words of the world outside. It is compared
// with what stands on the ledger, so that an id that Waybill made up cannot
// hide a loss or a repetition.
func Key(action, host, repository, tag, digest string) string {
	return strings.Join([]string{action, host, repository, tag, digest}, " ")
}

// History is the run as the senders saw it. A claim may be in several lists:
// what was promised once is promised, whatever else was answered.
type History struct {
	Promised []Claim // somebody was told 2xx
	Open     []Claim // sent, and no answer was final: it may stand on the ledger, and need not
	Refused  []Claim // told 4xx for good: it may not stand there
	Unheard  []Claim // happened, and its hook never reached a gateway: for the sweep to find
}

// Event is an event in a block.
type Event struct {
	ID  string // Waybill's content key
	Key string
}

// Tx is a transaction in a block, valid or not.
type Tx struct {
	ID      string
	Valid   bool
	Segment string  // the key of the segment it was to record; "" for another act
	Events  []Event // of the segment that it wrote
}

// Block is a block as one peer holds it.
type Block struct {
	Number         uint64
	Hash, Previous string
	State          string // the peer's commit hash, over what every block before left valid and written
	Txs            []Tx
}

// Peer is one peer's chain, from block 0.
type Peer struct {
	Name   string
	Blocks []Block
}

// Outbox is a gateway's queue after the run.
type Outbox struct {
	Name            string
	Waiting, Sealed int
	Dead            []string // keys of what was set aside with a reason
}

// Index is a gateway's index after the run.
type Index struct {
	Name        string
	Height      uint64
	Fingerprint string
	Rebuilt     string         // the fingerprint of one made anew from blocks, up to the same height
	Events      map[string]int // what it tells of events, by key
}

// Run is everything that is judged.
type Run struct {
	History  History
	Peers    []Peer
	Outboxes []Outbox
	Indexes  []Index
	// Swept says that a sweep has looked: then what is unheard must stand too.
	Swept bool
}

// Judge compares. A run without a peer is itself a finding: nothing is proved then.
func Judge(r Run) Report {
	c := newJudge(r)
	c.claims()
	if len(r.Peers) == 0 {
		c.find(Fork, "no peer was read")
	}
	for _, p := range r.Peers {
		c.peer(p)
	}
	c.agreement()
	for _, o := range r.Outboxes {
		if o.Waiting+o.Sealed > 0 {
			c.find(Waiting, "queue of %s: %d waiting, %d sealed after all was healed", o.Name, o.Waiting, o.Sealed)
		}
	}
	for _, x := range r.Indexes {
		c.index(x)
	}
	c.report.sort()
	return c.report
}
