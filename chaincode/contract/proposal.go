package contract

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/hyperledger/fabric-contract-api-go/v2/contractapi"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
)

// ProposalContract carries changes that organisations vote on. One organisation
// has one ballot, whoever of its admins cast it, and may change it while the
// proposal is open.
type ProposalContract struct{ contractapi.Contract }

const (
	// maxRepeats bounds how often one change can be proposed to one version of
	// what is in force, after it was rejected or withdrawn.
	maxRepeats = 8
	// maxListed bounds the closed proposals in a list.
	maxListed = 100
)

var proposalID = regexp.MustCompile(`^[0-9a-f]{64}$`)

// ProposalView is a proposal and the ballots of those who are members now.
type ProposalView struct {
	Proposal state.Proposal `json:"proposal"`
	Yes      []string       `json:"yes"` // MSP ids, sorted
	No       []string       `json:"no"`
	Needed   int            `json:"needed"`
	// Stale: what it would change has changed since; nobody can vote for it any more.
	Stale bool `json:"stale,omitempty"`
}

// Open proposes a change and says yes to it. Opening an open proposal again is
// a yes from the caller's organisation, so that several may simply propose the
// same. What is in force already by the last change is success without a write.
func (ProposalContract) Open(tx *Tx, kind, body string) (string, error) {
	c, err := parseChange(state.ProposalKind(kind), []byte(body))
	if err != nil {
		return "", err
	}
	l, err := loadLaw(tx)
	if err != nil {
		return "", err
	}
	base := c.base(l)
	if base > 0 {
		done, err := readProposals(tx, proposalIDs(c, base-1))
		if err != nil {
			return "", err
		}
		for _, p := range done {
			if p != nil && p.Status == state.ProposalAccepted {
				return answerProposal(tx, l, *p)
			}
		}
	}
	if err := c.check(l); err != nil {
		return "", err
	}
	ids := proposalIDs(c, base)
	known, err := readProposals(tx, ids)
	if err != nil {
		return "", err
	}
	for i, p := range known {
		switch {
		case p == nil:
			sum := sha256.Sum256(c.body())
			opened := state.Proposal{
				ID: ids[i], Kind: c.kind(), Name: c.name(), Base: base, Body: c.body(), Hash: hex.EncodeToString(sum[:]),
				Status: state.ProposalOpen, Act: tx.act(),
			}
			return castBallot(tx, l, c, opened, true, state.Ballot{Yes: true})
		case p.Status == state.ProposalOpen:
			// What comes into force is what was voted on, never what the last caller brings.
			stored, err := storedChange(*p, c)
			if err != nil {
				return "", err
			}
			return castBallot(tx, l, stored, *p, false, state.Ballot{Yes: true})
		}
	}
	return "", provenance.Errorf(provenance.Conflict, "this change was proposed %d times already and rejected or withdrawn each time", maxRepeats)
}

// Vote casts the caller's organisation's ballot, "yes" or "no". The change is
// made by the transaction that brings the last yes it needs. Voting the same
// again is success without a write.
func (ProposalContract) Vote(tx *Tx, id, vote, reason string) (string, error) {
	if vote != "yes" && vote != "no" {
		return "", provenance.Errorf(provenance.Invalid, "vote %q: want yes or no", clip(vote))
	}
	if err := checkReason(reason); err != nil {
		return "", err
	}
	p, err := readProposal(tx, id)
	if err != nil {
		return "", err
	}
	l, err := loadLaw(tx)
	if err != nil {
		return "", err
	}
	ballot := state.Ballot{Yes: vote == "yes", Reason: reason}
	if p.Status != state.ProposalOpen {
		ballots, err := loadBallots(tx, p.ID, []string{tx.caller.MSP})
		if err != nil {
			return "", err
		}
		if len(ballots) == 1 && ballots[0].Yes == ballot.Yes {
			return answerProposal(tx, l, p)
		}
		return "", provenance.Errorf(provenance.Conflict, "proposal %s is %s already", p.ID, p.Status)
	}
	c, err := parseChange(p.Kind, p.Body)
	if err != nil {
		return "", err
	}
	// The id that the voter signs is the hash of what is voted on.
	if !slices.Contains(proposalIDs(c, p.Base), p.ID) {
		return "", provenance.Errorf(provenance.Internal, "proposal %s does not hold what its id is the hash of; nothing was voted", p.ID)
	}
	return castBallot(tx, l, c, p, false, ballot)
}

// Withdraw ends an open proposal; only the organisation that opened it may.
func (ProposalContract) Withdraw(tx *Tx, id, reason string) (string, error) {
	if err := checkReason(reason); err != nil {
		return "", err
	}
	p, err := readProposal(tx, id)
	if err != nil {
		return "", err
	}
	l, err := loadLaw(tx)
	if err != nil {
		return "", err
	}
	switch {
	case p.By.MSP != tx.caller.MSP:
		return "", provenance.Errorf(provenance.Forbidden, "proposal %s was opened by %s; only %s withdraws it", p.ID, p.By, p.By.MSP)
	case p.Status == state.ProposalWithdrawn:
		return answerProposal(tx, l, p)
	case p.Status != state.ProposalOpen:
		return "", provenance.Errorf(provenance.Conflict, "proposal %s is %s already", p.ID, p.Status)
	}
	p.Status = state.ProposalWithdrawn
	if err := putLaw(tx, l.members, state.ProposalKey(p.ID), p); err != nil {
		return "", err
	}
	return answerProposal(tx, l, p)
}

// Get returns a proposal and its ballots.
func (ProposalContract) Get(tx *Tx, id string) (string, error) {
	p, err := readProposal(tx, id)
	if err != nil {
		return "", err
	}
	l, err := loadLaw(tx)
	if err != nil {
		return "", err
	}
	return answerProposal(tx, l, p)
}

// List returns the open proposals, then the newest closed ones, at most 100 of these.
func (ProposalContract) List(tx *Tx) (string, error) {
	var all []state.Proposal
	if err := scanInto(tx, &all, state.TypeProposal); err != nil {
		return "", err
	}
	slices.SortFunc(all, func(a, b state.Proposal) int {
		return cmp.Or(closed(a)-closed(b), b.At.Compare(a.At), strings.Compare(a.ID, b.ID))
	})
	if open := slices.IndexFunc(all, func(p state.Proposal) bool { return closed(p) == 1 }); open >= 0 {
		all = all[:min(len(all), open+maxListed)]
	}
	l, err := loadLaw(tx)
	if err != nil {
		return "", err
	}
	list := make([]ProposalView, len(all))
	for i, p := range all {
		if list[i], err = viewProposal(tx, l, p); err != nil {
			return "", err
		}
	}
	return answer(list, nil)
}

func closed(p state.Proposal) int {
	if p.Status == state.ProposalOpen {
		return 0
	}
	return 1
}

// castBallot puts the caller's organisation's ballot, its content in b, into an open
// proposal and writes what follows from it.
func castBallot(tx *Tx, l law, c change, p state.Proposal, opened bool, b state.Ballot) (string, error) {
	if now := c.base(l); now != p.Base {
		return "", provenance.Errorf(provenance.Stale, "proposal %s was made to version %d of what it changes, and version %d is in force: propose it anew", p.ID, p.Base, now)
	}
	var ballots []state.Ballot
	if !opened {
		var err error
		if ballots, err = loadBallots(tx, p.ID, l.members.MSPs); err != nil {
			return "", err
		}
	}
	own := slices.IndexFunc(ballots, func(o state.Ballot) bool { return o.MSP == tx.caller.MSP })
	if own >= 0 {
		if ballots[own].Yes == b.Yes {
			return answer(tally(l, p, ballots), nil)
		}
		ballots = slices.Delete(ballots, own, own+1)
	}
	b.Proposal, b.MSP, b.Act = p.ID, tx.caller.MSP, tx.act()
	ballots = append(ballots, b)
	slices.SortFunc(ballots, func(x, y state.Ballot) int { return strings.Compare(x.MSP, y.MSP) })
	if err := putLaw(tx, l.members, state.BallotKey(p.ID, b.MSP), b); err != nil {
		return "", err
	}
	view := tally(l, p, ballots)
	switch {
	case len(view.Yes) >= view.Needed:
		// Since it was opened something else may have come in its way.
		if err := c.check(l); err != nil {
			return "", err
		}
		p.Status = state.ProposalAccepted
		var err error
		if p.Version, err = c.enact(tx, l, voters(ballots)); err != nil {
			return "", err
		}
	case l.electorate()-len(view.No) < view.Needed:
		p.Status = state.ProposalRejected
	case !opened:
		return answer(view, nil)
	}
	view.Proposal = p
	return answer(view, putLaw(tx, l.members, state.ProposalKey(p.ID), p))
}

// voters are those who said yes.
func voters(ballots []state.Ballot) []policy.Person {
	var people []policy.Person
	for _, b := range ballots {
		if b.Yes {
			people = append(people, b.By)
		}
	}
	return people
}

func answerProposal(tx *Tx, l law, p state.Proposal) (string, error) {
	view, err := viewProposal(tx, l, p)
	return answer(view, err)
}

func viewProposal(tx *Tx, l law, p state.Proposal) (ProposalView, error) {
	ballots, err := loadBallots(tx, p.ID, l.members.MSPs)
	if err != nil {
		return ProposalView{}, err
	}
	view := tally(l, p, ballots)
	if p.Status == state.ProposalOpen {
		c, err := parseChange(p.Kind, p.Body)
		if err != nil {
			return view, err
		}
		view.Stale = c.base(l) != p.Base
	}
	return view, nil
}

// tally counts ballots, which are of members only.
func tally(l law, p state.Proposal, ballots []state.Ballot) ProposalView {
	view := ProposalView{Proposal: p, Yes: []string{}, No: []string{}, Needed: l.needed()}
	for _, b := range ballots {
		if b.Yes {
			view.Yes = append(view.Yes, b.MSP)
		} else {
			view.No = append(view.No, b.MSP)
		}
	}
	return view
}

func loadBallots(tx *Tx, id string, msps []string) ([]state.Ballot, error) {
	keys := make([]string, len(msps))
	for i, msp := range msps {
		keys[i] = state.BallotKey(id, msp)
	}
	values, err := tx.Get(keys...)
	if err != nil {
		return nil, err
	}
	var ballots []state.Ballot
	for _, v := range values {
		if v == nil {
			continue
		}
		var b state.Ballot
		if err := state.Decode(v, &b); err != nil {
			return nil, err
		}
		ballots = append(ballots, b)
	}
	return ballots, nil
}

// storedChange returns the change that a proposal was opened for, which must be
// c to the byte: a vote for one text is none for another, whatever their ids.
func storedChange(p state.Proposal, c change) (change, error) {
	stored, err := parseChange(p.Kind, p.Body)
	if err != nil {
		return nil, err
	}
	if p.Kind != c.kind() || p.Name != c.name() || !bytes.Equal(stored.body(), c.body()) {
		return nil, provenance.Errorf(provenance.Conflict, "proposal %s is open with another text; look at it with: waybill proposal show %s", p.ID, p.ID)
	}
	return stored, nil
}

// proposalIDs are the ids of a change to a version of what is in force: the
// first proposal of it, then its repeats. Each is the whole SHA-256, in hex, of
// kind, name, base, body and repeat, each after its length: who votes for an id
// votes for this text and for no other.
func proposalIDs(c change, base int) []string {
	ids := make([]string, maxRepeats)
	for i := range ids {
		var text []byte
		for _, part := range []string{string(c.kind()), c.name(), strconv.Itoa(base), string(c.body()), strconv.Itoa(i)} {
			text = append(binary.AppendUvarint(text, uint64(len(part))), part...)
		}
		sum := sha256.Sum256(text)
		ids[i] = hex.EncodeToString(sum[:])
	}
	return ids
}

func readProposal(tx *Tx, id string) (p state.Proposal, err error) {
	if !proposalID.MatchString(id) {
		return p, provenance.Errorf(provenance.Invalid, "proposal id %q: want 64 hex digits, as waybill proposal list -o json shows them", clip(id))
	}
	found, err := state.Read(tx, state.ProposalKey(id), &p)
	if err == nil && !found {
		err = provenance.Errorf(provenance.NotFound, "proposal %s is not on the ledger", id)
	}
	return p, err
}

func readProposals(tx *Tx, ids []string) ([]*state.Proposal, error) {
	keys := make([]string, len(ids))
	for i, id := range ids {
		keys[i] = state.ProposalKey(id)
	}
	values, err := tx.Get(keys...)
	if err != nil {
		return nil, err
	}
	list := make([]*state.Proposal, len(values))
	for i, v := range values {
		if v == nil {
			continue
		}
		list[i] = new(state.Proposal)
		if err := state.Decode(v, list[i]); err != nil {
			return nil, err
		}
	}
	return list, nil
}
