package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
)

func pendingVerdict(t *testing.T) policy.Verdict {
	t.Helper()
	d, err := provenance.ParseDigest(digestA)
	if err != nil {
		t.Fatal(err)
	}
	return policy.Verdict{
		Image: imageA, Digest: d, Stage: "production", Verdict: policy.Pending, Height: 41,
		Policy: &policy.Version{Name: "default", Version: 2, Hash: storedPolicy(t).Hash}, EvidenceSet: "e3b0c44298fc1c149afbf4c8996fb924", Attempt: 3,
		Reasons: []policy.Reason{
			{Rule: "recorded", Outcome: policy.Satisfied, Detail: "pushed; recorded by VendorMSP"},
			{Rule: "approvals", Outcome: policy.Unmet, Detail: "1 of 2 approvals (SecurityMSP)", Fix: "a release-manager of PlatformMSP can: waybill approve IMAGE --to production"},
			{Rule: "promotion", Outcome: policy.Satisfied, Detail: "requested by release-manager@VendorMSP"},
		},
	}
}

func TestVerifyForPeople(t *testing.T) {
	w := newWorld(t)
	w.verdict = pendingVerdict(t)
	code, out, errOut := w.run("verify", imageA, "--stage", "production", "--as", "vendor/auditor")
	golden(t, "verify.txt", out)
	if code != exitPending || errOut != "" {
		t.Errorf("exit %d, stderr %q", code, errOut)
	}
	code, out, _ = w.run("explain", imageA, "--stage", "production", "--as", "vendor/auditor")
	golden(t, "explain.txt", out)
	if code != exitPending {
		t.Errorf("explain: exit %d", code)
	}
}

func TestVerifyJSONIsTheLedgersVerdict(t *testing.T) {
	w := newWorld(t)
	w.verdict = pendingVerdict(t)
	_, out, _ := w.run("verify", imageA, "--stage", "production", "-o", "json")
	golden(t, "verify.json", out)
	var got policy.Verdict
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(w.verdict, got, cmp.Comparer(func(a, b provenance.Digest) bool { return a == b })); diff != "" {
		t.Errorf("verdict (-want +got):\n%s", diff)
	}
	_, out, _ = w.run("verify", imageA, "--stage", "production", "-o", "yaml")
	golden(t, "verify.yaml", out)
}

func TestVerifyExitsByAnswer(t *testing.T) {
	w := newWorld(t)
	for answer, want := range map[policy.Answer]int{
		policy.Allowed: 0, policy.Unknown: 10, policy.Denied: 11, policy.Pending: 12, policy.Quarantined: 13, "maybe": 1,
	} {
		w.verdict = pendingVerdict(t)
		w.verdict.Verdict = answer
		for _, cmd := range []string{"verify", "explain"} {
			if code, _, errOut := w.run(cmd, imageA, "--stage", "production", "--as", "vendor/auditor"); code != want || errOut != "" {
				t.Errorf("%s %s: exit %d, want %d; stderr %q", cmd, answer, code, want, errOut)
			}
		}
	}
}

func TestStaleGatewayNeverAllows(t *testing.T) {
	w := newWorld(t)
	w.verdict, w.stale = pendingVerdict(t), true
	w.verdict.Verdict = policy.Allowed
	for _, flags := range []string{"--trust-gateway", "--gateway 127.0.0.1:7056"} {
		args := append([]string{"verify", imageA, "--stage", "production"}, strings.Fields(flags)...)
		code, out, errOut := w.run(args...)
		if code != exitUnavailable || strings.Contains(out, "ALLOWED") || !strings.Contains(errOut, "stale") {
			t.Errorf("%s: exit %d, out %q, stderr %q", flags, code, out, errOut)
		}
	}
	w.verdict.Verdict = policy.Denied
	if code, _, _ := w.run("verify", imageA, "--stage", "production", "--trust-gateway"); code != exitDenied {
		t.Errorf("a stale denial: exit %d", code)
	}
}

func TestTagIsResolvedOnTheLedger(t *testing.T) {
	w := newWorld(t)
	w.verdict = pendingVerdict(t)
	for tag, want := range map[string]struct {
		code   int
		errOut string
	}{
		"1.0":    {exitPending, "waybill: reg.example:5000/app:1.0 is " + digestA + " at block 41\n"},
		"2.0":    {exitUnknown, "waybill: tag reg.example:5000/app:2.0 is not on the ledger: no gateway has recorded it\nhint: name the image by its digest, or see what was recorded: waybill history reg.example:5000/app\n"},
		"gone":   {exitUnknown, "waybill: tag reg.example:5000/app:gone is not on the ledger: it was deleted\nhint: name the image by its digest, or see what was recorded: waybill history reg.example:5000/app\n"},
		"broken": {exitError, "waybill: look up reg.example:5000/app:broken: no route\n"},
	} {
		code, _, errOut := w.run("verify", "reg.example:5000/app:"+tag, "--stage", "production", "--as", "vendor/auditor")
		if code != want.code || errOut != want.errOut {
			t.Errorf("%s: exit %d, stderr %q; want %d, %q", tag, code, errOut, want.code, want.errOut)
		}
	}
}

func TestUnknownStageSaysWhichWasMeant(t *testing.T) {
	w := newWorld(t)
	w.verdict = pendingVerdict(t)
	w.verdict.Stage, w.verdict.Verdict = "prodution", policy.Unknown
	w.verdict.Reasons = []policy.Reason{{Rule: "stage", Outcome: policy.Violated, Detail: "no such stage", Fix: "use one of the policy's stages: dev, production"}}
	if _, _, errOut := w.run("verify", imageA, "--stage", "prodution", "--as", "vendor/auditor"); errOut != "hint: did you mean production?\n" {
		t.Errorf("verify: stderr %q", errOut)
	}
	w.fails = provenance.ErrorIn(provenance.Stage, provenance.NotFound, "policy default has no stage %q", "prodution")
	code, _, errOut := w.run("promote", imageA, "--to", "prodution", "--as", "vendor/publisher")
	if want := "waybill: policy default has no stage \"prodution\"\nhint: did you mean production?\n"; code != exitUnknown || errOut != want {
		t.Errorf("promote: exit %d, stderr %q", code, errOut)
	}
}

func TestFixesCanBePasted(t *testing.T) {
	v := pendingVerdict(t)
	for fix, want := range map[string]string{
		"a release-manager can: waybill promote IMAGE --to production": "a release-manager can: waybill promote " + imageA + " --to production",
		"request the promotion again with: waybill promote":            "request the promotion again with: waybill promote " + imageA + " --to production",
		"an admin of AuditMSP can lift it with: waybill unquarantine":  "an admin of AuditMSP can lift it with: waybill unquarantine " + imageA + " --reason REASON",
		"release it to staging first":                                  "release it to staging first",
		"":                                                             "nobody can change this",
	} {
		if got := fixFor(v, policy.Reason{Fix: fix}); got != want {
			t.Errorf("%q: got %q, want %q", fix, got, want)
		}
	}
}

func TestColourOnlyWhereAsked(t *testing.T) {
	a := &app{}
	if got := a.paint("31", "✗ DENIED"); got != "✗ DENIED" {
		t.Errorf("without a terminal: %q", got)
	}
	a.colour = true
	if got := a.paint("31", "✗ DENIED"); got != "\x1b[1;31m✗ DENIED\x1b[0m" {
		t.Errorf("on a terminal: %q", got)
	}
}
