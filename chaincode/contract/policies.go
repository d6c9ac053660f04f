package contract

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"

	"github.com/hyperledger/fabric-contract-api-go/v2/contractapi"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
)

// PolicyContract keeps the release rules. No organisation changes them alone:
// a text is in force once admins of a majority of members have applied the
// same text.
type PolicyContract struct{ contractapi.Contract }

// maxPolicies bounds the catalogue, which every verdict reads.
const maxPolicies = 256

// Applied says where a policy text stands.
type Applied struct {
	Name    string   `json:"name"`
	Hash    string   `json:"hash"`
	Version int      `json:"version"` // in force; 0 when none
	Active  bool     `json:"active"`  // this text is the one in force
	Votes   []string `json:"votes"`   // MSP ids that applied this text
	Needed  int      `json:"needed"`
}

// Apply votes for a policy text, in its canonical JSON. A vote is for a change
// from the version in force when it was cast; a later version makes it stale.
func (PolicyContract) Apply(tx *Tx, text string) (string, error) {
	p, err := policy.Parse([]byte(text))
	if err != nil {
		return "", err
	}
	canonical := p.Canonical()
	sum := sha256.Sum256(canonical)
	members, err := state.LoadMembers(tx)
	if err != nil {
		return "", err
	}
	a := Applied{Name: p.Metadata.Name, Hash: hex.EncodeToString(sum[:]), Needed: members.Needed(), Votes: []string{}}

	var catalogue state.Catalogue
	if _, err := state.Read(tx, state.PoliciesKey(), &catalogue); err != nil {
		return "", err
	}
	at := slices.IndexFunc(catalogue.Policies, func(e state.CatalogueEntry) bool { return e.Name == a.Name })
	if at >= 0 {
		a.Version = catalogue.Policies[at].Version
		var v state.PolicyVersion
		if _, err := state.Read(tx, state.PolicyKey(a.Name, a.Version), &v); err != nil {
			return "", err
		}
		if v.Hash == a.Hash {
			a.Active = true
			for _, voter := range v.Voters {
				a.Votes = append(a.Votes, voter.MSP)
			}
			return answer(a, nil)
		}
	}
	for _, e := range catalogue.Policies {
		if e.Name == a.Name {
			continue
		}
		if pattern := policy.Overlap(p.Spec.Match, e.Match); pattern != "" {
			return "", provenance.Errorf(provenance.Conflict, "pattern %q is as specific as one of policy %s; ties are refused", pattern, e.Name)
		}
	}
	voters, err := countVotes(tx, a, members.MSPs)
	if err != nil {
		return "", err
	}
	if !slices.ContainsFunc(voters, func(v policy.Person) bool { return v.MSP == tx.caller.MSP }) {
		vote := state.Vote{Name: a.Name, Hash: a.Hash, Base: a.Version, Text: canonical, Act: tx.act()}
		if err := tx.put(state.VoteKey(a.Name, a.Hash, tx.caller.MSP), vote); err != nil {
			return "", err
		}
		voters = append(voters, tx.caller)
		slices.SortFunc(voters, func(x, y policy.Person) int { return strings.Compare(x.MSP, y.MSP) })
	}
	for _, v := range voters {
		a.Votes = append(a.Votes, v.MSP)
	}
	if len(voters) < a.Needed {
		return answer(a, nil)
	}
	a.Version++
	a.Active = true
	entry := state.CatalogueEntry{Name: a.Name, Version: a.Version, Match: p.Spec.Match}
	if at >= 0 {
		catalogue.Policies[at] = entry
	} else {
		if len(catalogue.Policies) >= maxPolicies {
			return "", provenance.Errorf(provenance.Conflict, "the ledger has %d policies already", maxPolicies)
		}
		catalogue.Policies = append(catalogue.Policies, entry)
		slices.SortFunc(catalogue.Policies, func(x, y state.CatalogueEntry) int { return strings.Compare(x.Name, y.Name) })
	}
	version := state.PolicyVersion{Name: a.Name, Version: a.Version, Hash: a.Hash, Text: canonical, Voters: voters, At: tx.now}
	if err := tx.put(state.PolicyKey(a.Name, a.Version), version); err != nil {
		return "", err
	}
	return answer(a, tx.put(state.PoliciesKey(), catalogue))
}

// countVotes returns who voted for this text against the version in force.
func countVotes(tx *Tx, a Applied, members []string) ([]policy.Person, error) {
	keys := make([]string, len(members))
	for i, msp := range members {
		keys[i] = state.VoteKey(a.Name, a.Hash, msp)
	}
	values, err := tx.Get(keys...)
	if err != nil {
		return nil, err
	}
	var voters []policy.Person
	for _, b := range values {
		if b == nil {
			continue
		}
		var v state.Vote
		if err := state.Decode(b, &v); err != nil {
			return nil, err
		}
		if v.Base == a.Version {
			voters = append(voters, v.By)
		}
	}
	return voters, nil
}

// List returns the catalogue of policies in force.
func (PolicyContract) List(tx *Tx) (string, error) {
	c := state.Catalogue{Policies: []state.CatalogueEntry{}}
	_, err := state.Read(tx, state.PoliciesKey(), &c)
	return answer(c, err)
}

// Get returns a version of a policy; version "0" is the one in force.
func (PolicyContract) Get(tx *Tx, name, version string) (string, error) {
	n, err := strconv.Atoi(version)
	if err != nil || n < 0 || n > 999999 {
		return "", provenance.Errorf(provenance.Invalid, "policy version %q: want a number, 0 for the one in force", clip(version))
	}
	if n == 0 {
		var c state.Catalogue
		if _, err := state.Read(tx, state.PoliciesKey(), &c); err != nil {
			return "", err
		}
		for _, e := range c.Policies {
			if e.Name == name {
				n = e.Version
			}
		}
	}
	var v state.PolicyVersion
	found, err := state.Read(tx, state.PolicyKey(name, n), &v)
	if err == nil && !found {
		err = provenance.Errorf(provenance.NotFound, "policy %q version %s is not on the ledger", clip(name), version)
	}
	return answer(v, err)
}
