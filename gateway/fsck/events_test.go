package fsck

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/block"
	"github.com/waybill-dev/waybill/gateway/follow"
	"github.com/waybill-dev/waybill/gateway/queue"
)

// TestEventCheck writes an event as one letter. Segments 0 and 1 are this
// queue's, 2 another's, 3 one of another registry.
func TestEventCheck(t *testing.T) {
	segments := []written{{host: "a", lane: "q-0", seq: 1, ours: true}, {host: "a", lane: "q-1", seq: 1, ours: true}, {host: "a", lane: "other-0", seq: 1}, {host: "b", lane: "q-0", seq: 2, ours: true}}
	id := func(r rune) (out provenance.EventID) {
		out[0] = byte(r)
		return out
	}
	on := func(segment int32, letters string) (out []standing) {
		for _, r := range letters {
			out = append(out, standing{id: id(r), segment: segment, old: r >= 'x'})
		}
		return out
	}
	held := func(s queue.State, host provenance.Host, letters string) (out []queue.AuditItem) {
		for _, r := range letters {
			out = append(out, queue.AuditItem{ID: int64(r), State: s, Host: host, Event: id(r)})
		}
		return out
	}
	for name, c := range map[string]struct {
		ledger []standing
		items  []queue.AuditItem
		known  string
		want   []string
	}{
		"nothing":                         {},
		"all is well":                     {on(0, "ac"), held(queue.StateWaiting, "a", "be"), "abce", nil},
		"lost":                            {on(0, "b"), nil, "abcd", []string{"queue-event-lost 3"}},
		"forgotten":                       {on(1, "bd"), nil, "b", []string{"queue-event-forgotten 1"}},
		"forgotten, all":                  {on(1, "bd"), nil, "", []string{"queue-event-forgotten 2"}},
		"forgotten, old enough":           {on(1, "xyz"), nil, "", nil},
		"another queue's":                 {on(2, "abc"), nil, "", nil},
		"an item is not known":            {nil, held(queue.StateDead, "a", "c"), "", []string{"queue-event-forgotten 1"}},
		"waits and stands":                {on(0, "ab"), held(queue.StateWaiting, "a", "b"), "ab", []string{"queue-item-recorded 1 waiting"}},
		"dead and stands":                 {on(0, "ab"), held(queue.StateDead, "a", "ba"), "ab", []string{"queue-item-recorded 2 dead"}},
		"sealed and stands":               {on(0, "ab"), held(queue.StateSealed, "a", "b"), "ab", []string{"queue-segment-repeats 1"}},
		"stands by another queue":         {on(2, "b"), held(queue.StateWaiting, "a", "b"), "b", []string{"queue-item-recorded 1 waiting"}},
		"stands for another registry":     {on(3, "b"), held(queue.StateWaiting, "a", "b"), "b", nil},
		"twice in the queue":              {nil, slices.Concat(held(queue.StateWaiting, "a", "bc"), held(queue.StateWaiting, "a", "b")), "bc", []string{"queue-item-twice 1"}},
		"twice, of two registries":        {nil, slices.Concat(held(queue.StateWaiting, "a", "b"), held(queue.StateWaiting, "b", "b")), "b", nil},
		"twice in one segment":            {on(0, "bb"), nil, "b", []string{"ledger-twice it"}},
		"twice by two queues":             {slices.Concat(on(0, "abc"), on(2, "bc")), nil, "abc", []string{"ledger-twice it", "ledger-twice it"}},
		"for two registries":              {slices.Concat(on(0, "b"), on(3, "b")), nil, "b", nil},
		"stands twice and waits":          {slices.Concat(on(0, "b"), on(1, "b")), held(queue.StateWaiting, "a", "b"), "b", []string{"queue-item-recorded 1 waiting", "ledger-twice it"}},
		"known after everything else":     {on(0, "a"), nil, "az", []string{"queue-event-lost 1"}},
		"known before everything else":    {on(0, "z"), held(queue.StateWaiting, "a", "y"), "ayz", []string{"queue-event-lost 1"}},
		"unsorted, and of several states": {on(0, "zyxa"), slices.Concat(held(queue.StateDead, "a", "d"), held(queue.StateWaiting, "a", "cb")), "abcdxyz", nil},
	} {
		t.Run(name, func(t *testing.T) {
			check := newEventCheck(segments, c.ledger, c.items)
			for _, r := range c.known {
				if err := check.knows(id(r)); err != nil {
					t.Fatal(err)
				}
			}
			check.end()
			var got []string
			for _, d := range check.differences() {
				words := strings.Fields(d.Text)
				line := string(d.Code) + " " + words[0]
				if d.Code == QueueItemRecorded {
					line += " " + words[1]
				}
				got = append(got, line)
			}
			if diff := cmp.Diff(c.want, got); diff != "" || check.known != int64(len(c.known)) {
				t.Error(check.known, diff)
			}
		})
	}
}

// TestLaneNumbers compares a lane's numbers, as the queue counts them, with
// those on the ledger.
func TestLaneNumbers(t *testing.T) {
	for name, c := range map[string]struct {
		next, block uint64
		open        uint64 // an open segment that is not on the ledger; 0: none
		ledger      []uint64
		want        []Code
		mends       bool
	}{
		"new":                       {next: 1},
		"level":                     {next: 4, block: 9, ledger: []uint64{1, 2, 3}},
		"level, one on its way":     {next: 4, block: 9, open: 4, ledger: []uint64{1, 2, 3}},
		"behind":                    {next: 2, block: 9, ledger: []uint64{1, 2, 3}, want: []Code{QueueNumber}, mends: true},
		"behind, one on its way":    {next: 2, block: 9, open: 2, ledger: []uint64{1, 3}, want: []Code{LedgerGap, QueueNumber}},
		"ahead":                     {next: 5, block: 9, ledger: []uint64{1, 2, 3}, want: []Code{LedgerBehind}},
		"ahead of the peer's chain": {next: 5, block: 30, ledger: []uint64{1, 2, 3}, want: []Code{LedgerBehind}},
		"nothing on the ledger":     {next: 3, block: 9, want: []Code{LedgerBehind}},
		"a gap":                     {next: 4, block: 9, ledger: []uint64{1, 3}, want: []Code{LedgerGap}},
		"gaps, and behind":          {next: 1, ledger: []uint64{2, 9}, want: []Code{LedgerGap, QueueNumber}, mends: true},
	} {
		j := newJournal("q", scope{})
		j.lanes["q-0"] = map[uint64]int{}
		for _, seq := range c.ledger {
			j.lanes["q-0"][seq] = 0
		}
		l := queue.AuditLane{Name: "q-0", Next: c.next, Block: c.block}
		if c.open > 0 {
			l.Open = &queue.Segment{Seq: c.open}
		}
		check := &laneCheck{journal: j, usable: 1, height: 20}
		var got []Code
		mends := false
		for _, d := range check.numbers(l) {
			got = append(got, d.Code)
			mends = mends || d.repair != nil
		}
		if diff := cmp.Diff(c.want, got); diff != "" || mends != c.mends {
			t.Errorf("%s: mends %v, %s", name, mends, diff)
		}
		l.Lane, check.usable = 7, 4 // of a time when there were more lanes
		for _, d := range check.numbers(l) {
			if d.repair != nil {
				t.Errorf("%s: a lane that nobody holds is changed", name)
			}
		}
	}
}

// stream is a peer that ends its blocks with an error.
type stream struct {
	peerOf
	err error
}

func (s stream) Blocks(_ context.Context, _ uint64, apply func(block.Block) error) error {
	for _, b := range s.peerOf {
		if err := apply(b); err != nil {
			return err
		}
	}
	return s.err
}

func TestReadChain(t *testing.T) {
	p := peerOf{{Hash: []byte("0")}}
	for range 5 {
		p = p.with(block.Write{Key: fmt.Sprint("key ", len(p))})
	}
	own := errors.New("the taker's own")
	twice := slices.Concat(p[:3], p[2:])
	begun := slices.Clone(p)
	begun[0].PreviousHash = []byte("not the first")
	for name, c := range map[string]struct {
		peer   follow.Source
		height uint64
		take   error
		blocks int
		broken bool
		code   provenance.Code
	}{
		"nothing":                 {peer: p},
		"whole":                   {peer: p, height: 6, blocks: 6},
		"what comes later":        {peer: p, height: 4, blocks: 4},
		"a block twice":           {peer: twice, height: 6, blocks: 3, broken: true},
		"a block left out":        {peer: slices.Concat(p[:2], p[3:]), height: 6, blocks: 2, broken: true},
		"a first that is not one": {peer: begun, height: 6, broken: true},
		"the stream's own check":  {peer: stream{p[:3], provenance.Errorf(provenance.Internal, "the data do not hash")}, height: 6, blocks: 3, broken: true},
		"another error":           {peer: stream{p[:3], provenance.Errorf(provenance.Forbidden, "no reader")}, height: 6, blocks: 3, code: provenance.Forbidden},
		"a peer that went away":   {peer: p, height: 9, blocks: 6, code: provenance.Unavailable},
		"the taker fails":         {peer: p, height: 6, take: own, blocks: 1},
	} {
		n := 0
		err := follow.ReadChain(t.Context(), c.peer, c.height, 50*time.Millisecond, slog.New(slog.DiscardHandler), func(block.Block) error {
			n++
			return c.take
		})
		var broken *follow.BrokenError
		switch {
		case n != c.blocks || errors.As(err, &broken) != c.broken:
			t.Errorf("%s: %d blocks, %v", name, n, err)
		case c.broken && broken.Block != uint64(n):
			t.Errorf("%s: it breaks at block %d, not %d", name, n, broken.Block)
		case c.take != nil && !errors.Is(err, c.take), c.code != "" && provenance.CodeOf(err) != c.code:
			t.Errorf("%s: %v", name, err)
		case !c.broken && c.take == nil && c.code == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := follow.ReadChain(ctx, p, 9, time.Minute, slog.New(slog.DiscardHandler), func(block.Block) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
