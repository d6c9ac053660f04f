package policy_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
)

const glass = `{"apiVersion":"waybill.dev/v1","kind":"ReleasePolicy","metadata":{"name":"team"},"spec":{"match":["reg.example/team/**"],
 "waivers":{"min":1,"maxDuration":"30d"},"stages":[{"name":"staging","approvals":{"min":1}},{"name":"production","from":"staging","approvals":{"min":2},
 "evidence":[{"name":"scan","type":"vuln-scan","signers":[{"org":"SecurityMSP"}],"condition":"facts.critical == 0"}],
 "conditions":[{"name":"small","cel":"image.size < 100"}],
 "breakGlass":{"by":[{"org":"VendorMSP","role":"admin"}],"without":["approvals","evidence/scan"],"review":"24h"}}]}}`

func parse(t *testing.T, doc string) *policy.Policy {
	t.Helper()
	p, err := policy.Parse([]byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	return &p
}

func TestCanBreakGlass(t *testing.T) {
	now := time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	who, roles := policy.Person{MSP: "VendorMSP", Name: "a"}, []string{"publisher", "admin"}
	for name, c := range map[string]struct {
		change  func(*policy.Facts)
		who     policy.Person
		roles   []string
		without []string
		code    provenance.Code
		says    string
	}{
		"without both":         {without: []string{"approvals", "evidence/scan"}},
		"without approvals":    {change: func(f *policy.Facts) { f.Evidence = scanned(0) }, without: []string{"approvals"}},
		"a failing scan too":   {change: func(f *policy.Facts) { f.Evidence = scanned(1) }, without: []string{"approvals", "evidence/scan"}},
		"no promotion is open": {change: func(f *policy.Facts) { f.Promoted = false }, without: []string{"approvals", "evidence/scan"}},
		"a rule it may not":    {change: func(f *policy.Facts) { f.Size = 100 }, code: provenance.Denied, says: "condition/small"},
		"from it may not":      {change: func(f *policy.Facts) { f.ReleasedTo = nil }, code: provenance.Denied, says: "from"},
		"a waived rule": {change: func(f *policy.Facts) {
			f.Size = 100
			f.Waivers = []policy.Waiver{{Stage: "production", Rule: "condition/small", Until: now.Add(1), Approvers: []policy.Person{who}}}
		}, without: []string{"approvals", "evidence/scan"}},
		"all is met": {change: func(f *policy.Facts) {
			f.Evidence = scanned(0)
			for _, org := range []string{"SecurityMSP", "PlatformMSP"} {
				f.Approvals = append(f.Approvals, policy.Approval{By: policy.Person{MSP: org}, Roles: []string{"release-manager"}})
			}
		}, code: provenance.Conflict},
		"another organisation": {who: policy.Person{MSP: "AuditMSP", Name: "a"}, code: provenance.Forbidden},
		"another role":         {roles: []string{"publisher"}, code: provenance.Forbidden},
		"no member any more":   {change: func(f *policy.Facts) { f.Members = f.Members[:3] }, code: provenance.Forbidden},
		"quarantined":          {change: func(f *policy.Facts) { f.Holds = []policy.Hold{{MSP: "AuditMSP"}} }, code: provenance.Quarantined},
		"never pushed":         {change: func(f *policy.Facts) { f.Recorded = false }, code: provenance.NotFound},
		"no such stage":        {change: func(f *policy.Facts) { f.Stage = "moon" }, code: provenance.NotFound},
		"stage without it":     {change: func(f *policy.Facts) { f.Stage = "staging" }, code: provenance.Denied, says: "no breakGlass"},
		"released":             {change: func(f *policy.Facts) { f.Released = true }, code: provenance.Conflict},
	} {
		f := policy.Facts{
			Host: "reg.example", Repository: "team/app", Digest: provenance.SHA256Of(nil), Stage: "production", Recorded: true, PushedBy: "VendorMSP", Size: 99,
			Members: []string{"AuditMSP", "PlatformMSP", "SecurityMSP", "VendorMSP"}, Promoted: true, ReleasedTo: []policy.ReleaseFact{{Stage: "staging"}},
		}
		if c.change != nil {
			c.change(&f)
		}
		if c.who == (policy.Person{}) {
			c.who = who
		}
		if c.roles == nil {
			c.roles = roles
		}
		without, due, err := policy.CanBreakGlass(parse(t, glass), f, c.who, c.roles, now)
		if provenance.CodeOf(err) != c.code || err != nil && !strings.Contains(err.Error(), c.says) || !reflect.DeepEqual(without, c.without) {
			t.Errorf("%s: %v, %v; want %v, %s %q", name, without, err, c.without, c.code, c.says)
		}
		if err == nil && !due.Equal(now.Add(24*time.Hour)) {
			t.Errorf("%s: due %v", name, due)
		}
	}
	if _, _, err := policy.CanBreakGlass(nil, policy.Facts{Recorded: true}, who, roles, now); provenance.CodeOf(err) != provenance.NotFound {
		t.Errorf("no policy: %v", err)
	}
}

func scanned(critical int64) []policy.Evidence {
	return []policy.Evidence{{ID: "a", Type: "vuln-scan", Signer: policy.Signer{Kind: policy.SignedByKey, MSP: "SecurityMSP", Key: "k"}, Facts: map[string]any{"critical": critical}}}
}

// TestEvidenceSet: what an approver signs changes with what counts, and with
// nothing else.
func TestEvidenceSet(t *testing.T) {
	a, b, w := policy.Evidence{ID: "a"}, policy.Evidence{ID: "b"}, policy.Waiver{ID: "w", Stage: "production"}
	base := policy.Facts{Stage: "production", Evidence: []policy.Evidence{a, b}, Waivers: []policy.Waiver{w}}
	withdrawn, revoked, elsewhere := b, w, w
	withdrawn.Withdrawn, revoked.Revoked, elsewhere.Stage = time.Unix(1, 0), true, "staging"
	for name, c := range map[string]struct {
		f    policy.Facts
		same bool
	}{
		"another order":          {policy.Facts{Stage: "production", Evidence: []policy.Evidence{b, a}, Waivers: []policy.Waiver{w}}, true},
		"the same twice":         {policy.Facts{Stage: "production", Evidence: []policy.Evidence{a, b, a}, Waivers: []policy.Waiver{w, w}}, true},
		"approvals do not count": {policy.Facts{Stage: "production", Evidence: base.Evidence, Waivers: base.Waivers, Approvals: []policy.Approval{{}}}, true},
		"one less":               {policy.Facts{Stage: "production", Evidence: []policy.Evidence{a}, Waivers: []policy.Waiver{w}}, false},
		"one withdrawn":          {policy.Facts{Stage: "production", Evidence: []policy.Evidence{a, withdrawn}, Waivers: []policy.Waiver{w}}, false},
		"no waiver":              {policy.Facts{Stage: "production", Evidence: base.Evidence}, false},
		"a revoked waiver":       {policy.Facts{Stage: "production", Evidence: base.Evidence, Waivers: []policy.Waiver{revoked}}, false},
		"another stage's waiver": {policy.Facts{Stage: "production", Evidence: base.Evidence, Waivers: []policy.Waiver{elsewhere}}, false},
		"a waiver as evidence":   {policy.Facts{Stage: "production", Evidence: []policy.Evidence{a, b, {ID: "w"}}}, false},
		"nothing":                {policy.Facts{Stage: "production"}, false},
	} {
		if got := policy.EvidenceSet(c.f); len(got) != 64 || (got == policy.EvidenceSet(base)) != c.same {
			t.Errorf("%s: %s, same %v", name, got, !c.same)
		}
	}
}

// TestSnapshot: rules about time, and approvals, are not in it.
func TestSnapshot(t *testing.T) {
	p := parse(t, strings.Replace(glass, `"from":"staging"`, `"from":"staging","soak":"1d","maxAge":"1d","freeze":[{"days":["Mon"],"from":"00:00","to":"01:00"}],"witnesses":{"min":2}`, 1))
	got := policy.Snapshot(p, policy.Facts{Stage: "production", Size: 1, Evidence: scanned(1)}, time.Unix(0, 0))
	want := map[string]policy.Outcome{"evidence/scan": policy.Violated, "condition/small": policy.Satisfied, "witnesses": policy.Unmet}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if policy.Snapshot(p, policy.Facts{Stage: "moon"}, time.Time{}) != nil || policy.Snapshot(nil, policy.Facts{}, time.Time{}) != nil {
		t.Error("a snapshot of no stage")
	}
}

// TestBuiltByHand: a policy that was not parsed is judged alike, and what does
// not compile in it denies.
func TestBuiltByHand(t *testing.T) {
	p := parse(t, glass)
	f := policy.Facts{Stage: "production", Recorded: true, Promoted: true, Evidence: scanned(0)}
	hand := policy.Policy{APIVersion: p.APIVersion, Kind: p.Kind, Metadata: p.Metadata, Spec: p.Spec}
	if diff := cmp.Diff(policy.Evaluate(p, 1, f, time.Time{}).Reasons, policy.Evaluate(&hand, 1, f, time.Time{}).Reasons); diff != "" {
		t.Error(diff)
	}
	hand.Spec.Stages[1].Conditions[0].CEL = "image.size <"
	v := policy.Evaluate(&hand, 1, f, time.Time{})
	if r := v.Reasons[len(v.Reasons)-2]; r.Rule != "condition/small" || r.Outcome != policy.Violated {
		t.Errorf("%+v", r)
	}
}

func TestDiff(t *testing.T) {
	a := parse(t, glass)
	if lines := policy.Diff(*a, *a); len(lines) != 0 {
		t.Errorf("equal policies differ: %v", lines)
	}
	b := parse(t, strings.NewReplacer(
		`"approvals":{"min":2}`, `"soak":"2d","approvals":{"min":3,"orgs":["AuditMSP"],"exclude":["requester","pusher","builder"]}`,
		`facts.critical == 0`, `facts.critical <= 1`,
		`"conditions":[{"name":"small","cel":"image.size < 100"}],`, `"conditions":[{"name":"calm","cel":"context.incident == false"}],`,
		`"waivers":{"min":1,"maxDuration":"30d"}`, `"context":{"incident":"AuditMSP"}`,
		`reg.example/team/**`, `reg.example/team/app`,
	).Replace(glass))
	want := []string{
		`+ spec.context: {incident: AuditMSP}`,
		`- spec.match[reg.example/team/**]: reg.example/team/**`,
		`+ spec.match[reg.example/team/app]: reg.example/team/app`,
		`+ spec.stages[production].approvals.exclude[builder]: builder`,
		`~ spec.stages[production].approvals.min: 2 -> 3`,
		`+ spec.stages[production].approvals.orgs: [AuditMSP]`,
		`- spec.stages[production].conditions[small]: {cel: image.size < 100, name: small}`,
		`+ spec.stages[production].conditions[calm]: {cel: context.incident == false, name: calm}`,
		`~ spec.stages[production].evidence[scan].condition: facts.critical == 0 -> facts.critical <= 1`,
		`+ spec.stages[production].soak: 2d`,
		`- spec.waivers: {maxDuration: 30d, min: 1}`,
	}
	if diff := cmp.Diff(want, policy.Diff(*a, *b)); diff != "" {
		t.Error(diff)
	}
	turned := *a
	turned.Spec.Stages = []policy.Stage{a.Spec.Stages[1], a.Spec.Stages[0]}
	if diff := cmp.Diff([]string{`~ spec.stages: order staging, production -> production, staging`}, policy.Diff(*a, turned)); diff != "" {
		t.Error(diff)
	}
}

func TestSignersThatNameNobody(t *testing.T) {
	for name, signer := range map[string]string{
		"an issuer without an identity":      `"issuer":"https://token.example"`,
		"an identity without its issuer":     `"identity":"https://ci.example/**"`,
		"an identity of a key":               `"identity":"https://ci.example/**","key":"ci"`,
		"a key and a root":                   `"key":"ci","root":"ci"`,
		"a role and a root":                  `"role":"scanner","root":"ci"`,
		"a root with a name that is no name": `"root":"../ci"`,
		"everybody below a root":             `"root":"ci","identity":"**"`,
	} {
		text := strings.Replace(signerPolicy, "SIGNER", signer, 1)
		if _, err := policy.Parse([]byte(text)); provenance.CodeOf(err) != provenance.Invalid {
			t.Errorf("%s: %v, want WB_INVALID", name, err)
		}
	}
	if _, err := policy.Parse([]byte(strings.Replace(signerPolicy, "SIGNER", `"root":"ci","identity":"https://ci.example/**"`, 1))); err != nil {
		t.Error(err)
	}
}

const signerPolicy = `{"apiVersion":"waybill.dev/v1","kind":"ReleasePolicy","metadata":{"name":"p"},"spec":{"match":["reg.example/team/**"],
 "stages":[{"name":"production","approvals":{"min":1},"evidence":[{"name":"scan","type":"vuln-scan","signers":[{"org":"SecurityMSP",SIGNER}]}]}]}}`
