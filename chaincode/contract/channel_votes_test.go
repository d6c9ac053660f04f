package contract

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"slices"
	"testing"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"google.golang.org/protobuf/proto"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
)

// proposeChannel has an organisation's admin propose a change of the channel.
func (l *ledger) proposeChannel(org, title, update, add, remove string, base state.ChannelBase) ProposalView {
	l.t.Helper()
	s := updateSigned(l.t, l.certs["admin@"+org], "admin@"+org, []byte(update))
	return l.proposal(org, "channel:Propose", channelBodyOf(title, update, add, remove, base), s[0], s[1])
}

// signs are the arguments of an organisation's yes.
func (l *ledger) signs(org, id, update string) []string {
	l.t.Helper()
	s := updateSigned(l.t, l.certs["admin@"+org], "admin@"+org, []byte(update))
	return []string{"channel:Vote", id, l.hash(id), s[0], s[1], ""}
}

// Whoever says yes to another's proposals holds none of its room: who proposed it ends it, and proposes again.
func TestNobodyFillsTheChannelsBallot(t *testing.T) {
	l := keyedNetwork(t)
	var ids []string
	for i := range state.MaxProposals {
		update := fmt.Sprint("update ", i)
		v := l.proposeChannel("VendorMSP", "batch", update, "", "", state.ChannelBase{Sequence: 4})
		ids = append(ids, v.Proposal.ID)
		l.do("admin@AuditMSP", l.signs("AuditMSP", v.Proposal.ID, update)...)
	}
	more := func(update string, base state.ChannelBase) []string {
		s := updateSigned(t, l.certs["admin@VendorMSP"], "admin@VendorMSP", []byte(update))
		return []string{"channel:Propose", channelBodyOf("batch", update, "", "", base), s[0], s[1]}
	}
	l.refused(provenance.Full, "admin@VendorMSP", more("one more", state.ChannelBase{Sequence: 4})...)
	l.proposeChannel("PlatformMSP", "batch", "another's", "", "", state.ChannelBase{Sequence: 4}) // has room of its own
	l.refused(provenance.Forbidden, "admin@AuditMSP", "proposal:Withdraw", ids[0], "not mine")
	if v := l.proposal("VendorMSP", "proposal:Withdraw", ids[0], "not now"); v.Proposal.Status != state.ProposalWithdrawn {
		t.Errorf("%+v", v)
	}
	l.refused(provenance.Conflict, "admin@PlatformMSP", l.signs("PlatformMSP", ids[0], "update 0")...)
	l.do("admin@VendorMSP", more("one more", state.ChannelBase{Sequence: 4})...)
	// What its maker computed from an older configuration than its newest is over, by its own word.
	l.do("admin@VendorMSP", more("and one", state.ChannelBase{Sequence: 5})...)
	if v := l.proposal("VendorMSP", "proposal:Get", ids[1]); v.Proposal.Status != state.ProposalWithdrawn {
		t.Errorf("%+v", v.Proposal.Status)
	}
	open := read[state.Proposals](l, state.ProposalsKey("VendorMSP")).Open
	if len(open) != 1 {
		t.Errorf("%d proposals take room", len(open))
	}
	// By what one organisation says of the configuration nobody else's proposal ends.
	l.do("admin@SecurityMSP", append([]string{"channel:Propose"}, channelArgs(t, l, "SecurityMSP", "far ahead", state.ChannelBase{Sequence: 1 << 40})...)...)
	if v := l.proposal("PlatformMSP", "proposal:Get", open[0]); v.Stale || v.Proposal.Status != state.ProposalOpen {
		t.Errorf("%+v", v)
	}
}

func channelArgs(t *testing.T, l *ledger, org, update string, base state.ChannelBase) []string {
	t.Helper()
	s := updateSigned(t, l.certs["admin@"+org], "admin@"+org, []byte(update))
	return []string{channelBodyOf("batch", update, "", "", base), s[0], s[1]}
}

// The last yes to an update that another one has overtaken changes no list: what came first is in the channel, and the
// update is of no use there any more.
func TestAStaleUpdateEndsNobodysMembership(t *testing.T) {
	l := keyedNetwork(t)
	old := l.proposeChannel("VendorMSP", "org-remove AuditMSP", "audit goes", "", "AuditMSP", state.ChannelBase{})
	l.do("admin@SecurityMSP", l.signs("SecurityMSP", old.Proposal.ID, "audit goes")...)
	batch := l.proposeChannel("VendorMSP", "batch", "larger blocks", "", "", state.ChannelBase{})
	for _, org := range []string{"SecurityMSP", "PlatformMSP"} {
		batch = l.proposal(org, l.signs(org, batch.Proposal.ID, "larger blocks")...)
	}
	if batch.Proposal.Status != state.ProposalAccepted {
		t.Fatalf("%+v", batch)
	}
	l.refused(provenance.Stale, "admin@PlatformMSP", l.signs("PlatformMSP", old.Proposal.ID, "audit goes")...)
	l.refused(provenance.Stale, "admin@PlatformMSP", "proposal:Vote", old.Proposal.ID, l.hash(old.Proposal.ID), "no", "")
	if v := l.proposal("AuditMSP", "proposal:Get", old.Proposal.ID); !v.Stale || !slices.Contains(l.members().MSPs, "AuditMSP") {
		t.Errorf("%+v", v)
	}
	// What is won is added to, after it was overtaken as well: orderers may want more signatures.
	if v := l.proposal("AuditMSP", l.signs("AuditMSP", batch.Proposal.ID, "larger blocks")...); len(v.Yes) != 4 {
		t.Errorf("%+v", v)
	}
	// The same again, and the same said later, is what was decided.
	if v := l.proposeChannel("AuditMSP", "batch", "larger blocks", "", "", state.ChannelBase{}); v.Proposal.ID != batch.Proposal.ID {
		t.Errorf("%+v", v)
	}

	// A vote on the members alone overtakes it as well.
	old = l.proposeChannel("VendorMSP", "org-remove AuditMSP", "audit goes", "", "AuditMSP", state.ChannelBase{Sequence: 1})
	l.do("admin@SecurityMSP", l.signs("SecurityMSP", old.Proposal.ID, "audit goes")...)
	l.agree("member-add", `{"msp":"RetailMSP"}`, "VendorMSP", "SecurityMSP", "PlatformMSP")
	l.refused(provenance.Stale, "admin@PlatformMSP", l.signs("PlatformMSP", old.Proposal.ID, "audit goes")...)
	if v := l.proposal("AuditMSP", "proposal:Get", old.Proposal.ID); !v.Stale {
		t.Errorf("%+v", v)
	}
	s := updateSigned(t, l.certs["admin@VendorMSP"], "admin@VendorMSP", []byte("audit goes"))
	l.refused(provenance.Stale, "admin@VendorMSP", "channel:Propose", channelBodyOf("org-remove AuditMSP", "audit goes", "", "AuditMSP", state.ChannelBase{Sequence: 1}), s[0], s[1])
	// Computed anew it is a vote of its own. Nobody is invited twice where the ledger was first.
	again := l.proposeChannel("VendorMSP", "org-add RetailMSP", "retail comes", "RetailMSP", "", state.ChannelBase{Sequence: 1, Members: 1})
	for _, org := range []string{"SecurityMSP", "PlatformMSP"} {
		again = l.proposal(org, l.signs(org, again.Proposal.ID, "retail comes")...)
	}
	if m := l.members(); again.Proposal.Status != state.ProposalAccepted || !slices.Equal(m.Invited, []string{"RetailMSP"}) {
		t.Errorf("%+v %+v", again, m)
	}
}

// A yes is signed again where the certificate behind it was renewed or revoked; the newest counts. A no becomes a yes,
// and a yes a no, while the vote is open.
func TestChannelVotesAreSignedAgain(t *testing.T) {
	l := keyedNetwork(t)
	const audit, update = "admin@AuditMSP", "update"
	v := l.proposeChannel("VendorMSP", "batch", update, "", "", state.ChannelBase{})
	id := v.Proposal.ID
	kept := func() []byte {
		t.Helper()
		for _, b := range l.votes(id) {
			if b.MSP == "AuditMSP" {
				if b.Signature == nil {
					return nil
				}
				var head common.SignatureHeader
				if err := proto.Unmarshal(b.Signature.Header, &head); err != nil {
					t.Fatal(err)
				}
				return head.GetCreator()
			}
		}
		t.Fatal("no ballot")
		return nil
	}
	first := l.signs("AuditMSP", id, update)
	l.do(audit, first...)
	if _, writes, err := l.invoke(audit, nil, first...); err != nil || len(writes) != 0 {
		t.Errorf("the same again: %d writes, %v", len(writes), err)
	}
	former := l.certs[audit]
	keyed(t, l.certs, audit, "admin", "renewed")
	renewed := l.certs[audit]
	if bytes.Equal(former, renewed) || !bytes.Equal(kept(), former) {
		t.Fatal("no renewed certificate")
	}
	// The former's signature is no use to whoever presents the renewed.
	l.refused(provenance.Forbidden, audit, first...)
	if v := l.proposal("AuditMSP", l.signs("AuditMSP", id, update)...); len(v.Yes) != 2 || !bytes.Equal(kept(), renewed) {
		t.Errorf("signed again: %+v", v)
	}
	if v := l.proposal("AuditMSP", "proposal:Vote", id, l.hash(id), "no", "wait"); len(v.Yes) != 1 || len(v.No) != 1 || kept() != nil {
		t.Errorf("a yes that became a no: %+v", v)
	}
	if v := l.proposal("AuditMSP", l.signs("AuditMSP", id, update)...); len(v.Yes) != 2 || len(v.No) != 0 {
		t.Errorf("a no that became a yes: %+v", v)
	}
	// Another admin of the organisation may take its place, and no other organisation's.
	keyed(t, l.certs, "second@AuditMSP", "admin")
	second := updateSigned(t, l.certs["second@AuditMSP"], "second@AuditMSP", []byte(update))
	l.do("second@AuditMSP", "channel:Vote", id, l.hash(id), second[0], second[1], "")
	if !bytes.Equal(kept(), l.certs["second@AuditMSP"]) {
		t.Error("the older signature was kept")
	}
	if v := l.proposal("SecurityMSP", l.signs("SecurityMSP", id, update)...); v.Proposal.Status != state.ProposalAccepted {
		t.Fatalf("%+v", v)
	}
	// The vote is won, and orderers want a signature that counts still.
	if v := l.proposal("AuditMSP", l.signs("AuditMSP", id, update)...); len(v.Yes) != 3 || !bytes.Equal(kept(), renewed) {
		t.Errorf("signed again after the vote: %+v", v)
	}
	l.refused(provenance.Conflict, audit, "proposal:Vote", id, l.hash(id), "no", "too late")
	l.refused(provenance.Forbidden, audit, "channel:Vote", id, l.hash(id), second[0], second[1], "")
	l.refused(provenance.Forbidden, audit, "channel:Vote", id, l.hash(id), second[0], base64.StdEncoding.EncodeToString([]byte("x")), "")
}
