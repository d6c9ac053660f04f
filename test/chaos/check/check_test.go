package check

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func key(n int) string {
	return Key("push", "registry.example", "app", fmt.Sprint("v", n), fmt.Sprint("sha256:", n))
}

func claim(n int) Claim { return Claim{ID: fmt.Sprint("sender-", n), Key: key(n)} }

func event(n int) Event { return Event{ID: fmt.Sprint("id-", n), Key: key(n)} }

// good is a run without a fault: three promised events, of which one is set
// aside, one without an answer and recorded, one refused, one unheard.
func good() Run {
	chain := func() []Block {
		return []Block{
			{Number: 0, Hash: "h0"},
			{Number: 1, Hash: "h1", Previous: "h0", State: "s1", Txs: []Tx{
				{ID: "t1", Valid: true, Segment: "lane/1", Events: []Event{event(1), event(2)}},
				{ID: "t2", Segment: "lane/2"}, // lost a race, and was sent again in another transaction
			}},
			{Number: 2, Hash: "h2", Previous: "h1", State: "s2", Txs: []Tx{
				{ID: "t3", Valid: true, Segment: "lane/2", Events: []Event{event(4)}},
				{ID: "t3", Segment: "lane/2"}, // the same one, ordered twice
				{ID: "t4", Valid: true},
			}},
		}
	}
	return Run{
		History: History{
			Promised: []Claim{claim(1), claim(1), claim(2), claim(3)}, Open: []Claim{claim(1), claim(4)},
			Refused: []Claim{{ID: "sender-1", Key: "push of something else"}}, Unheard: []Claim{claim(5)},
		},
		Peers:    []Peer{{Name: "a", Blocks: chain()}, {Name: "b", Blocks: chain()}},
		Outboxes: []Outbox{{Name: "a", Dead: []string{key(3)}}},
		Indexes:  []Index{{Name: "a", Height: 3, Fingerprint: "f", Rebuilt: "f", Events: map[string]int{key(1): 1, key(2): 1, key(4): 1}}},
	}
}

func TestGoodRun(t *testing.T) {
	r := Judge(good())
	if len(r.Findings) != 0 {
		t.Fatal(r)
	}
	if !slices.Equal(r.ToSweep, []string{key(5)}) {
		t.Errorf("to be swept: %q", r.ToSweep)
	}
	if r.Promised != 3 || r.Open != 1 || r.Recorded != 3 || r.SetAside != 1 || r.Unheard != 1 || r.Refused != 1 || r.Blocks != 3 || r.Transactions != 5 || r.Invalid != 2 {
		t.Errorf("counts: %+v", r)
	}
	swept := good()
	swept.Swept = true
	for i := range swept.Peers {
		swept.Peers[i].Blocks[2].Txs[2] = Tx{ID: "t4", Valid: true, Segment: "lane/3", Events: []Event{event(5)}}
	}
	swept.Indexes[0].Events[key(5)] = 1
	if r := Judge(swept); len(r.Findings) != 0 || len(r.ToSweep) != 0 {
		t.Errorf("after a sweep: %s", r)
	}
}

// The same thing may really happen twice.
func TestTwoClaimsOfOneKey(t *testing.T) {
	run := good()
	again := Claim{ID: "sender-1b", Key: key(1)}
	run.History.Promised = append(run.History.Promised, again)
	if r := Judge(run); !r.Has(Lost) {
		t.Errorf("one of two is missing: %s", r)
	}
	for i := range run.Peers {
		run.Peers[i].Blocks[2].Txs[0].Events = append(run.Peers[i].Blocks[2].Txs[0].Events, Event{ID: "id-1b", Key: key(1)})
	}
	run.Indexes[0].Events[key(1)] = 2
	if r := Judge(run); len(r.Findings) != 0 {
		t.Error(r)
	}
}

func TestFindings(t *testing.T) {
	for name, c := range map[string]struct {
		damage func(*Run)
		want   Kind
		says   string
	}{
		"lost":                    {func(r *Run) { r.History.Promised = append(r.History.Promised, claim(6)) }, Lost, "v6"},
		"set aside and forgotten": {func(r *Run) { r.Outboxes[0].Dead = nil }, Lost, "v3"},
		"twice by key":            {func(r *Run) { both(r, Event{ID: "id-1b", Key: key(1)}) }, Twice, "happened 1 times, recorded 2"},
		"twice by id":             {func(r *Run) { both(r, Event{ID: "id-1", Key: key(4)}) }, Twice, "event id-1"},
		"recorded and set aside":  {func(r *Run) { r.Outboxes[0].Dead = append(r.Outboxes[0].Dead, key(2)) }, Twice, "set aside 1"},
		"nobody sent it":          {func(r *Run) { both(r, event(9)) }, Stranger, "nobody"},
		"refused":                 {func(r *Run) { both(r, Event{ID: "x", Key: "push of something else"}) }, Stranger, "refused"},
		"set aside, not sent":     {func(r *Run) { r.Outboxes[0].Dead = append(r.Outboxes[0].Dead, key(9)) }, Stranger, "set aside"},
		"waits":                   {func(r *Run) { r.Outboxes[0].Sealed = 1 }, Waiting, "1 sealed"},
		"no peer":                 {func(r *Run) { r.Peers = nil }, Fork, "no peer"},
		"other hash":              {func(r *Run) { r.Peers[1].Blocks[2].Hash = "x" }, Fork, "another hash"},
		"other state":             {func(r *Run) { r.Peers[1].Blocks[1].State = "x" }, Fork, "block 1: peers a and b have another commit hash"},
		"other verdict":           {func(r *Run) { r.Peers[1].Blocks[1].Txs[1].Valid = true }, Fork, "verdict on transaction t2"},
		"other reading":           {func(r *Run) { r.Peers[1].Blocks[2].Txs[0].Events[0].ID = "x" }, Fork, "reading"},
		"fewer transactions":      {func(r *Run) { r.Peers[1].Blocks[2].Txs = nil }, Fork, "number of transactions"},
		"a peer is behind":        {func(r *Run) { r.Peers[1].Blocks = r.Peers[1].Blocks[:2] }, Fork, "holds 2 blocks"},
		"broken chain":            {func(r *Run) { r.Peers[0].Blocks[2].Previous = "x" }, Fork, "follows"},
		"a block left out":        {func(r *Run) { r.Peers[0].Blocks = r.Peers[0].Blocks[1:] }, Fork, "stands in place"},
		"resent, no write":        {func(r *Run) { bothTx(r, Tx{ID: "t9", Valid: true, Segment: "lane/1"}) }, Resent, "t9"},
		"resent, invalid":         {func(r *Run) { bothTx(r, Tx{ID: "t9", Segment: "lane/2"}) }, Resent, "t3"},
		"not the rebuild":         {func(r *Run) { r.Indexes[0].Rebuilt = "x" }, Skewed, "made anew"},
		"index lacks an event":    {func(r *Run) { delete(r.Indexes[0].Events, key(4)) }, Skewed, "told 0 times"},
		"index makes one up":      {func(r *Run) { r.Indexes[0].Events[key(3)] = 1 }, Skewed, "the blocks have it 0 times"},
		"index tells it twice":    {func(r *Run) { r.Indexes[0].Events[key(1)] = 2 }, Skewed, "told 2 times"},
		"index is behind":         {func(r *Run) { r.Indexes[0].Height, r.Indexes[0].Events = 2, map[string]int{key(1): 1, key(2): 1} }, Skewed, "has height 2"},
		"unswept":                 {func(r *Run) { r.Swept = true }, Unswept, "v5"},
	} {
		run := good()
		c.damage(&run)
		r := Judge(run)
		if !r.Has(c.want) || !strings.Contains(r.String(), c.says) {
			t.Errorf("%s: want a finding %q that says %q, got\n%s", name, c.want, c.says, r)
		}
	}
}

// both puts an event onto every chain and into the index, as a peer-wide mistake would.
func both(r *Run, e Event) {
	for i := range r.Peers {
		txs := r.Peers[i].Blocks[2].Txs
		txs[0].Events = append(slices.Clone(txs[0].Events), e)
	}
	r.Indexes[0].Events[e.Key]++
}

func bothTx(r *Run, tx Tx) {
	for i := range r.Peers {
		r.Peers[i].Blocks[2].Txs = append(r.Peers[i].Blocks[2].Txs, tx)
	}
}

// A report stays readable however much is wrong.
func TestReportIsBounded(t *testing.T) {
	run := good()
	for n := 100; n < 1100; n++ {
		run.History.Promised = append(run.History.Promised, claim(n))
	}
	r := Judge(run)
	if r.Count(Lost) != 2000 || strings.Count(r.String(), "\n") > 20 || !strings.Contains(r.String(), "LOST: and 1990 more") {
		t.Error(r)
	}
}
