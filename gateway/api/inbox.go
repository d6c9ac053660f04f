package api

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
	"github.com/waybill-dev/waybill/gateway/readmodel"
)

// Bounds of a page of an inbox.
const (
	inboxPage = 100
	// maxLooked bounds what is judged for one page: not everything that waits
	// is something that the caller's organisation could do.
	maxLooked = 500
)

// The kinds of things that wait.
const (
	waitApprove = "approve"
	waitAgain   = "approve-again"
	waitAttest  = "attest"
	waitRelease = "release"
	waitVote    = "vote"
	waitWaiver  = "waiver"
	waitReview  = "review"
)

// GetInbox implements waybillv1.WaybillServer.
func (s *service) GetInbox(ctx context.Context, in *waybillv1.GetInboxRequest) (*waybillv1.GetInboxResponse, error) {
	p, err := pageOf(in.GetPageSize(), in.GetPageToken(), inboxPage)
	if err != nil {
		return nil, err
	}
	who := callerOf(ctx)
	out := &waybillv1.GetInboxResponse{Caller: person(who.Person)}
	return out, s.view(ctx, func(at moment, r Reads) error {
		out.Height, out.Stale = at.height, at.stale
		b := &inbox{s: s, r: r, me: who.Person, robot: who.robot, now: s.cfg.Now()}
		var err error
		if b.roles, err = rolesOf(r, who); err != nil {
			return err
		}
		out.Roles = b.roles
		members, err := state.LoadMembers(r)
		if err != nil || !slices.Contains(members.MSPs, who.MSP) {
			return err // nothing waits for who is no member
		}
		if b.bench, err = s.waivers(r); err != nil {
			return err
		}
		q, err := openQueues(r, p.Token, who.MSP, b.now)
		if err != nil {
			return err
		}
		for looked := 0; looked < maxLooked && len(b.items) < p.Size; looked++ {
			w, err := q.next()
			if err != nil || w == nil {
				return b.finish(out, err)
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := b.look(*w); err != nil {
				return err
			}
		}
		out.NextPageToken, err = q.token()
		out.Truncated = out.GetNextPageToken() != ""
		return b.finish(out, err)
	})
}

// finish puts the items of a page in order: what the caller may do, then the newest.
func (b *inbox) finish(out *waybillv1.GetInboxResponse, err error) error {
	slices.SortStableFunc(b.items, func(x, y *waybillv1.InboxItem) int {
		return cmp.Or(compareBool(y.GetMine(), x.GetMine()), moments(y.GetSince()).Compare(moments(x.GetSince())))
	})
	out.Items = b.items
	return err
}

// rolesOf lists the caller's roles in its organisation, in the order of
// state.Roles, as the contract sees them.
func rolesOf(r Reads, who caller) ([]string, error) {
	own, err := state.LoadTaken(r, []policy.Person{who.Person})
	if err != nil || own[0] != nil {
		return []string{}, err // nothing that it signs is taken any more
	}
	held := map[string]bool{string(state.RoleAdmin): who.admin}
	taken := newTakenBack(r)
	err = each(r, func(_ []string, g state.Grant) error {
		why, err := taken.why(g.By, g.At)
		held[string(g.Role)] = held[string(g.Role)] || !g.Revoked && why == ""
		return err
	}, state.TypeGrant, who.MSP, who.Name)
	roles := []string{}
	for _, role := range state.Roles() {
		if held[string(role)] {
			roles = append(roles, string(role))
		}
	}
	return roles, err
}

// inbox gathers what waits for one person's organisation.
type inbox struct {
	s     *service
	r     Reads
	me    policy.Person
	robot bool // by certificate
	roles []string
	now   time.Time
	bench *waivers
	items []*waybillv1.InboxItem
}

// look adds what one thing that somebody waits for asks of the organisation.
func (b *inbox) look(w readmodel.Waiting) error {
	switch w.Kind {
	case state.TypePromotion:
		return look(b.r, w, b.promotion)
	case state.TypeProposal:
		return look(b.r, w, b.proposal)
	case state.TypeReleased:
		return look(b.r, w, b.review)
	}
	return look(b.r, w, func(all state.Waivers) error {
		i := slices.IndexFunc(all.Waivers, func(one state.Waiver) bool { return one.ID == w.ID })
		if i < 0 {
			return nil
		}
		_, key, _ := state.SplitKey(w.Key)
		return b.waiver(key, all.Waivers[i])
	})
}

func look[T any](r Reads, w readmodel.Waiting, do func(T) error) error {
	var record T
	found, err := state.Read(r, w.Key, &record)
	if err != nil || !found {
		return err
	}
	return do(record)
}

// holds tells whether the caller holds one of the roles.
func (b *inbox) holds(roles ...string) bool {
	return slices.ContainsFunc(roles, func(r string) bool { return slices.Contains(b.roles, r) })
}

// isRobot is the contract's: by certificate, or by a grant.
func (b *inbox) isRobot() bool {
	return b.robot || b.holds(string(state.RoleRobot), string(state.RoleGateway))
}

func (b *inbox) add(item *waybillv1.InboxItem, roles ...state.Role) {
	for _, r := range roles {
		item.Roles = append(item.Roles, string(r))
	}
	b.items = append(b.items, item)
}

func about(s state.Subject) *waybillv1.InboxItem {
	return &waybillv1.InboxItem{Stage: s.Stage, Host: string(s.Host), Repository: string(s.Repository), Digest: s.Digest.String()}
}

func imageOf(s state.Subject) string {
	return string(s.Host) + "/" + string(s.Repository) + "@" + s.Digest.String()
}

// proposal adds what the organisation has not voted on.
func (b *inbox) proposal(open state.Proposal) error {
	all, err := counted(b.r, []state.Proposal{open})
	if err != nil {
		return err
	}
	p := all[0]
	if p.GetOutdated() || !slices.Contains(p.GetWaiting(), b.me.MSP) {
		return nil
	}
	yes := 0
	for _, v := range p.GetVotes() {
		if v.GetYes() && v.GetTakenBack() == "" {
			yes++
		}
	}
	b.add(&waybillv1.InboxItem{
		Kind: waitVote, Id: p.GetId(), Hash: p.GetHash(), By: p.GetBy(), Since: p.GetAt(), Mine: b.holds(string(state.RoleAdmin)),
		Detail: p.GetTitle() + "; " + count(yes, int(p.GetNeeded()), "votes"), Command: "waybill proposal vote " + p.GetId() + " yes",
	}, state.RoleAdmin)
	return nil
}

// waiver adds an exception that the organisation could approve.
func (b *inbox) waiver(key []string, waiver state.Waiver) error {
	w, err := b.bench.show(key, waiver)
	if err != nil {
		return err
	}
	orgs, _, _ := policy.Agreed(nil, b.bench.members, agreed(w.GetApproved()))
	if w.GetStatus() != waiverPending || w.GetNeeded() == 0 || slices.Contains(orgs, b.me.MSP) {
		return nil
	}
	short := int(w.GetNeeded()) > len(orgs)
	if !short && !slices.Contains(w.GetMissing(), b.me.MSP) {
		return nil // only others are missing
	}
	b.add(&waybillv1.InboxItem{
		Kind: waitWaiver, Stage: w.GetStage(), Host: w.GetHost(), Repository: w.GetRepository(), Digest: w.GetDigest(), Id: w.GetId(), Hash: w.GetHash(),
		By: w.GetBy(), Since: w.GetAt(), Due: w.GetUntil(), Mine: b.holds(string(state.RoleReleaseManager), string(state.RoleAdmin)),
		Detail:  "go without " + w.GetRule() + " until " + moments(w.GetUntil()).Format(time.RFC3339) + ": " + w.GetReason() + "; " + count(len(orgs), int(w.GetNeeded()), "approvals"),
		Command: "waybill waiver approve " + w.GetHost() + "/" + w.GetRepository() + " " + w.GetId(),
	}, state.RoleReleaseManager, state.RoleAdmin)
	return nil
}

// review adds a break-glass release that another organisation owes a review of.
func (b *inbox) review(rel state.Release) error {
	if rel.Debt == nil || rel.Debt.Reviewed != nil || rel.Debt.By.MSP == b.me.MSP {
		return nil
	}
	p, _, err := state.LoadPolicy(b.s.reader(b.r), rel.Host, rel.Repository)
	if err != nil {
		return err
	}
	if p != nil {
		stage, _ := p.Stage(rel.Stage)
		if glass := stage.BreakGlass; glass != nil && len(glass.Reviewers) > 0 && !slices.Contains(glass.Reviewers, b.me.MSP) {
			return nil
		}
	}
	item := about(rel.Subject)
	item.Kind, item.By, item.Since, item.Due = waitReview, person(rel.Debt.By), stamp(rel.Debt.At), stamp(rel.Debt.Due)
	item.Detail, item.Hash = "released without "+strings.Join(rel.Debt.Without, ", ")+": "+rel.Debt.Reason, rel.Hash()
	if b.now.After(rel.Debt.Due) {
		item.Detail = "overdue; " + item.Detail
	}
	item.Mine = b.holds(string(state.RoleReleaseManager), string(state.RoleAdmin), string(state.RoleAuditor))
	item.Command = "waybill review " + imageOf(rel.Subject) + " --to " + rel.Stage + " --reason REASON"
	b.add(item, state.RoleReleaseManager, state.RoleAdmin, state.RoleAuditor)
	return nil
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// moments is stamp the other way.
func moments(t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.AsTime()
}
