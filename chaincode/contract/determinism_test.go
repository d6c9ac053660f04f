package contract

import (
	"bytes"
	"crypto/ecdsa"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/chaincode/evidence"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
)

// peers are instances of the chaincode with a ledger each, as four
// organisations run them.
type peers struct {
	t      *testing.T
	all    [4]*ledger
	rng    *rand.Rand
	seq    int
	ok     map[string]int // by transaction
	key    *ecdsa.PrivateKey
	hidden []hiddenSegment
	// roots are texts of one root as it changes; bundles are by its signers.
	roots   []string
	bundles []bundled
}

type hiddenSegment struct {
	seq     string
	clients []byte
}

const determinismSpec = `"context":{"incident":"SecurityMSP"},"waivers":{"min":1,"maxDuration":"30d"},
 "stages":[{"name":"staging","approvals":{"min":1,"robots":true}},
  {"name":"canary","approvals":{"min":0},"witnesses":{"min":2}},
  {"name":"production","from":"staging","soak":"10m","grace":"1d","maxAge":"3000d","approvals":{"min":%d,"orgs":["SecurityMSP"],"expires":"30d"},
   "evidence":[{"name":"scan","type":"vuln-scan","signers":[{"org":"SecurityMSP","key":"scan"},{"org":"AuditMSP","role":"scanner"},{"identity":"https://git.example/team/*","issuer":"https://token.ci.example"}],"maxAge":"60d","condition":"facts.critical == 0","continuous":true}],
   "conditions":[{"name":"calm","cel":"context.incident == false && !('x' in labels)"}],
   "breakGlass":{"by":[{"org":"VendorMSP","role":"release-manager"}],"without":["approvals","from","soak","evidence/scan","condition/calm"],"review":"2h"}}]`

// TestDeterminism: 1,000 valid random transactions of every kind give the same
// response, the same writes and the same guards on every peer. Refused ones
// are compared as well; they do not count.
func TestDeterminism(t *testing.T) {
	const want = 1000
	p := &peers{t: t, rng: rand.New(rand.NewPCG(3, 2026)), ok: map[string]int{}}
	first := network(t)
	first.govern(fmt.Sprintf(determinismSpec, 2))
	p.key = first.key("SecurityMSP", "scan", "")
	p.keyless(first)
	for i := range p.all {
		// The same certificates and the same start; everything else is its own.
		l := newLedger(t)
		l.certs, l.now, l.txs = first.certs, first.now, first.txs
		for k, v := range first.state {
			l.state[k] = append([]byte{}, v...)
		}
		for k, v := range first.guard {
			l.guard[k] = append([]byte{}, v...)
		}
		p.all[i] = l
	}
	valid, tries := 0, 0
	for ; valid < want && tries < 10*want; tries++ {
		if p.one() {
			valid++
		}
	}
	if valid < want {
		t.Fatalf("%d of %d random transactions were valid", valid, tries)
	}
	for i, l := range p.all[1:] {
		if diff := cmp.Diff(p.all[0].state, l.state); diff != "" {
			t.Errorf("state of peer %d:\n%s", i+1, diff)
		}
		if diff := cmp.Diff(p.all[0].guard, l.guard); diff != "" {
			t.Errorf("guards of peer %d:\n%s", i+1, diff)
		}
		if diff := cmp.Diff(p.all[0].private, l.private); diff != "" {
			t.Errorf("private data of peer %d:\n%s", i+1, diff)
		}
	}
	t.Logf("%d valid of %d; %v", valid, tries, p.ok)
	if !slices.ContainsFunc(standingOf[state.Evidence](p, state.TypeEvidence), func(e state.Evidence) bool { return e.RootVersion > 0 }) {
		t.Error("no evidence is keyless")
	}
	for name, rule := range accessTable() {
		// Founding is over, nobody is invited, and the channel goes on from no other (TestAChannelGoesOn).
		if rule.writes && p.ok[name] == 0 && name != "member:Found" && name != "genesis:Import" {
			t.Errorf("%s was never valid: it was not tried", name)
		}
	}
}

// one runs a random transaction everywhere and tells whether it was valid.
func (p *peers) one() bool {
	who, transient, args := p.random()
	ahead := time.Duration(p.rng.IntN(600)) * time.Second
	if p.rng.IntN(40) == 0 {
		ahead = 5 * time.Hour
	}
	out, writes, err := "", map[string][]byte(nil), error(nil)
	for i, l := range p.all {
		l.now = l.now.Add(ahead)
		o, w, e := l.invoke(who, transient, args...)
		if i == 0 {
			out, writes, err = o, w, e
			continue
		}
		if o != out || fmt.Sprint(e) != fmt.Sprint(err) {
			p.t.Fatalf("%s %v: peer 0 says %s %v, peer %d %s %v", who, args, out, err, i, o, e)
		}
		if l.event != p.all[0].event {
			p.t.Fatalf("%s %v: peer %d has another event", who, args, i)
		}
		if !maps.EqualFunc(writes, w, bytes.Equal) {
			p.t.Fatalf("%s %v: peer %d writes otherwise:\n%s", who, args, i, cmp.Diff(writes, w))
		}
	}
	if err == nil {
		p.ok[args[0]]++
	} else if provenance.CodeOf(err) == provenance.Internal {
		p.t.Fatalf("%s %v: %v", who, args, err)
	}
	return err == nil
}

func pick[T any](p *peers, of ...T) T { return of[p.rng.IntN(len(of))] }

func (p *peers) image() string { return fmt.Sprintf("image-%d", p.rng.IntN(8)) }
func (p *peers) org() string   { return pick(p, orgs()...) }
func (p *peers) stage() string { return pick(p, "staging", "canary", "production", "production") }

// random returns a transaction that has a fair chance to be valid.
func (p *peers) random() (who string, transient map[string][]byte, args []string) {
	manager := "release-manager@" + p.org()
	image, stage := p.image(), p.stage()
	digest := digestOf(image).String()
	plain := func(who string, args ...string) (string, map[string][]byte, []string) { return who, nil, args }
	switch p.rng.IntN(43) {
	case 0, 1, 2, 3:
		return p.pushes()
	case 4, 5, 6:
		return plain(pick(p, manager, "publisher@VendorMSP"), about("promotion:Request", image, stage)...)
	case 7, 8, 9, 10, 11, 12, 13:
		return p.words(manager)
	case 14, 15:
		return plain(manager, about("release:Release", image, stage)...)
	case 16, 17:
		return plain("gateway@"+p.org(), about("release:Auto", image, stage)...)
	case 18:
		return plain(manager, "release:Resume", host, repo, stage)
	case 19:
		return plain("release-manager@VendorMSP", about("release:BreakGlass", image, "production", "outage")...)
	case 20:
		for _, rel := range standingOf[state.Release](p, state.TypeReleased) {
			if rel.Debt != nil && rel.Debt.Reviewed == nil {
				return plain(pick(p, "auditor@AuditMSP", manager), "release:Review", host, repo, rel.Digest.String(), rel.Stage, rel.Hash(), "looked at it")
			}
		}
	case 21:
		return plain(manager, about("release:Settle", image, "production")...)
	case 22:
		if p.rng.IntN(3) == 0 {
			return plain(manager, "quarantine:Set", digest, "CVE")
		}
		for _, h := range standingOf[state.Hold](p, state.TypeHold) {
			if !h.Lifted {
				return plain("release-manager@"+h.MSP, "quarantine:Lift", h.Digest.String(), "over")
			}
		}
	case 23, 24:
		return p.evidence(image)
	case 25:
		return p.batch()
	case 26:
		return plain("gateway@"+p.org(), "record:Witness", host, repo, digest)
	case 27:
		return plain("admin@SecurityMSP", "context:Set", "incident", pick(p, "true", "false", "false", "null"))
	case 28:
		return plain("admin@VendorMSP", "label:Set", host, repo, pick(p, "x", "team"), pick(p, "", "", "yes"))
	case 29, 30:
		return p.waiver(manager, digest)
	case 31:
		return p.vote()
	case 32:
		return plain("admin@"+p.org(), pick(p, "member:Grant", "member:Revoke"), "deputy", pick(p, "scanner", "auditor"))
	case 33, 34:
		return p.clients()
	case 35:
		return plain("gateway@"+p.org(), "clock:Tick")
	case 36:
		// The pushes of places that nobody has shown the manifest of.
		return "gateway@" + p.org(), map[string][]byte{"manifest": bodies.of[digestOf(image)]}, []string{"record:Manifest", host, repo, digest}
	case 38:
		return p.channel()
	case 37:
		for _, e := range standingOf[state.Evidence](p, state.TypeEvidence) {
			if e.Withdrawn == nil && e.Signer.Name != "" && p.rng.IntN(3) == 0 {
				return plain(pick(p, e.Signer.Name, "admin")+"@"+e.Signer.MSP, "evidence:Withdraw", e.Digest.String(), e.Type, e.ID, "a mistake")
			}
		}
	}
	return p.rare()
}

// clients records pulls whose clients are hidden, or keeps or purges the clients of those before.
func (p *peers) clients() (string, map[string][]byte, []string) {
	if n := len(p.hidden); n > 0 && p.rng.IntN(3) > 0 {
		h := p.hidden[p.rng.IntN(n)]
		fn := pick(p, "record:Clients", "record:Clients", "record:PurgeClients")
		return "gateway@VendorMSP", map[string][]byte{"clients": h.clients}, []string{fn, host, "lane-0", h.seq}
	}
	events, hidden := provenance.Blinded([]provenance.Event{pulled(byte(p.seq), p.image()), pulled(byte(p.seq+1), p.image())}, provenance.Salt{byte(p.seq)})
	b, err := provenance.EncodeClients(hidden)
	if err != nil {
		p.t.Fatal(err)
	}
	who, transient, args := p.segment(events)
	p.hidden = append(p.hidden, hiddenSegment{args[3], b})
	return who, transient, args
}

// words are about a promotion that is open, where there is one.
func (p *peers) words(manager string) (string, map[string][]byte, []string) {
	promotions := standingOf[state.Promotion](p, state.TypePromotion)
	promotions = slices.DeleteFunc(promotions, func(o state.Promotion) bool { return o.Status != state.PromotionOpen })
	if len(promotions) == 0 {
		return "publisher@VendorMSP", nil, about("promotion:Request", p.image(), p.stage())
	}
	s := promotions[p.rng.IntN(len(promotions))].Subject
	on := func(fn string, more ...string) []string {
		return append([]string{fn, string(s.Host), string(s.Repository), s.Digest.String(), s.Stage}, more...)
	}
	open := promotions[slices.IndexFunc(promotions, func(o state.Promotion) bool { return o.Subject == s })]
	attempt := fmt.Sprint(open.Attempt)
	switch p.rng.IntN(13) {
	case 0, 1:
		return manager, nil, on("promotion:Reject", attempt, "no")
	case 2:
		return manager, nil, on("promotion:Withdraw", "not yet")
	case 5:
		return open.Requester.String(), nil, on("promotion:Cancel", attempt, "a mistake")
	case 3, 4:
		return "gateway@SecurityMSP", nil, on("release:Auto")
	}
	// What the approver sees is read from one peer; the words are the same everywhere.
	v, err := state.Ask(reader{p.all[0]}, s, p.all[0].now)
	if err != nil || v.Policy == nil {
		return manager, nil, on("promotion:Approve", attempt, "default@1", "nothing", "nothing", "blind")
	}
	return pick(p, manager, "release-manager@SecurityMSP", "scanner@AuditMSP"), nil, on("promotion:Approve", attempt, versionRef(*v.Policy), v.Policy.Hash, v.EvidenceSet, "ok")
}

// standingOf returns the records of a type on the first peer, in the order of their keys.
func standingOf[T any](p *peers, objectType string) []T {
	var list []T
	for _, k := range slices.Sorted(maps.Keys(p.all[0].state)) {
		if strings.HasPrefix(k, state.Key(objectType)) {
			list = append(list, read[T](p.all[0], k))
		}
	}
	return list
}

// reader reads a ledger as a peer answers a query.
type reader struct{ l *ledger }

func (r reader) Get(keys ...string) ([][]byte, error) {
	values := make([][]byte, len(keys))
	for i, k := range keys {
		values[i] = r.l.state[k]
	}
	return values, nil
}

func (p *peers) pushes() (string, map[string][]byte, []string) {
	var events []provenance.Event
	for range 1 + p.rng.IntN(4) {
		e := push(pick(p, "", "1.0", "2.0"), p.image())
		e.ID = provenance.NewEventID("test", fmt.Sprint(p.rng.Uint64()))
		switch p.rng.IntN(8) {
		case 0:
			e = index("index-"+p.image(), digestOf(p.image()), digestOf(p.image()))
			e.ID = provenance.NewEventID("test", fmt.Sprint(p.rng.Uint64()))
		case 1:
			e.Action, e.MediaType, e.Size, e.Tag = provenance.Delete, "", 0, ""
		}
		events = append(events, e)
	}
	return p.segment(events)
}

func (p *peers) segment(events []provenance.Event) (string, map[string][]byte, []string) {
	b, err := provenance.EncodeSegment(events)
	if err != nil {
		p.t.Fatal(err)
	}
	p.seq++
	sum := provenance.SHA256Of(b).String()
	transient := map[string][]byte{"segment": b}
	if p.rng.IntN(4) > 0 {
		transient["manifests"] = manifestsOf(events)
	}
	return "gateway@VendorMSP", transient, []string{"record:Segment", host, "lane-0", fmt.Sprint(p.seq), strings.TrimPrefix(sum, "sha256:")}
}

func (p *peers) evidence(image string) (string, map[string][]byte, []string) {
	facts := stated(image, "vuln-scan", scanned(p.rng.IntN(5)/4), "")
	digest := digestOf(image).String()
	if p.rng.IntN(3) == 0 {
		return p.keylessEvidence()
	}
	if p.rng.IntN(2) == 0 {
		return pick(p, "scanner@AuditMSP", "deputy@AuditMSP"), map[string][]byte{"envelope": facts},
			[]string{"evidence:Submit", host, repo, digest, "", string(evidence.FormatPlain), "", "", host + "/" + repo + "@" + digest}
	}
	// The signature is random; all peers get the same bytes.
	return "gateway@" + p.org(), map[string][]byte{"envelope": signed(p.t, facts, p.key)},
		[]string{"evidence:Submit", host, repo, digest, "vuln-scan", string(evidence.FormatDSSE), "SecurityMSP", "scan", ""}
}

func (p *peers) waiver(manager, digest string) (string, map[string][]byte, []string) {
	l := p.all[0]
	lists, err := state.LoadWaivers(reader{l}, host, repo, orgs())
	if err != nil {
		p.t.Fatal(err)
	}
	var all []state.Waiver
	for _, list := range lists {
		all = append(all, list.Waivers...)
	}
	if n := len(all); n > 0 && p.rng.IntN(3) > 0 {
		id := all[p.rng.IntN(n)].ID
		return manager, nil, pick(p, []string{"waiver:Approve", host, repo, id}, []string{"waiver:Revoke", host, repo, id, "over"})
	}
	return manager, nil, []string{"waiver:Request", host, repo, pick(p, "", digest), "production", pick(p, "evidence/scan", "soak", "condition/calm"), "late", l.now.Add(24 * time.Hour).Format(time.RFC3339)}
}

func (p *peers) vote() (string, map[string][]byte, []string) {
	admin := "admin@" + p.org()
	l := p.all[0]
	var list ProposalPage
	if err := json.Unmarshal([]byte(l.do(admin, "proposal:List", "")), &list); err != nil {
		p.t.Fatal(err)
	}
	for _, o := range p.all[1:] { // a query is a transaction too, and takes its second
		o.txs, o.now = l.txs, l.now
		o.tick()
	}
	for _, v := range list.Proposals {
		if v.Proposal.Status == state.ProposalOpen && p.rng.IntN(4) > 0 {
			return admin, nil, pick(p, []string{"proposal:Vote", v.Proposal.ID, v.Proposal.Hash, pick(p, "yes", "yes", "no"), "so"}, []string{"proposal:Withdraw", v.Proposal.ID, "no"})
		}
	}
	text := `{"apiVersion":"waybill.dev/v1","kind":"ReleasePolicy","metadata":{"name":"default"},"spec":{"match":["reg.example:5000/team/**"],` + fmt.Sprintf(determinismSpec, 1+p.rng.IntN(2)) + `}}`
	for _, h := range standingOf[state.Hold](p, state.TypeHold) {
		if !h.Lifted && p.rng.IntN(2) == 0 {
			return admin, nil, []string{"proposal:Open", string(state.ProposeLift), fmt.Sprintf(`{"digest":%q,"msp":%q}`, h.Digest, h.MSP)}
		}
	}
	return admin, nil, pick(p, []string{"proposal:Open", "policy", text}, []string{"proposal:Open", string(state.ProposeRegistry), registryBody(fmt.Sprintf("n%d.example", p.rng.IntN(3)), pick(p, "", "team"), p.org())}, []string{"proposal:Open", string(state.ProposeMajority), fmt.Sprintf(`{"majority":%d}`, 3+p.rng.IntN(2))})
}

// rare are transactions that happen once in a while in a life.
func (p *peers) rare() (string, map[string][]byte, []string) {
	admin := "admin@" + p.org()
	name := fmt.Sprintf("n%d", p.rng.IntN(4))
	switch p.rng.IntN(8) {
	case 6, 7:
		return admin, nil, p.trust("ci-" + name)
	case 0:
		return admin, nil, []string{"member:Join", "Again"}
	case 1:
		return admin, nil, []string{"member:TakeBack", pick(p, name, name, name, "deputy"), p.all[0].now.Add(-time.Hour).Format(time.RFC3339), "stolen"}
	case 2:
		return admin, nil, []string{"schema:Add", name, `{"type":"object"}`}
	case 3:
		return admin, nil, []string{"key:Withdraw", name, "lost", ""}
	case 4:
		var k state.TrustKey
		if _, err := state.Read(reader{p.all[0]}, state.TrustKeyKey("SecurityMSP", "scan"), &k); err != nil {
			p.t.Fatal(err)
		}
		return admin, nil, []string{"key:Add", name, k.Kind, k.PEM, "", ""}
	}
	return "auditor@AuditMSP", nil, about("verdict:Ask", p.image(), p.stage())
}
