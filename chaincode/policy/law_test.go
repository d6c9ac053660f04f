package policy_test

import (
	"crypto/sha256"
	"encoding/hex"
	"reflect"
	"slices"
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
		"no manifest seen":     {change: func(f *policy.Facts) { f.Proven = false }, code: provenance.NotFound, says: "no peer has seen the manifest"},
		"never pushed":         {change: func(f *policy.Facts) { f.Recorded = false }, code: provenance.NotFound},
		"no such stage":        {change: func(f *policy.Facts) { f.Stage = "moon" }, code: provenance.NotFound},
		"stage without it":     {change: func(f *policy.Facts) { f.Stage = "staging" }, code: provenance.Denied, says: "no breakGlass"},
		"released":             {change: func(f *policy.Facts) { f.Released = true }, code: provenance.Conflict},
	} {
		f := policy.Facts{
			Host: "reg.example", Repository: "team/app", Digest: provenance.SHA256Of(nil), Stage: "production", Recorded: true, Proven: true, PushedBy: "VendorMSP", Size: 99, Clock: now,
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
	if _, _, err := policy.CanBreakGlass(nil, policy.Facts{Recorded: true, Proven: true}, who, roles, now); provenance.CodeOf(err) != provenance.NotFound {
		t.Errorf("no policy: %v", err)
	}
}

// TestHash: a policy's hash is that of its canonical text, parsed or built by
// hand, and the verdict names it, with the promotion it is about.
func TestHash(t *testing.T) {
	p := parse(t, glass)
	sum := sha256.Sum256(p.Canonical())
	want := hex.EncodeToString(sum[:])
	hand := policy.Policy{APIVersion: p.APIVersion, Kind: p.Kind, Metadata: p.Metadata, Spec: p.Spec}
	if p.Hash() != want || hand.Hash() != want {
		t.Errorf("%s parsed, %s by hand, want %s", p.Hash(), hand.Hash(), want)
	}
	hand.Metadata.Name = "other"
	if hand.Hash() == want {
		t.Error("another text has the same hash")
	}
	who := policy.Person{MSP: "VendorMSP", Name: "a"}
	f := policy.Facts{Stage: "production", Attempt: 2, Requester: who, Promoted: true}
	v := policy.Evaluate(p, 7, f, time.Time{})
	if *v.Policy != (policy.Version{Name: "team", Version: 7, Hash: want}) || v.Attempt != 2 || v.Requester == nil || *v.Requester != who {
		t.Errorf("%+v, %+v", v, v.Policy)
	}
	f.Promoted = false
	if v := policy.Evaluate(p, 7, f, time.Time{}); v.Requester != nil || v.Attempt != 2 {
		t.Errorf("no promotion is open: %+v", v)
	}
}

func scanned(critical int64) []policy.Evidence {
	return []policy.Evidence{{ID: "a", Type: "vuln-scan", Signer: policy.Signer{Kind: policy.SignedByKey, MSP: "SecurityMSP", Key: "k"}, Facts: map[string]any{"critical": critical}}}
}

// TestEvidenceSet: what an approver signs changes with what can decide, and
// with nothing else.
func TestEvidenceSet(t *testing.T) {
	p := parse(t, glass)
	scan := func(id string) policy.Evidence {
		return policy.Evidence{ID: id, Type: "vuln-scan", Signer: policy.Signer{Kind: policy.SignedByKey, MSP: "SecurityMSP", Key: id}, On: provenance.SHA256Of(nil)}
	}
	who := []policy.Person{{MSP: "AuditMSP", Name: "a"}}
	a, b, w := scan("a"), scan("b"), policy.Waiver{ID: "w", Stage: "production", Rule: "evidence/scan", Approvers: who}
	base := func(change func(*policy.Facts)) policy.Facts {
		f := policy.Facts{Stage: "production", Digest: provenance.SHA256Of(nil), Members: []string{"AuditMSP"}, Evidence: []policy.Evidence{a, b}, Waivers: []policy.Waiver{w}}
		change(&f)
		return f
	}
	piece := func(change func(*policy.Evidence)) func(*policy.Facts) {
		return func(f *policy.Facts) {
			e := scan("c")
			change(&e)
			f.Evidence = append(f.Evidence, e)
		}
	}
	waiver := func(change func(*policy.Waiver)) func(*policy.Facts) {
		return func(f *policy.Facts) {
			w := policy.Waiver{ID: "v", Stage: "production", Rule: "evidence/scan", Approvers: who}
			change(&w)
			f.Waivers = append(f.Waivers, w)
		}
	}
	want := policy.EvidenceSet(p, base(func(*policy.Facts) {}))
	for name, c := range map[string]struct {
		change func(*policy.Facts)
		same   bool
	}{
		"another order":           {func(f *policy.Facts) { f.Evidence = []policy.Evidence{b, a} }, true},
		"the same twice":          {func(f *policy.Facts) { f.Evidence, f.Waivers = append(f.Evidence, a), append(f.Waivers, w) }, true},
		"approvals do not count":  {func(f *policy.Facts) { f.Approvals = []policy.Approval{{}} }, true},
		"without its subject":     {func(f *policy.Facts) { a := a; a.On = provenance.Digest{}; f.Evidence = []policy.Evidence{a, b} }, true},
		"one more":                {piece(func(*policy.Evidence) {}), false},
		"one less":                {func(f *policy.Facts) { f.Evidence = f.Evidence[:1] }, false},
		"one withdrawn":           {func(f *policy.Facts) { b := b; b.Withdrawn = time.Unix(1, 0); f.Evidence = []policy.Evidence{a, b} }, false},
		"one superseded":          {func(f *policy.Facts) { b := b; b.Superseded = true; f.Evidence = []policy.Evidence{a, b} }, false},
		"one of an index":         {piece(func(e *policy.Evidence) { e.On = provenance.SHA256Of([]byte("i")) }), false},
		"one that is withdrawn":   {piece(func(e *policy.Evidence) { e.Withdrawn = time.Unix(1, 0) }), true},
		"one of no accepted type": {piece(func(e *policy.Evidence) { e.Type = "review" }), true},
		"one of no signer":        {piece(func(e *policy.Evidence) { e.Signer.MSP = "AuditMSP" }), true},
		"no waiver":               {func(f *policy.Facts) { f.Waivers = nil }, false},
		"another waiver":          {waiver(func(*policy.Waiver) {}), false},
		"a waiver only asked for": {waiver(func(w *policy.Waiver) { w.Approvers = nil }), true},
		"a revoked waiver":        {waiver(func(w *policy.Waiver) { w.Revoked = true }), true},
		"another stage's waiver":  {waiver(func(w *policy.Waiver) { w.Stage = "staging" }), true},
		"a waiver of no rule":     {waiver(func(w *policy.Waiver) { w.Rule = "evidence/none" }), true},
		"a waiver of a stranger":  {waiver(func(w *policy.Waiver) { w.Approvers = []policy.Person{{MSP: "StrangerMSP"}} }), true},
		"a waiver as evidence":    {func(f *policy.Facts) { f.Waivers, f.Evidence = nil, append(f.Evidence, scan("w")) }, false},
		"nothing":                 {func(f *policy.Facts) { f.Waivers, f.Evidence = nil, nil }, false},
	} {
		if got := policy.EvidenceSet(p, base(c.change)); len(got) != 64 || (got == want) != c.same {
			t.Errorf("%s: %s, want the same: %v", name, got, c.same)
		}
	}
	if v := policy.Evaluate(p, 1, base(func(f *policy.Facts) { f.Recorded, f.Proven = true, true }), time.Time{}); v.EvidenceSet != want {
		t.Errorf("the verdict rests on %s, want %s", v.EvidenceSet, want)
	}
	if got := policy.EvidenceSet(nil, policy.Facts{}) + policy.EvidenceSet(p, policy.Facts{Stage: "moon"}); got != "" {
		t.Errorf("of no stage: %s", got)
	}
	counting := parse(t, strings.Replace(glass, "image.size < 100", `evidence[\"review\"] > 0`, 1))
	review := base(piece(func(e *policy.Evidence) { e.Type = "review" }))
	if policy.EvidenceSet(counting, review) == policy.EvidenceSet(counting, base(func(*policy.Facts) {})) {
		t.Error("an expression counts evidence, and what it counts is not in the set")
	}
}

// TestDiscount: one judgement of which words count, in the rule, for the
// contract and for the API.
func TestDiscount(t *testing.T) {
	now := time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	p := parse(t, strings.NewReplacer(`"approvals":{"min":2}`, `"approvals":{"min":2,"exclude":["pusher","requester"],"expires":"1d"}`).Replace(glass))
	every := []string{"admin", "auditor", "publisher", "release-manager", "scanner"}
	rm, boss := policy.Person{MSP: "SecurityMSP", Name: "rm"}, policy.Person{MSP: "PlatformMSP", Name: "boss"}
	word := func(change func(*policy.Approval)) policy.Approval {
		a := policy.Approval{By: rm, At: now.Add(-time.Hour), Roles: []string{"release-manager"}}
		change(&a)
		return a
	}
	for name, c := range map[string]struct {
		a                 policy.Approval
		discount, unheard string
	}{
		"counts":                    {a: word(func(*policy.Approval) {})},
		"a rejection counts":        {a: word(func(a *policy.Approval) { a.Reject = true })},
		"taken back":                {a: word(func(a *policy.Approval) { a.TakenBack = "by admin@SecurityMSP at noon" }), discount: "taken back: by admin@SecurityMSP at noon"},
		"a rejection taken back":    {a: word(func(a *policy.Approval) { a.Reject, a.TakenBack = true, "by admin@SecurityMSP" }), discount: "taken back"},
		"expired":                   {a: word(func(a *policy.Approval) { a.At = now.Add(-24 * time.Hour) }), discount: "expired at"},
		"a rejection never expires": {a: word(func(a *policy.Approval) { a.Reject, a.At = true, now.Add(-24*time.Hour) })},
		"of the year 9999":          {a: word(func(a *policy.Approval) { a.At = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC) }), discount: "dated in the future"},
		"stale":                     {a: word(func(a *policy.Approval) { a.Outcomes = map[string]policy.Outcome{"condition/small": policy.Satisfied} }), discount: "stale: evidence/scan is a new rule"},
		"a robot":                   {a: word(func(a *policy.Approval) { a.Robot = true }), discount: "robot", unheard: "robot"},
		"without the role":          {a: word(func(a *policy.Approval) { a.Roles = []string{"admin"} }), discount: "held no role", unheard: "held no role"},
		"of no member":              {a: word(func(a *policy.Approval) { a.By.MSP = "StrangerMSP" }), discount: "of no member", unheard: "of no member"},
		"the pusher":                {a: word(func(a *policy.Approval) { a.By.MSP = "VendorMSP" }), discount: "recorded the push", unheard: "recorded the push"},
		"the requester, with every role": {a: word(func(a *policy.Approval) { a.By, a.Roles = boss, every }),
			discount: "boss@PlatformMSP requested", unheard: "boss@PlatformMSP requested"},
		"the requester's namesake": {a: word(func(a *policy.Approval) { a.By.Name = "boss" })},
	} {
		f := policy.Facts{
			Stage: "production", Recorded: true, Proven: true, Clock: now, PushedBy: "VendorMSP", Members: []string{"AuditMSP", "PlatformMSP", "SecurityMSP", "VendorMSP"},
			Promoted: true, Requester: boss, Evidence: scanned(0), Approvals: []policy.Approval{c.a},
		}
		discount := policy.Discount(p, f, c.a, now, policy.Snapshot(p, f, now))
		if !strings.Contains(discount, c.discount) || (discount == "") != (c.discount == "") {
			t.Errorf("%s: discount %q, want %q", name, discount, c.discount)
		}
		if unheard := policy.Unheard(p, f, c.a); !strings.Contains(unheard, c.unheard) || (unheard == "") != (c.unheard == "") {
			t.Errorf("%s: unheard %q, want %q", name, unheard, c.unheard)
		}
		approving := policy.Approving(p, f, now)
		if counts := c.discount == "" && !c.a.Reject; counts != slices.Equal(approving, []string{c.a.By.MSP}) || !counts && len(approving) > 0 {
			t.Errorf("%s: approving %v", name, approving)
		}
		v := policy.Evaluate(p, 1, f, now)
		for _, r := range v.Reasons {
			if r.Rule == "approvals" && (c.discount != "") != strings.Contains(r.Detail, "not counted: "+c.a.By.String()+" ("+discount+")") {
				t.Errorf("%s: the rule says %q", name, r.Detail)
			}
		}
	}
	f := policy.Facts{Stage: "moon"}
	if policy.Discount(p, f, policy.Approval{}, now, nil) == "" || policy.Unheard(nil, f, policy.Approval{}) == "" || policy.Excluded(p, f, rm) == "" || policy.Approving(p, f, now) != nil {
		t.Error("a word counts where there is no stage")
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
	f := policy.Facts{Stage: "production", Recorded: true, Proven: true, Promoted: true, Evidence: scanned(0)}
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
		`"approvals":{"min":2}`, `"soak":"2d","approvals":{"min":3,"orgs":["AuditMSP"],"exclude":["requester"]}`,
		`facts.critical == 0`, `facts.critical <= 1`,
		`"conditions":[{"name":"small","cel":"image.size < 100"}],`, `"conditions":[{"name":"calm","cel":"context.incident == false"}],`,
		`"waivers":{"min":1,"maxDuration":"30d"}`, `"context":{"incident":"AuditMSP"}`,
		`reg.example/team/**`, `reg.example/team/app`,
	).Replace(glass))
	want := []string{
		`+ spec.context: {incident: AuditMSP}`,
		`- spec.match[reg.example/team/**]: reg.example/team/**`,
		`+ spec.match[reg.example/team/app]: reg.example/team/app`,
		`- spec.stages[production].approvals.exclude[pusher]: pusher`,
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
