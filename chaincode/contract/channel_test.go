package contract

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/msp"
	"google.golang.org/protobuf/proto"

	"github.com/waybill-dev/waybill/chaincode/contract/contracttest"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
)

// keyed gives somebody a certificate whose key the test has.
func keyed(t testing.TB, certs map[string][]byte, who string, units ...string) {
	t.Helper()
	name, mspID, _ := strings.Cut(who, "@")
	creator, err := contracttest.Identity(mspID, name, units...)
	if err != nil {
		t.Fatal(err)
	}
	certs[who] = creator
}

// updateSigned returns the arguments of a signature on an update by whoever has a keyed certificate.
func updateSigned(t testing.TB, creator []byte, who string, update []byte) []string {
	t.Helper()
	name, mspID, _ := strings.Cut(who, "@")
	seed := sha256.Sum256([]byte(mspID + "\x00" + name))
	header, err := proto.Marshal(&common.SignatureHeader{Creator: creator, Nonce: []byte("once")})
	if err != nil {
		t.Fatal(err)
	}
	sig := ed25519.Sign(ed25519.NewKeyFromSeed(seed[:]), slices.Concat(header, update))
	return []string{base64.StdEncoding.EncodeToString(header), base64.StdEncoding.EncodeToString(sig)}
}

func channelBody(title, update, add, remove string) string {
	return channelBodyOf(title, update, add, remove, state.ChannelBase{})
}

// channelBodyOf is of an update that was computed from some configuration, and some list of members.
func channelBodyOf(title, update, add, remove string, base state.ChannelBase) string {
	body, err := json.Marshal(state.ChannelChange{Title: title, Update: []byte(update), Add: add, Remove: remove, ChannelBase: base})
	if err != nil {
		panic(err)
	}
	return string(body)
}

// channel proposes a change of the channel, or votes for one.
func (p *peers) channel() (string, map[string][]byte, []string) {
	who := "admin@" + p.org()
	keyed(p.t, p.all[0].certs, who, "admin") // the map is of all
	update := fmt.Sprint("update ", p.rng.IntN(40))
	for _, c := range standingOf[state.Proposal](p, state.TypeProposal) {
		if c.Kind == state.ProposeChannel && c.Status != state.ProposalRejected && p.rng.IntN(3) == 0 {
			var body state.ChannelChange
			text := read[state.ProposalText](p.all[0], state.ProposalTextKey(c.ID))
			if err := json.Unmarshal(text.Body, &body); err != nil {
				p.t.Fatal(err)
			}
			s := updateSigned(p.t, p.all[0].certs[who], who, body.Update)
			return who, nil, []string{"channel:Vote", c.ID, c.Hash, s[0], s[1], ""}
		}
	}
	s := updateSigned(p.t, p.all[0].certs[who], who, []byte(update))
	base := state.ChannelBase{Members: p.all[0].members().Version}
	return who, nil, []string{"channel:Propose", channelBodyOf("batch", update, "", "", base), s[0], s[1]}
}

func keyedNetwork(t *testing.T) *ledger {
	t.Helper()
	l := network(t)
	for _, o := range orgs() {
		keyed(t, l.certs, "admin@"+o, "admin")
	}
	return l
}

func (l *ledger) votes(id string) (b []state.Ballot) {
	l.t.Helper()
	if err := json.Unmarshal([]byte(l.do("auditor@VendorMSP", "channel:Votes", id)), &b); err != nil {
		l.t.Fatal(err)
	}
	return b
}

// An organisation is invited with the update that lets it into the channel, and leaves the members with the one
// that ends its part; whoever wants them finds the signatures of all who said yes.
func TestChannelVotes(t *testing.T) {
	l := keyedNetwork(t)
	body := channelBody("org-add RetailMSP", "let it in", "RetailMSP", "")
	s := updateSigned(t, l.certs["admin@VendorMSP"], "admin@VendorMSP", []byte("let it in"))
	v := l.proposal("VendorMSP", "channel:Propose", body, s[0], s[1])
	if v.Proposal.Status != state.ProposalOpen || v.Proposal.Name != "org-add RetailMSP" || v.Needed != 3 {
		t.Fatalf("%+v", v)
	}
	for i, org := range []string{"AuditMSP", "SecurityMSP", "PlatformMSP"} {
		s := updateSigned(t, l.certs["admin@"+org], "admin@"+org, []byte("let it in"))
		v = l.proposal(org, "channel:Vote", v.Proposal.ID, l.hash(v.Proposal.ID), s[0], s[1], "")
		if accepted := v.Proposal.Status == state.ProposalAccepted; accepted != (i >= 1) || len(v.Yes) != i+2 {
			t.Errorf("after %s: %+v", org, v)
		}
	}
	if m := l.members(); !slices.Equal(m.Invited, []string{"RetailMSP"}) {
		t.Errorf("%+v", m)
	}
	votes := l.votes(v.Proposal.ID)
	if len(votes) != 4 || slices.ContainsFunc(votes, func(b state.Ballot) bool { return b.Signature == nil || len(b.Signature.Signature) != 64 }) {
		t.Errorf("%+v", votes)
	}
	// The same again is what was decided.
	if again := l.proposal("VendorMSP", "channel:Propose", body, s[0], s[1]); again.Proposal.ID != v.Proposal.ID {
		t.Errorf("%+v", again)
	}

	l.do("admin@RetailMSP", "member:Join", "Retail")
	out := channelBodyOf("org-remove RetailMSP", "let it go", "", "RetailMSP", state.ChannelBase{Sequence: 1, Members: l.members().Version})
	for _, org := range []string{"VendorMSP", "AuditMSP", "SecurityMSP"} {
		s := updateSigned(t, l.certs["admin@"+org], "admin@"+org, []byte("let it go"))
		v = l.proposal(org, "channel:Propose", out, s[0], s[1])
	}
	if m := l.members(); v.Proposal.Status != state.ProposalAccepted || slices.Contains(m.MSPs, "RetailMSP") {
		t.Errorf("%+v %+v", v, m)
	}
	l.refused(provenance.Forbidden, "admin@RetailMSP", "proposal:Open", "majority", `{"majority":4}`)
}

// A vote for the channel is a signature of the voter's own on the very bytes.
func TestChannelVotesAreSignatures(t *testing.T) {
	l := keyedNetwork(t)
	const vendor, audit = "admin@VendorMSP", "admin@AuditMSP"
	body := channelBody("batch", "update", "", "")
	own := updateSigned(t, l.certs[vendor], vendor, []byte("update"))
	refuse := func(code provenance.Code, who string, header, signature string) {
		t.Helper()
		l.refused(code, who, "channel:Propose", body, header, signature)
	}
	l.refused(provenance.Invalid, vendor, "proposal:Open", "channel", body)
	other := updateSigned(t, l.certs[vendor], vendor, []byte("another update"))
	refuse(provenance.Forbidden, vendor, other[0], other[1])
	refuse(provenance.Forbidden, audit, own[0], own[1]) // brought by another
	refuse(provenance.Invalid, vendor, "", own[1])
	refuse(provenance.Invalid, vendor, own[0], "")
	refuse(provenance.Invalid, vendor, "x", own[1])
	refuse(provenance.Invalid, vendor, base64.StdEncoding.EncodeToString([]byte("x")), own[1])
	refuse(provenance.Invalid, vendor, base64.StdEncoding.EncodeToString(make([]byte, 9<<10)), own[1])
	refuse(provenance.Forbidden, vendor, own[0], base64.StdEncoding.EncodeToString(make([]byte, 64)))
	crossed := updateSigned(t, l.certs[audit], vendor, []byte("update")) // said to be another's
	refuse(provenance.Forbidden, vendor, crossed[0], crossed[1])

	// Who is an admin by a grant alone signs nothing that the channel counts.
	l.do(vendor, "member:Grant", "deputy", "admin")
	keyed(t, l.certs, "deputy@VendorMSP", "client")
	deputy := updateSigned(t, l.certs["deputy@VendorMSP"], "deputy@VendorMSP", []byte("update"))
	refuse(provenance.Forbidden, "deputy@VendorMSP", deputy[0], deputy[1])

	v := l.proposal("VendorMSP", "channel:Propose", body, own[0], own[1])
	id, hash := v.Proposal.ID, l.hash(v.Proposal.ID)
	mine := updateSigned(t, l.certs[audit], audit, []byte("update"))
	l.refused(provenance.Invalid, audit, "proposal:Vote", id, hash, "yes", "")
	l.refused(provenance.Stale, audit, "channel:Vote", id, strings.Repeat("0", 64), mine[0], mine[1], "")
	l.refused(provenance.Forbidden, audit, "channel:Vote", id, hash, other[0], other[1], "")
	if no := l.proposal("AuditMSP", "proposal:Vote", id, hash, "no", "not now"); len(no.No) != 1 {
		t.Errorf("%+v", no)
	}
	if yes := l.proposal("AuditMSP", "channel:Vote", id, hash, mine[0], mine[1], ""); len(yes.Yes) != 2 || len(yes.No) != 0 {
		t.Errorf("%+v", yes)
	}
	policy := l.open("VendorMSP", "policy", policyText("other", 1))
	l.refused(provenance.Invalid, audit, "channel:Vote", policy.Proposal.ID, l.hash(policy.Proposal.ID), mine[0], mine[1], "")
	l.refused(provenance.NotFound, audit, "channel:Votes", strings.Repeat("0", 64))
}

func TestChannelChangesAreBounded(t *testing.T) {
	l := keyedNetwork(t)
	const vendor = "admin@VendorMSP"
	own := updateSigned(t, l.certs[vendor], vendor, []byte("update"))
	for name, body := range map[string]string{
		"no update":        channelBody("batch", "", "", ""),
		"too much":         channelBody("batch", strings.Repeat("x", maxUpdate+1), "", ""),
		"no title":         channelBody("", "update", "", ""),
		"a title of lines": channelBody("org-add Retail\nMSP", "update", "", ""),
		"comes and goes":   channelBody("batch", "update", "RetailMSP", "AuditMSP"),
		"no MSP id":        channelBody("batch", "update", "Retail MSP", ""),
		"unknown field":    `{"title":"batch","update":"dXBkYXRl","force":true}`,
		"field twice":      `{"title":"batch","update":"dXBkYXRl","update":"dXBkYXRl"}`,
		"no base64":        `{"title":"batch","update":"*"}`,
		"before all":       channelBodyOf("batch", "update", "", "", state.ChannelBase{Sequence: -1}),
		"before the first": channelBodyOf("batch", "update", "", "", state.ChannelBase{Members: -1}),
		"nothing":          ``,
	} {
		if _, _, err := l.invoke(vendor, nil, "channel:Propose", body, own[0], own[1]); provenance.CodeOf(err) != provenance.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	largest := strings.Repeat("x", maxUpdate)
	s := updateSigned(t, l.certs[vendor], vendor, []byte(largest))
	l.proposal("VendorMSP", "channel:Propose", channelBody("batch", largest, "", ""), s[0], s[1])
}

// Of the two forms of an ECDSA signature orderers take only one; a vote with the other would be of no use.
func TestOnlyUsefulSignatures(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "admin", OrganizationalUnit: []string{"admin"}}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	l := network(t)
	creator, err := proto.Marshal(&msp.SerializedIdentity{Mspid: "VendorMSP", IdBytes: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})})
	if err != nil {
		t.Fatal(err)
	}
	l.certs["admin@VendorMSP"] = creator
	header, err := proto.Marshal(&common.SignatureHeader{Creator: creator})
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(append(slices.Clone(header), "update"...))
	raw, err := ecdsa.SignASN1(rand.Reader, key, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	var sig struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(raw, &sig); err != nil {
		t.Fatal(err)
	}
	low, n := new(big.Int).Set(sig.S), key.Params().N
	if low.Cmp(new(big.Int).Rsh(n, 1)) > 0 {
		low.Sub(n, low)
	}
	of := func(s *big.Int, more ...byte) string {
		b, err := asn1.Marshal(struct{ R, S *big.Int }{sig.R, s})
		if err != nil {
			t.Fatal(err)
		}
		return base64.StdEncoding.EncodeToString(append(b, more...))
	}
	propose := func(signature string) []string {
		return []string{"channel:Propose", channelBody("batch", "update", "", ""), base64.StdEncoding.EncodeToString(header), signature}
	}
	l.refused(provenance.Forbidden, "admin@VendorMSP", propose(of(new(big.Int).Sub(n, low)))...)
	l.refused(provenance.Forbidden, "admin@VendorMSP", propose(of(low, 0))...)
	l.do("admin@VendorMSP", propose(of(low))...)
}
