package api_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
	"github.com/waybill-dev/waybill/gateway/block"
)

// TestSimulatePolicy releases three images under the ruled policy and asks what
// others would say: one with a clean scan, one with a finding, one in a
// repository that only the other policy speaks of.
func TestSimulatePolicy(t *testing.T) {
	g := start(t, nil)
	s := g.ruled()
	g.calm()
	released := func(content, tag string, high int) {
		one := s
		one.Digest = digest(content)
		g.pushed(one.Digest, provenance.Tag(tag), state.Place{MSP: "VendorMSP"})
		found := scan(one.Digest, "trivy", 0, moment(4))
		found.Facts = fmt.Appendf(nil, `{"critical":0,"high":%d}`, high)
		g.give(one.Digest, found, signed("sbom", "good", "build", moment(5)), signed("slsa-provenance", "built", "build", moment(5)))
		g.block("rm@VendorMSP", g.put(one.PromotionKey(), state.Promotion{Subject: one, Attempt: 1, Status: state.PromotionReleased, Requester: policy.Person{MSP: "VendorMSP", Name: "rm"}}))
		g.approve(one, "AuditMSP", allMet())
		g.approve(one, "PlatformMSP", allMet())
		g.block("rm@PlatformMSP", g.put(one.ReleasedKey(), state.Release{Subject: one, Attempt: 1, Policy: policy.Version{Name: "ruled", Version: 1}}), g.put(one.ReleaseKey(), state.Current{Digest: one.Digest}))
	}
	released("clean", "1.1", 0)
	released("finding", "1.2", 2)
	c := g.client(g.audit.issue("auditor", soon()))
	simulate := func(text string, n int) *waybillv1.SimulatePolicyResponse {
		t.Helper()
		answer, err := c.SimulatePolicy(t.Context(), []byte(text), n)
		if err != nil {
			t.Fatal(err)
		}
		return answer
	}
	show := func(answer *waybillv1.SimulatePolicyResponse) (all []string) {
		for _, r := range answer.GetReleases() {
			all = append(all, fmt.Sprintf("%s now=%s before=%s after=%s changed=%v", r.GetDigest(), r.GetNow(), r.GetBefore(), r.GetAfter(), r.GetChanged()))
		}
		return all
	}
	clean, finding := digest("clean").String(), digest("finding").String()
	stricter := strings.Replace(ruledPolicy, "facts.high <= 3", "facts.high == 0", 1)
	longer := strings.Replace(ruledPolicy, `"conditions":[`, `"conditions":[{"name":"small","cel":"image.size < 100"},`, 1)
	elsewhere := strings.Replace(ruledPolicy, "team/**", "team/other/**", 1)
	for name, tc := range map[string]struct {
		text    string
		want    []string
		changed int32
	}{
		"the same": {ruledPolicy, []string{
			finding + " now=allowed before=allowed after=allowed changed=false", clean + " now=allowed before=allowed after=allowed changed=false"}, 0},
		"stricter": {stricter, []string{
			finding + " now=allowed before=allowed after=denied changed=true", clean + " now=allowed before=allowed after=allowed changed=false"}, 1},
		// A rule that no approver saw: the question is what the rule says, not that they approve again.
		"one rule more": {longer, []string{
			finding + " now=allowed before=allowed after=allowed changed=false", clean + " now=allowed before=allowed after=allowed changed=false"}, 0},
		"for other repositories": {elsewhere, []string{
			finding + " now=allowed before=allowed after=unknown changed=true", clean + " now=allowed before=allowed after=unknown changed=true"}, 2},
		"another policy for others": {strings.Replace(elsewhere, `"name":"ruled"`, `"name":"second"`, 1), nil, 0},
	} {
		answer := simulate(tc.text, 0)
		if diff := cmp.Diff(tc.want, show(answer)); diff != "" || answer.GetChanged() != tc.changed {
			t.Errorf("%s: %d changed; -want +got:\n%s", name, answer.GetChanged(), diff)
		}
		base := int32(1)
		if answer.GetName() == "second" {
			base = 0
		}
		if answer.GetBase() != base || answer.GetHeight() != g.height {
			t.Errorf("%s: base %d at height %d", name, answer.GetBase(), answer.GetHeight())
		}
	}
	if answer := simulate(stricter, 1); len(answer.GetReleases()) != 1 || answer.GetReleases()[0].GetDigest() != finding || len(answer.GetReleases()[0].GetReasons()) == 0 {
		t.Errorf("the last one: %v", answer)
	}
	var elsewhereReleased []block.Write
	for i := range 5001 {
		x := s
		x.Repository, x.Digest = "other/app", digest(fmt.Sprint("other", i))
		elsewhereReleased = append(elsewhereReleased, g.put(x.ReleasedKey(), state.Release{Subject: x, Attempt: 1}))
	}
	if answer := simulate(stricter, 0); answer.GetTruncated() {
		t.Error("truncated, and there is nothing else")
	}
	g.block("rm@PlatformMSP", elsewhereReleased...)
	if answer := simulate(stricter, 0); !answer.GetTruncated() || len(answer.GetReleases()) != 0 {
		t.Errorf("behind 5001 others: truncated %v, %d releases", answer.GetTruncated(), len(answer.GetReleases()))
	}
	for name, tc := range map[string]struct {
		text string
		n    int
		want provenance.Code
	}{
		"no policy":     {"{}", 0, provenance.Invalid},
		"too many":      {ruledPolicy, 501, provenance.Invalid},
		"negative":      {ruledPolicy, -1, provenance.Invalid},
		"a tie":         {strings.Replace(ruledPolicy, `"name":"ruled"`, `"name":"second"`, 1), 0, provenance.Conflict},
		"too large":     {ruledPolicy + strings.Repeat(" ", 33<<10), 0, provenance.Invalid},
		"does not type": {strings.Replace(ruledPolicy, "context.incident == false", "image.size", 1), 0, provenance.Invalid},
	} {
		if _, err := c.SimulatePolicy(t.Context(), []byte(tc.text), tc.n); provenance.CodeOf(err) != tc.want {
			t.Errorf("%s: %v", name, err)
		}
	}
}
