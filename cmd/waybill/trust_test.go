package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	trusted "github.com/waybill-dev/waybill/chaincode/sigstore"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
	"github.com/waybill-dev/waybill/test/sigstore"
)

func trustedText(t *testing.T, s *sigstore.Instance, without ...sigstore.Kind) []byte {
	t.Helper()
	root, err := trusted.ParseTrustedRoot(s.TrustedRoot(without...))
	if err != nil {
		t.Fatal(err)
	}
	return root.Canonical()
}

func newSigstore(t *testing.T, name string) *sigstore.Instance {
	t.Helper()
	s, err := sigstore.New(name, func() time.Time { return time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC) })
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// rootOnTheLedger is a shared root as peers return it.
func rootOnTheLedger(name string, text []byte) rootView {
	act := state.Act{By: policy.Person{MSP: "VendorMSP", Name: "admin"}, At: time.Now().AddDate(0, 0, -40)}
	v := rootView{
		Root: state.TrustedRoot{Name: name, Version: 3, Hash: hashOf(text), Origin: "tuf.example", Act: act},
		Version: state.RootVersion{Name: name, Version: 3, Hash: hashOf(text), Text: string(text), Origin: "tuf.example", Act: act,
			Voters: []policy.Person{{MSP: "AuditMSP", Name: "admin"}, {MSP: "VendorMSP", Name: "admin"}}},
	}
	return v
}

func trustProposal(t *testing.T, change state.TrustChange) state.Proposal {
	t.Helper()
	body, err := json.Marshal(change)
	if err != nil {
		t.Fatal(err)
	}
	p := state.Proposal{Round: 1, Kind: state.ProposeTrust, Name: change.Name, Base: 3, Body: body, Status: state.ProposalOpen, Act: state.Act{By: policy.Person{MSP: "VendorMSP", Name: "admin"}}}
	p.ID, p.Hash = state.ProposalID(state.ChangeHash(p.Kind, p.Name, p.Base, p.Body, ""), 1), hashOf(p.Body)
	return p
}

func TestTrustAdd(t *testing.T) {
	text := newSigstore(t, "ci").TrustedRoot()
	file := filepath.Join(t.TempDir(), "trusted_root.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	w.results["trust:Add"] = func(args ...string) any { return state.TrustedRoot{MSP: "VendorMSP", Name: args[0], Version: 2} }
	code, out, errOut := w.run("trust", "add", "ci", "-f", file, "--origin", "our own", "--as", "vendor/admin")
	if code != 0 || len(w.acts) != 1 || !strings.HasPrefix(w.acts[0], `vendor/admin: trust:Add ci {"mediaType":`) || !strings.HasSuffix(w.acts[0], "our own") || !strings.Contains(out, "root ci of VendorMSP is in force, version 2") {
		t.Errorf("exit %d: %s%s%.200v", code, out, errOut, w.acts)
	}
	w.acts = nil
	code, out, _ = w.run("trust", "add", "public", "-f", file, "--shared", "--as", "vendor/admin")
	if code != 0 || len(w.acts) != 1 || !strings.HasPrefix(w.acts[0], `vendor/admin: proposal:Open trusted-root {"name":"public","root":{`) || !strings.Contains(out, "1 of 3 votes") {
		t.Errorf("exit %d: %s%.200v", code, out, w.acts)
	}
	w.acts = nil
	if err := os.WriteFile(file, []byte(`{"mediaType":"x"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, errOut := w.run("trust", "add", "ci", "-f", file, "--as", "vendor/admin"); code == 0 || len(w.acts) > 0 || !strings.Contains(errOut, "mediaType") {
		t.Errorf("exit %d: %s%.200v", code, errOut, w.acts)
	}
}

// A file of several roots, one a line, is what "gh attestation trusted-root" prints:
// which of them is meant is for whoever puts it in force to say.
func TestTrustAddOneOfSeveral(t *testing.T) {
	first, second := newSigstore(t, "public").TrustedRoot(), newSigstore(t, "private").TrustedRoot()
	file := filepath.Join(t.TempDir(), "trusted_root.jsonl")
	if err := os.WriteFile(file, slices.Concat(first, []byte("\n"), second, []byte("\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	w.results["trust:Add"] = func(args ...string) any { return state.TrustedRoot{MSP: "VendorMSP", Name: args[0], Version: 1} }
	code, _, errOut := w.run("trust", "add", "ci", "-f", file, "--as", "vendor/admin")
	for _, says := range []string{"2 trusted roots", "--number", "1: ", "2: ", "private"} {
		if code != exitUsage || len(w.acts) > 0 || !strings.Contains(errOut, says) {
			t.Errorf("exit %d: %s, want %q", code, errOut, says)
		}
	}
	for number, text := range map[string][]byte{"1": first, "2": second} {
		w.acts = nil
		root, err := trusted.ParseTrustedRoot(text)
		if err != nil {
			t.Fatal(err)
		}
		if code, _, errOut := w.run("trust", "add", "ci", "-f", file, "--number", number, "--as", "vendor/admin"); code != 0 || len(w.acts) != 1 || !strings.Contains(w.acts[0], string(root.Canonical())) {
			t.Errorf("%s: exit %d: %s%.200v", number, code, errOut, w.acts)
		}
	}
	w.acts = nil
	for _, number := range []string{"3", "-1"} {
		if code, _, errOut := w.run("trust", "add", "ci", "-f", file, "--number", number, "--as", "vendor/admin"); code != exitUsage || len(w.acts) > 0 {
			t.Errorf("%s: exit %d: %s", number, code, errOut)
		}
	}
}

func TestTrustWithdraw(t *testing.T) {
	w := newWorld(t)
	w.results["trust:Withdraw"] = func(args ...string) any { return state.TrustedRoot{MSP: "VendorMSP", Name: args[0]} }
	if code, _, errOut := w.run("trust", "withdraw", "ci", "--reason", "lost", "--as", "vendor/admin"); code != 0 || w.acts[0] != "vendor/admin: trust:Withdraw ci lost " {
		t.Errorf("exit %d: %s %v", code, errOut, w.acts)
	}
	w.acts = nil
	code, _, errOut := w.run("trust", "withdraw", "public", "--reason", "lost", "--compromised-since", "2026-03-02T10:00:00+01:00", "--shared", "--as", "vendor/admin")
	if code != 0 || w.acts[0] != `vendor/admin: proposal:Open trusted-root {"name":"public","withdraw":{"reason":"lost","compromisedSince":"2026-03-02T09:00:00Z"}}` {
		t.Errorf("exit %d: %s %v", code, errOut, w.acts)
	}
	if code, _, _ := w.run("trust", "withdraw", "public", "--reason", "lost", "--compromised-since", "yesterday", "--shared", "--as", "vendor/admin"); code != exitUsage {
		t.Errorf("exit %d", code)
	}
}

func TestTrustShow(t *testing.T) {
	w, s := newWorld(t), newSigstore(t, "public")
	v := rootOnTheLedger("public", trustedText(t, s))
	w.peers["trust:Show"] = func(args ...string) any {
		if strings.Join(args, "/") != "/public/0" {
			return provenance.Errorf(provenance.NotFound, "not there")
		}
		return v
	}
	w.peers["trust:List"] = func(...string) any { return []state.TrustedRoot{v.Root} }
	code, out, errOut := w.run("trust", "show", "public", "--as", "vendor/auditor")
	for _, want := range []string{"shared root public", "40 days ago", "tuf.example", "by the votes of admin@AuditMSP, admin@VendorMSP", "certificate-authority", "transparency-log", "2026-03-02 08:00:00"} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("exit %d, %s, no %q in:\n%s", code, errOut, want, out)
		}
	}
	if code, out, _ := w.run("trust", "list", "--as", "vendor/auditor"); code != 0 || !strings.Contains(out, "all members") || !strings.Contains(out, "tuf.example") {
		t.Errorf("exit %d:\n%s", code, out)
	}
	if code, _, _ := w.run("trust", "show", "ci", "--org", "VendorMSP", "--as", "vendor/auditor"); code == 0 {
		t.Error("a root that is not there is shown")
	}
	// A text that is not what its hash names is none.
	v.Version.Text = string(trustedText(t, newSigstore(t, "public")))
	if code, _, errOut := w.run("trust", "show", "public", "--as", "vendor/auditor"); code == 0 || !strings.Contains(errOut, "not the one that its hash") {
		t.Errorf("exit %d: %s", code, errOut)
	}
}

// TestSignersAreNamedInFull: whose root says so, and which issuer.
func TestSignersAreNamedInFull(t *testing.T) {
	for want, s := range map[string]*waybillv1.Signer{
		"https://ci.example/app by https://ci.example (shared root public)":     {Kind: "certificate", Key: "public", Identity: "https://ci.example/app", Issuer: "https://ci.example"},
		"https://ci.example/app by https://ci.example (VendorMSP, root public)": {Kind: "certificate", Msp: "VendorMSP", Key: "public", Identity: "https://ci.example/app", Issuer: "https://ci.example"},
		"x509.subject:CN=build (VendorMSP, root notary)":                        {Kind: "certificate", Msp: "VendorMSP", Key: "notary", Identity: "x509.subject:CN=build"},
		"key ci of VendorMSP": {Kind: "key", Msp: "VendorMSP", Key: "ci"},
	} {
		if got := signedBy(s); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// TestVoteShowsTrust: whoever votes on a root sees which authorities come, go and are
// trusted for less.
func TestVoteShowsTrust(t *testing.T) {
	w, s := newWorld(t), newSigstore(t, "public")
	was := rootOnTheLedger("public", trustedText(t, s))
	s.End(sigstore.TSA, time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, 2))
	if err := s.Rotate(sigstore.CTLog); err != nil {
		t.Fatal(err)
	}
	there := true
	w.peers["trust:Show"] = func(...string) any {
		if !there {
			return provenance.Errorf(provenance.NotFound, "not there")
		}
		return was
	}
	shows := func(p state.Proposal, wants ...string) {
		t.Helper()
		w.onTheLedger(p, testWaiver(), breakGlass(t))
		code, _, errOut := w.run("proposal", "vote", p.ID, "yes", "--as", "security/admin")
		for _, want := range wants {
			if code != 0 || !strings.Contains(errOut, want) {
				t.Errorf("exit %d, no %q in:\n%s", code, want, errOut)
			}
		}
		if strings.Contains(errOut, "rawBytes") {
			t.Error("certificates instead of what changes")
		}
	}
	p := trustProposal(t, state.TrustChange{Name: "public", Origin: "tuf.example", Root: trustedText(t, s, sigstore.RekorV2)})
	shows(p, "from tuf.example, against version 3, in force now:", "- transparency-log https://", "is trusted no more", "~ timestamp-authority", "until 2026-03-03 00:00:00: narrower",
		"+ ct-log https://", ", trusted from 2026-03-02 09:00:00 on", "hash "+p.Hash)
	shows(trustProposal(t, state.TrustChange{Name: "public", Withdraw: &state.TrustWithdrawal{Reason: "its key is out", CompromisedSince: was.Root.At}}),
		"withdraws the shared root public: its key is out; what was recorded since")
	there = false
	shows(trustProposal(t, state.TrustChange{Name: "public", Root: trustedText(t, s)}), "a new shared root, from -:", "+ certificate-authority")
}
