package proof

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Options are what the reader of a file knows and wants.
type Options struct {
	// Genesis is the pinned hash: of the header of the first configuration block of the
	// file, block 0 as a rule. It came to the reader another way than the file.
	Genesis []byte
	// Config is a file of configuration blocks, for a file that leaves them out; where both have them, the
	// longer one holds.
	Config []byte
	// Orgs is how many organisations' peers have to have signed; 0: more than half of the channel's.
	Orgs int
	// Chaincode is the contract's name; "" is waybill.
	Chaincode string
	// At is the reader's time; zero where age does not matter. What is dated later, beyond
	// Window, is invalid, and what is older than MaxAge (0: any) is Stale.
	At     time.Time
	MaxAge time.Duration
	// Image and Stage are what a receipt has to be about; "" for anything. Image may leave out its digest.
	Image, Stage string
}

// Window is how far a proposal's time may be from a peer's clock (Fabric's default of
// peer.authentication.timewindow).
const Window = 15 * time.Minute

// Verify checks a file. It neither fails nor panics: what is wrong is in the report.
func Verify(b []byte, o Options) Report {
	v := &verification{options: o, report: Report{Steps: []Step{}, Proven: []string{}, NotProven: []string{}}}
	v.options.Chaincode = cmp.Or(o.Chaincode, "waybill")
	if v.run(b) == nil {
		v.report.Result = Valid
	} else {
		v.report.Proven = []string{} // nothing is taken from a file that fails
		if v.report.Result != Stale {
			v.report.Verdict, v.report.Transaction = nil, nil
		}
	}
	return v.report
}

// verification is one file on its way.
type verification struct {
	options Options
	file    File
	chain   chain
	floor   *block
	report  Report
}

func (v *verification) run(b []byte) error {
	r := &v.report
	var err error
	v.file, err = Parse(b)
	if err := r.step("file", fmt.Sprintf("%d bytes in the form of version %d", len(b), Version), err); err != nil {
		return err
	}
	r.Kind, r.Channel = v.file.Kind, v.file.Channel
	err = v.openChain()
	if err := r.step("configuration", v.chain.String(), err); err != nil {
		return err
	}
	r.proven("The channel is %s, whose first configuration has the pinned hash, and each later one up to block %d was signed by a quorum of the orderers before it.", v.file.Channel, v.chain.last().block)
	r.notProven("That the members agreed to each change of the configuration as their policies ask: the orderers checked that, and a quorum of them signed it.")
	if v.file.Kind == KindConfig {
		return nil
	}
	err = v.openFloor()
	if err := r.step("floor", fmt.Sprintf("header of block %d, signed by %d orderers under the configuration of block %d", r.Floor, v.chain.last().quorum(), v.chain.last().block), err); err != nil {
		return err
	}
	r.proven("The channel was at block %d at least.", r.Floor)
	r.notProven("That no later block, and no later configuration, was there when the file was made: a proof knows no now.")
	if v.file.Kind == KindReceipt {
		return v.receipt()
	}
	return v.transaction()
}

// openChain opens the configuration of the file and the one beside it.
func (v *verification) openChain() (err error) {
	blocks := v.file.Config
	if v.options.Config != nil {
		beside, err := Parse(v.options.Config)
		if err != nil {
			return fmt.Errorf("the file of configuration blocks: %w", err)
		}
		if beside.Kind != KindConfig {
			return fmt.Errorf("the file of configuration blocks is of kind %s", beside.Kind)
		}
		if len(blocks) > 0 {
			if _, err := openChain(blocks, v.options.Genesis, v.file.Channel); err != nil {
				return err
			}
		}
		if len(beside.Config) > len(blocks) {
			blocks = beside.Config
		}
	}
	v.chain, err = openChain(blocks, v.options.Genesis, v.file.Channel)
	return err
}

// openFloor reads the recent header. What the file itself brings of the configuration ends with the one in force there.
func (v *verification) openFloor() (err error) {
	if v.floor, err = parseFloor(*v.file.Floor); err != nil {
		return err
	}
	under, err := v.chain.verify(v.floor)
	if err != nil {
		return err
	}
	if under != v.chain.last() && v.options.Config == nil {
		return fmt.Errorf("block %d stands under the configuration of block %d, and the file goes on behind it", v.floor.number, under.block)
	}
	v.report.Floor = v.floor.number
	return nil
}

// attested checks what peers signed and nobody sent: who asked, that it is an answer of theirs, and how many.
func (v *verification) attested(step string, call *invocation) (*result, []Endorser, error) {
	r, c := &v.report, v.chain.last()
	got, err := call.parseResult()
	if err == nil {
		err = v.asked(c, call)
	}
	if err := r.step(step, "the peers' answer is one to the proposal that the file holds, and "+call.id+" is its id", err); err != nil {
		return nil, nil, err
	}
	list, err := c.endorsers(call)
	if err == nil {
		err = v.enough(c, call, list)
	}
	names := make([]string, len(list))
	for i, e := range list {
		names[i] = e.Name + " of " + e.MSP
	}
	return got, list, r.step(step+" endorsements", "peers that signed: "+strings.Join(names, ", "), err)
}

// asked checks the proposal's header.
func (v *verification) asked(c *configuration, call *invocation) error {
	if call.channel != v.file.Channel {
		return fmt.Errorf("it is of channel %q, and the file of %q", call.channel, v.file.Channel)
	}
	if _, err := c.signer(call.creator, call.at, ""); err != nil {
		return fmt.Errorf("who asked: %w", err)
	}
	if !v.options.At.IsZero() && call.at.After(v.options.At.Add(Window)) {
		return fmt.Errorf("it is dated %s, which is still to come", call.at.Format(time.RFC3339))
	}
	return nil
}

// enough tells whether peers of so many organisations signed as the reader wants, one of each.
func (v *verification) enough(c *configuration, call *invocation, list []Endorser) error {
	want := v.options.Orgs
	if want <= 0 {
		want = len(c.members)/2 + 1
	}
	if len(list) != len(call.endorsements) {
		return errors.New("several peers of one organisation signed: want one of each")
	}
	if !slices.IsSortedFunc(list, func(a, b Endorser) int { return cmp.Compare(a.MSP, b.MSP) }) {
		return errors.New("the endorsements are not in the order of their organisations")
	}
	if len(list) < want {
		return fmt.Errorf("peers of %d organisations signed: want %d", len(list), want)
	}
	return nil
}

func (v *verification) receipt() error {
	r := &v.report
	call, err := parseInvocation(v.file.Transaction)
	if err == nil && call.chaincode != v.options.Chaincode {
		err = fmt.Errorf("it is a call of chaincode %q: want %q", call.chaincode, v.options.Chaincode)
	}
	var q question
	if err == nil {
		q, err = parseQuestion(call)
	}
	if err := r.step("question", "may "+q.image()+" run in stage "+q.stage+"?", err); err != nil {
		return err
	}
	got, endorsers, err := v.attested("answer", call)
	if err != nil {
		return err
	}
	verdict, err := v.verdict(call, q, got)
	if err := r.step("verdict", fmt.Sprintf("an answer to the question, and what it rests on: %s", describe(verdict)), err); err != nil {
		return err
	}
	verdict.AsOf, verdict.Endorsers = call.at, endorsers
	r.Verdict = verdict
	v.sayReceipt(q, verdict)
	if o := v.options; o.MaxAge > 0 && o.At.Sub(call.at) > o.MaxAge {
		return r.step("age", "", fmt.Errorf("it is as of %s, which is longer ago than %s: %w", call.at.Format(time.RFC3339), o.MaxAge, errStale))
	}
	return nil
}

// verdict reads the answer and what it rests on.
func (v *verification) verdict(call *invocation, q question, got *result) (*Verdict, error) {
	if got.status != 200 {
		return nil, fmt.Errorf("the peers' answer has status %d", got.status)
	}
	if o := v.options; o.Stage != "" && o.Stage != q.stage || o.Image != "" && o.Image != q.image() && o.Image != q.host+"/"+q.repository {
		return nil, fmt.Errorf("it is about %s in stage %s, and not what was asked for", q.image(), q.stage)
	}
	verdict, err := parseVerdict(got.payload, q)
	if err != nil {
		return nil, err
	}
	all, err := readSet(call.chaincode, got.results)
	if err != nil {
		return nil, err
	}
	return verdict, verdict.rest(q, all)
}

func describe(v *Verdict) string {
	if v == nil {
		return ""
	}
	return fmt.Sprintf("holds and evidence of %s, the newest of it from block %d", strings.Join(v.Members, ", "), v.Block)
}

func (v *verification) sayReceipt(q question, verdict *Verdict) {
	r := &v.report
	r.proven("Peers of %d organisations, whose certificates were valid then, answered %q to whether %s may run in stage %s.", len(verdict.Endorsers), verdict.Verdict, q.image(), q.stage)
	r.proven("The state that they answered from is one, the same for all of them, and holds block %d.", verdict.Block)
	var absent, present []string
	for _, h := range verdict.Holds {
		if h.Present {
			present = append(present, fmt.Sprintf("%s (block %d, transaction %d)", h.MSP, h.Block, h.Transaction))
		} else {
			absent = append(absent, h.MSP)
		}
	}
	if len(absent) > 0 {
		r.proven("In it was no quarantine of the image by %s.", strings.Join(absent, ", "))
	}
	if len(present) > 0 {
		r.notProven("Whether the quarantines recorded by %s were lifted: the peers judged that, and their answer says it.", strings.Join(present, ", "))
	}
	for _, e := range verdict.EvidenceSets {
		if e.Present {
			r.proven("Of the evidence that %s handed in about the image, the set of block %d, transaction %d was the newest.", e.MSP, e.Block, e.Transaction)
		} else {
			r.proven("In it was no evidence about the image from %s.", e.MSP)
		}
	}
	r.notProven("When it was: %s is the asker's word, and was within %s of the clock of each peer that signed, unless that peer is set otherwise.", verdict.AsOf.Format(time.RFC3339), Window)
	r.notProven("That the peers had the newest block when they answered; and anything that came to the ledger after block %d.", verdict.Block)
	r.notProven("That the verdict follows from the records by the policy: these organisations' peers computed it; a replay of the chain computes it again.")
}
