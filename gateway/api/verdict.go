package api

import (
	"fmt"
	"slices"
	"time"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/state"
)

// judgement is one image and stage, judged at one moment by the policy in force.
type judgement struct {
	state.Judgement
	now time.Time
}

// reader is r with its policies kept parsed.
func (s *service) reader(r Reads) state.Reader { return state.WithPolicyCache(r, &s.policies) }

// judge is the ledger's own judgement.
func (s *service) judge(r Reads, subject state.Subject, now time.Time) (judgement, error) {
	j, err := state.Judge(s.reader(r), subject, now)
	return judgement{j, now}, err
}

// ref names the policy version that an approver signs, and its hash; empty without a policy.
func (j judgement) ref() (name, hash string) {
	if j.Verdict.Policy == nil {
		return "", ""
	}
	return versionRef(*j.Verdict.Policy), j.Verdict.Policy.Hash
}

func versionRef(v policy.Version) string {
	if v.Name == "" {
		return ""
	}
	return fmt.Sprintf("%s@%d", v.Name, v.Version)
}

// stage returns the rules of the stage the image was judged for.
func (j judgement) stage() (policy.Stage, bool) {
	if j.Policy == nil {
		return policy.Stage{}, false
	}
	return j.Policy.Stage(j.Facts.Stage)
}

// lacks are the rules that keep the image from its release.
func (j judgement) lacks() []policy.Reason {
	return slices.DeleteFunc(slices.Clone(j.Verdict.Reasons), func(r policy.Reason) bool {
		return r.Outcome == policy.Satisfied || r.Outcome == policy.Waived
	})
}

// discount returns what says of an approval why it does not count, or "".
func (j judgement) discount() func(policy.Approval) string {
	outcomes := policy.Snapshot(j.Policy, j.Facts, j.now)
	return func(a policy.Approval) string { return policy.Discount(j.Policy, j.Facts, a, j.now, outcomes) }
}

// approverRole is what an approver of a stage must hold.
func approverRole(stage policy.Stage) state.Role {
	if stage.Approvals.Role == "" {
		return state.RoleReleaseManager
	}
	return state.Role(stage.Approvals.Role)
}

// takenBack knows what is taken back of whom.
type takenBack struct {
	r     Reads
	known map[policy.Person]*state.TakenBack
}

func newTakenBack(r Reads) *takenBack { return &takenBack{r, map[policy.Person]*state.TakenBack{}} }

// why says who took back what a person did at a time, or "".
func (s *takenBack) why(who policy.Person, at time.Time) (string, error) {
	t, known := s.known[who]
	if !known {
		taken, err := state.LoadTaken(s.r, []policy.Person{who})
		if err != nil {
			return "", err
		}
		t = taken[0]
		s.known[who] = t
	}
	if !t.Reaches(at) {
		return "", nil
	}
	return t.String(), nil
}
