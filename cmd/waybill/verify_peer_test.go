package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
)

const digestZero = "sha256:0000000000000000000000000000000000000000000000000000000000000000"

func TestVerifyAsksOwnPeer(t *testing.T) {
	w := newWorld(t)
	w.verdict = pendingVerdict(t)
	w.verdict.Verdict = policy.Denied
	w.running = map[string]bool{"127.0.0.1:7056": true, "127.0.0.1:7066": true}
	w.gatewayLies = func(res *waybillv1.GetVerdictResponse) { res.Verdict = "allowed" }
	for _, cmd := range []string{"verify", "explain"} {
		code, out, errOut := w.run(cmd, imageA, "--stage", "production", "--as", "security/scanner")
		if code != exitDenied || strings.Contains(out, "ALLOWED") || w.asked != "" || errOut != "" || !slices.Contains(w.heard, "security/scanner: verdict:Ask reg.example:5000 app "+digestA+" production") {
			t.Errorf("%s: exit %d, gateway %q, peers %q, stderr %q", cmd, code, w.asked, w.heard, errOut)
		}
	}
	w.heard = nil
	code, _, errOut := w.run("verify", imageA, "--stage", "production")
	if code != exitDenied || len(w.heard) != 1 || !strings.HasPrefix(w.heard[0], "vendor/auditor: ") || errOut != "waybill: nobody is named with --as: vendor's peer answers\n" {
		t.Errorf("nobody named: exit %d, peers %q, stderr %q", code, w.heard, errOut)
	}
	// No other peer and no gateway stands in.
	w.down["security"], w.heard = true, nil
	code, out, errOut := w.run("verify", "reg.example:5000/app:1.0", "--stage", "production", "--as", "security/scanner")
	if code != exitUnavailable || out != "" || w.asked != "" || len(w.heard) > 0 || !strings.Contains(errOut, "security's peer at 127.0.0.1:7060") {
		t.Errorf("own peer down: exit %d, out %q, gateway %q, peers %q, stderr %q", code, out, w.asked, w.heard, errOut)
	}
}

func TestVerifyOfZerosIsNeverAllowed(t *testing.T) {
	const vendor, security = "127.0.0.1:7056", "127.0.0.1:7066"
	zeros := "reg.example:5000/app@" + digestZero
	for _, tt := range []struct {
		flags string
		code  int
		want  string
	}{
		{"--as vendor/auditor", exitUnknown, ""},
		{"--as vendor/auditor --gateway " + security, exitUnavailable, "security's word alone"},
		{"--gateway " + security, exitUnavailable, "security's word alone"},
	} {
		w := newWorld(t)
		w.verdict = pendingVerdict(t)
		w.verdict.Verdict = policy.Unknown
		w.running = map[string]bool{security: true}
		w.gatewayLies = func(res *waybillv1.GetVerdictResponse) { res.Verdict = "allowed" }
		for _, cmd := range []string{"verify", "explain"} {
			code, out, errOut := w.run(append([]string{cmd, zeros, "--stage", "production"}, strings.Fields(tt.flags)...)...)
			if code != tt.code || strings.Contains(out, "ALLOWED") || !strings.Contains(errOut, tt.want) {
				t.Errorf("%s %s: exit %d, out %q, stderr %q", cmd, tt.flags, code, out, errOut)
			}
		}
	}
}

func TestVerifyThroughAGateway(t *testing.T) {
	const vendor, security = "127.0.0.1:7056", "127.0.0.1:7066"
	for _, tt := range []struct {
		flags   string
		running []string
		answer  policy.Answer
		code    int
		asked   string
		errOut  string
	}{
		{"--gateway " + vendor, nil, policy.Allowed, 0, "vendor/auditor at " + vendor, "waybill: vendor's gateway answers, and not vendor's own peer\n"},
		{"--trust-gateway", []string{vendor, security}, policy.Allowed, 0, "vendor/auditor at " + vendor, "waybill: vendor's gateway answers, and not vendor's own peer\n"},
		{"--trust-gateway", []string{security}, policy.Allowed, 0, "vendor/auditor at " + security, "waybill: vendor's gateway is not running; security's answers\nwaybill: security's gateway answers, and not vendor's own peer\n"},
		{"--trust-gateway --gateway " + security, nil, policy.Allowed, 0, "vendor/auditor at " + security, "waybill: security's gateway answers, and not vendor's own peer\n"},
		{"--gateway " + security, nil, policy.Denied, exitDenied, "vendor/auditor at " + security, "waybill: security's gateway answers, and not vendor's own peer\n"},
		{"--gateway " + security, nil, policy.Pending, exitPending, "vendor/auditor at " + security, "waybill: security's gateway answers, and not vendor's own peer\n"},
	} {
		w := newWorld(t)
		w.verdict = pendingVerdict(t)
		w.verdict.Verdict = tt.answer
		w.running = map[string]bool{}
		for _, r := range tt.running {
			w.running[r] = true
		}
		code, _, errOut := w.run(append([]string{"verify", imageA, "--stage", "production", "--as", "vendor/auditor"}, strings.Fields(tt.flags)...)...)
		if code != tt.code || w.asked != tt.asked || errOut != tt.errOut || len(w.heard) > 0 {
			t.Errorf("%s %s: exit %d, asked %q, peers %q, stderr %q", tt.flags, tt.answer, code, w.asked, w.heard, errOut)
		}
	}
	for name, lie := range map[string]func(*waybillv1.GetVerdictResponse){
		"another digest":     func(res *waybillv1.GetVerdictResponse) { res.Digest = digestB },
		"a digest of zeros":  func(res *waybillv1.GetVerdictResponse) { res.Digest = digestZero },
		"another image":      func(res *waybillv1.GetVerdictResponse) { res.Image = strings.ReplaceAll(imageA, digestA, digestB) },
		"another repository": func(res *waybillv1.GetVerdictResponse) { res.Image = "reg.example:5000/evil@" + digestA },
		"another stage":      func(res *waybillv1.GetVerdictResponse) { res.Stage = "dev" },
	} {
		w := newWorld(t)
		w.verdict = pendingVerdict(t)
		w.verdict.Verdict, w.gatewayLies = policy.Allowed, lie
		code, out, errOut := w.run("verify", imageA, "--stage", "production", "--as", "vendor/auditor", "--trust-gateway")
		if code != exitError || out != "" || !strings.Contains(errOut, "vendor's gateway answers another question") {
			t.Errorf("%s: exit %d, out %q, stderr %q", name, code, out, errOut)
		}
	}
}
