package policy_test

import (
	"bytes"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/policy/policytest"
	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// TestRandom judges 100,000 random pairs of a policy and facts: no panic, the
// cost limit holds, and what is true of every verdict is true of these. With
// -short it judges 5,000.
func TestRandom(t *testing.T) {
	const shards, each = 4, 200
	policies := 500
	if testing.Short() {
		policies = 25
	}
	var mu sync.Mutex
	answers := map[policy.Answer]int{}
	releasable := 0
	t.Run("shards", func(t *testing.T) {
		for shard := range shards {
			t.Run(strconv.Itoa(shard), func(t *testing.T) {
				t.Parallel()
				mine, ready := map[policy.Answer]int{}, 0
				for seed := shard; seed < policies; seed += shards {
					ready += judgeRandomly(t, uint64(seed), each, mine)
				}
				mu.Lock()
				defer mu.Unlock()
				releasable += ready
				for a, n := range mine {
					answers[a] += n
				}
			})
		}
	})
	t.Logf("%v, releasable %d", answers, releasable)
	for _, a := range []policy.Answer{policy.Allowed, policy.Pending, policy.Denied, policy.Quarantined, policy.Unknown} {
		if answers[a] < policies*each/50 {
			t.Errorf("%d of %d verdicts are %s: the generator says little about it", answers[a], policies*each, a)
		}
	}
	if !testing.Short() && releasable < policies*each/400 {
		t.Errorf("%d releasable verdicts: the generator says little about them", releasable)
	}
}

// judgeRandomly judges facts under one policy, counts the answers, and returns
// how many were releasable.
func judgeRandomly(t *testing.T, seed uint64, each int, answers map[policy.Answer]int) (releasable int) {
	r := policytest.Random{Rand: rand.New(rand.NewPCG(seed, 1))}
	doc := r.Policy()
	p, err := policy.Parse(doc)
	if err != nil {
		t.Fatalf("seed %d: %v\n%s", seed, err, doc)
	}
	canonical, err := policy.Parse(p.Canonical())
	if err != nil {
		t.Fatalf("seed %d: the canonical form: %v", seed, err)
	}
	for n := range each {
		now := r.Now()
		f := r.Facts(now)
		v := policy.Evaluate(&p, 3, f, now)
		answers[v.Verdict]++
		if v.Releasable {
			releasable++
		}
		if wrong := sound(&p, f, v); wrong != "" {
			t.Fatalf("seed %d, facts %d: %s\n%s\n%+v\n%+v", seed, n, wrong, doc, f, v)
		}
		if n%10 == 0 {
			deeper(t, &p, &canonical, f, now, v)
		}
	}
	return releasable
}

// sound returns what must not be true of any verdict, but is.
func sound(p *policy.Policy, f policy.Facts, v policy.Verdict) string {
	has := func(o policy.Outcome) bool {
		return slices.ContainsFunc(v.Reasons, func(r policy.Reason) bool { return r.Outcome == o })
	}
	_, staged := p.Stage(f.Stage)
	switch {
	case len(v.Reasons) == 0:
		return "no reason"
	case len(f.Holds) > 0 && v.Verdict != policy.Quarantined:
		return "a hold did not quarantine"
	case v.Verdict == policy.Allowed && !(f.Released && f.Recorded && f.Proven && staged):
		return "allowed without a release"
	case f.Recorded && !f.Proven && len(f.Holds) == 0 && v.Verdict != policy.Unknown:
		return "a verdict over facts that nobody proved"
	case v.Verdict == policy.Allowed && has(policy.Violated) && v.Until == nil:
		return "allowed although violated, without an end"
	case (v.Warning == "") != (v.Until == nil):
		return "a warning without an end, or the reverse"
	case v.Until != nil && v.Verdict != policy.Allowed:
		return "an end of what is not allowed"
	case v.Verdict == policy.Denied && !has(policy.Violated) && !has(policy.Unmet):
		return "denied without a reason"
	case v.Verdict == policy.Pending && has(policy.Violated):
		return "pending although violated"
	case v.Releasable && (v.Verdict != policy.Pending || has(policy.Violated) || has(policy.Unmet) || !f.Promoted || f.Released):
		return "releasable although it is not"
	case v.Verdict == policy.Pending && !v.Releasable && !has(policy.Unmet):
		return "pending for no reason"
	case v.Overdue && (f.Debt == nil || f.Debt.Reviewed != nil || v.Verdict != policy.Quarantined):
		return "overdue without a debt"
	case v.Closed && (f.Released || !has(policy.Violated)):
		return "closed without a violation"
	}
	seen := map[string]bool{}
	for _, r := range v.Reasons {
		if seen[r.Rule] && r.Rule != "quarantine" {
			return "two reasons for " + r.Rule
		}
		seen[r.Rule] = true
		if r.Outcome == policy.Waived && !policy.Waivable(r.Rule) && r.Rule != "break-glass" {
			return r.Rule + " was waived"
		}
		if !slices.Contains([]policy.Outcome{policy.Satisfied, policy.Unmet, policy.Violated, policy.Waived}, r.Outcome) {
			return "outcome " + string(r.Outcome)
		}
	}
	return ""
}

// deeper compares a verdict with those over facts that must not, or may only,
// change it one way.
func deeper(t *testing.T, p, canonical *policy.Policy, f policy.Facts, now time.Time, v policy.Verdict) {
	t.Helper()
	if again := policy.Evaluate(p, 3, f, now); !reflect.DeepEqual(v, again) {
		t.Fatalf("evaluated again it differs:\n%+v\n%+v", v, again)
	}
	if again := policy.Evaluate(canonical, 3, f, now); !reflect.DeepEqual(v, again) {
		t.Fatalf("under the canonical form it differs:\n%+v\n%+v", v, again)
	}
	if _, staged := p.Stage(f.Stage); staged {
		if cost := policy.Cost(p, f, now); cost > policy.MaxVerdictCost {
			t.Fatalf("cost %d, limit %d", cost, policy.MaxVerdictCost)
		}
	}
	turned := f
	turned.Evidence = slices.Clone(f.Evidence)
	slices.Reverse(turned.Evidence)
	turned.Approvals = slices.Clone(f.Approvals)
	slices.Reverse(turned.Approvals)
	if w := policy.Evaluate(p, 3, turned, now); !reflect.DeepEqual(policytest.WantOf(v).Reasons, policytest.WantOf(w).Reasons) || v.EvidenceSet != w.EvidenceSet {
		t.Fatalf("in another order it differs:\n%+v\n%+v", v, w)
	}
	late := f
	late.Clock = now.Add(policy.ClockGrace + 1)
	if w := policy.Evaluate(p, 3, late, now); f.Released && w.Verdict != v.Verdict {
		t.Fatalf("released, and the ledger's clock changes the answer:\n%+v\n%+v", v, w)
	} else if w.Releasable && !v.Releasable && f.Clock.Equal(now) {
		t.Fatalf("releasable because the ledger's clock stands still:\n%+v\n%+v", v, w)
	}
	noise := f
	noise.Evidence = append(slices.Clone(f.Evidence), policy.Evidence{ID: "noise", Type: "review", Signer: policy.Signer{MSP: "VendorMSP"}, At: now})
	noise.Waivers = append(slices.Clone(f.Waivers), policy.Waiver{ID: "noise", Stage: f.Stage, Rule: "soak", Until: now.Add(time.Hour)})
	if w := policy.Evaluate(p, 3, noise, now); !bytes.Contains(p.Canonical(), []byte("evidence[")) && w.EvidenceSet != v.EvidenceSet {
		t.Fatalf("what decides nothing changes what an approver signs:\n%+v\n%+v", v, w)
	}
	fewer := f
	fewer.Approvals, fewer.Evidence, fewer.Waivers, fewer.Witnesses = nil, nil, nil, nil
	if w := policy.Evaluate(p, 3, fewer, now); w.Releasable {
		t.Fatalf("releasable with no word from anybody: %+v", w)
	}
	held := f
	held.Holds = []policy.Hold{{MSP: "AuditMSP"}}
	if w := policy.Evaluate(p, 3, held, now); w.Verdict != policy.Quarantined {
		t.Fatalf("held: %+v", w)
	}
	who := policy.Person{MSP: "VendorMSP", Name: "admin"}
	without, _, err := policy.CanBreakGlass(p, f, who, []string{"admin"}, now)
	if (err == nil) != (len(without) > 0) || err != nil && provenance.CodeOf(err) == provenance.Internal {
		t.Fatalf("break-glass: %v, %v", without, err)
	}
}

// FuzzEvaluate judges whatever policy the bytes make, or a random one, over
// random facts.
func FuzzEvaluate(f *testing.F) {
	f.Add(uint64(1), []byte(nil))
	f.Add(uint64(2), twentyRules(f))
	f.Fuzz(func(t *testing.T, seed uint64, doc []byte) {
		r := policytest.Random{Rand: rand.New(rand.NewPCG(seed, 2))}
		p, err := policy.Parse(doc)
		if err != nil {
			if p, err = policy.Parse(r.Policy()); err != nil {
				t.Fatal(err)
			}
		}
		canonical, err := policy.Parse(p.Canonical())
		if err != nil {
			t.Fatal(err)
		}
		for range 5 {
			now := r.Now()
			facts := r.Facts(now)
			facts.Stage = p.Spec.Stages[r.IntN(len(p.Spec.Stages))].Name
			v := policy.Evaluate(&p, 3, facts, now)
			if wrong := sound(&p, facts, v); wrong != "" {
				t.Fatalf("%s\n%+v\n%+v", wrong, facts, v)
			}
			deeper(t, &p, &canonical, facts, now, v)
		}
	})
}
