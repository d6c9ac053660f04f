package contract

import (
	"time"

	"github.com/waybill-dev/waybill/chaincode/state"
)

// maxPolicies bounds the catalogue, which every verdict reads.
const maxPolicies = 256

// governance is what only votes change, as committed.
type governance struct {
	members   state.Members
	catalogue state.Catalogue
	// founding: founders have yet to join, and count as members who said
	// nothing. Else whoever joins first would be a majority alone.
	founding bool
	registry state.Registry // that a change is about
	hold     *state.Hold    // the same

	channel state.ChannelVotes // of a change of the channel

	root   *state.TrustedRoot // the same, of the shared ones
	roots  state.RootList     // their names
	others []sharedRoot       // and the others of them that are in force
	now    time.Time
}

// electorate is how many may vote, now or once they joined.
func (g governance) electorate() int {
	if g.founding {
		return len(g.members.MSPs) + len(g.members.Invited)
	}
	return len(g.members.MSPs)
}

// needed is the number of agreeing members that decides.
func (g governance) needed() int { return max(g.members.Needed(), g.electorate()/2+1) }

// loadGovernance reads what only votes change, and what a change is about.
func loadGovernance(tx *Tx, c change) (g governance, err error) {
	if g.members, err = state.LoadMembers(tx); err != nil {
		return g, err
	}
	if g.founding, err = founding(tx, g.members); err != nil {
		return g, err
	}
	if _, err = state.Read(tx, state.PoliciesKey(), &g.catalogue); err != nil {
		return g, err
	}
	if about, ok := c.effect.(interface {
		load(tx *Tx, g *governance) error
	}); ok {
		err = about.load(tx, &g)
	}
	return g, err
}

// putGoverned writes a record that is part of a vote or of what it made, and guards its key.
func putGoverned(tx *Tx, m state.Members, key string, record any) error {
	if err := tx.put(key, record); err != nil {
		return err
	}
	return guardGoverned(tx, key, m)
}
