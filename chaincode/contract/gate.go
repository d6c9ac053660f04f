package contract

import (
	"slices"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/state"
)

// gatekeepers are the organisations whose peers must endorse a release of the
// subject: those the stage's approvals and witnesses name, as far as they are
// members. Whoever is no member has no peers to ask.
func (r *decision) gatekeepers() []string {
	st := r.stage()
	named := slices.Clone(st.Approvals.Orgs)
	if st.Witnesses != nil {
		named = append(named, st.Witnesses.Orgs...)
	}
	named = slices.DeleteFunc(named, func(msp string) bool { return !slices.Contains(r.facts.Members, msp) })
	slices.Sort(named)
	return slices.Compact(named)
}

// gate writes the gate of the subject and tells whether this transaction may
// pass it. Its key-level endorsement policy is Fabric's to enforce, and the
// first write of a key, or of a policy, is judged without it: a gate that was
// not there, or did not name all it has to name, lets nothing pass in the
// transaction that sets it.
func (r *decision) gate(tx *Tx, release bool) (passed bool, err error) {
	members, err := state.LoadMembers(tx)
	if err != nil {
		return false, err
	}
	key := r.subject.GateKey(members.Version)
	var old state.Gate
	if _, err := state.Read(tx, key, &old); err != nil {
		return false, err
	}
	keepers := r.gatekeepers()
	if keepers == nil {
		keepers = []string{}
	}
	passed = !slices.ContainsFunc(keepers, func(msp string) bool { return !slices.Contains(old.Orgs, msp) })
	if err := guard(tx, key, keepers, r.facts.Members); err != nil {
		return false, err
	}
	g := state.Gate{Subject: r.subject, Orgs: keepers, Policy: r.inForce(), Attempt: r.promotion.Attempt, Opened: old.Opened || (release && passed)}
	return passed, tx.put(key, g)
}

// named are the organisations a stage speaks of; their gateways may release by
// themselves. It is empty where the stage names nobody.
func named(st policy.Stage) []string {
	orgs := slices.Clone(st.Approvals.Orgs)
	for _, e := range st.Evidence {
		for _, s := range e.Signers {
			if s.Org != "" { // else whom a shared root names, who is of no organisation
				orgs = append(orgs, s.Org)
			}
		}
	}
	if st.Witnesses != nil {
		orgs = append(orgs, st.Witnesses.Orgs...)
	}
	slices.Sort(orgs)
	return slices.Compact(orgs)
}
