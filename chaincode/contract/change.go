package contract

import (
	"slices"
	"strings"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/chaincode/strictjson"
)

// change is what a proposal would do, as it is voted on.
type change struct {
	kind state.ProposalKind
	name string // of the policy, or the MSP id
	body []byte // in its one JSON form
	// source is the text that body was read from, "" where that is body.
	source string
	effect
}

// effect is what comes into force with a change.
type effect interface {
	base(g governance) int    // version in force of what it changes
	check(g governance) error // whether it can be made now
	// enact makes it and returns the policy version it became.
	enact(tx *Tx, g governance, p state.Proposal, voters []policy.Person) (int, error)
}

// hash names the change to a version of what is in force.
func (c change) hash(base int) string {
	return state.ChangeHash(c.kind, c.name, base, c.body, c.source)
}

// parseChange reads a change. What comes into force is read from the one text that
// the caller brings, here and by every peer; no caller brings both.
func parseChange(kind state.ProposalKind, text []byte) (change, error) {
	switch kind {
	case state.ProposePolicy:
		return parsePolicyChange(text)
	case state.ProposeMemberAdd, state.ProposeMemberRemove:
		return parseMemberChange(kind, text)
	case state.ProposeMajority:
		return parseMajorityChange(text)
	case state.ProposeRegistry:
		return parseRegistryChange(text)
	case state.ProposeLift:
		return parseLiftChange(text)
	case state.ProposeTrust:
		return parseTrustChange(text)
	case state.ProposeChannel:
		return parseChannelChange(text)
	}
	return change{}, provenance.Errorf(provenance.Invalid, "proposal kind %q: want %s, %s, %s, %s, %s, %s, %s or %s", clip(string(kind)),
		state.ProposePolicy, state.ProposeMemberAdd, state.ProposeMemberRemove, state.ProposeMajority, state.ProposeRegistry, state.ProposeLift, state.ProposeTrust, state.ProposeChannel)
}

// storedChange returns the change that a proposal on the ledger is about. Its body
// must be what its text says still: nothing else was voted on.
func storedChange(p state.Proposal) (change, error) {
	text := []byte(p.Source)
	if p.Source == "" {
		text = p.Body
	}
	c, err := parseChange(p.Kind, text)
	if err != nil {
		return c, err
	}
	if p.Source != "" && (c.source != p.Source || string(c.body) != string(p.Body)) {
		return c, provenance.Errorf(provenance.Internal, "proposal %s does not hold what its text says", p.ID)
	}
	return c, nil
}

// policyChange puts a policy in force.
type policyChange struct {
	policy       policy.Policy
	body, source []byte
}

func parsePolicyChange(text []byte) (change, error) {
	p, err := policy.ParseText(text)
	if err != nil {
		return change{}, err
	}
	c := change{kind: state.ProposePolicy, name: p.Metadata.Name, body: p.Canonical()}
	if string(text) != string(c.body) {
		c.source = string(text)
	}
	c.effect = policyChange{policy: p, body: c.body, source: []byte(c.source)}
	return c, nil
}

func (c policyChange) base(g governance) int {
	if at := c.at(g); at >= 0 {
		return g.catalogue.Policies[at].Version
	}
	return 0
}

func (c policyChange) at(g governance) int {
	return slices.IndexFunc(g.catalogue.Policies, func(e state.CatalogueEntry) bool { return e.Name == c.policy.Metadata.Name })
}

func (c policyChange) check(g governance) error {
	if err := c.policy.CheckNew(); err != nil {
		return err
	}
	for _, e := range g.catalogue.Policies {
		if e.Name == c.policy.Metadata.Name {
			continue
		}
		if pattern := policy.Overlap(c.policy.Spec.Match, e.Match); pattern != "" {
			return provenance.Errorf(provenance.Conflict, "pattern %q is as specific as one of policy %s; ties are refused", pattern, e.Name)
		}
	}
	if c.at(g) < 0 && len(g.catalogue.Policies) >= maxPolicies {
		return provenance.Errorf(provenance.Conflict, "the ledger has %d policies already", maxPolicies)
	}
	return nil
}

func (c policyChange) enact(tx *Tx, g governance, _ state.Proposal, voters []policy.Person) (int, error) {
	version := c.base(g) + 1
	entry := state.CatalogueEntry{Name: c.policy.Metadata.Name, Version: version, Match: c.policy.Spec.Match}
	catalogue := state.Catalogue{Policies: slices.Clone(g.catalogue.Policies)}
	if at := c.at(g); at >= 0 {
		catalogue.Policies[at] = entry
	} else {
		catalogue.Policies = append(catalogue.Policies, entry)
		slices.SortFunc(catalogue.Policies, func(x, y state.CatalogueEntry) int { return strings.Compare(x.Name, y.Name) })
	}
	v := state.PolicyVersion{Name: entry.Name, Version: version, Hash: hashOf(c.body), Text: c.body, Source: string(c.source), Voters: voters, At: tx.now}
	if err := putGoverned(tx, g.members, state.PolicyKey(v.Name, version), v); err != nil {
		return 0, err
	}
	return version, putGoverned(tx, g.members, state.PoliciesKey(), catalogue)
}

// memberChange invites an organisation, or takes one off the list: what it
// granted, approved, signed and held counts no more from then on.
type memberChange struct {
	add bool
	msp string
}

func parseMemberChange(kind state.ProposalKind, text []byte) (change, error) {
	var m struct {
		MSP string `json:"msp"`
	}
	if err := strictjson.Unmarshal(text, &m, strictjson.Limits{}); err != nil {
		return change{}, err
	}
	if err := checkMSP(m.MSP); err != nil {
		return change{}, err
	}
	body, err := state.Encode(m)
	return change{kind: kind, name: m.MSP, body: body, effect: memberChange{add: kind == state.ProposeMemberAdd, msp: m.MSP}}, err
}

func (memberChange) base(g governance) int { return g.members.Version }

func (c memberChange) check(g governance) error {
	m := g.members
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

func (c memberChange) enact(tx *Tx, g governance, _ state.Proposal, _ []policy.Person) (int, error) {
	m := state.Members{MSPs: slices.Clone(g.members.MSPs), Invited: slices.Clone(g.members.Invited), Majority: g.members.Majority, Version: g.members.Version + 1}
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
type majorityChange int

func parseMajorityChange(text []byte) (change, error) {
	var m struct {
		Majority int `json:"majority"`
	}
	if err := strictjson.Unmarshal(text, &m, strictjson.Limits{}); err != nil {
		return change{}, err
	}
	body, err := state.Encode(m)
	return change{kind: state.ProposeMajority, body: body, effect: majorityChange(m.Majority)}, err
}

func (majorityChange) base(g governance) int { return g.members.Version }

func (c majorityChange) check(g governance) error {
	if all := g.electorate(); int(c) <= all/2 || int(c) > all {
		return provenance.Errorf(provenance.Invalid, "a majority of %d: want %d to %d of the %d members", int(c), all/2+1, all, all)
	}
	return nil
}

func (c majorityChange) enact(tx *Tx, g governance, _ state.Proposal, _ []policy.Person) (int, error) {
	m := g.members
	m.Majority, m.Version = int(c), m.Version+1
	return 0, putMembers(tx, m)
}
