package api_test

import (
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/block"
)

// ruledPolicy asks for a scan, an SBOM, provenance, approvals of two
// organisations, conditions and witnesses.
const ruledPolicy = `{"apiVersion":"waybill.dev/v1","kind":"ReleasePolicy","metadata":{"name":"ruled"},"spec":{
	"match":["reg.example:5000/team/**"],
	"context":{"incident":"AuditMSP"},
	"waivers":{"min":2,"maxDuration":"30d"},
	"stages":[{"name":"production",
		"approvals":{"min":2,"exclude":["requester"]},
		"evidence":[
			{"name":"scan","type":"vuln-scan","signers":[{"org":"AuditMSP","role":"scanner"}],"condition":"facts.critical == 0 && facts.high <= 3"},
			{"name":"sbom","type":"sbom","signers":[{"org":"VendorMSP","key":"build"}]},
			{"name":"built","type":"slsa-provenance","signers":[{"org":"VendorMSP"}]}],
		"conditions":[{"name":"quiet","cel":"context.incident == false"},{"name":"tagged","cel":"tags.exists(t, t.startsWith('1.'))"}],
		"witnesses":{"min":1},
		"breakGlass":{"by":[{"org":"VendorMSP","role":"release-manager"}],"without":["evidence/scan","evidence/sbom","evidence/built","approvals"],"review":"24h","reviewers":["AuditMSP"]}}]}}`

func parsed(t testing.TB, text string) policy.Policy {
	t.Helper()
	p, err := policy.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// enact puts a policy in force.
func (g *gatewayUnderTest) enact(text string, version int) []block.Write {
	g.t.Helper()
	p := parsed(g.t, text)
	name := p.Metadata.Name
	return []block.Write{
		g.put(state.PoliciesKey(), state.Catalogue{Policies: []state.CatalogueEntry{{Name: name, Version: version, Match: p.Spec.Match}}}),
		g.put(state.PolicyKey(name, version), state.PolicyVersion{Name: name, Version: version, Hash: "abc", Text: p.Canonical()}),
	}
}

// ruled fills the index: three members, their people, the policy above, and an
// image that was pushed as 1.0 and promoted by a person of VendorMSP.
func (g *gatewayUnderTest) ruled() state.Subject {
	g.t.Helper()
	s := state.Subject{Stage: "production", Host: host, Repository: repo, Digest: digest("v1")}
	writes := append(g.enact(ruledPolicy, 1),
		g.put(state.MembersKey(), state.Members{MSPs: []string{"AuditMSP", "PlatformMSP", "VendorMSP"}, Invited: []string{"LateMSP"}}),
		g.put(state.MemberKey("VendorMSP"), state.Member{MSP: "VendorMSP", Name: "vendor"}), g.put(state.MemberKey("AuditMSP"), state.Member{MSP: "AuditMSP", Name: "audit"}),
		g.put(state.MemberKey("GoneMSP"), state.Member{MSP: "GoneMSP", Name: "gone"}),
		g.put(state.RegistryKey(host), state.Registry{Host: host, Claims: []state.Claim{{Owner: "VendorMSP", Kind: "distribution"}}}),
	)
	writes = append(writes, g.put(state.ClockKey(), state.Clock{At: time.Now().UTC().Truncate(time.Minute), Seq: 1}))
	for _, role := range []struct{ msp, who, role string }{
		{"VendorMSP", "rm", "release-manager"}, {"AuditMSP", "rm", "release-manager"}, {"AuditMSP", "bot", "release-manager"}, {"AuditMSP", "bot", "robot"},
		{"AuditMSP", "trivy", "scanner"},
	} {
		writes = append(writes, g.put(state.GrantKey(role.msp, role.who, role.role), state.Grant{MSP: role.msp, Identity: role.who, Role: state.Role(role.role)}))
	}
	g.block("admin@VendorMSP", writes...)
	g.pushed(s.Digest, "1.0", state.Place{MSP: "VendorMSP", Size: 7})
	g.block("rm@VendorMSP", g.put(s.PromotionKey(), state.Promotion{
		Subject: s, Attempt: 1, Status: state.PromotionOpen, Requester: policy.Person{MSP: "VendorMSP", Name: "rm"}, At: time.Now(),
	}))
	return s
}

// pushed records an image, and a tag where it is not empty, as record:Segment does.
func (g *gatewayUnderTest) pushed(d provenance.Digest, tag provenance.Tag, place state.Place) {
	g.t.Helper()
	e := provenance.Event{
		ID: provenance.NewEventID("t", d.String(), string(tag)), Action: provenance.Push, Source: "test", Repository: repo, Tag: tag, Digest: d,
		Subject: place.Subject, Children: place.Children, OccurredAt: moment(0),
	}
	segment, err := provenance.EncodeSegment([]provenance.Event{e})
	if err != nil {
		g.t.Fatal(err)
	}
	place.At, place.Proven = moment(0), true
	writes := []block.Write{{Key: state.JournalKey(time.Time{}, host, "VendorMSP", "l", g.height), Value: segment}}
	if tag != "" {
		place.Tags = []provenance.Tag{tag}
		writes = append(writes, g.put(state.TagKey(host, repo, tag), state.Tag{Digest: d, Moves: 1}))
	}
	for _, child := range place.Children {
		writes = append(writes, g.put(state.ParentsKey(child, host, repo), state.Parents{Indexes: []provenance.Digest{d}}))
	}
	g.block("gateway@VendorMSP", append(writes, g.put(state.PlaceKey(d, host, repo), place))...)
}

// moment is some minutes after a day of the past.
func moment(minutes int) time.Time {
	return time.Date(2026, 1, 1, 12, minutes, 0, 0, time.UTC)
}
