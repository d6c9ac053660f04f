package api

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
)

// Bounds of an inbox.
const (
	maxOpen  = 500 // open promotions, proposals and debts that are looked at, each
	maxItems = 500
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
func (s *service) GetInbox(ctx context.Context, _ *waybillv1.GetInboxRequest) (*waybillv1.GetInboxResponse, error) {
	who := callerOf(ctx)
	out := &waybillv1.GetInboxResponse{Caller: person(who.Person)}
	return out, s.view(ctx, func(at moment, r Reads) error {
		out.Height, out.Stale = at.height, at.stale
		b := &inbox{s: s, r: r, me: who.Person, robot: who.robot}
		var err error
		if b.roles, err = rolesOf(r, who); err != nil {
			return err
		}
		out.Roles = b.roles
		members, err := state.LoadMembers(r)
		if err != nil || !slices.Contains(members.MSPs, who.MSP) {
			return err // nothing waits for who is no member
		}
		for _, look := range []func() error{b.reviews, b.promotions, b.proposals, b.waivers} {
			if err := look(); err != nil {
				return err
			}
		}
		slices.SortStableFunc(b.items, func(x, y *waybillv1.InboxItem) int {
			return cmp.Or(compareBool(y.GetMine(), x.GetMine()), sooner(moments(x.GetDue()), moments(y.GetDue())), sooner(moments(x.GetSince()), moments(y.GetSince())))
		})
		out.Truncated = b.truncated || len(b.items) > maxItems
		out.Items = b.items[:min(len(b.items), maxItems)]
		return nil
	})
}

// rolesOf lists the caller's roles in its organisation, in the order of state.Roles.
func rolesOf(r Reads, who caller) ([]string, error) {
	held := map[string]bool{string(state.RoleAdmin): who.admin}
	err := each(r, func(_ []string, g state.Grant) error {
		held[string(g.Role)] = held[string(g.Role)] || !g.Revoked
		return nil
	}, state.TypeGrant, who.MSP, who.Name)
	var roles []string
	for _, role := range state.Roles() {
		if held[string(role)] {
			roles = append(roles, string(role))
		}
	}
	return roles, err
}

// inbox gathers what waits for one person's organisation.
type inbox struct {
	s         *service
	r         Reads
	me        policy.Person
	robot     bool // by certificate
	roles     []string
	items     []*waybillv1.InboxItem
	truncated bool
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

// proposals adds what the organisation has not voted on.
func (b *inbox) proposals() error {
	open, err := b.r.Proposals(state.ProposalOpen, maxOpen)
	if err != nil {
		return err
	}
	b.truncated = b.truncated || len(open) == maxOpen
	all, err := counted(b.r, open)
	if err != nil {
		return err
	}
	for i, p := range all {
		if p.GetOutdated() || !slices.Contains(p.GetWaiting(), b.me.MSP) {
			continue
		}
		yes := 0
		for _, v := range p.GetVotes() {
			if v.GetYes() {
				yes++
			}
		}
		item := &waybillv1.InboxItem{
			Kind: waitVote, Id: p.GetId(), By: p.GetBy(), Since: p.GetAt(), Mine: b.holds(string(state.RoleAdmin)),
			Detail: describe(open[i]) + "; " + count(yes, int(p.GetNeeded()), "votes"), Command: "waybill proposal vote " + p.GetId() + " yes",
		}
		b.add(item, state.RoleAdmin)
	}
	return nil
}

func describe(p state.Proposal) string {
	switch p.Kind {
	case state.ProposePolicy:
		if p.Base == 0 {
			return "a new policy " + p.Name
		}
		return "a change of policy " + versionRef(policy.Version{Name: p.Name, Version: p.Base})
	case state.ProposeMemberAdd:
		return "invite " + p.Name
	case state.ProposeMemberRemove:
		return "remove " + p.Name
	case state.ProposeMajority:
		return "change the majority: " + string(p.Body)
	}
	return string(p.Kind) + " " + p.Name
}

// waivers adds exceptions that the organisation could approve.
func (b *inbox) waivers() error {
	all, err := b.s.waivers(b.r, nil)
	if err != nil {
		return err
	}
	for _, w := range all {
		approved := slices.ContainsFunc(w.GetApprovers(), func(p *waybillv1.Person) bool { return p.GetMsp() == b.me.MSP })
		if w.GetStatus() != waiverPending || w.GetNeeded() == 0 || approved {
			continue
		}
		orgs := map[string]bool{}
		for _, p := range w.GetApprovers() {
			orgs[p.GetMsp()] = true
		}
		short := int(w.GetNeeded()) > len(orgs)
		if !short && !slices.Contains(w.GetMissing(), b.me.MSP) {
			continue // only others are missing
		}
		item := &waybillv1.InboxItem{
			Kind: waitWaiver, Stage: w.GetStage(), Host: w.GetHost(), Repository: w.GetRepository(), Digest: w.GetDigest(), Id: w.GetId(),
			By: w.GetBy(), Since: w.GetAt(), Due: w.GetUntil(), Mine: b.holds(string(state.RoleReleaseManager), string(state.RoleAdmin)),
			Detail:  "go without " + w.GetRule() + " until " + moments(w.GetUntil()).Format(time.RFC3339) + ": " + w.GetReason() + "; " + count(len(orgs), int(w.GetNeeded()), "approvals"),
			Command: "waybill waiver approve " + w.GetHost() + "/" + w.GetRepository() + " " + w.GetId(),
		}
		b.add(item, state.RoleReleaseManager, state.RoleAdmin)
	}
	return nil
}

// reviews adds break-glass releases that another organisation owes a review of.
func (b *inbox) reviews() error {
	owing, err := b.r.Owing(maxOpen)
	if err != nil {
		return err
	}
	b.truncated = b.truncated || len(owing) == maxOpen
	for _, rel := range owing {
		if rel.Debt == nil || rel.Debt.By.MSP == b.me.MSP {
			continue
		}
		p, _, err := b.s.policies.load(b.r, rel.Subject)
		if err != nil {
			return err
		}
		if p != nil {
			stage, _ := p.Stage(rel.Stage)
			if glass := stage.BreakGlass; glass != nil && len(glass.Reviewers) > 0 && !slices.Contains(glass.Reviewers, b.me.MSP) {
				continue
			}
		}
		item := about(rel.Subject)
		item.Kind, item.By, item.Since, item.Due = waitReview, person(rel.Debt.By), stamp(rel.Debt.At), stamp(rel.Debt.Due)
		item.Detail = "released without " + strings.Join(rel.Debt.Without, ", ") + ": " + rel.Debt.Reason
		if b.s.cfg.Now().After(rel.Debt.Due) {
			item.Detail = "overdue; " + item.Detail
		}
		item.Mine = b.holds(string(state.RoleReleaseManager), string(state.RoleAdmin), string(state.RoleAuditor))
		item.Command = "waybill review " + imageOf(rel.Subject) + " --to " + rel.Stage + " --reason REASON"
		b.add(item, state.RoleReleaseManager, state.RoleAdmin, state.RoleAuditor)
	}
	return nil
}
