package api

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/state"
)

// judged is one image and stage, judged at one moment by the policy in force.
type judged struct {
	policy    *policy.Policy // nil when none matches
	version   int
	facts     policy.Facts
	promotion state.Promotion
	verdict   policy.Verdict
}

// judge answers for one image by the same steps as state.Ask, and keeps what
// the answer was made from.
func (s *service) judge(r Reads, subject state.Subject) (judged, error) {
	var j judged
	var err error
	if j.policy, j.version, err = s.policies.load(r, subject); err != nil {
		return j, err
	}
	if j.facts, j.promotion, err = state.LoadFacts(r, subject, j.policy); err != nil {
		return j, err
	}
	j.verdict = policy.Evaluate(j.policy, j.version, j.facts, s.cfg.Now())
	return j, nil
}

// maxChildren is state.Ask's: the platform images that a verdict on an index lists.
const maxChildren = 64

// ask is state.Ask with the parsed policy kept.
func (s *service) ask(r Reads, subject state.Subject) (policy.Verdict, error) {
	j, err := s.judge(r, subject)
	if err != nil {
		return policy.Verdict{}, err
	}
	for _, child := range j.facts.Children[:min(len(j.facts.Children), maxChildren)] {
		subject.Digest = child
		c, err := s.judge(r, subject)
		if err != nil {
			return policy.Verdict{}, err
		}
		j.verdict.Children = append(j.verdict.Children, policy.ChildVerdict{Digest: child, Verdict: c.verdict.Verdict})
	}
	return j.verdict, nil
}

// ref names the policy version that an approver signs, "" without a policy.
func (j judged) ref() string {
	if j.verdict.Policy == nil {
		return ""
	}
	return versionRef(*j.verdict.Policy)
}

func versionRef(v policy.Version) string {
	if v == (policy.Version{}) {
		return ""
	}
	return fmt.Sprintf("%s@%d", v.Name, v.Version)
}

// stage returns the rules of the stage the image was judged for.
func (j judged) stage() (policy.Stage, bool) {
	if j.policy == nil {
		return policy.Stage{}, false
	}
	return j.policy.Stage(j.facts.Stage)
}

// lacks are the rules that keep the image from its release.
func (j judged) lacks() []policy.Reason {
	return slices.DeleteFunc(slices.Clone(j.verdict.Reasons), func(r policy.Reason) bool {
		return r.Outcome == policy.Satisfied || r.Outcome == policy.Waived
	})
}

// discounter says of approvals why they do not count, as the approvals rule does.
type discounter struct {
	judged   judged
	rule     policy.Approvals
	outcomes map[string]policy.Outcome
	now      time.Time
}

func newDiscounter(j judged, now time.Time) discounter {
	stage, _ := j.stage()
	d := discounter{judged: j, rule: stage.Approvals, now: now}
	if j.policy != nil {
		d.outcomes = policy.Snapshot(j.policy, j.facts, now)
	}
	return d
}

// role is what an approver must hold.
func (d discounter) role() string {
	if d.rule.Role == "" {
		return string(state.RoleReleaseManager)
	}
	return d.rule.Role
}

// why says why an approval does not count, or "".
func (d discounter) why(a policy.Approval) string {
	if _, ok := d.judged.stage(); !ok {
		return "no policy has the stage any more"
	}
	if why := policy.Excluded(d.rule, d.judged.facts, a.By); why != "" {
		return why
	}
	expires := time.Duration(d.rule.Expires)
	switch {
	case !slices.Contains(d.judged.facts.Members, a.By.MSP):
		return a.By.MSP + " is no member any more"
	case a.Robot && !d.rule.Robots:
		return "given by a robot"
	case !d.held(a):
		return "given without the role " + d.role()
	case a.Reject:
		return ""
	case expires > 0 && !d.now.Before(a.At.Add(expires)):
		return "expired at " + a.At.Add(expires).UTC().Format(time.RFC3339)
	}
	return policy.Stale(d.judged.policy, d.judged.facts, a, d.outcomes)
}

// held tells whether the approver held the role. Approvals of before roles
// were kept with them have none; then only a release-manager could give one.
func (d discounter) held(a policy.Approval) bool {
	if a.Roles == nil {
		return d.role() == string(state.RoleReleaseManager)
	}
	return slices.Contains(a.Roles, d.role()) || (a.Robot && d.rule.Robots)
}

// approving are the organisations whose approval counts now.
func (d discounter) approving() []string {
	var orgs []string
	for _, a := range d.judged.facts.Approvals {
		if !a.Reject && d.why(a) == "" {
			orgs = append(orgs, a.By.MSP)
		}
	}
	slices.Sort(orgs)
	return slices.Compact(orgs)
}

// maxPolicies bounds the parsed policies that are kept.
const maxPolicies = 512

// policies keeps versions of policies parsed: compiling their expressions
// costs far more than evaluating them. A version never changes.
type policies struct {
	mu     sync.Mutex
	parsed map[policy.Version]*policy.Policy
}

// load is state.LoadPolicy with the parsed policy kept.
func (c *policies) load(r Reads, subject state.Subject) (*policy.Policy, int, error) {
	var catalogue state.Catalogue
	if _, err := state.Read(r, state.PoliciesKey(), &catalogue); err != nil {
		return nil, 0, err
	}
	patterns := make([][]string, len(catalogue.Policies))
	for i, e := range catalogue.Policies {
		patterns[i] = e.Match
	}
	i := policy.Select(patterns, subject.Host, subject.Repository)
	if i < 0 {
		return nil, 0, nil
	}
	v := policy.Version{Name: catalogue.Policies[i].Name, Version: catalogue.Policies[i].Version}
	c.mu.Lock()
	p := c.parsed[v]
	c.mu.Unlock()
	if p != nil {
		return p, v.Version, nil
	}
	p, n, err := state.LoadPolicy(r, subject.Host, subject.Repository)
	if err != nil || p == nil {
		return p, n, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.parsed == nil || len(c.parsed) >= maxPolicies {
		c.parsed = map[policy.Version]*policy.Policy{}
	}
	c.parsed[v] = p
	return p, n, nil
}
