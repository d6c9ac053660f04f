package contract

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/chaincode/strictjson"
)

// maxPolicies bounds the catalogue, which every verdict reads.
const maxPolicies = 256

// law is what only votes change, as committed.
type law struct {
	members   state.Members
	catalogue state.Catalogue
	// founding: founders have yet to join, and count as members who said
	// nothing. Else whoever joins first would be a majority alone.
	founding bool
	registry state.Registry // that a change is about
	hold     *state.Hold    // the same
}

// electorate is how many may vote, now or once they joined.
func (l law) electorate() int {
	if l.founding {
		return len(l.members.MSPs) + len(l.members.Invited)
	}
	return len(l.members.MSPs)
}

// needed is the number of agreeing members that decides.
func (l law) needed() int { return max(l.members.Needed(), l.electorate()/2+1) }

// loadLaw reads what only votes change, and what a change is about.
func loadLaw(tx *Tx, c change) (l law, err error) {
	if l.members, err = state.LoadMembers(tx); err != nil {
		return l, err
	}
	if l.founding, err = founding(tx, l.members); err != nil {
		return l, err
	}
	if _, err = state.Read(tx, state.PoliciesKey(), &l.catalogue); err != nil {
		return l, err
	}
	if about, ok := c.(interface{ load(tx *Tx, l *law) error }); ok {
		err = about.load(tx, &l)
	}
	return l, err
}

// putLaw writes a record that is part of a vote or of what it made, and guards its key.
func putLaw(tx *Tx, m state.Members, key string, record any) error {
	if err := tx.put(key, record); err != nil {
		return err
	}
	return guardLaw(tx, key, m)
}

// change is what a proposal would do.
type change interface {
	kind() state.ProposalKind
	name() string      // of the policy, or the MSP id
	body() []byte      // in its one JSON form
	base(l law) int    // version in force of what it changes
	check(l law) error // whether it can be made now
	// enact makes it and returns the policy version it became.
	enact(tx *Tx, l law, p state.Proposal, voters []policy.Person) (int, error)
}

func parseChange(kind state.ProposalKind, body []byte) (change, error) {
	switch kind {
	case state.ProposePolicy:
		p, err := policy.Parse(body)
		if err != nil {
			return nil, err
		}
		return policyChange{p, p.Canonical()}, nil
	case state.ProposeMemberAdd, state.ProposeMemberRemove:
		var m struct {
			MSP string `json:"msp"`
		}
		if err := strictjson.Unmarshal(body, &m, strictjson.Limits{}); err != nil {
			return nil, err
		}
		if err := checkMSP(m.MSP); err != nil {
			return nil, err
		}
		text, err := state.Encode(m)
		return memberChange{add: kind == state.ProposeMemberAdd, msp: m.MSP, text: text}, err
	case state.ProposeMajority:
		var m struct {
			Majority int `json:"majority"`
		}
		if err := strictjson.Unmarshal(body, &m, strictjson.Limits{}); err != nil {
			return nil, err
		}
		text, err := state.Encode(m)
		return majorityChange{n: m.Majority, text: text}, err
	case state.ProposeRegistry:
		return parseRegistryChange(body)
	case state.ProposeLift:
		return parseLiftChange(body)
	}
	return nil, provenance.Errorf(provenance.Invalid, "proposal kind %q: want %s, %s, %s, %s, %s or %s", clip(string(kind)),
		state.ProposePolicy, state.ProposeMemberAdd, state.ProposeMemberRemove, state.ProposeMajority, state.ProposeRegistry, state.ProposeLift)
}

// policyChange puts a policy's text in force.
type policyChange struct {
	p    policy.Policy
	text []byte
}

func (policyChange) kind() state.ProposalKind { return state.ProposePolicy }
func (c policyChange) name() string           { return c.p.Metadata.Name }
func (c policyChange) body() []byte           { return c.text }

func (c policyChange) base(l law) int {
	if at := c.at(l); at >= 0 {
		return l.catalogue.Policies[at].Version
	}
	return 0
}

func (c policyChange) at(l law) int {
	return slices.IndexFunc(l.catalogue.Policies, func(e state.CatalogueEntry) bool { return e.Name == c.name() })
}

func (c policyChange) check(l law) error {
	for _, e := range l.catalogue.Policies {
		if e.Name == c.name() {
			continue
		}
		if pattern := policy.Overlap(c.p.Spec.Match, e.Match); pattern != "" {
			return provenance.Errorf(provenance.Conflict, "pattern %q is as specific as one of policy %s; ties are refused", pattern, e.Name)
		}
	}
	if c.at(l) < 0 && len(l.catalogue.Policies) >= maxPolicies {
		return provenance.Errorf(provenance.Conflict, "the ledger has %d policies already", maxPolicies)
	}
	return nil
}

func (c policyChange) enact(tx *Tx, l law, _ state.Proposal, voters []policy.Person) (int, error) {
	version := c.base(l) + 1
	entry := state.CatalogueEntry{Name: c.name(), Version: version, Match: c.p.Spec.Match}
	catalogue := state.Catalogue{Policies: slices.Clone(l.catalogue.Policies)}
	if at := c.at(l); at >= 0 {
		catalogue.Policies[at] = entry
	} else {
		catalogue.Policies = append(catalogue.Policies, entry)
		slices.SortFunc(catalogue.Policies, func(x, y state.CatalogueEntry) int { return strings.Compare(x.Name, y.Name) })
	}
	sum := sha256.Sum256(c.text)
	v := state.PolicyVersion{Name: c.name(), Version: version, Hash: hex.EncodeToString(sum[:]), Text: c.text, Voters: voters, At: tx.now}
	if err := putLaw(tx, l.members, state.PolicyKey(v.Name, version), v); err != nil {
		return 0, err
	}
	return version, putLaw(tx, l.members, state.PoliciesKey(), catalogue)
}

// memberChange invites an organisation, or takes one off the list: what it
// granted, approved, signed and held counts no more from then on.
type memberChange struct {
	add  bool
	msp  string
	text []byte
}

func (c memberChange) kind() state.ProposalKind {
	if c.add {
		return state.ProposeMemberAdd
	}
	return state.ProposeMemberRemove
}
func (c memberChange) name() string { return c.msp }
func (c memberChange) body() []byte { return c.text }
func (memberChange) base(l law) int { return l.members.Version }

func (c memberChange) check(l law) error {
	m := l.members
	member, invited := slices.Contains(m.MSPs, c.msp), slices.Contains(m.Invited, c.msp)
	switch {
	case c.add && (member || invited):
		return provenance.Errorf(provenance.Conflict, "%s is a member already, or invited", c.msp)
	case c.add && len(m.MSPs)+len(m.Invited) >= maxMembers:
		return provenance.Errorf(provenance.Conflict, "the ledger has %d members already, with those invited", maxMembers)
	case !c.add && !member && !invited:
		return provenance.Errorf(provenance.NotFound, "%s is no member and not invited", c.msp)
	case !c.add && member && len(m.MSPs) <= 2:
		return provenance.Errorf(provenance.Conflict, "a consortium has at least 2 members")
	}
	return nil
}

func (c memberChange) enact(tx *Tx, l law, _ state.Proposal, _ []policy.Person) (int, error) {
	m := state.Members{MSPs: slices.Clone(l.members.MSPs), Invited: slices.Clone(l.members.Invited), Majority: l.members.Majority, Version: l.members.Version + 1}
	this := func(msp string) bool { return msp == c.msp }
	switch {
	case c.add:
		m.Invited = append(m.Invited, c.msp)
		slices.Sort(m.Invited)
	case slices.Contains(m.MSPs, c.msp):
		m.MSPs = slices.DeleteFunc(m.MSPs, this)
		if err := tx.GetStub().DelState(state.MemberKey(c.msp)); err != nil {
			return 0, provenance.Wrap(provenance.Internal, err, "remove member %s", c.msp)
		}
	default:
		m.Invited = slices.DeleteFunc(m.Invited, this)
	}
	return 0, putMembers(tx, m)
}

// majorityChange sets how many members decide.
type majorityChange struct {
	n    int
	text []byte
}

func (majorityChange) kind() state.ProposalKind { return state.ProposeMajority }
func (majorityChange) name() string             { return "" }
func (c majorityChange) body() []byte           { return c.text }
func (majorityChange) base(l law) int           { return l.members.Version }

func (c majorityChange) check(l law) error {
	if all := l.electorate(); c.n <= all/2 || c.n > all {
		return provenance.Errorf(provenance.Invalid, "a majority of %d: want %d to %d of the %d members", c.n, all/2+1, all, all)
	}
	return nil
}

func (c majorityChange) enact(tx *Tx, l law, _ state.Proposal, _ []policy.Person) (int, error) {
	m := l.members
	m.Majority, m.Version = c.n, m.Version+1
	return 0, putMembers(tx, m)
}
