package api_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/state"
)

// TestKeylessEvidence: what counts goes by the authorities that the root trusts now, and
// by who answers for the root; nobody needs to where members share it.
func TestKeylessEvidence(t *testing.T) {
	g := start(t, nil)
	s := g.ruled()
	piece := func(id, msp, root, authority string, at time.Time) state.Evidence {
		e := signed("sbom", id, root, at)
		e.Signer = policy.Signer{Kind: policy.SignedByCertificate, MSP: msp, Key: root, Identity: "https://ci.example/" + id, Issuer: "https://ci.example"}
		e.RootVersion, e.Claims, e.Uses = 1, map[string]string{"runnerEnvironment": "hosted"}, []state.Use{{ID: authority, At: at}}
		return e
	}
	root := func(msp, name string) state.TrustedRoot {
		return state.TrustedRoot{MSP: msp, Name: name, Version: 2, Changes: 2, Anchors: []state.Anchor{
			{ID: "aa", Kind: "ct-log", Name: "log", Windows: []state.Window{{Since: moment(30), From: moment(0), Until: moment(10)}, {From: moment(0)}}},
		}}
	}
	withdrawn := root("", "gone")
	withdrawn.Withdrawn = &state.Withdrawal{Reason: "its key is out", CompromisedSince: moment(1), Act: state.Act{At: moment(40)}}
	g.block("admin@VendorMSP", g.put(state.TrustedRootKey("", "public"), root("", "public")), g.put(state.TrustedRootKey("", "gone"), withdrawn), g.put(state.TrustedRootKey("GoneMSP", "own"), root("GoneMSP", "own")))
	g.give(s.Digest, piece("a", "", "public", "aa", moment(5)), piece("b", "", "public", "aa", moment(11)), piece("c", "", "public", "bb", moment(5)),
		piece("d", "", "gone", "aa", moment(5)), piece("e", "GoneMSP", "own", "aa", moment(5)), piece("f", "", "none", "aa", moment(5)))
	answer, err := g.client(g.audit.issue("auditor", soon())).GetEvidence(t.Context(), s.Digest.String(), "sbom")
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, e := range answer.GetEvidence() {
		if e.GetClaims()["runnerEnvironment"] != "hosted" || e.GetRootVersion() != 1 || len(e.GetUses()) != 1 || e.GetSigner().GetIssuer() == "" {
			t.Errorf("%v", e)
		}
		got[e.GetId()] = strings.TrimSpace(fmt.Sprintf("%v %s", e.GetCounts(), e.GetWhy()))
	}
	if diff := cmp.Diff(map[string]string{
		"a": "true", "b": "false shared root public no longer trusts ct-log log for 2026-01-01T12:11:00Z", "c": "false shared root public no longer trusts an authority for 2026-01-01T12:05:00Z",
		"d": "false shared root gone was withdrawn, compromised since 2026-01-01T12:01:00Z: its key is out", "e": "false GoneMSP is no member", "f": "false shared root none is not on the ledger",
	}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestTrustProposals: one made to a version of a root that is not in force is outdated.
func TestTrustProposals(t *testing.T) {
	g := start(t, nil)
	g.ruled()
	proposal := func(id, name string, base int, body string) state.Proposal {
		return state.Proposal{ID: id, Kind: state.ProposeTrust, Name: name, Base: base, Body: []byte(body), Status: state.ProposalOpen, Act: state.Act{By: policy.Person{MSP: "VendorMSP", Name: "admin"}, At: moment(1)}}
	}
	g.block("admin@VendorMSP", g.put(state.TrustedRootKey("", "public"), state.TrustedRoot{Name: "public", Version: 1, Changes: 2}),
		g.put(state.ProposalKey("t0"), proposal("t0", "new", 0, `{"name":"new","root":{}}`)), g.put(state.ProposalKey("t1"), proposal("t1", "public", 1, `{"name":"public","root":{}}`)),
		g.put(state.ProposalKey("t2"), proposal("t2", "public", 2, `{"name":"public","withdraw":{"reason":"its key is out"}}`)))
	c := g.client(g.audit.issue("auditor", soon()))
	for id, want := range map[string]string{"t0": "false trust the new shared root new", "t1": "true a change of the shared root public", "t2": "false withdraw the shared root public: its key is out"} {
		one, err := c.GetProposal(t.Context(), id)
		if got := fmt.Sprint(one.GetProposal().GetOutdated(), " ", one.GetProposal().GetTitle()); err != nil || got != want {
			t.Errorf("%s: %s, %v; want %s", id, got, err, want)
		}
	}
}
