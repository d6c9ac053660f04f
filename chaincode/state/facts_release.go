package state

import (
	"slices"
	"time"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// loadTaken reads what is taken back of people.
func (l *loader) loadTaken(people ...policy.Person) error {
	var fresh []policy.Person
	for _, who := range people {
		if _, known := l.taken[who]; !known && !slices.Contains(fresh, who) {
			fresh = append(fresh, who)
		}
	}
	taken, err := LoadTaken(l.r, fresh)
	if l.taken == nil {
		l.taken = map[policy.Person]*TakenBack{}
	}
	for i, who := range fresh {
		l.taken[who] = taken[i]
	}
	return err
}

// LoadTaken returns what is taken back of each of people, nil for nothing.
func LoadTaken(r Reader, people []policy.Person) ([]*TakenBack, error) {
	keys := make([]string, len(people))
	for i, who := range people {
		keys[i] = TakenKey(who)
	}
	taken, err := readAll[TakenBack](r, keys)
	if taken == nil {
		taken = make([]*TakenBack, len(people))
	}
	return taken, err
}

func (l *loader) promotion() error {
	found, err := Read(l.r, l.s.PromotionKey(), &l.open)
	if err != nil || !found {
		return err
	}
	f := &l.f
	f.Requester, f.Attempt = l.open.Requester, l.open.Attempt
	switch open := l.open.OpenAt(l.now); {
	case open, l.open.Status == PromotionReleased:
		f.Promoted = true
	case l.open.Status == PromotionOpen:
		f.Lapsed = "the request by " + l.open.Requester.String() + " expired at " + l.open.Expires().UTC().Format("2006-01-02 15:04 UTC")
	case l.open.Status == PromotionWithdrawn:
		f.Lapsed = "the request was withdrawn by " + l.open.Withdrawal.By.String() + ": " + l.open.Withdrawal.Reason
	}
	keys := make([]string, len(f.Members))
	for i, msp := range f.Members {
		keys[i] = l.open.ApprovalKey(l.open.Attempt, msp)
	}
	approvals, err := readAll[Approval](l.r, keys)
	if err != nil {
		return err
	}
	var people []policy.Person
	for _, a := range approvals {
		if a != nil && !a.Withdrawn {
			people = append(people, a.By)
			f.Approvals = append(f.Approvals, a.Approval)
		}
	}
	if err := l.loadTaken(people...); err != nil {
		return err
	}
	for i := range f.Approvals {
		if a := &f.Approvals[i]; l.taken[a.By].Reaches(a.At) {
			a.TakenBack = l.taken[a.By].String()
		}
	}
	return l.dropTakenRoles()
}

// grantUse is a role that somebody had when they spoke.
type grantUse struct {
	who  policy.Person
	role string
	at   time.Time
}

// takenGrants tells which grants come from somebody whose organisation takes back what
// they did, and were used since that was somebody else: that they revoke it again
// or give it twice launders nothing, and what another one granted since is good.
func (l *loader) takenGrants(uses []grantUse) ([]bool, error) {
	keys := make([]string, len(uses))
	for i, g := range uses {
		keys[i] = GrantKey(g.who.MSP, g.who.Name, g.role)
	}
	grants, err := readAll[Grant](l.r, keys)
	if err != nil {
		return nil, err
	}
	var givers []policy.Person
	for _, g := range grants {
		if g != nil {
			givers = append(givers, g.Giver().By)
		}
	}
	if err := l.loadTaken(givers...); err != nil {
		return nil, err
	}
	taken := make([]bool, len(uses))
	for i, g := range grants {
		if g == nil {
			continue
		}
		back := l.taken[g.Giver().By]
		taken[i] = back.Reaches(g.Giver().At) && back.Reaches(uses[i].at)
	}
	return taken, nil
}

// dropTakenRoles takes from approvals the roles that were given by somebody whose
// organisation takes it back.
func (l *loader) dropTakenRoles() error {
	var uses []grantUse
	for _, a := range l.f.Approvals {
		for _, role := range a.Roles {
			uses = append(uses, grantUse{a.By, role, a.At})
		}
	}
	taken, err := l.takenGrants(uses)
	if err != nil || !slices.Contains(taken, true) {
		return err
	}
	n := 0
	for i := range l.f.Approvals {
		a := &l.f.Approvals[i]
		kept := []string{} // none is not the same as not known
		for _, role := range a.Roles {
			if !taken[n] {
				kept = append(kept, role)
			}
			n++
		}
		if a.Roles != nil {
			a.Roles = kept
		}
	}
	return nil
}

// releases reads to which stages the image is released, itself or through an index.
func (l *loader) releases() error {
	type way struct {
		stage   string
		through provenance.Digest // zero: itself
	}
	var ways []way
	var keys []string
	for _, stage := range l.stages() {
		ways = append(ways, way{stage: stage})
		keys = append(keys, Subject{stage, l.s.Host, l.s.Repository, l.s.Digest}.ReleasedKey())
		if through, ok := l.carriers[stage]; ok {
			ways = append(ways, way{stage, through})
			keys = append(keys, Subject{stage, l.s.Host, l.s.Repository, through}.ReleasedKey())
		}
	}
	var current Current
	if _, err := Read(l.r, l.s.ReleaseKey(), &current); err != nil {
		return err
	}
	releases, err := readAll[Release](l.r, keys)
	if err != nil {
		return err
	}
	var people []policy.Person
	keys = keys[:0]
	for _, rel := range releases {
		if rel == nil {
			continue
		}
		for _, a := range rel.Approvers {
			people = append(people, a.Person)
		}
		if rel.Debt != nil {
			people = append(people, rel.Debt.By)
			if rel.Debt.Reviewed != nil {
				people = append(people, *rel.Debt.Reviewed)
			}
		}
		keys = append(keys, GapKey(rel.Tick))
	}
	if err := l.loadTaken(people...); err != nil {
		return err
	}
	if err := l.loadTakenApprovals(releases); err != nil {
		return err
	}
	gaps, err := readAll[Gap](l.r, keys)
	if err != nil {
		return err
	}
	f, n := &l.f, 0
	for i, rel := range releases {
		if rel == nil {
			continue
		}
		at := rel.Since(gaps[n])
		n++
		w := ways[i]
		if !w.through.IsZero() && l.standing[w.through] == nil {
			continue
		}
		if why := l.voidReason(rel); why != "" {
			if w.stage == l.s.Stage && !f.Released {
				f.Lapsed = why
				f.Promoted = f.Promoted && l.open.OpenAt(l.now)
			}
			continue
		}
		debt := l.debt(rel)
		unreviewed := debt != nil && debt.Reviewed == nil
		f.ReleasedTo = append(f.ReleasedTo, policy.ReleaseFact{Stage: w.stage, At: at, Unreviewed: unreviewed})
		if w.stage != l.s.Stage || f.Released {
			continue
		}
		f.Released, f.ReleasedAt, f.ReleasedWith, f.Debt, f.Current = true, rel.Begun(), rel.Policy, debt, current.Digest == rel.Digest
		f.ViaIndex = w.through
	}
	if f.Released {
		f.Lapsed = ""
	}
	return nil
}

// loadTakenApprovals notes on whose approval no release rests any more, because the role that
// they gave it in was given by somebody whose organisation takes it back.
func (l *loader) loadTakenApprovals(releases []*Release) error {
	var uses []grantUse
	for _, rel := range releases {
		if rel == nil {
			continue
		}
		for _, a := range rel.Approvers {
			uses = append(uses, grantUse{a.Person, l.approving(rel.Stage), a.At})
		}
	}
	taken, err := l.takenGrants(uses)
	l.takenUses = map[grantUse]bool{}
	for i, g := range uses {
		l.takenUses[g] = err == nil && taken[i]
	}
	return err
}

// approving is the role in which a stage is approved.
func (l *loader) approving(stage string) string {
	if l.p != nil {
		if st, ok := l.p.Stage(stage); ok && st.Approvals.Role != "" {
			return st.Approvals.Role
		}
	}
	return string(RoleReleaseManager)
}

// debt is what a release owes, without a review by somebody whose organisation
// takes it back.
func (l *loader) debt(rel *Release) *policy.Debt {
	d := rel.Debt
	if d == nil || d.Reviewed == nil || !l.taken[*d.Reviewed].Reaches(d.ReviewAt) {
		return d
	}
	owed := *d
	owed.Reviewed, owed.ReviewAt = nil, time.Time{}
	return &owed
}

// voidReason says why a release no longer stands: it rests on the word of somebody
// whose organisation takes it back, and without that too few have spoken.
func (l *loader) voidReason(rel *Release) string {
	if d := rel.Debt; d != nil {
		if t := l.taken[d.By]; t.Reaches(d.At) {
			return "the break-glass release rests on " + d.By.String() + ", " + t.String()
		}
		if slices.Contains(d.Without, "approvals") {
			return ""
		}
	}
	left, why := map[string]bool{}, ""
	for _, a := range rel.Approvers {
		if t := l.taken[a.Person]; t.Reaches(a.At) {
			why = "the release of " + rel.At.UTC().Format("2006-01-02 15:04 UTC") + " rests on " + a.String() + ", " + t.String()
		} else if l.takenUses[grantUse{a.Person, l.approving(rel.Stage), a.At}] {
			why = "the release of " + rel.At.UTC().Format("2006-01-02 15:04 UTC") + " rests on " + a.String() + ", whose role was given by somebody who is taken back"
		} else {
			left[a.MSP] = true
		}
	}
	if why == "" || l.p == nil {
		return why
	}
	stage, ok := l.p.Stage(rel.Stage)
	if !ok || len(left) < stage.Approvals.Min {
		return why
	}
	for _, msp := range stage.Approvals.Orgs {
		if !left[msp] {
			return why
		}
	}
	return ""
}
