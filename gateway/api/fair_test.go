package api_test

import (
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
	"github.com/waybill-dev/waybill/gateway/block"
)

// crowd makes a requester ask for n promotions, a second apart, each of an
// image of its own.
func (g *gatewayUnderTest) crowd(who policy.Person, n int, from time.Time) []state.Subject {
	g.t.Helper()
	subjects := make([]state.Subject, n)
	var writes []block.Write
	for i := range subjects {
		s := state.Subject{Stage: "production", Host: host, Repository: repo, Digest: digest(fmt.Sprint(who, i))}
		subjects[i] = s
		writes = append(writes, g.put(state.PlaceKey(s.Digest, host, repo), &state.Place{MSP: who.MSP, Proven: true}),
			g.put(s.PromotionKey(), state.Promotion{Subject: s, Attempt: 1, Status: state.PromotionOpen, Requester: who, At: from.Add(time.Duration(i) * time.Second)}))
	}
	g.block(who.String(), writes...)
	return subjects
}

// TestInboxIsFair: who asks for seven hundred things is in nobody's way, nor
// do they hide what the same organisation owes.
func TestInboxIsFair(t *testing.T) {
	g := start(t, nil)
	s := g.ruled()
	g.block("rm@VendorMSP", g.put(s.PromotionKey(), state.Promotion{Subject: s, Attempt: 1, Status: state.PromotionReleased}))
	g.block("admin@VendorMSP", g.enact(ruledPolicyWithout, 2)...)
	vendor, platform := policy.Person{MSP: "VendorMSP", Name: "rm"}, policy.Person{MSP: "PlatformMSP", Name: "rm"}
	hour := time.Now().Add(-time.Hour)
	old := g.crowd(platform, 1, hour.Add(-9*time.Hour))
	g.proposed(state.Proposal{ID: "p1", Kind: state.ProposeMemberAdd, Name: "NewMSP", Act: state.Act{By: vendor, At: hour.Add(-8 * time.Hour)}})
	debt := s
	debt.Digest = digest("debt")
	g.block("rm@VendorMSP", g.put(debt.ReleasedKey(), state.Release{Subject: debt, Debt: &policy.Debt{By: vendor, At: hour.Add(-7 * time.Hour), Due: soon()}}))
	many := g.crowd(vendor, 700, hour)
	id := g.audit.issue("rm", soon())

	type item struct{ kind, what string }
	of := func(i map[string]any) item { return item{fmt.Sprint(i["kind"]), fmt.Sprint(i["digest"], i["id"])} }
	seen := map[item]int{}
	var first []map[string]any
	token, pages := "", 0
	for {
		status, body := g.rest(id, "GET", "/v1/inbox?pageSize=20&pageToken="+url.QueryEscape(token), "")
		if status != 200 {
			t.Fatalf("%d %v", status, body)
		}
		items, _ := body["items"].([]any)
		for _, one := range items {
			i, _ := one.(map[string]any)
			seen[of(i)]++
			if pages == 0 {
				first = append(first, i)
			}
		}
		token, pages = fmt.Sprint(body["nextPageToken"]), pages+1
		if body["truncated"] != (token != "") || pages > 99 {
			t.Fatalf("page %d: truncated %v, token %q", pages, body["truncated"], token)
		}
		if token == "" {
			break
		}
	}
	on := map[item]bool{}
	for _, i := range first {
		on[of(i)] = true
	}
	for _, want := range []item{
		{"review", debt.Digest.String()}, {"vote", "p1"}, {"approve", old[0].Digest.String()}, {"approve", many[699].Digest.String()}, {"approve", many[690].Digest.String()},
	} {
		if !on[want] {
			t.Errorf("the first page has no %v", want)
		}
	}
	if on[item{"approve", many[0].Digest.String()}] || len(first) != 20 {
		t.Errorf("%d items on the first page, or the oldest is among them", len(first))
	}
	if len(seen) != 703 {
		t.Errorf("%d things on %d pages, want 703", len(seen), pages)
	}
	for i, n := range seen {
		if n != 1 {
			t.Errorf("%v is told %d times", i, n)
		}
	}
	// One's own first, then the newest.
	mine, since := true, time.Now()
	for _, i := range first {
		at, err := time.Parse(time.RFC3339, fmt.Sprint(i["since"]))
		if is := i["mine"] == true; err != nil || is && !mine || is == mine && at.After(since) {
			t.Errorf("out of order: %v, %v", i, err)
		} else if is != mine {
			mine = is
		}
		since = at
	}
	answer := inboxOf(t, g.client(id))
	if len(answer.GetItems()) != 100 || !answer.GetTruncated() || answer.GetItems()[0].GetPolicyHash() == "" || answer.GetItems()[0].GetAttempt() != 1 {
		t.Errorf("by default: %d items, truncated %v", len(answer.GetItems()), answer.GetTruncated())
	}
	for _, bad := range []string{"x", "AAAA", "////", "CQ"} {
		if status, body := g.rest(id, "GET", "/v1/inbox?pageToken="+url.QueryEscape(bad), ""); status != 400 || body["code"] != "WB_INVALID" {
			t.Errorf("token %q: %d %v", bad, status, body)
		}
	}
}

// TestInboxLooksThroughOthersThings: what is for nobody here does not end the
// list before what is.
func TestInboxLooksThroughOthersThings(t *testing.T) {
	g := start(t, nil)
	s := g.ruled()
	g.block("rm@VendorMSP", g.put(s.PromotionKey(), state.Promotion{Subject: s, Attempt: 1, Status: state.PromotionReleased}))
	g.block("admin@VendorMSP", g.enact(ruledPolicyWithout, 2)...)
	vendor := policy.Person{MSP: "VendorMSP", Name: "rm"}
	wanted := g.crowd(vendor, 1, time.Now().Add(-2*time.Hour))
	for i := range 2 { // of images that were never pushed
		var writes []block.Write
		for k := range 600 {
			x := s
			x.Digest = digest(fmt.Sprint("never", i, k))
			writes = append(writes, g.put(x.PromotionKey(), state.Promotion{Subject: x, Attempt: 1, Status: state.PromotionOpen, Requester: vendor, At: time.Now().Add(-time.Hour)}))
		}
		g.block("rm@VendorMSP", writes...)
	}
	id := g.audit.issue("rm", soon())
	if status, body := g.rest(id, "GET", "/v1/inbox", ""); status != 200 || len(body["items"].([]any)) != 0 || body["nextPageToken"] == "" {
		t.Errorf("an empty page that is not the last: %d %v", status, body)
	}
	answer := inboxOf(t, g.client(id))
	if len(answer.GetItems()) != 1 || answer.GetItems()[0].GetDigest() != wanted[0].Digest.String() || answer.GetTruncated() {
		t.Errorf("%d items: %v", len(answer.GetItems()), answer.GetNextPageToken())
	}
}

// TestExpired: a request that nobody heard in time waits for nobody, and says so.
func TestExpired(t *testing.T) {
	g := start(t, nil)
	s := g.ruled()
	vendor := policy.Person{MSP: "VendorMSP", Name: "rm"}
	late, taken := s, s
	late.Digest, taken.Digest = digest("late"), digest("taken")
	g.pushed(late.Digest, "", state.Place{MSP: "VendorMSP"})
	g.block("rm@VendorMSP",
		g.put(late.PromotionKey(), state.Promotion{Subject: late, Attempt: 1, Status: state.PromotionOpen, Requester: vendor, At: time.Now().Add(-state.PromotionLife)}),
		g.put(taken.PromotionKey(), state.Promotion{Subject: taken, Attempt: 1, Status: state.PromotionWithdrawn, Requester: vendor, At: moment(1), Withdrawal: &state.Revocation{Reason: "too early", Act: state.Act{By: vendor}}}))
	c := g.client(g.audit.issue("rm", soon()))
	for status, want := range map[string]string{"open": s.Digest.String(), "expired": late.Digest.String(), "withdrawn": taken.Digest.String(), "released": ""} {
		answer, err := c.ListPromotions(t.Context(), &waybillv1.ListPromotionsRequest{Status: status})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, p := range answer.GetPromotions() {
			got = append(got, p.GetDigest())
			if p.GetStatus() != status || (p.GetVerdict() != "") != (status == "open") || (p.GetPolicyHash() != "") != (status == "open") {
				t.Errorf("%s: %v", status, p)
			}
		}
		if want == "" && got != nil || want != "" && (len(got) != 1 || got[0] != want) {
			t.Errorf("%s: %v, want %s", status, got, want)
		}
	}
	for _, i := range inboxOf(t, c).GetItems() {
		if i.GetDigest() != s.Digest.String() {
			t.Errorf("in the inbox: %v", i)
		}
	}
}
