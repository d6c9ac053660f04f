package fsck

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/block"
	"github.com/waybill-dev/waybill/gateway/follow"
	"github.com/waybill-dev/waybill/gateway/queue"
)

// Run compares queue, index and ledger while the gateway is stopped, and with
// repair mends what the ledger proves. The truth is the own peer's chain: every
// block of it is read, and an index is built beside the one there is, so it
// takes the time and the room of a reindex, and 24 bytes of memory for every
// event on the ledger. Without repair it changes neither queue nor index.
//
// It fails where it cannot compare: the gateway or a replica of it runs
// (WB_CONFLICT), the peer does not answer (WB_UNAVAILABLE), there is no queue
// (WB_NOT_FOUND). What a failed repair was preceded by is in the report.
// A crash anywhere leaves what each single repair leaves: run it again.
func Run(ctx context.Context, o Options, repair bool) (r Report, err error) {
	q, err := queue.Open(ctx, o.Queue, o.QueueOptions)
	if provenance.CodeOf(err) == provenance.Conflict {
		return r, fmt.Errorf("%w (fsck wants the gateway stopped)", err)
	}
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, q.Close()) }() //nolint:contextcheck // it closes after ctx has ended
	peer, err := o.Dial()
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, peer.Close()) }()
	s := scope{msp: o.MSPID, hosts: o.Hosts}
	if o.Remember > 0 {
		s.forgets = time.Now().Add(-o.Remember)
	}
	c := &run{index: o.Index, queue: q, peer: peer, log: o.Log, stall: follow.Stall, scope: s}
	return c.run(ctx, repair)
}

// Options say what is compared with what.
type Options struct {
	Queue, Index string // their places: a file, or the URL of a database
	QueueOptions queue.Options
	// Dial reaches the own peer; it is called once the queue is ours.
	Dial  func() (Peer, error)
	MSPID string
	// Hosts are the registries that connectors of this gateway speak for.
	Hosts map[provenance.Host]bool
	// Remember is how long the queue knows ids; 0: for ever.
	Remember time.Duration
	Log      *slog.Logger
}

// Peer is a peer whose chain is read.
type Peer interface {
	follow.Source
	Close() error
}

// run is one run.
type run struct {
	index string // its place
	queue *queue.Queue
	peer  follow.Source
	log   *slog.Logger
	stall time.Duration
	scope scope
}

func (c *run) run(ctx context.Context, repair bool) (r Report, err error) {
	r.Notes, r.Findings = []string{}, []Finding{}
	found, replaced, err := c.compare(ctx, &r)
	defer func() {
		if replaced != nil {
			err = errors.Join(err, replaced.close())
		}
	}()
	if err != nil {
		return r, err
	}
	for _, d := range found {
		if repair && d.repair != nil {
			if err := d.repair(ctx, c.queue); err != nil {
				return r, fmt.Errorf("repair %s of %s: %w", d.Code, d.Thing, err)
			}
			d.Repaired, d.Next = true, ""
			c.log.InfoContext(ctx, "repaired", slog.String("code", string(d.Code)), slog.String("thing", d.Thing), slog.String("repair", d.Repair))
		}
		r.Findings = append(r.Findings, d.Finding)
	}
	return r, nil
}

// compare finds the differences, in the order in which they are to be repaired:
// open segments, then single events, then numbers, then the count, then the
// index. The indexes stay open for that.
func (c *run) compare(ctx context.Context, r *Report) ([]difference, *indexCheck, error) {
	height, err := c.peer.Height(ctx)
	if err != nil {
		return nil, nil, err
	}
	r.Ledger.Height, r.Queue.Name = height, c.queue.Name()
	var items []queue.AuditItem
	audit, err := c.queue.Audit(ctx, func(it queue.AuditItem) error {
		items = append(items, it)
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	x, err := openIndexCheck(ctx, c.index, height)
	if err != nil {
		return nil, x, err
	}
	j := newJournal(c.queue.Name(), c.scope)
	err = follow.ReadChain(ctx, c.peer, height, c.stall, c.log, func(b block.Block) error {
		j.block(b)
		r.Ledger.Hash = hex.EncodeToString(b.Hash)
		return x.block(ctx, b)
	})
	fill(r, j, audit)
	var broken *follow.BrokenError
	if errors.As(err, &broken) {
		r.Notes = append(r.Notes, "nothing else is compared with a chain that does not hang together")
		return []difference{differs(LedgerChain, fmt.Sprintf("block %d", broken.Block), "%v", broken.Cause)}, x, nil
	}
	if err != nil {
		return nil, x, err
	}
	found, err := c.compareQueue(ctx, r, j, audit, items)
	if err != nil {
		return nil, x, err
	}
	indexes, err := x.compare(ctx, r)
	return append(found, indexes...), x, err
}

func fill(r *Report, j *journal, a queue.Audit) {
	l, q := &r.Ledger, &r.Queue
	l.Transactions, l.Segments, l.Events, l.OwnSegments, l.OwnEvents = j.txs, int64(len(j.segments)), int64(len(j.events)), j.ownSegments(), j.own
	q.Waiting, q.Sealed, q.Dead, q.Done, q.Reasons = a.Waiting, a.Sealed, a.Dead, a.Done, a.Reasons
}

func (c *run) compareQueue(ctx context.Context, r *Report, j *journal, audit queue.Audit, items []queue.AuditItem) ([]difference, error) {
	var found []difference
	for _, f := range audit.Faults {
		found = append(found, differs(QueueItemBroken, f.Thing, "%s", f.Text))
	}
	found = append(found, j.found...)
	lanes := &laneCheck{journal: j, audit: audit, usable: c.queue.Lanes(), height: r.Ledger.Height, items: items}
	segments, numbers := lanes.compare()
	r.Notes = append(r.Notes, lanes.notes...)
	events := newEventCheck(j.segments, j.events, lanes.items)
	if err := c.queue.KnownIDs(ctx, events.knows); err != nil {
		return nil, err
	}
	events.end()
	r.Queue.Known = events.known
	found = append(append(append(found, segments...), events.differences()...), numbers...)
	sure := true
	for _, d := range found {
		sure = sure && !strings.HasPrefix(string(d.Code), "ledger-")
	}
	return append(found, lanes.count(sure)...), nil
}

// difference is a Finding and its repair, nil where there is none.
type difference struct {
	Finding
	repair func(ctx context.Context, q *queue.Queue) error
}

func differs(code Code, thing, format string, args ...any) difference {
	return difference{Finding: Finding{Code: code, Thing: thing, Text: fmt.Sprintf(format, args...), Next: code.next()}}
}

// by adds a repair.
func (d difference) by(what string, mend func(context.Context, *queue.Queue) error) difference {
	d.Repair, d.repair = what, mend
	return d
}
