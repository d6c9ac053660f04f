package policytest

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// Random makes policies and facts out of a seeded source: most are about one
// another, some of the facts are such as only a defect would write.
type Random struct{ *rand.Rand }

func (r Random) orgs() []string {
	return []string{"AuditMSP", "PlatformMSP", "SecurityMSP", "VendorMSP"}
}
func (r Random) types() []string {
	return []string{"vuln-scan", "sbom", "vex", "slsa-provenance", "custom/SecurityMSP/x"}
}

func pick[T any](r Random, list ...T) T { return list[r.IntN(len(list))] }

func (r Random) chance(percent int) bool { return r.IntN(100) < percent }

// Now is a moment of the week that everything else happens around.
func (r Random) Now() time.Time {
	return time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC).Add(time.Duration(r.IntN(7*24*3600)) * time.Second)
}

func (r Random) at() time.Time {
	if r.chance(2) {
		return pick(r, time.Time{}, time.Unix(0, 0), time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), time.Date(1969, 12, 31, 0, 0, 0, 0, time.UTC))
	}
	return r.Now().Add(-time.Duration(r.IntN(14*24)-24) * time.Hour)
}

func (r Random) duration() string { return pick(r, "1m", "90m", "12h", "1d", "3d", "14d", "3660d") }

func (r Random) some(list []string, most int) []string {
	out := []string{}
	for _, i := range r.Perm(len(list))[:r.IntN(most+1)] {
		out = append(out, list[i])
	}
	return out
}

// Policy makes a document that Parse accepts.
func (r Random) Policy() []byte {
	var stages []map[string]any
	for i, name := range []string{"staging", "production"} {
		stages = append(stages, r.stage(name, i > 0))
	}
	spec := map[string]any{"match": []string{"reg.example/team/**"}, "context": map[string]string{"incident": "AuditMSP", "quota": "PlatformMSP"}, "stages": stages}
	if r.chance(70) {
		spec["waivers"] = map[string]any{"min": 1 + r.IntN(2), "maxDuration": "30d"}
	}
	b, err := json.Marshal(map[string]any{"apiVersion": policy.APIVersion, "kind": policy.Kind, "metadata": map[string]string{"name": "team"}, "spec": spec})
	if err != nil {
		return nil // maps, texts and integers: cannot fail
	}
	return b
}

func (r Random) stage(name string, later bool) map[string]any {
	s := map[string]any{"name": name}
	rules := []string{"approvals"}
	if later && r.chance(60) {
		s["from"] = "staging"
		rules = append(rules, "from")
		if r.chance(60) {
			s["soak"] = r.duration()
			rules = append(rules, "soak")
		}
	}
	if r.chance(30) {
		s["freeze"] = []any{map[string]any{"days": []string{pick(r, "Mon", "Wed", "Fri", "Sun")}, "from": pick(r, "00:00", "16:30"), "to": pick(r, "08:00", "00:00")}}
		rules = append(rules, "freeze")
	}
	if r.chance(30) {
		s["maxAge"] = r.duration()
		rules = append(rules, "max-age")
	}
	if r.chance(50) {
		s["grace"] = r.duration()
	}
	approvals := map[string]any{"min": 1 + r.IntN(3)}
	if r.chance(30) {
		approvals["orgs"] = []string{pick(r, r.orgs()...)}
	}
	if r.chance(30) {
		approvals["expires"] = r.duration()
	}
	approvals["robots"] = r.chance(20)
	s["approvals"] = approvals
	var evidence, conditions []any
	excludable := []string{"pusher", "requester"}
	for i := range r.IntN(3) {
		rule := r.evidenceRule(fmt.Sprintf("e%d", i))
		if evidence = append(evidence, rule); rule["type"] == "slsa-provenance" {
			excludable = []string{"pusher", "requester", "builder"}
		}
		rules = append(rules, fmt.Sprintf("evidence/e%d", i))
	}
	for i := range r.IntN(2) {
		conditions = append(conditions, map[string]any{"name": fmt.Sprintf("c%d", i), "continuous": r.chance(50), "cel": r.condition()})
		rules = append(rules, fmt.Sprintf("condition/c%d", i))
	}
	if r.chance(50) {
		approvals["exclude"] = r.some(excludable, len(excludable))
	}
	if len(evidence) > 0 {
		s["evidence"] = evidence
	}
	if len(conditions) > 0 {
		s["conditions"] = conditions
	}
	if r.chance(20) {
		s["witnesses"] = map[string]any{"min": 1 + r.IntN(3)}
		rules = append(rules, "witnesses")
	}
	if r.chance(40) {
		s["breakGlass"] = map[string]any{"by": []any{map[string]string{"org": "VendorMSP", "role": "admin"}}, "without": append([]string{"approvals"}, r.some(rules[1:], len(rules)-1)...), "review": "1d"}
	}
	return s
}

func (r Random) evidenceRule(name string) map[string]any {
	typ := pick(r, r.types()...)
	shared := map[string]string{"identity": "https://git.example/*/app", "issuer": "https://token.example"}
	if typ == "slsa-provenance" { // whom a stage may exclude as the builder
		shared["org"] = "AuditMSP"
	}
	rule := map[string]any{"name": name, "type": typ, "min": 1 + r.IntN(2), "continuous": r.chance(50), "signers": []any{
		map[string]string{"org": pick(r, r.orgs()...)},
		pick(r, map[string]string{"org": "SecurityMSP", "role": "scanner"}, map[string]string{"org": "SecurityMSP", "key": "k"},
			map[string]string{"org": "SecurityMSP", "identity": "https://git.example/*/app", "issuer": "https://token.example"},
			shared),
	}}
	if r.chance(50) {
		rule["maxAge"] = r.duration()
	}
	if r.chance(70) {
		rule["condition"] = pick(r, `facts.critical == 0`, `counts["high"] <= 2`, `facts.findings.all(f, f.id in suppressed || f.severity != "critical")`,
			`facts.a.all(x, facts.a.exists(y, x == y))`, `facts.total / facts.critical > 1`, `has(facts.b) && facts.b.c == "d"`, `certificate.runnerEnvironment == "hosted" && facts.high < 3`, `facts.ids[0].matches("^CVE-[0-9]+$")`, r.condition())
	}
	return rule
}

func (r Random) condition() string {
	parts := []string{
		`context.incident == false`, `context.quota > 3`, `tags.exists(t, t.startsWith("v"))`, `labels.tier == "gold"`, `evidence["sbom"] >= 1`,
		`now - image.pushedAt < duration("48h")`, `image.size % 7 != 3`, `image.size / labels.size() > 2`, `labels.map(k, labels[k])[0] == "gold"`, `stage == "staging"`,
		`context.all(k, context[k] != "x")`, `repository.contains("app")`, `image.children.size() < 2`, `now.getHours() < 18`,
	}
	return strings.Join([]string{pick(r, parts...), pick(r, parts...)}, pick(r, " && ", " || "))
}

// Facts makes facts about an image in the policies that Policy makes, as of now.
func (r Random) Facts(now time.Time) policy.Facts {
	f := policy.Facts{
		Host: "reg.example", Repository: "team/app", Digest: provenance.SHA256Of(nil), Stage: pick(r, "staging", "production", "production", "production"),
		Recorded: !r.chance(5), Proven: !r.chance(5), PushedBy: pick(r, r.orgs()...), PushedAt: r.at(), Size: r.Int64(), Tags: r.some([]string{"latest", "v1"}, 2),
		Labels: map[string]string{}, Members: r.orgs(), Promoted: r.chance(80), Requester: r.person(), ViaIndex: pick(r, provenance.Digest{}, provenance.SHA256Of([]byte("i"))),
	}
	if r.chance(10) {
		f.Members = r.some(r.orgs(), 4)
	}
	if r.chance(70) {
		f.Labels["tier"], f.Labels["a"] = "gold", pick(r, "gold", "\xff")
	}
	f.Context = map[string]map[string]policy.Value{"AuditMSP": {"incident": {Value: pick[any](r, false, true, "no", 1.5, nil), At: r.at(), Past: r.past()}},
		"PlatformMSP": {"quota": {Value: pick[any](r, int64(9), 9, "9"), At: r.at()}}}
	if r.chance(5) {
		f.Holds = []policy.Hold{{MSP: "AuditMSP", By: r.person(), Reason: "CVE", At: r.at()}}
	}
	f.TagsCut, f.Attempt, f.Clock = r.chance(10), r.IntN(3), now
	if r.chance(10) {
		f.Clock = r.at()
	}
	if r.chance(10) {
		f.Lapsed = "the release was taken back"
	}
	if r.chance(10) {
		f.LastHold = r.at()
	}
	for range r.IntN(9) {
		f.Evidence = append(f.Evidence, r.evidence())
	}
	for range r.IntN(3) {
		f.Waivers = append(f.Waivers, policy.Waiver{ID: r.id(), Stage: f.Stage, Rule: pick(r, "evidence/e0", "evidence/e1", "condition/c0", "soak", "approvals", "witnesses"),
			Reason: "r", Until: r.at().Add(72 * time.Hour), Approvers: []policy.Person{r.person(), r.person()}, Revoked: r.chance(20)})
	}
	for range r.IntN(3) {
		f.Witnesses = append(f.Witnesses, policy.Witness{MSP: pick(r, append(r.orgs(), "StrangerMSP")...), At: r.at()})
	}
	for range r.IntN(5) {
		f.Approvals = append(f.Approvals, r.approval())
	}
	if f.Released = r.chance(30); f.Released {
		f.ReleasedAt, f.Current, f.ReleasedWith = r.at(), r.chance(70), policy.Version{Name: "team", Version: 1 + r.IntN(3)}
		if r.chance(30) {
			f.Debt = &policy.Debt{By: r.person(), Reason: "outage", Without: []string{"approvals", "evidence/e0"}, At: r.at(), Due: r.at().Add(24 * time.Hour)}
			if r.chance(40) {
				by := r.person()
				f.Debt.Reviewed, f.Debt.ReviewAt = &by, r.at()
			}
		}
	}
	if r.chance(70) {
		f.ReleasedTo = []policy.ReleaseFact{{Stage: "staging", At: r.at(), Unreviewed: r.chance(20)}}
	}
	return f
}

func (r Random) person() policy.Person {
	return policy.Person{MSP: pick(r, append(r.orgs(), "StrangerMSP")...), Name: pick(r, "a", "b")}
}

func (r Random) past() (values []policy.Value) {
	for range r.IntN(4) {
		values = append(values, policy.Value{Value: pick[any](r, false, true, "no"), At: r.at()})
	}
	return values
}

func (r Random) id() string { return fmt.Sprintf("%064x", r.IntN(1000)) }

func (r Random) approval() policy.Approval {
	a := policy.Approval{By: r.person(), Reject: r.chance(15), Reason: "because", At: r.at(), Robot: r.chance(10)}
	if r.chance(90) {
		a.Roles = []string{pick(r, "release-manager", "release-manager", "auditor")}
	}
	if r.chance(5) {
		a.TakenBack = "by admin@" + a.By.MSP
	}
	if r.chance(50) {
		a.Policy = policy.Version{Name: "team", Version: 3}
		a.Outcomes = map[string]policy.Outcome{}
		for _, rule := range []string{"evidence/e0", "evidence/e1", "condition/c0", "witnesses"} {
			if r.chance(80) {
				a.Outcomes[rule] = pick(r, policy.Satisfied, policy.Waived, policy.Unmet, policy.Violated)
			}
		}
	}
	return a
}

func (r Random) evidence() policy.Evidence {
	e := policy.Evidence{ID: r.id(), Type: pick(r, r.types()...), At: r.at(), Signer: policy.Signer{MSP: pick(r, r.orgs()...)}}
	switch r.IntN(4) {
	case 0:
		e.Signer.Kind, e.Signer.Key = policy.SignedByKey, pick(r, "k", "other")
	case 1:
		e.Signer.Kind, e.Signer.Identity, e.Signer.Issuer = policy.SignedByCertificate, pick(r, "https://git.example/team/app", "https://git.example/a/b/app", "\xff*"), "https://token.example"
		if r.chance(40) { // below a root that members share
			e.Signer.MSP, e.Signer.Key, e.Claims = "", "public", map[string]string{"runnerEnvironment": pick(r, "hosted", "own")}
		}
	case 2:
		e.Signer.Kind, e.Signer.Name, e.Signer.Roles = policy.SignedByPerson, pick(r, "a", "b"), []string{"scanner"}
	}
	e.Superseded, e.Cut = r.chance(20), r.chance(5)
	e.On = pick(r, provenance.Digest{}, provenance.SHA256Of(nil), provenance.SHA256Of([]byte("i")), provenance.SHA256Of([]byte("j")))
	if r.chance(10) {
		e.Withdrawn, e.Why = r.at(), "key lost"
	}
	if !r.chance(5) {
		e.Facts = map[string]any{"critical": pick[any](r, int64(0), int64(0), int64(1), "0", 0.5, nil), "high": int64(r.IntN(4)), "total": r.Int64() - r.Int64()}
		if r.chance(50) {
			e.Facts["findings"] = r.list(r.IntN(20))
			e.Facts["ids"] = []any{pick[any](r, "CVE-1", "x", int64(3))}
			e.Facts["statements"] = r.list(r.IntN(6))
			e.Facts["b"] = pick[any](r, map[string]any{"c": "d"}, map[string]any{}, "d", []any{})
		}
		if r.chance(2) {
			e.Facts["a"] = r.list(700)
		}
	}
	return e
}

func (r Random) list(n int) []any {
	list := make([]any, n)
	for i := range list {
		list[i] = pick[any](r, map[string]any{"id": fmt.Sprintf("CVE-%d", r.IntN(9)), "severity": pick(r, "critical", "high", "odd"), "status": pick(r, "not_affected", "affected", "fixed")}, int64(i), "text")
	}
	return list
}
