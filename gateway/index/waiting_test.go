package index

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/chaincode/manifest"
	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/block"
	"github.com/waybill-dev/waybill/gateway/readmodel"
)

// told is every record of an index, as kind and line.
func told(t testing.TB, x *Index) (lines []string) {
	t.Helper()
	view(t, x, func(s *Snapshot) {
		err := s.each(strings.TrimSuffix(selectRecords, `WHERE r.number IN `)+` ORDER BY r.number`, nil, func(row *sql.Rows) error {
			var number uint64
			r, err := recordOfRow(row, &number)
			lines = append(lines, fmt.Sprintf("%s by %s: %s", r.Kind, r.By, r.Detail))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	})
	return lines
}

// rows counts the rows of every table but the mirror of the keys.
func rows(t testing.TB, x *Index) map[string]int {
	t.Helper()
	n := map[string]int{}
	view(t, x, func(s *Snapshot) {
		for _, query := range contents() {
			_, rest, _ := strings.Cut(query, " FROM ")
			table, _, _ := strings.Cut(rest, " ")
			count := 0
			err := s.each(`SELECT count(*) FROM `+table, nil, func(row *sql.Rows) error { return row.Scan(&count) })
			if err != nil {
				t.Fatal(err)
			}
			n[table] = count
		}
	})
	return n
}

// TestWithdrawals: what is taken back, cancelled, lifted by a vote or proven
// later is an act, once.
func TestWithdrawals(t *testing.T) { onDatabases(t, testWithdrawals) }

func testWithdrawals(t *testing.T, create creator) {
	c := newChain(t)
	s := state.Subject{Stage: "production", Host: host, Repository: repo, Digest: digest("v1")}
	one := func(who string, writes ...block.Write) { c.block(c.tx(0, who, writes...)) }
	c.block()
	push := event(provenance.Push, "1.0", "v1", 1)
	push.MediaType = unproven
	one("gateway@VendorMSP", c.segment(push)...)
	place := state.Place{MSP: "VendorMSP", At: at(1)}
	place.Prove(manifest.Facts{MediaType: "application/vnd.oci.image.manifest.v1+json", Subject: digest("base")})
	one("gateway@AuditMSP", c.put(state.PlaceKey(s.Digest, host, repo), &place))
	place.Tags = append(place.Tags, "1.1")
	one("gateway@VendorMSP", c.put(state.PlaceKey(s.Digest, host, repo), &place)) // it was proven before

	taken := state.TakenBack{MSP: "VendorMSP", Identity: "rm", Since: at(2), Reason: "phished", Act: actOf("admin@VendorMSP", 3)}
	one("admin@VendorMSP", c.put(state.TakenKey(policy.Person{MSP: "VendorMSP", Name: "rm"}), taken))
	e := state.Evidence{Digest: s.Digest, Type: "review", ID: "e1", Format: "plain", Facts: json.RawMessage(`{}`), Signer: policy.Signer{Kind: policy.SignedByPerson, MSP: "AuditMSP", Name: "ann"}}
	one("ann@AuditMSP", c.put(state.EvidenceKey(s.Digest, e.Type, e.ID), e))
	e.Withdrawn = &state.Withdrawal{Reason: "wrong image"}
	one("admin@AuditMSP", c.put(state.EvidenceKey(s.Digest, e.Type, e.ID), e))

	p := state.Promotion{Subject: s, Attempt: 1, Status: state.PromotionOpen, Requester: policy.Person{MSP: "VendorMSP", Name: "rm"}, At: at(4)}
	one("rm@VendorMSP", c.put(s.PromotionKey(), p))
	p.Status, p.Withdrawal = state.PromotionWithdrawn, &state.Revocation{Reason: "too early"}
	one("rm@VendorMSP", c.put(s.PromotionKey(), p))
	p.Status, p.Withdrawal, p.Attempt = state.PromotionOpen, nil, 2
	one("rm@VendorMSP", c.put(s.PromotionKey(), p))

	proposal := func(kind state.ProposalKind, name string, body any, status state.ProposalStatus) block.Write {
		b, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		id := strings.Repeat(name[:1], 64)
		return c.put(state.ProposalKey(id), state.Proposal{ID: id, Kind: kind, Name: name, Body: b, Status: status, Act: actOf("admin@AuditMSP", 5)})
	}
	namespace := state.RegistryChange{Host: host, Namespace: "team", Owner: "AuditMSP", Kind: "harbor"}
	whole := state.Claim{Owner: "VendorMSP", Kind: "distribution"}
	one("admin@VendorMSP", c.put(state.RegistryKey(host), state.Registry{Host: host, Claims: []state.Claim{whole}}))
	one("admin@AuditMSP", proposal(state.ProposeRegistry, "reg", namespace, state.ProposalOpen))
	claim := state.Claim{Namespace: "team", Owner: "AuditMSP", Kind: "harbor"}
	one("admin@VendorMSP", proposal(state.ProposeRegistry, "reg", namespace, state.ProposalAccepted), c.put(state.RegistryKey(host), state.Registry{Host: host, Claims: []state.Claim{whole, claim}, Version: 1}))
	claim.Owner = "VendorMSP"
	one("admin@VendorMSP", c.put(state.RegistryKey(host), state.Registry{Host: host, Claims: []state.Claim{whole, claim}, Version: 2}))

	hold := state.Hold{Digest: s.Digest, MSP: "GoneMSP", Reason: "CVE", Act: actOf("trivy@GoneMSP", 6)}
	one("trivy@GoneMSP", c.put(state.HoldKey(s.Digest, "GoneMSP"), hold))
	hold.Lifted, hold.Proposal, hold.Reason = true, strings.Repeat("l", 64), "lifted by a vote"
	one("admin@VendorMSP", c.put(state.HoldKey(s.Digest, "GoneMSP"), hold),
		proposal(state.ProposeLift, "l", state.LiftChange{Digest: s.Digest, MSP: "GoneMSP"}, state.ProposalAccepted))

	x := applied(t, create, c)
	want := []string{
		"push by gateway@VendorMSP: pushed as 1.0",
		"proven by gateway@AuditMSP: what it is is derived from its manifest now",
		"taken-back by admin@VendorMSP: what rm@VendorMSP did since 2026-01-01T12:02:00Z counts no more: phished",
		"evidence by ann@AuditMSP: review by ann@AuditMSP (plain)",
		"evidence-withdrawn by admin@AuditMSP: review by ann@AuditMSP is taken back: wrong image",
		"promotion by rm@VendorMSP: promotion to production requested",
		"promotion-withdrawn by rm@VendorMSP: the request for production is taken back: too early",
		"promotion by rm@VendorMSP: promotion to production requested again",
		"registry by admin@VendorMSP: distribution registry of VendorMSP",
		"proposal by admin@AuditMSP: proposal rrrrrrrrrrrr is open: give namespace team of registry reg.example:5000 (harbor) to AuditMSP",
		"proposal-accepted by admin@VendorMSP: proposal rrrrrrrrrrrr is accepted: give namespace team of registry reg.example:5000 (harbor) to AuditMSP",
		"registry by admin@VendorMSP: namespace team of the harbor registry belongs to AuditMSP",
		"registry by admin@VendorMSP: namespace team of the harbor registry belongs to VendorMSP, before to AuditMSP",
		"hold by trivy@GoneMSP: quarantined by GoneMSP: CVE",
		"lift by admin@VendorMSP: quarantine of GoneMSP lifted by the vote on proposal llllllllllll: lifted by a vote",
		"proposal by admin@VendorMSP: proposal llllllllllll is open: lift the quarantine of " + s.Digest.String() + " by GoneMSP",
		"proposal-accepted by admin@VendorMSP: proposal llllllllllll is accepted: lift the quarantine of " + s.Digest.String() + " by GoneMSP",
	}
	if diff := cmp.Diff(want, told(t, x)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	view(t, x, func(s *Snapshot) {
		if got, err := s.Referrers(digest("base"), host, repo, 9); err != nil || len(got) != 1 {
			t.Errorf("referrers, proven later: %v, %v", got, err)
		}
	})
}

// TestClockTellsNothing: the ledger's clock moves every minute for ever, and
// the index grows by nothing but what the clock said before, which tells heights from times.
func TestClockTellsNothing(t *testing.T) { onDatabases(t, testClockTellsNothing) }

func testClockTellsNothing(t *testing.T, create creator) {
	c := story(t)
	x := applied(t, create, c)
	before := rows(t, x)
	for i := range uint64(50) {
		clock := c.put(state.ClockKey(), state.Clock{At: at(int(i)), Seq: i})
		if err := x.Apply(t.Context(), c.block(c.tx(0, "gateway@VendorMSP", clock))); err != nil {
			t.Fatal(err)
		}
	}
	before["kv"]++           // the clock
	before["versions"] += 49 // of it, all but the newest
	if diff := cmp.Diff(before, rows(t, x)); diff != "" {
		t.Errorf("50 ticks, -before +after:\n%s", diff)
	}
	view(t, x, func(s *Snapshot) {
		var clock state.Clock
		if found, err := state.Read(s, state.ClockKey(), &clock); !found || err != nil || clock.Seq != 49 {
			t.Errorf("clock: %+v, %v", clock, err)
		}
	})
}

// TestQuietRecords: lists, pointers and what only decides make no history.
func TestQuietRecords(t *testing.T) { onDatabases(t, testQuietRecords) }

func testQuietRecords(t *testing.T, create creator) {
	c := newChain(t)
	s := state.Subject{Stage: "production", Host: host, Repository: repo, Digest: digest("v1")}
	entry := state.EvidenceEntry{Type: "sbom", ID: "e", Signer: "s"}
	c.block()
	c.block(c.tx(0, "rm@VendorMSP",
		c.put(s.CarrierKey(), state.Carrier{Index: digest("index")}), c.put(state.ParentsKey(s.Digest, host, repo), state.Parents{}),
		c.put(state.RequestsKey("VendorMSP"), state.Requests{}), c.put(state.ProposalsKey("VendorMSP"), state.Proposals{}), c.put(state.ProposedKey("x"), state.Proposed{}),
		c.put(state.EvidenceSetKey(s.Digest, "VendorMSP"), state.EvidenceSet{}), c.put(state.EvidencePastKey(s.Digest, "VendorMSP", entry), state.EvidencePast{}),
		c.put(state.GapKey(1), state.Gap{}), c.put(s.GateKey(1), state.Gate{})))
	if got := rows(t, applied(t, create, c)); got["records"] != 0 || got["txs"] != 0 || got["kv"] != 9 {
		t.Errorf("rows: %v", got)
	}
}

// TestWaiting: what an organisation asked for is listed for as long as nobody
// gave it, the newest first, and by pages.
func TestWaiting(t *testing.T) { onDatabases(t, testWaiting) }

func testWaiting(t *testing.T, create creator) {
	c := newChain(t)
	one := func(who string, writes ...block.Write) { c.block(c.tx(0, who, writes...)) }
	c.block()
	subject := func(i int) state.Subject {
		return state.Subject{Stage: "production", Host: host, Repository: repo, Digest: digest(fmt.Sprint("v", i))}
	}
	vendor := policy.Person{MSP: "VendorMSP", Name: "rm"}
	ask := func(i, minute int, status state.PromotionStatus) block.Write {
		return c.put(subject(i).PromotionKey(), state.Promotion{Subject: subject(i), Attempt: 1, Requester: vendor, At: at(minute), Status: status})
	}
	one("rm@VendorMSP", ask(1, 1, state.PromotionOpen), ask(2, 2, state.PromotionOpen), ask(3, 3, state.PromotionOpen), ask(4, 4, state.PromotionOpen))
	one("rm@VendorMSP", ask(2, 2, state.PromotionReleased))
	other := subject(9)
	one("rm@PlatformMSP", c.put(other.PromotionKey(), state.Promotion{Subject: other, Attempt: 1, Requester: policy.Person{MSP: "PlatformMSP", Name: "rm"}, At: at(5), Status: state.PromotionOpen}))
	waiver := state.Waiver{ID: "w1", Until: at(40), Act: actOf("rm@VendorMSP", 10)}
	ended, revoked, dropped := waiver, waiver, waiver
	ended.ID, ended.Until = "w2", at(20)
	revoked.ID, revoked.Revoked = "w3", true
	dropped.ID = "w4"
	waivers := func(all ...state.Waiver) block.Write {
		return c.put(state.WaiversKey(host, repo, "VendorMSP"), state.Waivers{Waivers: all})
	}
	one("rm@VendorMSP", waivers(waiver, ended, dropped))
	one("rm@VendorMSP", waivers(waiver, ended, revoked))
	proposal := state.Proposal{ID: "p1", Kind: state.ProposeMemberAdd, Name: "NewMSP", Status: state.ProposalOpen, Act: actOf("admin@AuditMSP", 11)}
	one("admin@AuditMSP", c.put(state.ProposalKey("p1"), proposal))
	proposal.ID, proposal.Status = "p2", state.ProposalRejected
	one("admin@AuditMSP", c.put(state.ProposalKey("p2"), proposal))
	release := func(i int, reviewed *policy.Person) block.Write {
		return c.put(subject(i).ReleasedKey(), state.Release{Subject: subject(i), Debt: &policy.Debt{By: vendor, At: at(12), Reviewed: reviewed}})
	}
	one("rm@VendorMSP", release(5, nil), release(6, nil))
	one("rm@AuditMSP", release(6, &policy.Person{MSP: "AuditMSP", Name: "rm"}))
	one("rm@VendorMSP", c.put(subject(7).ReleasedKey(), state.Release{Subject: subject(7)}))

	x := applied(t, create, c)
	view(t, x, func(s *Snapshot) {
		for kind, want := range map[string][]string{
			state.TypePromotion: {"PlatformMSP", "VendorMSP"}, state.TypeProposal: {"AuditMSP"}, state.TypeWaivers: {"VendorMSP"}, state.TypeReleased: {"VendorMSP"}, state.TypeTag: nil,
		} {
			askers, err := s.Askers(kind)
			if diff := cmp.Diff(want, askers); diff != "" || err != nil {
				t.Errorf("askers of %s: %s %v", kind, diff, err)
			}
		}
		line := func(w readmodel.Waiting) string {
			objectType, a, _ := state.SplitKey(w.Key)
			return fmt.Sprint(objectType, " ", a[len(a)-1], " ", w.ID, " ", w.Since.Format("15:04"))
		}
		want := []string{
			"promotion " + digest("v4").String() + "  12:04", "promotion " + digest("v3").String() + "  12:03", "promotion " + digest("v1").String() + "  12:01",
			"waivers VendorMSP w1 12:10", "released " + digest("v5").String() + "  12:12",
		}
		var got []string
		kinds := []string{state.TypePromotion, state.TypeWaivers, state.TypeReleased}
		for after := (*readmodel.Waiting)(nil); len(kinds) > 0; {
			page, err := s.Waits(kinds[0], "VendorMSP", after, at(30), 2)
			if err != nil {
				t.Fatal(err)
			}
			if len(page) == 0 {
				kinds, after = kinds[1:], nil
				continue
			}
			for _, w := range page {
				got = append(got, line(w))
			}
			after = &page[len(page)-1]
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
		// Promotions end by themselves, a debt does not.
		for kind, want := range map[string]int{state.TypePromotion: 0, state.TypeWaivers: 0, state.TypeReleased: 1} {
			late, err := s.Waits(kind, "VendorMSP", nil, at(0).Add(2*state.PromotionLife), 9)
			if err != nil || len(late) != want {
				t.Errorf("%s, later: %v, %v", kind, late, err)
			}
		}
		open := readmodel.PromotionFilter{Status: state.PromotionOpen, Since: at(3)}
		if young, next, err := s.Promotions(open, readmodel.Page{}); err != nil || len(young) != 3 || next != "" {
			t.Errorf("young promotions: %v, %v", young, err)
		}
		old := readmodel.PromotionFilter{Status: state.PromotionOpen, Before: at(3)}
		if got, next, err := s.Promotions(old, readmodel.Page{}); err != nil || len(got) != 1 || got[0].Digest != digest("v1") || next != "" {
			t.Errorf("old promotions: %v, %v", got, err)
		}
		_, token, err := s.Promotions(readmodel.PromotionFilter{Status: state.PromotionOpen}, readmodel.Page{Size: 1})
		if err != nil || token == "" {
			t.Fatal(err)
		}
		if _, _, err := s.Promotions(old, readmodel.Page{Size: 1, Token: token}); provenance.CodeOf(err) != provenance.Invalid {
			t.Errorf("the token of another question: %v", err)
		}
	})
}

// TestScanAfter: a list that is read in pieces is the whole list.
func TestScanAfter(t *testing.T) { onDatabases(t, testScanAfter) }

func testScanAfter(t *testing.T, create creator) {
	c := newChain(t)
	c.block()
	var writes []block.Write
	for i := range 7 {
		writes = append(writes, c.put(state.LabelsKey(host, provenance.Repository(fmt.Sprint("r", i))), state.Labels{}))
	}
	c.block(c.tx(0, "a@b", append(writes, c.put(state.LabelsKey("z.example", "r"), state.Labels{}))...))
	view(t, applied(t, create, c), func(s *Snapshot) {
		whole, err := s.Scan(99, state.TypeLabels, string(host))
		if err != nil || len(whole) != 7 {
			t.Fatalf("%d, %v", len(whole), err)
		}
		var got []state.Entry
		for after := ""; ; {
			part, err := s.ScanAfter(after, 3, state.TypeLabels, string(host))
			if err != nil {
				t.Fatal(err)
			}
			if len(part) == 0 {
				break
			}
			got, after = append(got, part...), part[len(part)-1].Key
		}
		if diff := cmp.Diff(whole, got); diff != "" {
			t.Error(diff)
		}
		// A key of before or after the list does not leave it.
		for after, want := range map[string]int{state.Key("a"): 7, state.Key("zzz"): 0} {
			if part, err := s.ScanAfter(after, 99, state.TypeLabels, string(host)); err != nil || len(part) != want {
				t.Errorf("after %q: %d, %v", after, len(part), err)
			}
		}
	})
}
