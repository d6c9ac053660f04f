package contract

import (
	"bytes"
	"slices"
	"strings"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
)

// castVote puts the caller's organisation's ballot, its content in b, into an open
// proposal and writes what follows from it.
func castVote(tx *Tx, g governance, c change, p state.Proposal, opened bool, b state.Ballot) (string, error) {
	if now := c.base(g); now != p.Base {
		return "", provenance.Errorf(provenance.Stale, "proposal %s was made to version %d of what it changes, and version %d is in force: propose it anew", p.ID, p.Base, now)
	}
	if ch := p.Channel; ch != nil && ch.Members != g.members.Version {
		return "", provenance.Errorf(provenance.Stale, "proposal %s was made to version %d of the members' list, and version %d is in force: propose it anew", p.ID, ch.Members, g.members.Version)
	}
	if p.Kind == state.ProposeChannel && b.Yes && b.Signature == nil {
		return "", provenance.Errorf(provenance.Invalid, "a yes to a change of the channel is a signature on it: waybill channel vote %s", p.ID)
	}
	var ballots []state.Ballot
	if !opened {
		var err error
		if ballots, err = loadBallots(tx, p.ID, g.members.MSPs); err != nil {
			return "", err
		}
	}
	own := slices.IndexFunc(ballots, func(o state.Ballot) bool { return o.MSP == tx.caller.MSP })
	if own >= 0 {
		if ballots[own].Same(b) {
			return answer(tally(g, p, ballots), nil)
		}
		ballots = slices.Delete(ballots, own, own+1)
	}
	b.Proposal, b.MSP, b.Act = p.ID, tx.caller.MSP, tx.act()
	ballots = append(ballots, b)
	slices.SortFunc(ballots, func(x, y state.Ballot) int { return strings.Compare(x.MSP, y.MSP) })
	if err := putGoverned(tx, g.members, state.BallotKey(p.ID, b.MSP), b); err != nil {
		return "", err
	}
	view := tally(g, p, ballots)
	switch {
	case len(view.Yes) >= view.Needed:
		// Since it was opened something else may have come in its way.
		if err := c.check(g); err != nil {
			return "", err
		}
		p.Status = state.ProposalAccepted
		var err error
		if p.Version, err = c.enact(tx, g, p, voters(ballots)); err != nil {
			return "", err
		}
	case g.electorate()-len(view.No) < view.Needed:
		p.Status = state.ProposalRejected
	case !opened:
		return answer(view, nil)
	}
	view.Proposal = p
	head, text := p.Parted()
	if opened {
		if err := putGoverned(tx, g.members, state.ProposalTextKey(p.ID), text); err != nil {
			return "", err
		}
	}
	return answer(view, putGoverned(tx, g.members, state.ProposalKey(p.ID), head))
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

func answerProposal(tx *Tx, g governance, p state.Proposal) (string, error) {
	ballots, err := loadBallots(tx, p.ID, g.members.MSPs)
	return answer(tally(g, p, ballots), err)
}

// viewOf returns a proposal with its ballots.
func viewOf(tx *Tx, p state.Proposal) (governance, ProposalView, error) {
	g, err := loadGovernance(tx, change{})
	if err != nil {
		return g, ProposalView{}, err
	}
	ballots, err := loadBallots(tx, p.ID, g.members.MSPs)
	if err != nil {
		return g, ProposalView{}, err
	}
	view := tally(g, p, ballots)
	view.Stale, err = outdated(tx, p)
	return g, view, err
}

// tally counts ballots, which are of members only.
func tally(g governance, p state.Proposal, ballots []state.Ballot) ProposalView {
	view := ProposalView{Proposal: p, Yes: []string{}, No: []string{}, Needed: g.needed()}
	for _, b := range ballots {
		if b.Yes {
			view.Yes = append(view.Yes, b.MSP)
		} else {
			view.No = append(view.No, b.MSP)
		}
	}
	return view
}

// loadBallots returns the ballots of organisations, without those that were
// cast by somebody who is taken back.
func loadBallots(tx *Tx, id string, msps []string) ([]state.Ballot, error) {
	keys := make([]string, len(msps))
	for i, msp := range msps {
		keys[i] = state.BallotKey(id, msp)
	}
	values, err := tx.Get(keys...)
	if err != nil {
		return nil, err
	}
	var cast []state.Ballot
	var people []policy.Person
	for _, v := range values {
		if v == nil {
			continue
		}
		var b state.Ballot
		if err := state.Decode(v, &b); err != nil {
			return nil, err
		}
		cast, people = append(cast, b), append(people, b.By)
	}
	taken, err := state.LoadTaken(tx, people)
	if err != nil {
		return nil, err
	}
	var ballots []state.Ballot
	for i, b := range cast {
		if !taken[i].Reaches(b.At) {
			ballots = append(ballots, b)
		}
	}
	return ballots, nil
}

// sameChange refuses a vote for a change on an open proposal of another, to the
// byte: a vote for one text is none for another, whatever their ids.
func sameChange(p state.Proposal, c change) error {
	if p.Kind != c.kind || p.Name != c.name || !bytes.Equal(p.Body, c.body) || p.Source != c.source {
		return provenance.Errorf(provenance.Conflict, "proposal %s is open with another text; look at it with: waybill proposal show %s", p.ID, p.ID)
	}
	return nil
}
