package queue

import (
	"context"
	"slices"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// freezeFull freezes a memtable that is full.
func (t *idTable) freezeFull() {
	if len(t.memtable.marks) >= t.limit {
		t.freeze()
	}
}

// freeze begins a memtable. The one before becomes a run, after those that are to become one.
func (t *idTable) freeze() {
	if len(t.memtable.marks) == 0 {
		return
	}
	t.behind = append(t.behind, t.memtable)
	t.memtable = newMemtable()
	t.thaw()
}

// thaw hands the oldest full memtable to whoever makes runs, unless he has one.
func (t *idTable) thaw() {
	if t.frozen.Load() == nil && len(t.behind) > 0 {
		t.frozen.Store(t.behind[0])
		t.behind = slices.Clone(t.behind[1:])
	}
	t.backlog.Store(int32(len(t.behind)))
	if t.frozen.Load() == nil {
		return
	}
	select {
	case t.work <- struct{}{}:
	default: // it is known already
	}
}

// admit returns when there is room in memory for more ids: senders come faster than runs
// are made only for a while, and wait for as long as one is made. It is WB_UNAVAILABLE when ctx ends before.
func (t *idTable) admit(ctx context.Context) error {
	for t.backlog.Load() >= maxBacklog && !t.failing.Load() {
		select {
		case <-ctx.Done():
			return provenance.Wrap(provenance.Unavailable, ctx.Err(), "accept events: the ids of those before are not written yet")
		case <-t.caught:
		}
	}
	t.wake() // the next of those who wait
	return nil
}

// wake has one of those who wait look again.
func (t *idTable) wake() {
	select {
	case t.caught <- struct{}{}:
	default: // it is known already
	}
}
