package api

import (
	"fmt"
	"slices"
	"strings"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
)

// promotion adds what an open promotion lacks and the organisation could give.
func (b *inbox) promotion(p state.Promotion) error {
	if !p.OpenAt(b.now) {
		return nil
	}
	j, err := b.s.judge(b.r, p.Subject, b.now)
	if err != nil {
		return err
	}
	stage, ok := j.stage()
	if !ok || (j.Verdict.Verdict != policy.Pending && j.Verdict.Verdict != policy.Denied) {
		return nil // quarantined, or nothing that an act of anybody's would change
	}
	if j.Verdict.Releasable {
		b.releasable(p)
		return nil
	}
	b.approve(p, j, stage)
	b.attest(p, j, stage)
	return nil
}

// item is what all items about a promotion say.
func (b *inbox) item(kind string, p state.Promotion, j judgement) *waybillv1.InboxItem {
	item := about(p.Subject)
	item.Kind, item.By, item.Since, item.Lacks = kind, person(p.Requester), stamp(p.At), reasons(j.lacks())
	item.Attempt, item.Due = int32(p.Attempt), stamp(p.Expires())
	return item
}

// releasable: every rule is met, by the passing of time for instance; a
// gateway may release it, and so may a person.
func (b *inbox) releasable(p state.Promotion) {
	item := b.item(waitRelease, p, judgement{})
	item.Detail = p.Requester.String() + " asks to release to " + p.Stage + "; every rule is met"
	item.Mine = b.holds(string(state.RoleReleaseManager))
	item.Command = "waybill release " + imageOf(p.Subject) + " --to " + p.Stage
	b.add(item, state.RoleReleaseManager)
}

// approve adds a promotion whose quorum the organisation's approval would help.
func (b *inbox) approve(p state.Promotion, j judgement, stage policy.Stage) {
	open := slices.ContainsFunc(j.lacks(), func(r policy.Reason) bool { return r.Rule == "approvals" && r.Outcome == policy.Unmet })
	if !open || policy.Excluded(j.Policy, j.Facts, policy.Person{MSP: b.me.MSP}) != "" {
		return
	}
	item := b.item(waitApprove, p, j)
	discount := j.discount()
	for _, a := range j.Facts.Approvals {
		if a.By.MSP != b.me.MSP {
			continue
		}
		why := discount(a)
		if why == "" {
			return // it approved, or it rejected
		}
		item.Kind, item.Stale = waitAgain, why
	}
	rule := stage.Approvals
	have := policy.Approving(j.Policy, j.Facts, b.now)
	if len(have) >= rule.Min && !slices.Contains(rule.Orgs, b.me.MSP) {
		return // enough; only organisations that the rule names are missing
	}
	item.Detail = p.Requester.String() + " asks to release to " + p.Stage + "; " + count(len(have), rule.Min, "approvals")
	item.Policy, item.PolicyHash = j.ref()
	item.EvidenceSet = j.Verdict.EvidenceSet
	mine := policy.Approval{By: b.me, At: b.now, Roles: b.roles, Robot: b.isRobot()}
	item.Mine = policy.Unheard(j.Policy, j.Facts, mine) == ""
	item.Command = "waybill approve " + imageOf(p.Subject) + " --to " + p.Stage
	b.add(item, approverRole(stage))
}

// attest adds evidence that the stage wants from the organisation.
func (b *inbox) attest(p state.Promotion, j judgement, stage policy.Stage) {
	for _, lack := range j.lacks() {
		name, ok := strings.CutPrefix(lack.Rule, "evidence/")
		if !ok {
			continue
		}
		i := slices.IndexFunc(stage.Evidence, func(e policy.EvidenceRule) bool { return e.Name == name })
		if i < 0 {
			continue
		}
		k := slices.IndexFunc(stage.Evidence[i].Signers, func(s policy.SignerRule) bool { return s.Org == b.me.MSP })
		if k < 0 {
			continue
		}
		by := stage.Evidence[i].Signers[k]
		item := b.item(waitAttest, p, j)
		item.Lacks = reasons([]policy.Reason{lack})
		item.Detail = p.Stage + " wants " + lack.Rule + " by " + by.String() + ": " + lack.Detail
		item.Command = "waybill attest " + imageOf(p.Subject) + " --type " + stage.Evidence[i].Type + " --file FILE"
		roles := []state.Role{state.RoleScanner, state.RolePublisher, state.RoleReleaseManager, state.RoleAuditor, state.RoleAdmin}
		switch {
		case by.Role != "":
			roles = []state.Role{state.Role(by.Role)}
		case by.Key != "":
			item.Command += " --key KEY"
		}
		item.Mine = slices.ContainsFunc(roles, func(r state.Role) bool { return b.holds(string(r)) })
		b.add(item, roles...)
	}
}

func count(have, want int, of string) string { return fmt.Sprintf("%d of %d %s", have, want, of) }
