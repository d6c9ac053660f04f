package api

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
)

// promotions adds what open promotions lack and the organisation could give.
func (b *inbox) promotions() error {
	open, next, err := b.r.Promotions(PromotionFilter{Status: state.PromotionOpen}, Page{Size: maxOpen})
	if err != nil {
		return err
	}
	b.truncated = b.truncated || next != ""
	for _, p := range open {
		j, err := b.s.judge(b.r, p.Subject)
		if err != nil {
			return err
		}
		stage, ok := j.stage()
		if !ok || (j.verdict.Verdict != policy.Pending && j.verdict.Verdict != policy.Denied) {
			continue // quarantined, or nothing that an act of anybody's would change
		}
		if j.verdict.Releasable {
			b.releasable(p)
			continue
		}
		b.approve(p, j)
		b.attest(p, j, stage)
	}
	return nil
}

// item is what all items about a promotion say.
func (b *inbox) item(kind string, p state.Promotion, j judged) *waybillv1.InboxItem {
	item := about(p.Subject)
	item.Kind, item.By, item.Since, item.Lacks = kind, person(p.Requester), stamp(p.At), reasons(j.lacks())
	return item
}

// releasable: every rule is met, by the passing of time for instance; a
// gateway may release it, and so may a person.
func (b *inbox) releasable(p state.Promotion) {
	item := b.item(waitRelease, p, judged{})
	item.Detail = p.Requester.String() + " asks to release to " + p.Stage + "; every rule is met"
	item.Mine = b.holds(string(state.RoleReleaseManager))
	item.Command = "waybill release " + imageOf(p.Subject) + " --to " + p.Stage
	b.add(item, state.RoleReleaseManager)
}

// approve adds a promotion whose quorum the organisation's approval would help.
func (b *inbox) approve(p state.Promotion, j judged) {
	now := b.s.cfg.Now()
	d := newDiscounter(j, now)
	open := slices.ContainsFunc(j.lacks(), func(r policy.Reason) bool { return r.Rule == "approvals" && r.Outcome == policy.Unmet })
	if !open || policy.Excluded(d.rule, j.facts, policy.Person{MSP: b.me.MSP}) != "" {
		return
	}
	item := b.item(waitApprove, p, j)
	for _, a := range j.facts.Approvals {
		if a.By.MSP != b.me.MSP {
			continue
		}
		why := d.why(a)
		if why == "" {
			return // it approved, or it rejected
		}
		item.Kind, item.Stale = waitAgain, why
	}
	have := d.approving()
	if len(have) >= d.rule.Min && !slices.Contains(d.rule.Orgs, b.me.MSP) {
		return // enough; only organisations that the rule names are missing
	}
	item.Detail = p.Requester.String() + " asks to release to " + p.Stage + "; " + count(len(have), d.rule.Min, "approvals")
	item.Policy, item.EvidenceSet = j.ref(), j.verdict.EvidenceSet
	item.Mine = b.holds(d.role()) && policy.Excluded(d.rule, j.facts, b.me) == "" && (d.rule.Robots || !b.isRobot())
	item.Command = "waybill approve " + imageOf(p.Subject) + " --to " + p.Stage
	b.add(item, state.Role(d.role()))
}

// attest adds evidence that the stage wants from the organisation.
func (b *inbox) attest(p state.Promotion, j judged, stage policy.Stage) {
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
