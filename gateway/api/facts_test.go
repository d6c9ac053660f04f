package api_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
	"github.com/waybill-dev/waybill/gateway/block"
)

const inTeam = "reg.example:5000/team/app@"

// give records evidence, and of each signer and type the newest in the set.
func (g *gatewayUnderTest) give(d provenance.Digest, pieces ...state.Evidence) {
	g.t.Helper()
	var writes []block.Write
	set := state.EvidenceSet{}
	for _, e := range pieces {
		e.Digest = d
		writes = append(writes, g.put(state.EvidenceKey(d, e.Type, e.ID), e))
		entry := state.EvidenceEntry{Type: e.Type, ID: e.ID, Signer: state.SignerID(e.Signer), Since: e.Since()}
		at := -1
		for i, x := range set.Entries {
			if x.Type == entry.Type && x.Signer == entry.Signer {
				at = i
			}
		}
		switch {
		case at < 0:
			set.Entries = append(set.Entries, entry)
		case entry.Since.After(set.Entries[at].Since):
			set.Entries[at] = entry
		}
	}
	g.block("trivy@AuditMSP", append(writes, g.put(state.EvidenceSetKey(d, "AuditMSP"), set))...)
}

// signed is evidence that a key of VendorMSP signed.
func signed(typ, id, key string, at time.Time) state.Evidence {
	return state.Evidence{
		Type: typ, ID: id, Format: "dsse", Facts: json.RawMessage(`{"builder":"ci"}`), Signer: policy.Signer{Kind: policy.SignedByKey, MSP: "VendorMSP", Key: key},
		Act: state.Act{By: policy.Person{MSP: "VendorMSP", Name: "gateway"}, At: at},
	}
}

func TestEvidence(t *testing.T) {
	g := start(t, nil)
	s := g.ruled()
	platform := digest("linux/amd64")
	g.pushed(digest("index"), "multi", state.Place{MSP: "VendorMSP", Children: []provenance.Digest{platform}})
	withdrawn := func(name string, since time.Time) block.Write {
		return g.put(state.TrustKeyKey("VendorMSP", name), state.TrustKey{MSP: "VendorMSP", Name: name, Kind: "public-key",
			Withdrawn: &state.Withdrawal{Reason: "laptop lost", CompromisedSince: since, Act: state.Act{At: moment(30)}}})
	}
	g.block("admin@VendorMSP", withdrawn("lost", moment(10)), withdrawn("retired", time.Time{}), g.put(state.TrustKeyKey("VendorMSP", "build"), state.TrustKey{MSP: "VendorMSP", Name: "build"}))
	left := signed("sbom", "left", "build", moment(5))
	left.Signer.MSP = "GoneMSP"
	g.give(s.Digest,
		scan(s.Digest, "trivy", 3, moment(3)), scan(s.Digest, "trivy", 0, moment(4)), signed("sbom", "good", "build", moment(5)), left,
		signed("sbom", "early", "lost", moment(9)), signed("slsa-provenance", "late", "lost", moment(11)), signed("slsa-provenance", "old", "retired", moment(12)))
	through := s
	through.Digest = platform
	g.block("rm@VendorMSP", g.put(through.CarrierKey(), state.Carrier{Index: digest("index")}))
	g.give(digest("index"), signed("signature", "on-index", "build", moment(6)))
	c := g.client(g.audit.issue("auditor", soon()))

	list := func(image, typ string) (lines []string) {
		t.Helper()
		answer, err := c.GetEvidence(t.Context(), image, typ)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range answer.GetEvidence() {
			line := fmt.Sprintf("%s %s counts=%v %s", e.GetType(), e.GetSigner().GetMsp(), e.GetCounts(), e.GetWhy())
			if e.GetInherited() {
				line += "inherited"
			}
			lines = append(lines, strings.TrimSpace(line))
		}
		return lines
	}
	want := []string{
		"sbom VendorMSP counts=true",
		"sbom VendorMSP counts=true",
		"sbom GoneMSP counts=false GoneMSP is no member",
		"slsa-provenance VendorMSP counts=true",
		"slsa-provenance VendorMSP counts=false key lost of VendorMSP was withdrawn, compromised since 2026-01-01T12:10:00Z: laptop lost",
		"vuln-scan AuditMSP counts=true",
		"vuln-scan AuditMSP counts=false the same signer gave newer evidence of this type",
	}
	got := list("reg.example:5000/team/app:1.0", "")
	if len(got) > 3 && strings.HasPrefix(got[1], "sbom GoneMSP") { // equal times: by id
		got[1], got[2] = got[2], got[1]
	}
	if diff := cmp.Diff(want, sortedEvidence(got)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if diff := cmp.Diff(want[5:], list(s.Digest.String(), "vuln-scan")); diff != "" {
		t.Errorf("of a type: %s", diff)
	}
	if diff := cmp.Diff([]string{"signature VendorMSP counts=true inherited"}, list(inTeam+platform.String(), "")); diff != "" {
		t.Errorf("of a platform: %s", diff)
	}
	if got := list(inTeam+digest("index").String(), ""); len(got) != 1 || strings.Contains(got[0], "inherited") {
		t.Errorf("of the index: %v", got)
	}
	if got := list(inTeam+digest("nothing").String(), ""); len(got) != 0 {
		t.Errorf("of nothing: %v", got)
	}
	// The rules and the list agree on what counts.
	verdict, err := c.GetVerdict(t.Context(), inTeam+s.Digest.String(), "production")
	if err != nil {
		t.Fatal(err)
	}
	outcomes := map[string]string{}
	for _, r := range verdict.GetReasons() {
		outcomes[r.GetRule()] = r.GetOutcome()
	}
	if outcomes["evidence/scan"] != "satisfied" || outcomes["evidence/built"] != "satisfied" || verdict.GetEvidenceSet() == "" {
		t.Errorf("verdict: %v", verdict)
	}
}

// sortedEvidence keeps the counting piece before the other of equal time.
func sortedEvidence(lines []string) []string {
	for i := 1; i < len(lines); i++ {
		for k := i; k > 0 && strings.Fields(lines[k])[0] == strings.Fields(lines[k-1])[0] && strings.Contains(lines[k], "=true") && strings.Contains(lines[k-1], "=false"); k-- {
			lines[k], lines[k-1] = lines[k-1], lines[k]
		}
	}
	return lines
}

func TestTree(t *testing.T) {
	g := start(t, nil)
	s := g.ruled()
	platform := digest("linux/amd64")
	g.pushed(digest("index"), "multi", state.Place{MSP: "VendorMSP", Children: []provenance.Digest{platform}, MediaType: "application/vnd.oci.image.index.v1+json"})
	g.pushed(platform, "", state.Place{MSP: "VendorMSP"})
	g.pushed(digest("attestation"), "", state.Place{MSP: "VendorMSP", Subject: platform, ArtifactType: "application/vnd.in-toto+json"})
	g.pushed(digest("signature"), provenance.Tag(strings.Replace(digest("index").String(), ":", "-", 1)+".sig"), state.Place{MSP: "VendorMSP"})
	g.give(platform, signed("sbom", "good", "build", moment(5)))
	g.block("trivy@AuditMSP", g.put(state.HoldKey(platform, "AuditMSP"), state.Hold{Digest: platform, MSP: "AuditMSP"}),
		g.put(state.HoldKey(platform, "VendorMSP"), state.Hold{Digest: platform, MSP: "VendorMSP", Lifted: true}))
	c := g.client(g.audit.issue("auditor", soon()))
	answer, err := c.GetTree(t.Context(), "reg.example:5000/team/app:multi")
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	var walk func(n *waybillv1.TreeNode, indent string)
	walk = func(n *waybillv1.TreeNode, indent string) {
		lines = append(lines, fmt.Sprintf("%s%s %s tags=%d evidence=%d held=%v", indent, n.GetKind(), n.GetDigest()[:15], min(len(n.GetTags()), 1), len(n.GetEvidence()), n.GetQuarantinedBy()))
		for _, child := range n.GetChildren() {
			walk(child, indent+"  ")
		}
	}
	walk(answer.GetRoot(), "")
	short := func(s string) string { return digest(s).String()[:15] }
	want := []string{
		"index " + short("index") + " tags=1 evidence=0 held=[]",
		"  platform " + short("linux/amd64") + " tags=0 evidence=1 held=[AuditMSP]",
		"    referrer " + short("attestation") + " tags=0 evidence=0 held=[]",
		"  signature-tag " + short("signature") + " tags=1 evidence=0 held=[]",
	}
	if diff := cmp.Diff(want, lines); diff != "" || answer.GetTruncated() {
		t.Errorf("truncated %v; -want +got:\n%s", answer.GetTruncated(), diff)
	}
	if _, err := c.GetTree(t.Context(), inTeam+digest("never").String()); provenance.CodeOf(err) != provenance.NotFound {
		t.Errorf("of nothing: %v", err)
	}
	if _, err := c.GetTree(t.Context(), s.Digest.String()); provenance.CodeOf(err) != provenance.Invalid {
		t.Errorf("without a repository: %v", err)
	}
	// What refers to itself, or to what refers to it, ends all the same.
	below := digest("index")
	for i := range 8 {
		next := digest(fmt.Sprint("chain", i))
		g.pushed(next, "", state.Place{MSP: "VendorMSP", Subject: below})
		below = next
	}
	g.pushed(digest("itself"), "", state.Place{MSP: "VendorMSP", Subject: digest("itself"), Children: []provenance.Digest{digest("itself"), digest("index")}})
	for _, image := range []string{"index", "itself"} {
		answer, err := c.GetTree(t.Context(), inTeam+digest(image).String())
		if err != nil || !answer.GetTruncated() {
			t.Errorf("%s: truncated %v, %v", image, answer.GetTruncated(), err)
		}
	}
}

func TestWhatIsSaid(t *testing.T) {
	now := time.Now().Add(-time.Minute)
	g := start(t, nil)
	s := g.ruled()
	rm := func(msp string) policy.Person { return policy.Person{MSP: msp, Name: "rm"} }
	waiver := func(id string, until time.Time, revoked bool, by ...policy.Person) state.Waiver {
		var approvers []state.Approver
		for _, p := range by {
			approvers = append(approvers, state.Approver{Person: p, At: moment(3)})
		}
		return state.Waiver{ID: id, Stage: "production", Rule: "evidence/scan", Digest: s.Digest, Reason: "scanner is down", Until: until, Approvers: approvers, Revoked: revoked}
	}
	g.block("rm@VendorMSP",
		g.put(state.WaiversKey(host, repo, "VendorMSP"), state.Waivers{Waivers: []state.Waiver{
			waiver("one", soon(), false, rm("VendorMSP")), waiver("same-org", soon(), false, rm("VendorMSP"), policy.Person{MSP: "VendorMSP", Name: "ann"}),
			waiver("two", soon(), false, rm("VendorMSP"), rm("AuditMSP")), waiver("gone", soon(), false, rm("VendorMSP"), rm("GoneMSP")),
			waiver("late", now, false, rm("VendorMSP"), rm("AuditMSP")), waiver("revoked", soon(), true, rm("VendorMSP"), rm("AuditMSP"))}}),
		g.put(state.LabelsKey(host, repo), state.Labels{Labels: map[string]string{"tier": "1", "team": "a"}}),
		g.put(state.ContextKey("AuditMSP"), state.Context{Values: map[string]policy.Value{"incident": {Value: false, At: now}, "level": {Value: 3, At: now}, "note": {Value: "all well", At: now}}}),
		g.put(state.SchemaKey("VendorMSP", "licence"), state.Schema{Name: "licence", MSP: "VendorMSP", Schema: json.RawMessage(`{"type":"object"}`)}),
		g.put(state.TrustKeyKey("VendorMSP", "build"), state.TrustKey{MSP: "VendorMSP", Name: "build", Kind: "public-key", NotAfter: moment(59)}),
		g.put(state.TrustKeyKey("AuditMSP", "scan"), state.TrustKey{MSP: "AuditMSP", Name: "scan", Withdrawn: &state.Withdrawal{Reason: "lost", CompromisedSince: moment(1)}}))
	c := g.client(g.audit.issue("auditor", soon()))
	ctx := t.Context()

	waivers, err := c.ListWaivers(ctx, "reg.example:5000/team/app")
	if err != nil {
		t.Fatal(err)
	}
	var statuses []string
	for _, w := range waivers.GetWaivers() {
		statuses = append(statuses, fmt.Sprint(w.GetId(), " ", w.GetStatus(), " ", w.GetNeeded()))
	}
	if diff := cmp.Diff([]string{"one pending 2", "same-org pending 2", "two active 2", "gone pending 2", "late expired 2", "revoked revoked 2"}, statuses); diff != "" {
		t.Error(diff)
	}
	if none, err := c.ListWaivers(ctx, "reg.example:5000/team/other"); err != nil || len(none.GetWaivers()) != 0 {
		t.Errorf("of another repository: %v, %v", none, err)
	}
	if _, err := c.ListWaivers(ctx, "app"); provenance.CodeOf(err) != provenance.Invalid {
		t.Errorf("of no repository: %v", err)
	}
	labels, err := c.ListLabels(ctx, "")
	if err != nil || len(labels.GetLabels()) != 2 || labels.GetLabels()[0].GetName() != "team" || labels.GetLabels()[1].GetValue() != "1" {
		t.Errorf("labels: %v, %v", labels, err)
	}
	said, err := c.ListContext(ctx)
	if err != nil || len(said.GetVariables()) != 3 || said.GetVariables()[0].GetValue() != "false" || said.GetVariables()[1].GetValue() != "3" || said.GetVariables()[2].GetValue() != `"all well"` {
		t.Errorf("context: %v, %v", said, err)
	}
	schemas, err := c.ListSchemas(ctx)
	if err != nil || len(schemas.GetSchemas()) != 1 || schemas.GetSchemas()[0].GetSchema() != `{"type":"object"}` {
		t.Errorf("schemas: %v, %v", schemas, err)
	}
	keys, err := c.ListKeys(ctx, "")
	if err != nil || len(keys.GetKeys()) != 2 || keys.GetKeys()[0].GetWithdrawn().GetReason() != "lost" || keys.GetKeys()[1].GetWithdrawn() != nil || keys.GetKeys()[1].GetNotAfter() == nil {
		t.Errorf("keys: %v, %v", keys, err)
	}
	if own, err := c.ListKeys(ctx, "VendorMSP"); err != nil || len(own.GetKeys()) != 1 {
		t.Errorf("keys of one: %v, %v", own, err)
	}
	members, err := c.ListMembers(ctx)
	if err != nil || len(members.GetInvited()) != 1 || members.GetNeeded() != 2 {
		t.Errorf("members: %v, %v", members, err)
	}
	for _, m := range members.GetMembers() {
		if m.GetRemoved() != (m.GetMsp() == "GoneMSP") {
			t.Errorf("member: %v", m)
		}
	}
}
