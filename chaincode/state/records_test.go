package state

import (
	"fmt"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// TestPastKeepsHowFarBack: however often somebody scans, it stays known how long
// ago the first of its pieces was, and between any two moments nothing is forgotten
// but what is near, measured by its age.
func TestPastKeepsHowFarBack(t *testing.T) {
	first := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for name, step := range map[string]time.Duration{"every night": 24 * time.Hour, "every hour": time.Hour, "every second": time.Second} {
		var p EvidencePast
		const scans = 5000
		for i := range scans {
			p.Add(PastPiece{ID: fmt.Sprintf("%064d", i), Since: first.Add(time.Duration(i) * step)})
			p.Add(p.Pieces[0]) // the same again is one
		}
		if len(p.Pieces) != MaxPast {
			t.Fatalf("%s: %d pieces", name, len(p.Pieces))
		}
		newest, oldest := p.Pieces[0].Since, p.Pieces[len(p.Pieces)-1].Since
		if !oldest.Equal(first) || !newest.Equal(first.Add((scans-1)*step)) {
			t.Errorf("%s: from %s to %s", name, oldest, newest)
		}
		for i := 1; i < len(p.Pieces); i++ {
			hole, age := p.Pieces[i-1].Since.Sub(p.Pieces[i].Since), newest.Sub(p.Pieces[i].Since)
			if hole <= 0 || hole > step && hole > age/4 {
				t.Errorf("%s: a hole of %s at an age of %s", name, hole, age)
			}
		}
	}
}

// TestClaimOfTheLongestNamespace: a repository falls under the namespace that
// says most of its name, and a name that only begins alike under none.
func TestClaimOfTheLongestNamespace(t *testing.T) {
	r := Registry{Claims: []Claim{{Namespace: "team", Owner: "A"}, {Namespace: "team/app", Owner: "B"}}}
	for repo, want := range map[provenance.Repository]string{
		"team": "A", "team/app": "B", "team/app/x": "B", "team/apps": "A", "teams": "", "other/team": "",
	} {
		if c, ok := r.Claim(repo); c.Owner != want || ok != (want != "") {
			t.Errorf("%s belongs to %q, want %q", repo, c.Owner, want)
		}
	}
	r.Claims = append(r.Claims, Claim{Owner: "C"})
	if c, _ := r.Claim("other/team"); c.Owner != "C" {
		t.Errorf("the rest belongs to %q", c.Owner)
	}
	if !r.Owns("A") || r.Owns("D") {
		t.Error("who owns a part of it")
	}
}

// TestHashesNameAllThatIsAgreedOn: nothing that an approver of a waiver or the
// reviewer of a release agrees to can be changed below its hash.
func TestHashesNameAllThatIsAgreedOn(t *testing.T) {
	at := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	who := policy.Person{MSP: "VendorMSP", Name: "ann"}
	d := provenance.SHA256Of(nil)
	w := Waiver{Host: "h", Repository: "r", Stage: "s", Rule: "soak", Reason: "x", Until: at.Add(time.Hour), Act: Act{By: who, At: at}}
	rel := Release{Subject: Subject{"s", "h", "r", d}, Attempt: 1, Act: Act{By: who, At: at}, Debt: &policy.Debt{By: who, Reason: "outage", At: at, Due: at.Add(time.Hour)}}
	waivers, releases := map[string]string{w.Hash(): "as it is"}, map[string]string{rel.Hash(): "as it is"}
	for name, change := range map[string]func(w *Waiver){
		"host": func(w *Waiver) { w.Host = "i" }, "repository": func(w *Waiver) { w.Repository = "q" }, "image": func(w *Waiver) { w.Digest = d },
		"stage": func(w *Waiver) { w.Stage = "t" }, "rule": func(w *Waiver) { w.Rule = "freeze" }, "reason": func(w *Waiver) { w.Reason = "y" },
		"until": func(w *Waiver) { w.Until = w.Until.Add(time.Nanosecond) }, "who": func(w *Waiver) { w.By.Name = "bob" }, "when": func(w *Waiver) { w.At = at.Add(1) },
	} {
		changed := w
		if change(&changed); waivers[changed.Hash()] != "" {
			t.Errorf("a waiver with another %s has the hash of %s", name, waivers[changed.Hash()])
		}
		waivers[changed.Hash()] = name
	}
	changed := w
	changed.Approvers, changed.Revoked = []Approver{{Person: who}}, true
	if changed.Hash() != w.Hash() {
		t.Error("the hash of a waiver changes with who agreed to it")
	}
	for name, change := range map[string]func(r *Release){
		"stage": func(r *Release) { r.Stage = "t" }, "image": func(r *Release) { r.Digest = provenance.SHA256Of([]byte{1}) }, "attempt": func(r *Release) { r.Attempt++ },
		"evidence": func(r *Release) { r.EvidenceSet = "x" }, "time": func(r *Release) { r.At = at.Add(1) },
		"due": func(r *Release) { debt := *r.Debt; debt.Due = at; r.Debt = &debt }, "reason": func(r *Release) { debt := *r.Debt; debt.Reason = "x"; r.Debt = &debt },
	} {
		changed := rel
		if change(&changed); releases[changed.Hash()] != "" {
			t.Errorf("a release with another %s has the hash of %s", name, releases[changed.Hash()])
		}
		releases[changed.Hash()] = name
	}
	reviewed := rel
	debt := *rel.Debt
	debt.Reviewed, debt.ReviewAt = &who, at
	reviewed.Debt, reviewed.Review = &debt, "fine"
	if reviewed.Hash() != rel.Hash() {
		t.Error("the hash of a release changes with its review")
	}
}

// TestPromotionsEnd: a promotion lasts for thirty days and no moment longer.
func TestPromotionsEnd(t *testing.T) {
	at := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	p := Promotion{At: at, Status: PromotionOpen}
	if !p.OpenAt(at.Add(PromotionLife-1)) || p.OpenAt(at.Add(PromotionLife)) {
		t.Error("it does not end after thirty days")
	}
	p.Status = PromotionWithdrawn
	if p.OpenAt(at) {
		t.Error("it is open though it was withdrawn")
	}
}
