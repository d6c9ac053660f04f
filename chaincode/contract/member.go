package contract

import (
	"regexp"
	"slices"
	"strings"

	"github.com/hyperledger/fabric-contract-api-go/v2/contractapi"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/chaincode/strictjson"
)

// MemberContract keeps organisations and the roles of their people.
type MemberContract struct{ contractapi.Contract }

var (
	identityName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._@-]{0,127}$`)
	mspID        = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)
	displayName  = regexp.MustCompile(`^[\pL\pN][\pL\pN ._-]{0,63}$`)
)

// maxMembers bounds the reads of a verdict: one approval and one hold per member.
const maxMembers = 64

// Found names the organisations that the consortium starts with, as a JSON
// array of MSP ids. It happens once: founding again by the same list is success
// without a write, by another one a Conflict. Each founder joins by itself.
func (MemberContract) Found(tx *Tx, founders string) (string, error) {
	var msps []string
	if err := strictjson.Unmarshal([]byte(founders), &msps, strictjson.Limits{}); err != nil {
		return "", provenance.Errorf(provenance.Invalid, "founders: want a JSON array of MSP ids: %v", err)
	}
	for _, id := range msps {
		if err := checkMSP(id); err != nil {
			return "", err
		}
	}
	msps = slices.Sorted(slices.Values(msps))
	switch {
	case len(msps) == 0 || len(msps) > maxMembers:
		return "", provenance.Errorf(provenance.Invalid, "%d founders: want 1 to %d", len(msps), maxMembers)
	case len(slices.Compact(slices.Clone(msps))) != len(msps):
		return "", provenance.Errorf(provenance.Invalid, "a founder is named twice")
	case !slices.Contains(msps, tx.caller.MSP):
		return "", provenance.Errorf(provenance.Forbidden, "%s is not among the founders it names", tx.caller.MSP)
	}
	m, err := state.LoadMembers(tx)
	if err != nil {
		return "", err
	}
	if have := slices.Sorted(slices.Values(slices.Concat(m.MSPs, m.Invited))); len(have) > 0 {
		if !slices.Equal(have, msps) {
			return "", provenance.Errorf(provenance.Conflict, "the consortium was founded already, with %s", strings.Join(have, ", "))
		}
		return answer(m, nil)
	}
	if provenance.IsSuccessor(tx.GetStub().GetChannelID()) {
		return "", provenance.Errorf(provenance.Conflict, "the channel goes on from another one: its founders are members when that one's state is imported")
	}
	m = state.Members{MSPs: []string{}, Invited: msps}
	return answer(m, tx.put(state.MembersKey(), m))
}

// Join makes the caller's organisation, which was invited by the founding or
// by a vote, a member under a name for people. Joining again is success
// without a write.
func (MemberContract) Join(tx *Tx, name string) (string, error) {
	if !displayName.MatchString(name) {
		return "", provenance.Errorf(provenance.Invalid, "member name %q: want 1 to 64 letters, digits, spaces, '.', '_', '-'", clip(name))
	}
	members, err := state.LoadMembers(tx)
	if err != nil {
		return "", err
	}
	m := state.Member{MSP: tx.caller.MSP, Name: name, Act: tx.act()}
	if slices.Contains(members.MSPs, m.MSP) {
		var standing state.Member
		_, err := state.Read(tx, state.MemberKey(m.MSP), &standing)
		return answer(standing, err)
	}
	at := slices.Index(members.Invited, m.MSP)
	if at < 0 {
		return "", provenance.ErrorIn(provenance.Membership, provenance.Forbidden, "%s is not invited yet: a founder names it with member:Found, or the members vote it in", m.MSP)
	}
	if len(members.MSPs) >= maxMembers {
		return "", provenance.Errorf(provenance.Conflict, "the ledger has %d members already", maxMembers)
	}
	members.Invited = slices.Delete(members.Invited, at, at+1)
	members.MSPs = append(members.MSPs, m.MSP)
	slices.Sort(members.MSPs)
	if err := putMembers(tx, members); err != nil {
		return "", err
	}
	return answer(m, tx.put(state.MemberKey(m.MSP), m))
}

// putMembers writes the list of members. What only votes change is guarded by
// the new list from here on; the write itself is held to the old one.
func putMembers(tx *Tx, m state.Members) error {
	if err := tx.put(state.MembersKey(), m); err != nil {
		return err
	}
	if err := guardGoverned(tx, state.MembersKey(), m); err != nil {
		return err
	}
	values, err := tx.Get(state.PoliciesKey())
	if err != nil || values[0] == nil {
		return err // a guard on a key that is not there is lost
	}
	return guardGoverned(tx, state.PoliciesKey(), m)
}

func checkMSP(id string) error {
	if !mspID.MatchString(id) {
		return provenance.Errorf(provenance.Invalid, "MSP id %q: want 1 to 64 letters, digits, '.', '_', '-'", clip(id))
	}
	return nil
}

// Grant gives one of the caller's own people or robots a role.
func (MemberContract) Grant(tx *Tx, identity, role string) (string, error) {
	return setGrant(tx, identity, role, false)
}

// Revoke withdraws a role.
func (MemberContract) Revoke(tx *Tx, identity, role string) (string, error) {
	return setGrant(tx, identity, role, true)
}

func setGrant(tx *Tx, identity, role string, revoked bool) (string, error) {
	if !identityName.MatchString(identity) {
		return "", provenance.Errorf(provenance.Invalid, "identity %q: want the common name of a certificate of %s", clip(identity), tx.caller.MSP)
	}
	if !slices.Contains(state.Roles(), state.Role(role)) {
		return "", provenance.Errorf(provenance.Invalid, "role %q: want one of %v", clip(role), state.Roles())
	}
	key := state.GrantKey(tx.caller.MSP, identity, role)
	var old state.Grant
	found, err := state.Read(tx, key, &old)
	if err != nil {
		return "", err
	}
	if revoked && !found {
		return "", provenance.Errorf(provenance.NotFound, "%s@%s was never granted %s", identity, tx.caller.MSP, role)
	}
	if found && old.Revoked == revoked {
		// What somebody gave who is taken back is given anew.
		taken, err := state.LoadTaken(tx, []policy.Person{old.By})
		if err != nil || revoked || !taken[0].Reaches(old.At) {
			return answer(old, err)
		}
	}
	g := state.Grant{MSP: tx.caller.MSP, Identity: identity, Role: state.Role(role), Revoked: revoked, Act: tx.act()}
	if given := old.Giver(); revoked {
		g.Given = &given
	}
	return answer(g, tx.put(key, g))
}

// MemberList is every member and every grant, revoked ones too.
type MemberList struct {
	Members []state.Member `json:"members"`
	Invited []string       `json:"invited"` // MSP ids that may join
	Needed  int            `json:"needed"`  // agreeing members that decide a vote
	Version int            `json:"version"` // state.Members.Version
	Grants  []state.Grant  `json:"grants"`
}

// List returns members and grants, and who is invited.
func (MemberContract) List(tx *Tx) (string, error) {
	g, err := loadGovernance(tx, change{})
	if err != nil {
		return "", err
	}
	list := MemberList{Members: []state.Member{}, Invited: append([]string{}, g.members.Invited...), Needed: g.needed(), Version: g.members.Version, Grants: []state.Grant{}}
	if err := scanInto(tx, &list.Members, state.TypeMember); err != nil {
		return "", err
	}
	return answer(&list, scanInto(tx, &list.Grants, state.TypeGrant))
}

// scanInto appends every record of a type to list: all of them, or an error.
func scanInto[T any](tx *Tx, list *[]T, objectType string, attributes ...string) error {
	entries, err := tx.scanAll(objectType, attributes...)
	if err != nil {
		return err
	}
	for _, e := range entries {
		var record T
		if err := state.Decode(e.Value, &record); err != nil {
			return err
		}
		*list = append(*list, record)
	}
	return nil
}

// TakeBack says that since a time (RFC 3339) an identity of the caller's
// organisation was in a stranger's hands: nothing that it did from then on counts
// (approvals, ballots of open proposals, grants, waivers and their approvals,
// documents it vouched for), and it does nothing any more. What relied on it is
// stale. Everything stays visible. Taking back again may only name an earlier
// time; whoever it was needs a certificate of another name.
func (MemberContract) TakeBack(tx *Tx, identity, since, reason string) (string, error) {
	// Any name that identify lets in: an admin by its certificate needs no grant.
	if err := provenance.CheckText("identity", identity, maxName); err != nil || identity == "" {
		return "", provenance.Errorf(provenance.Invalid, "identity %q: want the common name of a certificate of %s", clip(identity), tx.caller.MSP)
	}
	if err := needReason("taking back", reason); err != nil {
		return "", err
	}
	from, err := parseTime("since", since)
	switch {
	case err != nil:
		return "", err
	case from.IsZero() || from.After(tx.now):
		return "", provenance.Errorf(provenance.Invalid, "since %q: want a time that has come", clip(since))
	case identity == tx.caller.Name:
		return "", provenance.Errorf(provenance.Invalid, "%s would take back this act as well; another admin of %s does it", tx.caller, tx.caller.MSP)
	}
	who := policy.Person{MSP: tx.caller.MSP, Name: identity}
	taken, err := state.LoadTaken(tx, []policy.Person{who})
	if err != nil {
		return "", err
	}
	if old := taken[0]; old != nil && !from.Before(old.Since) {
		return answer(old, nil)
	}
	t := state.TakenBack{MSP: who.MSP, Identity: identity, Since: from, Reason: reason, Act: tx.act()}
	return answer(t, tx.put(state.TakenKey(who), t))
}

// RegistryContract answers whose registries are recorded. They are given, and
// handed on, by a vote: see ProposalContract.
type RegistryContract struct{ contractapi.Contract }

var registryKind = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)

// RegistryView is an organisation's part of a registry.
type RegistryView struct {
	Host provenance.Host `json:"host"`
	state.Claim
}

// List returns the registries, a row for each claim.
func (RegistryContract) List(tx *Tx) (string, error) {
	registries := []state.Registry{}
	if err := scanInto(tx, &registries, state.TypeRegistry); err != nil {
		return "", err
	}
	list := []RegistryView{}
	for _, r := range registries {
		for _, c := range r.Claims {
			list = append(list, RegistryView{Host: r.Host, Claim: c})
		}
	}
	return answer(list, nil)
}
