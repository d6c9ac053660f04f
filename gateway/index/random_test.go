package index

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/block"
	"github.com/waybill-dev/waybill/gateway/readmodel"
)

// anyone makes random chains of a small world, so that its records meet, with
// texts that a database could read as something else.
type anyone struct {
	*chain
	random *rand.Rand
}

func pick[T any](a *anyone, of ...T) T { return of[a.random.IntN(len(of))] }

func (a *anyone) text() string {
	return pick(a, "", "plain", "a\x00b", "\xff\xfe", "größer ≥ 7", "'; DROP TABLE kv; --", `\x41`, `\\101 \`, "?", "$1")
}

func (a *anyone) digest() provenance.Digest {
	if a.random.IntN(8) == 0 {
		d, _ := provenance.ParseDigest(fmt.Sprintf("sha512:%0128x", a.random.IntN(3)))
		return d
	}
	return digest(fmt.Sprint("v", a.random.IntN(7)))
}

func repositories() []provenance.Repository {
	return []provenance.Repository{repo, "team/a", "team/b", "team-a/x"}
}

func (a *anyone) subject() state.Subject {
	return state.Subject{Stage: pick(a, "staging", "production"), Host: host, Repository: pick(a, repositories()...), Digest: a.digest()}
}

func (a *anyone) event() provenance.Event {
	e := event(pick(a, provenance.Push, provenance.Push, provenance.Pull, provenance.Delete, provenance.TagDelete), "", fmt.Sprint(a.random.Uint64()), a.random.IntN(60))
	e.Repository, e.Digest, e.Actor = pick(a, repositories()...), a.digest(), provenance.CleanText(a.text(), provenance.MaxText)
	if e.Action == provenance.TagDelete || a.random.IntN(2) == 0 {
		e.Tag = pick[provenance.Tag](a, "1.0", "a", "B", "latest")
	}
	if e.Action == provenance.Push && a.random.IntN(4) == 0 {
		e.Subject = a.digest()
	}
	return e
}

// writes returns a random transaction's.
func (a *anyone) writes() []block.Write {
	s, msp := a.subject(), pick(a, "VendorMSP", "AuditMSP")
	switch a.random.IntN(10) {
	case 0:
		p := state.Promotion{Subject: s, Attempt: 1 + a.random.IntN(2), Requester: policy.Person{MSP: msp, Name: a.text()}, At: at(a.random.IntN(60)),
			Status: pick(a, state.PromotionOpen, state.PromotionReleased, state.PromotionRejected, state.PromotionWithdrawn)}
		if p.Status == state.PromotionWithdrawn {
			p.Withdrawal = &state.Revocation{Reason: a.text(), Act: actOf("rm@"+msp, a.random.IntN(60))}
		}
		return []block.Write{a.put(s.PromotionKey(), p)}
	case 1:
		rel := state.Release{Subject: s, Previous: a.digest(), Auto: a.random.IntN(2) == 0, Rollback: a.random.IntN(4) == 0, Policy: policy.Version{Name: "p", Version: 1}, Act: actOf("rm@"+msp, a.random.IntN(3))}
		if a.random.IntN(3) == 0 {
			rel.Debt = &policy.Debt{By: policy.Person{MSP: msp}, Reason: a.text(), Due: at(3)}
			if a.random.IntN(2) == 0 {
				rel.Debt.Reviewed, rel.Review = &policy.Person{MSP: msp}, a.text()
			}
		}
		return []block.Write{a.put(s.ReleasedKey(), rel), a.put(s.ReleaseKey(), state.Current{Digest: s.Digest, Pinned: rel.Rollback})}
	case 2:
		return []block.Write{a.put(state.HoldKey(s.Digest, msp), state.Hold{Digest: s.Digest, MSP: msp, Reason: a.text()})}
	case 3:
		p := state.Proposal{ID: fmt.Sprint("p", a.random.IntN(4)), Kind: state.ProposePolicy, Name: "default", Status: pick(a, state.ProposalOpen, state.ProposalAccepted, state.ProposalWithdrawn), Act: actOf("admin@"+msp, a.random.IntN(60))}
		return []block.Write{a.put(state.ProposalKey(p.ID), p)}
	case 4:
		return []block.Write{a.put(state.LabelsKey(host, s.Repository), state.Labels{Labels: map[string]string{"tier": a.text()}}),
			a.put(s.ApprovalKey(1, msp), state.Approval{Subject: s, Attempt: 1, Approval: policy.Approval{By: policy.Person{MSP: msp, Name: "rm"}, Reason: a.text()}})}
	case 6:
		var list state.Waivers
		for i := range a.random.IntN(4) {
			list.Waivers = append(list.Waivers, state.Waiver{ID: fmt.Sprint("w", i), Reason: a.text(), Until: at(a.random.IntN(60)), Revoked: a.random.IntN(3) == 0,
				Approvers: []state.Approver{{Person: policy.Person{MSP: pick(a, "VendorMSP", "AuditMSP")}, At: at(a.random.IntN(3))}}, Act: actOf("rm@"+msp, a.random.IntN(60))})
		}
		return []block.Write{a.put(state.WaiversKey(host, s.Repository, msp), list), a.put(state.ClockKey(), state.Clock{At: at(a.random.IntN(60))})}
	case 7:
		place := &state.Place{MSP: msp, Actor: a.text(), Proven: a.random.IntN(2) == 0}
		if place.Proven {
			place.Subject = a.digest()
		}
		who := policy.Person{MSP: msp, Name: pick(a, "ann", "größer")}
		claims := []state.Claim{{Owner: msp, Kind: a.text()}, {Namespace: pick(a, "team", "team-a"), Owner: pick(a, "VendorMSP", "AuditMSP")}}
		e := state.Evidence{Digest: s.Digest, Type: "review", ID: fmt.Sprint("e", a.random.IntN(3)), Facts: json.RawMessage(`{}`), Signer: policy.Signer{Kind: policy.SignedByPerson, MSP: msp, Name: who.Name}}
		if a.random.IntN(2) == 0 {
			e.Withdrawn = &state.Withdrawal{Reason: a.text(), Act: actOf("ann@"+msp, 3)}
		}
		entry := state.EvidenceEntry{Type: e.Type, ID: e.ID, Signer: state.SignerID(e.Signer), Since: e.Since(), Past: true}
		return []block.Write{a.put(state.PlaceKey(s.Digest, host, s.Repository), place), a.put(state.RegistryKey(host), state.Registry{Host: host, Claims: claims[:1+a.random.IntN(2)]}),
			a.put(state.TakenKey(who), state.TakenBack{MSP: msp, Identity: who.Name, Since: at(a.random.IntN(60)), Reason: a.text()}),
			a.put(state.EvidenceKey(s.Digest, e.Type, e.ID), e), a.put(state.EvidenceSetKey(s.Digest, msp), state.EvidenceSet{Entries: []state.EvidenceEntry{entry}}),
			a.put(state.EvidencePastKey(s.Digest, msp, entry), state.EvidencePast{}), a.put(s.CarrierKey(), state.Carrier{Index: a.digest()}),
			a.put(state.GapKey(a.random.Uint64N(9)), state.Gap{At: at(3)})}
	case 5:
		key := state.Key("other"+a.text(), a.text(), a.text())
		return []block.Write{{Key: key, Value: []byte(a.text()), Delete: a.random.IntN(3) == 0}}
	}
	var events []provenance.Event
	for range 1 + a.random.IntN(9) {
		events = append(events, a.event())
	}
	return a.segment(events...)
}

// randomChain makes a chain of n blocks.
func randomChain(t testing.TB, seed uint64, n int) *chain {
	a := &anyone{newChain(t), rand.New(rand.NewPCG(seed, 7))}
	text := []byte(`{"apiVersion":"waybill.dev/v1","kind":"ReleasePolicy","metadata":{"name":"default"},"spec":{"match":["reg.example:5000/team/**"],"stages":[{"name":"production","approvals":{"min":1}}]}}`)
	p, err := policy.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	a.block()
	a.blocks[0].Organisations = []block.Organisation{{MSPID: "VendorMSP", RootCerts: [][]byte{[]byte("pem")}}, {MSPID: "AuditMSP"}}
	a.block(a.tx(0, "admin@VendorMSP",
		a.put(state.MembersKey(), state.Members{MSPs: []string{"AuditMSP", "VendorMSP"}}),
		a.put(state.RegistryKey(host), state.Registry{Host: host, Claims: []state.Claim{{Owner: "VendorMSP", Kind: "distribution"}}}),
		a.put(state.PoliciesKey(), state.Catalogue{Policies: []state.CatalogueEntry{{Name: "default", Version: 1, Match: p.Spec.Match}}}),
		a.put(state.PolicyKey("default", 1), state.PolicyVersion{Name: "default", Version: 1, Text: p.Canonical()})))
	for len(a.blocks) < n {
		var txs []block.Tx
		for i := range a.random.IntN(4) {
			txs = append(txs, a.tx(2*i, a.text()+"@"+pick(a, "VendorMSP", "AuditMSP"), a.writes()...))
		}
		a.block(txs...)
		if a.random.IntN(20) == 0 {
			a.blocks[len(a.blocks)-1].Organisations = []block.Organisation{{MSPID: "AuditMSP"}, {MSPID: pick(a, "VendorMSP", "Été")}}
		}
	}
	return a.chain
}

// answers asks an index everything about that world.
func answers(t testing.TB, x *Index) (out []string) {
	t.Helper()
	note := func(what string, got any, err error) {
		if err != nil && provenance.CodeOf(err) == provenance.Internal {
			t.Errorf("%s: %v", what, err)
		}
		out = append(out, fmt.Sprintf("%s: %+v, %v", what, got, err))
	}
	organisations, err := x.Organisations(t.Context())
	note("organisations", organisations, err)
	view(t, x, func(s *Snapshot) {
		for _, status := range []state.ProposalStatus{"", state.ProposalOpen, state.ProposalAccepted} {
			proposals, next, err := s.Proposals(readmodel.ProposalFilter{Status: status}, readmodel.Page{Size: 3})
			note("proposals "+string(status), proposals, err)
			note("more proposals", next, nil)
		}
		for skip := range 3 {
			releases, err := s.Releases(3*skip, 5)
			note("releases", asJSON(releases), err)
		}
		for _, kind := range []string{state.TypePromotion, state.TypeProposal, state.TypeWaivers, state.TypeReleased} {
			askers, err := s.Askers(kind)
			note("askers", askers, err)
			for _, msp := range askers {
				waits, err := s.Waits(kind, msp, nil, at(30), 9)
				note("waits", waits, err)
				if len(waits) > 1 {
					waits, err = s.Waits(kind, msp, &waits[1], at(30), 9)
					note("waits after", waits, err)
				}
			}
		}
		for _, r := range append(repositories(), "none") {
			entries, err := s.Scan(40, state.TypeTag, string(host), string(r))
			note("tags of a repository", entries, err)
		}
		entries, err := s.Scan(40, state.TypeTag, string(host))
		note("tags of a registry", entries, err)
		for _, objectType := range []string{state.TypeHold, state.TypeSegment, "other", "other\xff\xfe"} {
			entries, err := s.Scan(40, objectType)
			note("scan", entries, err)
		}
		promotions(note, s)
		for i := range 9 {
			d := digest(fmt.Sprint("v", i))
			if i > 6 {
				d, _ = provenance.ParseDigest(fmt.Sprintf("sha512:%0128x", i-7))
			}
			images(note, s, d)
		}
	})
	return out
}

// asJSON shows what is behind pointers.
func asJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

type noting func(what string, got any, err error)

func promotions(note noting, s *Snapshot) {
	for _, f := range []readmodel.PromotionFilter{{}, {Stage: "production"}, {Status: state.PromotionOpen}, {Host: host, Repository: repo}, {Digest: digest("v1"), Stage: "staging"}} {
		p := readmodel.Page{Size: 3}
		for more := true; more; more = p.Token != "" {
			got, next, err := s.Promotions(f, p)
			note(fmt.Sprintf("promotions %+v", f), asJSON(got), err)
			p.Token = next
		}
	}
}

// images asks about one image: verdicts, history, tags, pulls, referrers.
func images(note noting, s *Snapshot, d provenance.Digest) {
	pages := func(what string, list func(readmodel.Page) (any, string, error), newest bool) {
		p := readmodel.Page{Size: 4, NewestFirst: newest}
		for more := true; more; more = p.Token != "" {
			got, next, err := list(p)
			note(what, got, err)
			p.Token = next
		}
	}
	places, err := s.Scan(9, state.TypePlace, state.PlacePrefix(d)...)
	note("places", places, err)
	for _, r := range append(repositories(), "") {
		h := host
		if r == "" {
			h = ""
		}
		pages("pulls", func(p readmodel.Page) (any, string, error) {
			return s.PullList(readmodel.PullFilter{Digest: d, Host: h, Repository: r}, p)
		}, true)
		pages("pulls since", func(p readmodel.Page) (any, string, error) {
			return s.PullList(readmodel.PullFilter{Digest: d, Host: h, Repository: r, Since: at(30)}, p)
		}, true)
		count, last, err := s.Pulls(d, h, r)
		note("pulled", fmt.Sprint(count, last), err)
		for _, newest := range []bool{false, true} {
			pages("history", func(p readmodel.Page) (any, string, error) {
				return s.History(readmodel.HistoryFilter{Digest: d, Host: h, Repository: r}, p)
			}, newest)
			pages("history of a tag", func(p readmodel.Page) (any, string, error) {
				return s.History(readmodel.HistoryFilter{Host: host, Repository: r, Tag: "B"}, p)
			}, newest)
		}
		tags, err := s.Tags(d, h, r)
		note("tags", tags, err)
		referrers, err := s.Referrers(d, h, r, 9)
		note("referrers", referrers, err)
		verdict, err := state.Ask(s, state.Subject{Stage: "production", Host: host, Repository: r, Digest: d}, at(59))
		note("verdict", asJSON(verdict), err)
	}
}
