package model

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/waybill-dev/waybill/chaincode/contract/contracttest"
	policypkg "github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
)

// act is one thing that somebody does. What it names by a hash or an id is found
// when it is done, so that it still means something where acts before it are
// left out.
type act struct {
	Wait  time.Duration // passes before
	Still bool          `json:",omitempty"` // no gateway moves the clock meanwhile
	By    person
	Skew  time.Duration `json:",omitempty"` // of the time that it claims
	Do    string        // the transaction, or "commit"
	Repo  string        `json:",omitempty"`
	Image int           `json:",omitempty"`
	Stage string        `json:",omitempty"`
	N     int           `json:",omitempty"` // which of several, or how many
	Lie   string        `json:",omitempty"` // what is wrong with it
	Text  string        `json:",omitempty"`
	// Drawer: its endorsement is kept there.
	Drawer int `json:",omitempty"`
	// Without: the organisation whose peers endorse it not.
	Without string `json:",omitempty"`
}

func (a act) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "+%v", a.Wait)
	if a.Still {
		b.WriteString(" (clock stands)")
	}
	fmt.Fprintf(&b, " %v %s", a.By, a.Do)
	for _, part := range []struct {
		has  bool
		text string
	}{
		{a.Repo != "", fmt.Sprintf("%s#%d", a.Repo, a.Image)}, {a.Stage != "", a.Stage}, {a.N != 0, fmt.Sprint("n=", a.N)}, {a.Text != "", fmt.Sprintf("%q", a.Text)},
		{a.Lie != "", "LIE " + a.Lie}, {a.Skew != 0, fmt.Sprint("dated ", a.Skew)}, {a.Drawer != 0, fmt.Sprint("drawer ", a.Drawer)}, {a.Without != "", "without " + a.Without},
	} {
		if part.has {
			b.WriteString(" " + part.text)
		}
	}
	return b.String()
}

// kept is an endorsement in a drawer.
type kept struct {
	e  *contracttest.Endorsement
	a  act
	at time.Time
	fn func() func() // what the model makes of it
	p  *resolved
}

// world is the chaincode and the model, side by side.
type world struct {
	*law
	ledger  *contracttest.Ledger
	rights  bool // whether to look at who writes whose keys
	txs     int
	segment int
	drawers map[int]kept
	saws    map[subject][]sawn // what approvers could have seen before
	count   *coverage
	now     time.Time
	told    string // what the chaincode said last
	dirty   map[subject]bool
	asked   int
}

type sawn struct {
	attempt, version  int
	hash, set, policy string
	modelSet          string
}

// coverage counts what was done.
type coverage struct{ accepted, refused, stale map[string]int }

func newCoverage() *coverage {
	return &coverage{map[string]int{}, map[string]int{}, map[string]int{}}
}

// divergence is where the two do not agree.
type divergence struct{ text string }

func (d *divergence) Error() string { return d.text }

func diverge(format string, args ...any) error { return &divergence{fmt.Sprintf(format, args...)} }

var begin = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

func newWorld(start int, with *planted) (*world, error) {
	s, err := starting(start)
	if err != nil {
		return nil, err
	}
	cc := s.chaincode
	if with != nil {
		cc = &defective{cc, with}
	}
	w := &world{law: newLaw(), ledger: s.ledger.Clone(cc), drawers: map[int]kept{}, saws: map[subject][]sawn{}, count: newCoverage(), now: s.now, txs: s.txs, rights: true, dirty: map[subject]bool{}}
	if with != nil && with.unchecked != "" {
		w.ledger.Unchecked = func(key string) bool { return typeOf(key) == with.unchecked }
	}
	found(w.law, start)
	w.clock, w.ticks = s.clock, 1
	return w, nil
}

func (w *world) endorse(by person, at time.Time, transient map[string][]byte, args ...string) *contracttest.Endorsement {
	w.txs++
	return w.ledger.Endorse(contracttest.Proposal{Creator: creator(by), At: at, Args: args, Transient: transient, TxID: fmt.Sprintf("%064x", w.txs), Peer: by.org})
}

// reader is who asks.
var reader = person{audit, "auditor"}

// ask is the verdict on a subject: mostly as a gateway computes it from the same
// records, which is quick, and as the contract answers it.
func (w *world) ask(s subject) ([]byte, error) {
	if w.asked++; w.asked%4 != 0 {
		v, err := state.Ask(state.WithPolicyCache(state.NewDirectory(committed{w.ledger}), parsed), state.Subject{Stage: s.stage, Host: host, Repository: provenance.Repository(s.repo), Digest: corpus()[s.image].digest}, w.now)
		if err != nil {
			return nil, diverge("the verdict on %v: %v", s, err)
		}
		return state.Answer(v)
	}
	e := w.endorse(reader, w.now, nil, "verdict:Ask", host, s.repo, digest(s.image), s.stage)
	if !e.OK() {
		return nil, diverge("verdict:Ask %v: %s", s, e.Message)
	}
	return e.Payload, nil
}

// committed reads a ledger as a gateway reads its index.
type committed struct{ *contracttest.Ledger }

// Get implements state.Reader.
func (c committed) Get(keys ...string) ([][]byte, error) {
	values := make([][]byte, len(keys))
	for i, k := range keys {
		values[i] = c.Ledger.Get(k)
	}
	return values, nil
}

var parsed = new(policypkg.Cache)

func digest(image int) string { return corpus()[image].digest.String() }

// agree compares the two verdicts on a subject, rule by rule.
func (w *world) agree(s subject) error {
	payload, err := w.ask(s)
	if err != nil {
		return err
	}
	return w.same(s, payload, w.judge(s, w.now), true)
}

func (w *world) same(s subject, payload []byte, v *verdict, rules bool) error {
	var got struct {
		Verdict     string `json:"verdict"`
		EvidenceSet string `json:"evidenceSet"`
		Attempt     int    `json:"attempt"`
		Reasons     []struct {
			Rule    string  `json:"rule"`
			Outcome outcome `json:"outcome"`
			Detail  string  `json:"detail"`
		} `json:"reasons"`
	}
	if err := json.Unmarshal(payload, &got); err != nil {
		return diverge("verdict of %v: %s: %v", s, payload, err)
	}
	said := func() string {
		var b strings.Builder
		for _, r := range got.Reasons {
			fmt.Fprintf(&b, "\n      %s %s: %s", r.Rule, r.Outcome, r.Detail)
		}
		fmt.Fprintf(&b, "\n    the model: %s %v", v.answer, v.rules)
		return b.String()
	}
	w.count.accepted["? "+got.Verdict]++
	if got.Verdict == "denied" && v.f.own != nil {
		w.count.accepted["? denied, released"]++
	}
	if v.f.own != nil && v.f.via {
		w.count.accepted["? released with an index"]++
	}
	if v.f.lapsed() {
		w.count.accepted["? lapsed"]++
	}
	for _, r := range v.rules {
		if r.is == waived {
			w.count.accepted["? waived"]++
		}
	}
	if !rules && got.Verdict == "pending" && len(got.Reasons) > 0 && got.Reasons[len(got.Reasons)-1].Rule == "release" {
		return nil // it waits for the gate, or for a person
	}
	if got.Verdict != v.answer {
		return diverge("%v is %s, and %s by the model:%s", s, got.Verdict, v.answer, said())
	}
	if rules && len(v.rules) > 0 {
		for _, want := range v.rules {
			at := slices.IndexFunc(got.Reasons, func(r struct {
				Rule    string  `json:"rule"`
				Outcome outcome `json:"outcome"`
				Detail  string  `json:"detail"`
			}) bool {
				return r.Rule == want.name
			})
			if at < 0 || got.Reasons[at].Outcome != want.is {
				return diverge("rule %s of %v is not %s:%s", want.name, s, want.is, said())
			}
		}
	}
	return nil
}

// do does an act on both sides and compares what came of it.
func (w *world) do(a act) error {
	if err := w.pass(a.Wait, a.Still); err != nil {
		return err
	}
	if a.Do == "commit" {
		return w.commitDrawer(a.Drawer)
	}
	p := w.resolve(a)
	if p == nil {
		return nil // there is nothing it could be about
	}
	at := w.now.Add(a.Skew)
	e := w.endorse(a.By, at, p.transient, p.args...)
	done := p.model(at)
	if e.OK() != (done != nil) {
		return diverge("%v\n    %s\n    the model: %s", a, cmpText(e), map[bool]string{true: "accepted", false: "refused"}[done != nil])
	}
	if strings.HasPrefix(e.Message, "WB_INTERNAL") {
		return diverge("%v: %s", a, e.Message)
	}
	if !e.OK() {
		w.count.refused[a.Do]++
		w.told = e.Message
		return nil
	}
	k := kept{e: e, a: a, at: at, fn: func() func() { return p.model(at) }, p: p}
	if a.Drawer != 0 {
		w.drawers[a.Drawer] = k
		return nil
	}
	return w.commit(k)
}

func cmpText(e *contracttest.Endorsement) string {
	if e.OK() {
		return "the contract: accepted: " + clip(string(e.Payload))
	}
	return "the contract: " + e.Message
}

func clip(s string) string {
	if len(s) > 1500 {
		return s[:1500] + "…"
	}
	return s
}

// early is by how much a stage's time may be beaten: a transaction's time may be
// off by the peers' window of two minutes, and a tick may be late by one before it
// is noted that the clock stood still.
const early = 3 * time.Minute

// physical holds a release to the time on the wall.
func (w *world) physical(s subject, r *release) error {
	f := w.facts(s, w.now)
	if f.stage == nil || r.debt != nil || r.first != r.at {
		return nil
	}
	if f.stage.soak != 0 && len(f.waiversOf("soak")) == 0 {
		var from time.Time
		ways := []subject{{s.repo, s.image, f.stage.from}}
		if index, ok := w.carriers[ways[0]]; ok {
			ways = append(ways, subject{s.repo, index, f.stage.from})
		}
		for _, way := range ways {
			if x := w.releases[way]; x != nil && !f.void(x, f.stage.from) && x.realTime.After(from) {
				from = x.realTime
			}
		}
		if w.wall.Sub(from) < f.stage.soak-early {
			return diverge("a soak of %s was over after %s", f.stage.soak, w.wall.Sub(from))
		}
	}
	if z := f.stage.freeze; z != nil && len(f.waiversOf("freeze")) == 0 && z.holds(w.wall.Add(-early)) && z.holds(w.wall.Add(early)) {
		return diverge("released at %s, in a freeze", w.wall.Format(time.TimeOnly))
	}
	return nil
}

// pass lets time pass. Gateways that obey tick every minute; of a long time the
// ticks that nothing happens between are left out.
func (w *world) pass(d time.Duration, still bool) error {
	w.now = w.now.Add(d)
	to := w.now.Truncate(time.Minute)
	if still || !to.After(w.clock) {
		return nil
	}
	if to.Sub(w.clock) > clockGrace {
		if err := w.tickAt(w.clock.Add(time.Minute)); err != nil {
			return err
		}
	}
	return w.tickAt(to)
}

func (w *world) tickAt(at time.Time) error {
	for i := range 2 * len(organisations()) {
		by := person{organisations()[i/2], []string{"gateway", "reserve-gateway"}[i%2]}
		done := w.tick(by, at)
		if done == nil {
			continue // taken back, or no gateway any more
		}
		e := w.endorse(by, at, nil, "clock:Tick")
		if !e.OK() {
			return diverge("clock:Tick by %v: %s", by, e.Message)
		}
		if err := w.ledger.Commit(e, organisations()); err != nil {
			return diverge("clock:Tick by %v: %v", by, err)
		}
		done()
		return nil
	}
	return nil
}
