package policy_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// TestNext: what is said again changes nothing, and what was before is kept.
func TestNext(t *testing.T) {
	at := func(n int) time.Time { return time.Date(2026, 3, 1, n, 0, 0, 0, time.UTC) }
	var v policy.Value
	v = v.Next("low", at(1))
	v = v.Next("low", at(2))
	v = v.Next("high", at(3))
	v = v.Next("high", at(4))
	want := policy.Value{Value: "high", At: at(3), Past: []policy.Value{{Value: "low", At: at(1)}}}
	if !reflect.DeepEqual(v, want) {
		t.Errorf("%+v, want %+v", v, want)
	}
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var back policy.Value
	if err := json.Unmarshal(b, &back); err != nil || !reflect.DeepEqual(back, want) {
		t.Errorf("%s: %+v, %v", b, back, err)
	}
	for n := range 3 * policy.MaxPast {
		v = v.Next(int64(n), at(n))
	}
	if len(v.Past) != policy.MaxPast || v.Past[0].Value != int64(3*policy.MaxPast-2) || v.Past[0].Past != nil {
		t.Errorf("%d kept, %+v", len(v.Past), v.Past[0])
	}
}

// TestNightlyScans is a year of scans that all fail: whatever the hour, the
// image is allowed for the grace after the first and denied for good.
func TestNightlyScans(t *testing.T) {
	p := parse(t, strings.Replace(glass, `"condition":"facts.critical == 0"`, `"condition":"facts.critical == 0","continuous":true,"maxAge":"36h"`, 1))
	p = parse(t, strings.Replace(string(p.Canonical()), `"approvals":{"min":2`, `"grace":"3d","approvals":{"min":2`, 1))
	start := time.Date(2026, 1, 1, 2, 0, 0, 0, time.UTC)
	f := policy.Facts{Stage: "production", Recorded: true, Proven: true, Members: []string{"SecurityMSP"}, Released: true, Current: true, ReleasedAt: start.Add(-time.Hour)}
	for night := range 365 {
		at := start.Add(time.Duration(night) * 24 * time.Hour)
		if night > 0 {
			f.Evidence[night-1].Superseded = true
		}
		critical := int64(1)
		if night == 0 {
			critical = 0
		}
		f.Evidence = append(f.Evidence, policy.Evidence{
			ID: fmt.Sprintf("%064x", night), Type: "vuln-scan", Signer: policy.Signer{Kind: policy.SignedByKey, MSP: "SecurityMSP", Key: "k"},
			At: at, Facts: map[string]any{"critical": critical},
		})
		for _, hours := range []int{0, 1, 23} {
			now := at.Add(time.Duration(hours) * time.Hour)
			want := policy.Allowed
			if night >= 4 {
				want = policy.Denied
			}
			if v := policy.Evaluate(p, 1, f, now); v.Verdict != want {
				t.Fatalf("night %d, %d h: %s, want %s: %+v", night, hours, v.Verdict, want, v.Reasons)
			}
		}
	}
}

// TestLookingBackIsBounded: some hundred pieces of many signers, under
// conditions that change all the time, cost little and deny.
func TestLookingBackIsBounded(t *testing.T) {
	doc := `{"apiVersion":"waybill.dev/v1","kind":"ReleasePolicy","metadata":{"name":"team"},"spec":{"match":["reg.example/team/**"],"context":{"incident":"AuditMSP"},
	 "stages":[{"name":"production","grace":"3660d","approvals":{"min":1},"evidence":[
	 {"name":"vex","type":"vex","signers":[{"org":"SecurityMSP"}]},
	 {"name":"scan","type":"vuln-scan","maxAge":"12h","continuous":true,"signers":[{"org":"SecurityMSP"}],
	  "condition":"facts.findings.all(f, f.id in suppressed || context.incident == \"x\" || now < timestamp(\"2020-01-01T00:00:00Z\"))"}]}]}}`
	p := parse(t, doc)
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	now := start.Add(400 * time.Hour)
	f := policy.Facts{Stage: "production", Recorded: true, Proven: true, Members: []string{"SecurityMSP", "AuditMSP"}, Released: true, ReleasedAt: start, Digest: provenance.SHA256Of(nil)}
	for n := range 400 {
		typ, facts := "vuln-scan", map[string]any{"findings": findings(100)}
		if n%2 == 1 {
			typ, facts = "vex", map[string]any{"statements": []any{map[string]any{"id": "CVE-2026-1", "status": "fixed"}}}
		}
		f.Evidence = append(f.Evidence, policy.Evidence{
			ID: fmt.Sprintf("%064x", n), Type: typ, Signer: policy.Signer{Kind: policy.SignedByKey, MSP: "SecurityMSP", Key: fmt.Sprint(n % 20)},
			At: start.Add(time.Duration(n) * time.Hour), Facts: facts, Superseded: n < 380,
		})
	}
	v := policy.Evaluate(p, 1, f, now)
	cost := policy.CostThen(p, f, now)
	if cost == 0 || cost > policy.MaxVerdictCost {
		t.Errorf("looking back cost %d, and may cost %d", cost, policy.MaxVerdictCost)
	}
	t.Logf("looking back cost %d of %d", cost, policy.MaxVerdictCost)
	if v.Until == nil || !v.Until.Equal(start.Add(3660*24*time.Hour)) {
		t.Errorf("it never passed, so it counts from the release: %+v", v)
	}
}

// TestSinceByTheMinute compares since when a rule has failed with a second
// reading of the law that knows no moments: it asks every half hour of the past.
func TestSinceByTheMinute(t *testing.T) {
	doc := `{"apiVersion":"waybill.dev/v1","kind":"ReleasePolicy","metadata":{"name":"team"},"spec":{"match":["reg.example/team/**"],
	 "stages":[{"name":"production","grace":"GRACE","approvals":{"min":1},"evidence":[{"name":"scan","type":"vuln-scan","continuous":true,"min":MIN,AGE
	  "signers":[{"org":"SecurityMSP"}],"condition":"facts.critical == 0"}]}]}}`
	start := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	own := provenance.SHA256Of(nil)
	subjects := []provenance.Digest{own, own, provenance.SHA256Of([]byte("i")), provenance.SHA256Of([]byte("j"))}
	denied, warned := 0, 0
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 3))
		least, age, grace := 1+r.IntN(2), time.Duration(r.IntN(2)*(4+r.IntN(20)))*time.Hour, time.Duration(1+r.IntN(48))*time.Hour
		maxAge := ""
		if age > 0 {
			maxAge = fmt.Sprintf(`"maxAge":"%dh",`, age/time.Hour)
		}
		p := parse(t, strings.NewReplacer("GRACE", fmt.Sprintf("%dh", grace/time.Hour), "MIN", fmt.Sprint(least), "AGE", maxAge).Replace(doc))
		f := policy.Facts{Stage: "production", Digest: own, Recorded: true, Proven: true, Members: []string{"SecurityMSP"}, Released: true, ReleasedAt: start.Add(time.Duration(r.IntN(24)) * time.Hour)}
		now, newest := start.Add(60*time.Hour), map[string]int{}
		for n := range 1 + r.IntN(14) {
			e := policy.Evidence{
				ID: fmt.Sprintf("%064x", n), Type: "vuln-scan", Signer: policy.Signer{Kind: policy.SignedByKey, MSP: "SecurityMSP", Key: fmt.Sprint(r.IntN(3))},
				At: start.Add(time.Duration(n*4+r.IntN(4)) * time.Hour), On: subjects[r.IntN(len(subjects))], Facts: map[string]any{"critical": int64(r.IntN(3) / 2)},
			}
			if end := e.At.Add(time.Duration(r.IntN(24)) * time.Hour); r.IntN(5) == 0 && !end.After(now) {
				e.Withdrawn = end
			}
			if old, ok := newest[e.Signer.Key+e.On.String()]; ok {
				f.Evidence[old].Superseded = true
			}
			newest[e.Signer.Key+e.On.String()] = n
			f.Evidence = append(f.Evidence, e)
		}
		// met is the law at a moment, in other words than the package's.
		met := func(at time.Time) bool {
			last := map[string]map[provenance.Digest]policy.Evidence{}
			for _, e := range f.Evidence {
				if e.At.After(at) {
					continue
				}
				if last[e.Signer.Key] == nil {
					last[e.Signer.Key] = map[provenance.Digest]policy.Evidence{}
				}
				last[e.Signer.Key][e.On] = e // they come in the order of their time
			}
			passes := 0
			for _, words := range last {
				if mine, ok := words[own]; ok {
					words = map[provenance.Digest]policy.Evidence{own: mine}
				}
				pass, fail := false, false
				for _, e := range words {
					counts := (e.Withdrawn.IsZero() || e.Withdrawn.After(at)) && (age == 0 || at.Before(e.At.Add(age)))
					pass = pass || counts && e.Facts["critical"] == int64(0)
					fail = fail || counts && e.Facts["critical"] != int64(0)
				}
				if fail {
					return false
				}
				if pass {
					passes++
				}
			}
			return passes >= least
		}
		since := f.ReleasedAt
		for at := now; !at.Before(f.ReleasedAt); at = at.Add(-30 * time.Minute) {
			if met(at) {
				since = at.Add(30 * time.Minute)
				break
			}
		}
		v := policy.Evaluate(p, 1, f, now)
		switch until := since.Add(grace); {
		case met(now):
			if v.Verdict != policy.Allowed || v.Until != nil {
				t.Fatalf("seed %d: it is met: %+v", seed, v)
			}
		case !now.Before(until):
			if denied++; v.Verdict != policy.Denied {
				t.Fatalf("seed %d: failing since %v: %+v", seed, since, v)
			}
		default:
			if warned++; v.Verdict != policy.Allowed || v.Until == nil || !v.Until.Equal(until) {
				t.Fatalf("seed %d: allowed until %v: %+v", seed, until, v)
			}
		}
	}
	if denied < 300 || warned < 300 {
		t.Errorf("%d denied, %d warned: the test says little", denied, warned)
	}
}
