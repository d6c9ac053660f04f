package fsck

import (
	"strings"
	"testing"

	"github.com/waybill-dev/waybill/gateway/record/recordtest"
)

// Each damage is done to the tables by hand; it is found, and where the ledger
// proves what is right it is repaired, and the gateway records everything once.
func TestFsckDamage(t *testing.T) {
	const waiting = 6
	for name, c := range map[string]struct {
		seal   bool // leave an open segment, before
		order  bool // ... and bring it onto the ledger
		damage []string
		want   []Code
		left   bool // it cannot be repaired
		server bool // try it on PostgreSQL too
	}{
		"a recorded event waits again": {
			order: true, seal: true,
			damage: []string{`DELETE FROM segments`, `UPDATE items SET state = 0 WHERE state = 1`, `UPDATE lanes SET next = next + 1 WHERE lane = (SELECT max(lane) FROM items)`},
			want:   []Code{QueueItemRecorded, QueueCount}, server: true,
		},
		"a recorded event is a dead letter": {
			order: true, seal: true,
			damage: []string{`DELETE FROM segments`, `UPDATE items SET state = 2, reason = 'by hand' WHERE state = 1`, `UPDATE lanes SET next = next + 1 WHERE lane = (SELECT max(lane) FROM items)`},
			want:   []Code{QueueItemRecorded, QueueCount},
		},
		"a lane's number is set back":       {damage: []string{`UPDATE lanes SET next = 1 WHERE lane < 2`}, want: []Code{QueueNumber}, server: true},
		"a lane's row is gone":              {damage: []string{`DELETE FROM lanes`}, want: []Code{QueueNumber}},
		"ids are forgotten":                 {damage: []string{`DELETE FROM seen`}, want: []Code{QueueEventForgotten}, server: true},
		"the count is wrong":                {damage: []string{`UPDATE meta SET done = 3`}, want: []Code{QueueCount}, server: true},
		"sealed items without a segment":    {seal: true, damage: []string{`DELETE FROM segments`}, want: []Code{QueueSegmentTorn}},
		"sealed items that wait":            {seal: true, damage: []string{`UPDATE items SET state = 0 WHERE state = 1`}, want: []Code{QueueSegmentTorn}, server: true},
		"recorded items that wait":          {seal: true, order: true, damage: []string{`UPDATE items SET state = 0 WHERE state = 1`}, want: []Code{QueueSegmentRecorded, QueueSegmentTorn}},
		"waiting items that say sealed":     {damage: []string{`UPDATE items SET state = 1 WHERE state = 0`}, want: []Code{QueueSegmentTorn}},
		"an event is there twice":           {damage: []string{`INSERT INTO items (state, lane, repo, connector, event, body, received, attempts, due, reason) SELECT state, lane, repo, connector, event, body, received, attempts, due, reason FROM items`}, want: []Code{QueueItemTwice}},
		"an accepted event is gone":         {damage: []string{`DELETE FROM items WHERE id = (SELECT max(id) FROM items)`}, want: []Code{QueueEventLost}, left: true, server: true},
		"an event cannot be read":           {damage: []string{`UPDATE items SET event = body WHERE id = (SELECT max(id) FROM items)`}, want: []Code{QueueItemBroken, QueueEventLost}, left: true},
		"a state that there is not":         {damage: []string{`UPDATE items SET state = 7 WHERE id = (SELECT max(id) FROM items)`}, want: []Code{QueueItemBroken, QueueEventLost}, left: true},
		"an open segment cannot be read":    {seal: true, damage: []string{`UPDATE segments SET bytes = tx`}, want: []Code{QueueSegmentUnreadable}, left: true},
		"a recorded segment cannot be read": {seal: true, order: true, damage: []string{`UPDATE segments SET bytes = tx`}, want: []Code{QueueSegmentSuperseded, QueueItemRecorded, QueueNumber, QueueCount}},
		"a number beyond the ledger":        {damage: []string{`UPDATE lanes SET next = next + 5`}, want: []Code{LedgerBehind}, left: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onQueues(t, func(t *testing.T, fresh func(t *testing.T) *installation) {
				if !c.server && strings.HasSuffix(t.Name(), "postgres") {
					return // each takes seconds, and the tables are the same
				}
				b := fresh(t)
				if c.seal {
					b.Accept(recordtest.Pushes("sealed", waiting)...)
					b.Recorder.Limits.Events = waiting
					b.seal()
				} else {
					b.Accept(recordtest.Pushes("waiting", waiting)...)
				}
				if c.order {
					b.order()
				}
				b.damage(c.damage...)
				if c.left {
					b.wantFound(c.want...)
					if r := b.fsck(true); r.Left() != len(r.Findings) {
						t.Errorf("repaired without proof:\n%s", r)
					}
					return
				}
				b.wantClean(c.want...)
				b.Accept(recordtest.Pushes("repo0", 12)...) // delivered again
				b.Run(t.Context(), recordtest.Empty)
				b.wantAll(4*12 + waiting)
				if r := b.fsck(false); len(r.Findings) > 0 || strings.Contains(r.String(), "dead  ") {
					t.Errorf("after the run:\n%s", r)
				}
			})
		})
	}
}
