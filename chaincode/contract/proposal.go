package contract

import (
	"regexp"

	"github.com/hyperledger/fabric-contract-api-go/v2/contractapi"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
)

// ProposalContract carries changes that organisations vote on. One organisation
// has one ballot, whoever of its admins cast it, and may change it while the
// proposal is open.
type ProposalContract struct{ contractapi.Contract }

// maxListed bounds the proposals on a page.
const maxListed = 100

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

// Open proposes a change and says yes to it. The text of a policy, comments and
// all, is kept with it and voted on; what it says is read from it here. Opening an open proposal again is
// a yes from the caller's organisation, so that several may simply propose the
// same. What is in force already by the last change is success without a write.
// What was rejected or withdrawn may be proposed again, as a proposal of its own.
func (ProposalContract) Open(tx *Tx, kind, body string) (string, error) {
	return openProposal(tx, state.ProposalKind(kind), []byte(body), state.Ballot{Yes: true})
}

// openProposal opens a proposal, or casts the ballot on it where it is open.
func openProposal(tx *Tx, kind state.ProposalKind, body []byte, ballot state.Ballot) (string, error) {
	c, err := parseChange(kind, body)
	if err != nil {
		return "", err
	}
	g, err := loadGovernance(tx, c)
	if err != nil {
		return "", err
	}
	base := c.base(g)
	if base > 0 {
		last, _, err := lastProposal(tx, c, base-1)
		if err != nil {
			return "", err
		}
		if last != nil && last.Status == state.ProposalAccepted {
			return answerProposal(tx, g, *last)
		}
	}
	last, round, err := lastProposal(tx, c, base)
	if err != nil {
		return "", err
	}
	if err := c.check(g); err != nil {
		return "", err
	}
	if last != nil && last.Status == state.ProposalOpen {
		// What comes into force is what was voted on, never what the last caller brings.
		if err := sameChange(*last, c); err != nil {
			return "", err
		}
		stored, err := storedChange(*last)
		if err != nil {
			return "", err
		}
		return castVote(tx, g, stored, *last, false, ballot)
	}
	opened := state.Proposal{
		ID: state.ProposalID(c.hash(base), round+1), Round: round + 1, Kind: c.kind, Name: c.name, Base: base,
		Body: c.body, Source: c.source, Hash: state.ContentHash(c.body, c.source), Status: state.ProposalOpen, Act: tx.act(),
	}
	opened.Subject = opened.Title()
	if ch, ok := c.effect.(channelChange); ok {
		opened.Channel = &ch.ChannelBase
	}
	if err := noteProposal(tx, g, opened); err != nil {
		return "", err
	}
	if err := tx.put(state.ProposedKey(c.hash(base)), state.Proposed{Round: opened.Round, Latest: opened.ID}); err != nil {
		return "", err
	}
	return castVote(tx, g, c, opened, true, ballot)
}

// lastProposal returns the last proposal of a change to a version of what is in
// force, nil where there was none, and its round.
func lastProposal(tx *Tx, c change, base int) (*state.Proposal, int, error) {
	var known state.Proposed
	found, err := state.Read(tx, state.ProposedKey(c.hash(base)), &known)
	if err != nil || !found {
		return nil, 0, err
	}
	p, err := loadProposal(tx, known.Latest)
	return &p, known.Round, err
}

// noteProposal notes a proposal that the caller's organisation opens. It may have so
// many open ones: its own fill its own list and nobody else's.
func noteProposal(tx *Tx, g governance, opened state.Proposal) error {
	key := state.ProposalsKey(tx.caller.MSP)
	var list state.Proposals
	if _, err := state.Read(tx, key, &list); err != nil {
		return err
	}
	if len(list.Open) >= state.MaxProposals {
		open := list.Open[:0:0]
		for _, o := range list.Open {
			p, err := readProposal(tx, o)
			if err != nil {
				return err
			}
			// What nobody can vote for any more takes no room.
			stale, err := outdated(tx, p)
			if err != nil {
				return err
			}
			switch {
			case p.Status != state.ProposalOpen || stale:
			case p.Channel != nil && opened.Channel != nil && p.Channel.Sequence < opened.Channel.Sequence:
				// By its maker's own word the channel has moved on since: a change that its maker alone could sign
				// came into force without a vote that was won.
				p.Status = state.ProposalWithdrawn
				if err := putGoverned(tx, g.members, state.ProposalKey(p.ID), p); err != nil {
					return err
				}
			default:
				open = append(open, o)
			}
		}
		list.Open = open
	}
	if len(list.Open) >= state.MaxProposals {
		return provenance.Errorf(provenance.Full, "%s has %d open proposals, and may have no more: withdraw one", tx.caller.MSP, state.MaxProposals)
	}
	list.Open = append(list.Open, opened.ID)
	return tx.put(key, list)
}

// outdated tells whether what a proposal would change has changed since it was made.
func outdated(tx *Tx, p state.Proposal) (bool, error) {
	now, err := state.LoadInForce(tx)
	if err != nil {
		return false, err
	}
	return now.Outdated(tx, p)
}

// Vote casts the caller's organisation's ballot, "yes" or "no", on what
// state.ContentHash has as hash: Proposal.Hash as the voter computed it. Another
// hash is Stale. The change is made by the transaction that brings the last yes it
// needs. Voting the same again is success without a write.
func (ProposalContract) Vote(tx *Tx, id, hash, vote, reason string) (string, error) {
	if vote != "yes" && vote != "no" {
		return "", provenance.Errorf(provenance.Invalid, "vote %q: want yes or no", clip(vote))
	}
	if err := checkReason(reason); err != nil {
		return "", err
	}
	p, err := loadProposal(tx, id)
	if err != nil {
		return "", err
	}
	if content := state.ContentHash(p.Body, p.Source); hash != content {
		return "", provenance.Errorf(provenance.Stale, "proposal %s is of the text %s, not of %s: look at it again", p.ID, content, clip(hash))
	}
	c, err := storedChange(p)
	if err != nil {
		return "", err
	}
	g, err := loadGovernance(tx, c)
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
			return answerProposal(tx, g, p)
		}
		return "", provenance.Errorf(provenance.Conflict, "proposal %s is %s already", p.ID, p.Status)
	}
	// The id that the voter signs is the hash of what is voted on.
	if state.ProposalID(c.hash(p.Base), p.Round) != p.ID {
		return "", provenance.Errorf(provenance.Internal, "proposal %s does not hold what its id is the hash of; nothing was voted", p.ID)
	}
	return castVote(tx, g, c, p, false, ballot)
}

// Withdraw ends an open proposal; only the organisation that opened it may, whoever has said yes to it: else one
// other's yes would hold its room. Who still wants it proposes it anew.
func (ProposalContract) Withdraw(tx *Tx, id, reason string) (string, error) {
	if err := checkReason(reason); err != nil {
		return "", err
	}
	p, err := readProposal(tx, id)
	if err != nil {
		return "", err
	}
	g, view, err := viewOf(tx, p)
	if err != nil {
		return "", err
	}
	switch {
	case p.By.MSP != tx.caller.MSP:
		return "", provenance.Errorf(provenance.Forbidden, "proposal %s was opened by %s; only %s withdraws it", p.ID, p.By, p.By.MSP)
	case p.Status == state.ProposalWithdrawn:
		return answer(view, nil)
	case p.Status != state.ProposalOpen:
		return "", provenance.Errorf(provenance.Conflict, "proposal %s is %s already", p.ID, p.Status)
	}
	p.Status = state.ProposalWithdrawn
	view.Proposal = p
	return answer(view, putGoverned(tx, g.members, state.ProposalKey(p.ID), p))
}

// Get returns a proposal and its ballots.
func (ProposalContract) Get(tx *Tx, id string) (string, error) {
	p, err := loadProposal(tx, id)
	if err != nil {
		return "", err
	}
	_, view, err := viewOf(tx, p)
	return answer(view, err)
}

// ProposalPage is a part of all proposals, by their ids and without their texts.
type ProposalPage struct {
	Proposals []ProposalView `json:"proposals"`
	Next      string         `json:"next,omitempty"` // id that the next page begins with, "" on the last
}

// List returns a page of all proposals, from an id on or with "" from the first. It costs what is on the page: who
// wants the open ones first, or the newest, asks a gateway.
func (ProposalContract) List(tx *Tx, from string) (string, error) {
	if from != "" && !proposalID.MatchString(from) {
		return "", provenance.Errorf(provenance.Invalid, "from %q: want the id that a page's next is", clip(from))
	}
	bookmark := ""
	if from != "" {
		bookmark = state.ProposalKey(from)
	}
	it, meta, err := tx.GetStub().GetStateByPartialCompositeKeyWithPagination(state.TypeProposal, nil, maxListed, bookmark)
	if err != nil {
		return "", provenance.Wrap(provenance.Internal, err, "scan proposals")
	}
	defer closeQuietly(it)
	page := ProposalPage{Proposals: []ProposalView{}}
	for it.HasNext() {
		kv, err := it.Next()
		if err != nil {
			return "", provenance.Wrap(provenance.Internal, err, "scan proposals")
		}
		var p state.Proposal
		if err := state.Decode(kv.GetValue(), &p); err != nil {
			return "", err
		}
		_, view, err := viewOf(tx, p)
		if err != nil {
			return "", err
		}
		page.Proposals = append(page.Proposals, view)
	}
	if _, attributes, ok := state.SplitKey(meta.GetBookmark()); ok && len(attributes) == 1 {
		page.Next = attributes[0]
	}
	return answer(&page, nil)
}

// readProposal reads a proposal without its text.
func readProposal(tx *Tx, id string) (p state.Proposal, err error) {
	return proposalOf(id, func() (p state.Proposal, found bool, err error) {
		found, err = state.Read(tx, state.ProposalKey(id), &p)
		return p, found, err
	})
}

// loadProposal reads a proposal with its text.
func loadProposal(tx *Tx, id string) (state.Proposal, error) {
	return proposalOf(id, func() (state.Proposal, bool, error) { return state.LoadProposal(tx, id) })
}

func proposalOf(id string, read func() (state.Proposal, bool, error)) (state.Proposal, error) {
	if !proposalID.MatchString(id) {
		return state.Proposal{}, provenance.Errorf(provenance.Invalid, "proposal id %q: want 64 hex digits, as waybill proposal list -o json shows them", clip(id))
	}
	p, found, err := read()
	if err == nil && !found {
		err = provenance.Errorf(provenance.NotFound, "proposal %s is not on the ledger", id)
	}
	return p, err
}
