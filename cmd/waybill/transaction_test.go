package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
)

func TestTransactionsSayExactlyThisToTheLedger(t *testing.T) {
	on := "reg.example:5000 app " + digestA + " production"
	policy2 := "default@2 " + storedPolicy(t).Hash
	vote, waiver, rel := memberProposal(), testWaiver(), breakGlass(t)
	for _, tt := range []struct {
		args string
		want string
	}{
		{"promote " + imageA + " --to production", "promotion:Request " + on},
		{"promote reg.example:5000/app:1.0 --to production", "promotion:Request " + on},
		{"approve " + imageA + " --to production", "promotion:Approve " + on + " 3 " + policy2 + " e3b0c44298fc1c149afbf4c8996fb924 "},
		{"approve " + imageA + " --to production --reason fine", "promotion:Approve " + on + " 3 " + policy2 + " e3b0c44298fc1c149afbf4c8996fb924 fine"},
		{"approve reg.example:5000/app:1.0 --to production --policy default@2 --evidence-set e3b0c44298fc1c149afbf4c8996fb924", "promotion:Approve " + on + " 3 " + policy2 + " e3b0c44298fc1c149afbf4c8996fb924 "},
		{"withdraw " + imageA + " --to production --reason no", "promotion:Withdraw " + on + " no"},
		{"break-glass " + imageA + " --to production --reason fire", "release:BreakGlass " + on + " fire"},
		{"review " + imageA + " --to production --reason fine", "release:Review " + on + " " + rel.Hash() + " fine"},
		{"resume reg.example:5000/app --to production", "release:Resume reg.example:5000 app production"},
		{"waiver approve reg.example:5000/app " + waiver.ID, "waiver:Approve reg.example:5000 app " + waiver.ID},
		{"waiver approve reg.example:5000/app " + waiver.ID, "waiver:Approve reg.example:5000 app " + waiver.ID},
		{"waiver revoke reg.example:5000/app " + waiver.ID + " --reason done", "waiver:Revoke reg.example:5000 app " + waiver.ID + " done"},
		{"waiver request reg.example:5000/app:1.0 --to production --rule soak --reason hotfix --until 2026-12-01T00:00:00Z", "waiver:Request reg.example:5000 app " + digestA + " production soak hotfix 2026-12-01T00:00:00Z"},
		{"key withdraw ci --reason lost --compromised-since 2026-11-01T00:00:00Z", "key:Withdraw ci lost 2026-11-01T00:00:00Z"},
		{"context set incident true", "context:Set incident true"},
		{"context set phase freeze", `context:Set phase "freeze"`},
		{"label set reg.example:5000/app tier=1", "label:Set reg.example:5000 app tier 1"},
		{"proposal vote " + vote.ID + " yes", "proposal:Vote " + vote.ID + " " + vote.Hash + " yes "},
		{"proposal vote " + vote.ID + " no --reason unknown", "proposal:Vote " + vote.ID + " " + vote.Hash + " no unknown"},
		{"proposal withdraw " + vote.ID, "proposal:Withdraw " + vote.ID + " "},
		{"reject " + imageA + " --to production --reason no", "promotion:Reject " + on + " 3 no"},
		{"cancel " + imageA + " --to production --reason mistaken", "promotion:Cancel " + on + " 3 mistaken"},
		{"release " + imageA + " --to production", "release:Release " + on},
		{"rollback " + imageA + " --to production", "release:Release " + on},
		{"quarantine " + imageA + " --reason bad", "quarantine:Set " + digestA + " bad"},
		{"quarantine " + digestA + " --reason bad", "quarantine:Set " + digestA + " bad"},
		{"unquarantine reg.example:5000/app:1.0 --reason ok", "quarantine:Lift " + digestA + " ok"},
		{"member grant alice release-manager", "member:Grant alice release-manager"},
		{"member revoke alice scanner", "member:Revoke alice scanner"},
		{"member take-back alice --since 2026-11-01T01:00:00+01:00 --reason stolen", "member:TakeBack alice 2026-11-01T00:00:00Z stolen"},
		{"evidence withdraw " + imageA + " sbom " + strings.Repeat("cd", 32) + " --reason wrong", "evidence:Withdraw " + digestA + " sbom " + strings.Repeat("cd", 32) + " wrong"},
		{"evidence withdraw " + digestA + " sbom cdcdcdcd --reason wrong", "evidence:Withdraw " + digestA + " sbom " + strings.Repeat("cd", 32) + " wrong"},
		{"unquarantine " + imageA + " --of AuditMSP", `proposal:Open lift {"digest":"` + digestA + `","msp":"AuditMSP"}`},
		{"registry add REG.example:5000", `proposal:Open registry {"host":"reg.example:5000","namespace":"","owner":"SecurityMSP","kind":"distribution"}`},
		{"registry add docker.io/team --kind dockerhub --owner VendorMSP", `proposal:Open registry {"host":"docker.io","namespace":"team","owner":"VendorMSP","kind":"dockerhub"}`},
	} {
		w := newWorld(t)
		w.verdict = pendingVerdict(t)
		w.verdict.Verdict = policy.Allowed
		w.onTheLedger(vote, waiver, rel)
		w.running = nil // no gateway is asked for a transaction
		code, out, errOut := w.run(append(strings.Fields(tt.args), "--as", "security/admin")...)
		if diff := cmp.Diff([]string{"security/admin: " + tt.want}, w.acts); diff != "" || code != 0 {
			t.Errorf("%s: exit %d, %s (-want +got):\n%s", tt.args, code, errOut, diff)
		}
		if !strings.Contains(out, "transaction f00d in block 42, signed by security/admin") {
			t.Errorf("%s printed no transaction:\n%s", tt.args, out)
		}
		for _, q := range w.heard {
			if !strings.HasPrefix(q, "security/admin: ") || w.asked != "" {
				t.Errorf("%s asked somebody else: %s, gateway %q", tt.args, q, w.asked)
			}
		}
	}
}

func TestApprovePrintsTheVerdict(t *testing.T) {
	w := newWorld(t)
	w.verdict = pendingVerdict(t)
	w.verdict.Height = 0 // as the contract leaves it
	code, out, _ := w.run("approve", imageA, "--to", "production", "--as", "security/release-manager")
	golden(t, "approve.txt", out)
	if code != exitPending {
		t.Errorf("exit %d: the approval was recorded, and more are needed", code)
	}
	_, out, _ = w.run("approve", imageA, "--to", "production", "--as", "security/release-manager", "-o", "json")
	golden(t, "approve.json", out)
	if code, _, _ = w.run("release", imageA, "--to", "production", "--as", "security/release-manager"); code != exitPending {
		t.Errorf("a refused release: exit %d", code)
	}
}

// A rollback is never a first release.
func TestRollbackOfWhatWasNeverReleased(t *testing.T) {
	w := newWorld(t)
	w.peers["release:Get"] = func(...string) any {
		return provenance.Errorf(provenance.NotFound, "aaaaaaaaaaaa was never released to production")
	}
	code, out, errOut := w.run("rollback", imageA, "--to", "production", "--as", "vendor/release-manager")
	want := "waybill: aaaaaaaaaaaa was never released to production\nhint: request its release with: waybill promote " + imageA + " --to production\n"
	if code != exitUnknown || out != "" || errOut != want || len(w.acts) > 0 {
		t.Errorf("exit %d, out %q, stderr %q, signed %v", code, out, errOut, w.acts)
	}
}

func TestSignerIsNamedOnPurpose(t *testing.T) {
	w := newWorld(t)
	code, _, errOut := w.run("promote", "reg.example/app:1.0", "--to", "production")
	if code != exitUsage || !strings.Contains(errOut, "hint: there are: vendor/admin, vendor/auditor,") || w.asked != "" {
		t.Errorf("exit %d, asked %q, stderr %q", code, w.asked, errOut)
	}
	code, _, errOut = w.run("promote", imageA, "--to", "production", "--as", "vendor/publsher")
	if code != exitUsage || !strings.Contains(errOut, "hint: did you mean vendor/publisher?") {
		t.Errorf("exit %d, stderr %q", code, errOut)
	}
	w.env["WAYBILL_AS"] = "vendor/publisher"
	w.verdict = pendingVerdict(t)
	if code, _, errOut = w.run("promote", imageA, "--to", "production"); code != exitPending {
		t.Errorf("WAYBILL_AS: exit %d, stderr %q", code, errOut)
	}
	if code, _, errOut = w.run("promote", imageA, "--to", "x", "--dir", "nowhere"); code != exitError || !strings.Contains(errOut, "waybill network up --dir nowhere") {
		t.Errorf("no network: exit %d, stderr %q", code, errOut)
	}
}

func TestRefusedTransactionsSayWhatToDo(t *testing.T) {
	w := newWorld(t)
	w.fails = provenance.ErrorIn(provenance.Role, provenance.Forbidden, "auditor@VendorMSP needs one of the roles [admin] of VendorMSP for member:Grant")
	code, out, errOut := w.run("member", "grant", "alice", "scanner", "--as", "vendor/auditor")
	if code != exitError || out != "" || !strings.Contains(errOut, "waybill member grant auditor ROLE --as vendor/admin") {
		t.Errorf("exit %d, out %q, stderr %q", code, out, errOut)
	}
	w.fails = provenance.Errorf(provenance.Forbidden, "promotion:Request: release-manager@VendorMSP may not decide here: VendorMSP recorded the push")
	w.verdict = pendingVerdict(t)
	_, _, errOut = w.run("promote", imageA, "--to", "production", "--as", "vendor/release-manager")
	if want := "waybill: release-manager@VendorMSP may not decide here: VendorMSP recorded the push\nhint: who can: waybill explain " + imageA + " --stage production\n"; errOut != want {
		t.Errorf("stderr %q", errOut)
	}
	w.fails = provenance.Errorf(provenance.Unavailable, "peer 127.0.0.1:7050: connection refused")
	if code, _, errOut = w.run("member", "grant", "alice", "scanner", "--as", "vendor/admin"); code != exitUnavailable || !strings.Contains(errOut, "waybill network status") {
		t.Errorf("exit %d, stderr %q", code, errOut)
	}
	if code, _, errOut = w.run("member", "grant", "alice", "scaner", "--as", "vendor/admin"); code != exitUsage || !strings.Contains(errOut, "did you mean scanner?") {
		t.Errorf("exit %d, stderr %q", code, errOut)
	}
}

const policyYAML = `apiVersion: waybill.dev/v1
kind: ReleasePolicy
metadata: {name: default}
spec:
  match: ["reg.example:5000/**"]
  stages:
    - name: production
      approvals: {min: 2}
`

func TestPolicyPropose(t *testing.T) {
	w := newWorld(t)
	file := filepath.Join(t.TempDir(), "policy.yaml")
	if err := os.WriteFile(file, []byte(policyYAML), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, errOut := w.run("policy", "propose", "-f", file, "--as", "vendor/admin")
	if code != 0 || !strings.Contains(out, "1 of 3 votes (VendorMSP)") || !strings.Contains(out, "waybill proposal vote "+policyProposal(t, policyYAML).ID+" yes") {
		t.Errorf("exit %d, stderr %q, out:\n%s", code, errOut, out)
	}
	want := "vendor/admin: proposal:Open policy " + policyYAML // as it is written: the contract reads it
	if diff := cmp.Diff([]string{want}, w.acts); diff != "" {
		t.Errorf("act (-want +got):\n%s", diff)
	}
	w.stdin, w.results["proposal:Open"] = policyYAML, func(args ...string) any {
		p := policyProposal(t, args[1])
		p.Status, p.Version = state.ProposalAccepted, 1
		return tally{Proposal: p}
	}
	if _, out, _ = w.run("policy", "apply", "-f", "-", "--as", "vendor/admin"); !strings.Contains(out, "in force as version 1") {
		t.Errorf("from standard input:\n%s", out)
	}
	w.acts, w.stdin = nil, policyYAML+"kind: Other\n"
	if code, _, errOut = w.run("policy", "apply", "-f", "-", "--as", "vendor/admin"); code != exitError || len(w.acts) > 0 || !strings.Contains(errOut, "kind") {
		t.Errorf("a doubled key: exit %d, stderr %q, acts %v", code, errOut, w.acts)
	}
}
