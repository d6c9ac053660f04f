package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
)

// memberProposal is a proposal as the contract makes one: its id names the rest.

func memberProposal() state.Proposal {
	p := state.Proposal{
		Round: 1, Kind: state.ProposeMemberRemove, Name: "AuditMSP", Base: 4, Body: json.RawMessage(`{"msp":"AuditMSP"}`), Status: state.ProposalOpen,
		Act: state.Act{By: policy.Person{MSP: "VendorMSP", Name: "admin"}, At: time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)},
	}
	p.ID, p.Hash = state.ProposalID(state.ChangeHash(p.Kind, p.Name, p.Base, p.Body, p.Source), p.Round), hashOf(p.Body)
	return p
}

func testWaiver() state.Waiver {
	w := state.Waiver{
		Host: "reg.example:5000", Repository: "app", Stage: "production", Rule: "soak", Reason: "hotfix", Until: time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC),
		Act: state.Act{By: policy.Person{MSP: "VendorMSP", Name: "release-manager"}, At: time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)},
	}
	w.ID = w.Hash()
	return w
}

func breakGlass(t *testing.T) state.Release {
	t.Helper()
	by := policy.Person{MSP: "PlatformMSP", Name: "release-manager"}
	at := time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)
	return state.Release{
		Subject: state.Subject{Stage: "production", Host: "reg.example:5000", Repository: "app", Digest: parsed(t, digestA)}, Attempt: 3,
		Policy: policy.Version{Name: "default", Version: 2}, Act: state.Act{By: by, At: at},
		Debt: &policy.Debt{By: by, Reason: "site is down", Without: []string{"approvals"}, At: at, Due: at.Add(time.Hour)},
	}
}

func parsed(t *testing.T, s string) provenance.Digest {
	t.Helper()
	d, err := provenance.ParseDigest(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// onTheLedger lets peers answer about one proposal, one waiver and one release.

func (w *world) onTheLedger(p state.Proposal, x state.Waiver, rel state.Release) {
	view := func(...string) any {
		return tally{Proposal: p, Yes: []string{"VendorMSP"}, No: []string{}, Needed: 3}
	}
	waiver := func(...string) any { return x }
	w.peers["proposal:Get"] = view
	w.peers["proposal:List"] = func(...string) any { return []any{view()} }
	w.peers["waiver:List"] = func(...string) any { return []state.Waiver{x} }
	w.peers["release:Get"] = func(...string) any { return releaseView{rel, rel.Hash()} }
	w.peers["evidence:List"] = func(args ...string) any {
		return []any{map[string]any{"evidence": map[string]any{"digest": args[0], "type": "sbom", "id": strings.Repeat("cd", 32)}}}
	}
	w.results["proposal:Vote"], w.results["proposal:Withdraw"] = view, view
	w.results["waiver:Approve"], w.results["waiver:Revoke"] = waiver, waiver
	w.results["waiver:Request"] = func(args ...string) any {
		asked := x
		asked.Digest, asked.ID = parsed(w.t, args[2]), ""
		asked.ID = asked.Hash()
		return asked
	}
}

// A gateway that lies about everything is asked nothing by a transaction, whether it is

// one's own or another organisation's.

func TestApproveSignsWhatWasTyped(t *testing.T) {
	for _, image := range []string{imageA, "reg.example:5000/app:1.0"} {
		w := newWorld(t)
		w.verdict = pendingVerdict(t)
		w.running = map[string]bool{"127.0.0.1:7066": true} // security's, and vendor's is down
		w.gatewayLies = func(res *waybillv1.GetVerdictResponse) {
			res.Image, res.Digest = strings.ReplaceAll(imageA, digestA, digestB), digestB
			res.EvidenceSet, res.Policy = "ev11", &waybillv1.PolicyVersion{Name: "evil", Version: 9}
		}
		code, _, errOut := w.run("approve", image, "--to", "production", "--as", "vendor/release-manager")
		want := "vendor/release-manager: promotion:Approve reg.example:5000 app " + digestA + " production 3 default@2 " + storedPolicy(t).Hash + " e3b0c44298fc1c149afbf4c8996fb924 "
		if diff := cmp.Diff([]string{want}, w.acts); diff != "" || code != exitPending || w.asked != "" {
			t.Errorf("%s: exit %d, asked %q, stderr %q (-want +got):\n%s", image, code, w.asked, errOut, diff)
		}
	}
}

// Even one's own peer is not believed blindly: an answer about something else,

// or one that contradicts itself, signs nothing.

func TestAnAnswerToAnotherQuestionSignsNothing(t *testing.T) {
	other := func(change func(*policy.Verdict)) func(*world) {
		return func(w *world) {
			honest := w.peers["verdict:Ask"]
			w.peers["verdict:Ask"] = func(args ...string) any {
				v := honest(args...).(policy.Verdict) //nolint:forcetypeassert // this package's own fake
				change(&v)
				return v
			}
		}
	}
	says := func(fn string, answer any) func(*world) {
		return func(w *world) { w.peers[fn] = func(...string) any { return answer } }
	}
	vote, waiver, rel := memberProposal(), testWaiver(), breakGlass(t)
	forged := vote
	forged.Body = json.RawMessage(`{"msp":"SecurityMSP"}`)
	rehashed := forged
	rehashed.Hash = hashOf(forged.Body)
	swapped := vote
	swapped.Kind = state.ProposeMemberAdd // the same body, and so the same hash
	another := rehashed
	another.ID = state.ProposalID(state.ChangeHash(another.Kind, "SecurityMSP", another.Base, another.Body, another.Source), 1)
	wider := waiver
	wider.Rule = "evidence/scan"
	elsewhere := testWaiver()
	elsewhere.Repository = "other"
	elsewhere.ID = elsewhere.Hash()
	changed := rel
	changed.Debt = &policy.Debt{By: rel.Debt.By, Reason: "a small thing", Without: nil, At: rel.Debt.At, Due: rel.Debt.Due}
	foreign := rel
	foreign.Digest = parsed(t, digestB)
	text := storedPolicy(t)
	text.Text = json.RawMessage(strings.Replace(string(text.Text), `"min":2`, `"min":0`, 1))
	renamed := storedPolicy(t)
	renamed.Name = "evil"

	approve := "approve " + imageA + " --to production"
	for _, tt := range []struct {
		name, args string
		lie        func(*world)
		want       string
	}{
		{"another digest", approve, other(func(v *policy.Verdict) {
			v.Digest, v.Image = parsed(t, digestB), strings.ReplaceAll(v.Image, digestA, digestB)
		}), "another question"},
		{"another digest beside the image", approve, other(func(v *policy.Verdict) { v.Digest = parsed(t, digestB) }), "another question"},
		{"a digest of zeros", approve, other(func(v *policy.Verdict) { v.Digest = parsed(t, digestZero) }), "another question"},
		{"another stage", approve, other(func(v *policy.Verdict) { v.Stage = "dev" }), "another question"},
		{"another repository", approve, other(func(v *policy.Verdict) { v.Image = strings.Replace(v.Image, "/app@", "/evil@", 1) }), "another question"},
		{"another host", approve, other(func(v *policy.Verdict) { v.Image = strings.Replace(v.Image, "reg.", "evil.", 1) }), "another question"},
		{"the text of another policy", approve, says("policy:Get", text), "hashes to"},
		{"the policy of another name", approve, says("policy:Get", renamed), "another question"},
		{"no hash of the policy", approve, other(func(v *policy.Verdict) { v.Policy = &policy.Version{Name: "default", Version: 2} }), "hashes to"},
		{"allowed by no policy", approve, other(func(v *policy.Verdict) { v.Policy, v.Verdict = nil, policy.Allowed }), "nothing to approve"},
		{"a rejection about another stage", "reject " + imageA + " --to production --reason no", other(func(v *policy.Verdict) { v.Stage = "dev" }), "another question"},
		{"a cancellation about another image", "cancel " + imageA + " --to production --reason no", other(func(v *policy.Verdict) { v.Digest = parsed(t, digestB) }), "another question"},
		{"another proposal", "proposal vote " + vote.ID + " yes", says("proposal:Get", tally{Proposal: another}), "another question"},
		{"a text that the hash does not name", "proposal vote " + vote.ID + " yes", says("proposal:Get", tally{Proposal: forged}), "hashes to"},
		{"a text that the id does not name", "proposal vote " + vote.ID + " yes", says("proposal:Get", tally{Proposal: rehashed}), "not what that id names"},
		{"a kind that the id does not name", "proposal vote " + vote.ID + " yes", says("proposal:Get", tally{Proposal: swapped}), "not what that id names"},
		{"withdrawal of a forged proposal", "proposal withdraw " + vote.ID, says("proposal:Get", tally{Proposal: rehashed}), "not what that id names"},
		{"a waiver of another rule", "waiver approve reg.example:5000/app " + waiver.ID, says("waiver:List", []state.Waiver{wider}), "not what that id names"},
		{"a waiver of another repository", "waiver approve reg.example:5000/app " + elsewhere.ID, says("waiver:List", []state.Waiver{elsewhere}), "not what that id names"},
		{"a release that its hash does not name", "review " + imageA + " --to production --reason ok", says("release:Get", releaseView{changed, rel.Hash()}), "hashes to"},
		{"the release of another image", "review " + imageA + " --to production --reason ok", says("release:Get", releaseView{foreign, foreign.Hash()}), "another question"},
	} {
		w := newWorld(t)
		w.verdict = pendingVerdict(t)
		w.onTheLedger(vote, waiver, rel)
		tt.lie(w)
		code, out, errOut := w.run(append(strings.Fields(tt.args), "--as", "security/admin")...)
		if code != exitError || len(w.acts) > 0 || out != "" && tt.name != "allowed by no policy" || !strings.Contains(errOut, tt.want) {
			t.Errorf("%s: exit %d, signed %q, out %q, stderr %q; want %q", tt.name, code, w.acts, out, errOut, tt.want)
		}
	}
}

// What was reviewed is compared with what the own peer says, whoever typed it.

func TestApproveOfWhatChangedIsStale(t *testing.T) {
	for _, flags := range []string{"--policy default@1", "--policy other@2", "--evidence-set e5", "--policy default@2 --evidence-set e5", "--policy default@1 --evidence-set e3b0c44298fc1c149afbf4c8996fb924"} {
		w := newWorld(t)
		w.verdict = pendingVerdict(t)
		code, _, errOut := w.run(append([]string{"approve", imageA, "--to", "production", "--as", "security/admin"}, strings.Fields(flags)...)...)
		if code != exitError || len(w.acts) > 0 || !strings.Contains(errOut, "was reviewed") || !strings.Contains(errOut, "hint: look again: waybill verify "+imageA) {
			t.Errorf("%s: exit %d, signed %q, stderr %q", flags, code, w.acts, errOut)
		}
	}
}

// Another organisation's transaction is final on its own peer first: a word on it waits

// for a moment, and signs nothing where it does not come.

func TestAWordWaitsForWhatItIsAbout(t *testing.T) {
	vote, waiver, rel := memberProposal(), testWaiver(), breakGlass(t)
	late := func(fn string) func(*world) {
		return func(w *world) {
			there, asked := w.peers[fn], 0
			w.peers[fn] = func(args ...string) any {
				if asked++; asked < 3 {
					return provenance.Errorf(provenance.NotFound, "not here yet")
				}
				return there(args...)
			}
		}
	}
	unrequested := func(after int) func(*world) {
		return func(w *world) {
			there, asked := w.peers["verdict:Ask"], 0
			w.peers["verdict:Ask"] = func(args ...string) any {
				v := there(args...).(policy.Verdict) //nolint:forcetypeassert // this package's own fake
				if asked++; asked < after {
					v.Attempt = 0
				}
				return v
			}
		}
	}
	for _, tt := range []struct {
		args string
		lag  func(*world)
		code int
		acts int
	}{
		{"approve " + imageA + " --to production", unrequested(3), exitPending, 1},
		{"reject " + imageA + " --to production --reason no", unrequested(3), exitPending, 1},
		{"proposal vote " + vote.ID + " yes", late("proposal:Get"), 0, 1},
		{"waiver approve reg.example:5000/app " + waiver.ID, late("waiver:List"), 0, 1},
		{"review " + imageA + " --to production --reason ok", late("release:Get"), exitPending, 1},
		{"approve " + imageA + " --to production", unrequested(1000), exitUnknown, 0},
	} {
		w := newWorld(t)
		w.verdict = pendingVerdict(t)
		w.onTheLedger(vote, waiver, rel)
		tt.lag(w)
		if code, _, errOut := w.run(append(strings.Fields(tt.args), "--as", "security/admin")...); code != tt.code || len(w.acts) != tt.acts {
			t.Errorf("%s: exit %d, signed %q, stderr %q", tt.args, code, w.acts, errOut)
		}
	}
}

// The transaction's own answer is compared, too: it is on the ledger then, and

// its outcome is not told as if it were that of what was typed.

func TestTheAnswerToAnActIsCompared(t *testing.T) {
	vote, waiver, rel := memberProposal(), testWaiver(), breakGlass(t)
	for args, lie := range map[string]func(*world){
		"promote " + imageA + " --to production": func(w *world) { w.verdict.Stage = "dev" },
		"release " + imageA + " --to production": func(w *world) { w.verdict.Digest = parsed(t, digestB) },
		"proposal vote " + vote.ID + " yes":      func(w *world) { w.results["proposal:Vote"] = func(...string) any { return tally{} } },
		"waiver approve reg.example:5000/app " + waiver.ID: func(w *world) {
			w.results["waiver:Approve"] = func(...string) any { return state.Waiver{ID: waiver.ID} }
		},
		"registry add reg.example":       func(w *world) { w.results["proposal:Open"] = func(...string) any { return tally{Proposal: vote} } },
		"member propose remove AuditMSP": func(w *world) { w.results["proposal:Open"] = func(...string) any { return tally{} } },
		"waiver request reg.example:5000/app --to production --rule soak --reason hotfix --until 2026-12-01T00:00:00Z": func(w *world) {
			w.results["waiver:Request"] = func(...string) any { x := waiver; x.Rule = "freeze"; return x }
		},
	} {
		w := newWorld(t)
		w.verdict = pendingVerdict(t)
		w.verdict.Verdict = policy.Allowed
		w.onTheLedger(vote, waiver, rel)
		lie(w)
		code, out, errOut := w.run(append(strings.Fields(args), "--as", "security/admin")...)
		if code != exitError || out != "" || !strings.Contains(errOut, "transaction f00d answers another question") {
			t.Errorf("%s: exit %d, out %q, stderr %q", args, code, out, errOut)
		}
	}
}

// The attack: verify of a digest of zeros, answered ALLOWED by somebody's gateway.

// What a vote is about is shown before it is signed, in full.

func TestVoteShowsWhatItIsAbout(t *testing.T) {
	w := newWorld(t)
	vote := memberProposal()
	w.onTheLedger(vote, testWaiver(), breakGlass(t))
	if _, _, errOut := w.run("proposal", "vote", vote.ID, "yes", "--as", "security/admin"); !strings.Contains(errOut, "proposal "+vote.ID+" is member-remove AuditMSP, made by admin@VendorMSP") || !strings.Contains(errOut, "hash "+vote.Hash) || !strings.Contains(errOut, "  msp: AuditMSP\n") {
		t.Errorf("a member: stderr %q", errOut)
	}
	p, err := policy.Parse([]byte(strings.Replace(string(storedPolicy(t).Text), `"min":2`, `"min":1`, 1)))
	if err != nil {
		t.Fatal(err)
	}
	vote.Kind, vote.Name, vote.Base, vote.Body = state.ProposePolicy, "default", 2, p.Canonical()
	vote.ID, vote.Hash = state.ProposalID(state.ChangeHash(vote.Kind, vote.Name, vote.Base, vote.Body, vote.Source), 1), hashOf(vote.Body)
	w.onTheLedger(vote, testWaiver(), breakGlass(t))
	if _, _, errOut := w.run("proposal", "vote", vote.ID, "yes", "--as", "security/admin"); !strings.Contains(errOut, "against version 2, in force now:\n  ~ spec.stages") || !strings.Contains(errOut, "2 -> 1") {
		t.Errorf("a policy: stderr %q", errOut)
	}
	w.peers["policy:Get"] = func(...string) any { return provenance.Errorf(provenance.NotFound, "no policy") }
	if _, _, errOut := w.run("proposal", "vote", vote.ID, "yes", "--as", "security/admin"); !strings.Contains(errOut, "  kind: ReleasePolicy\n") {
		t.Errorf("a new policy: stderr %q", errOut)
	}
}

// An image is no repository: a waiver that was asked for one image was once signed for all.
