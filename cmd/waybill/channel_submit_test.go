package main

import (
	"errors"
	"strings"
	"testing"

	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/network/channel"
	"github.com/waybill-dev/waybill/network/channel/channeltest"
)

// signed has both organisations' signatures on what is proposed.
func (f *fakeChannel) signed(t *testing.T, update []byte) {
	t.Helper()
	f.ballots = nil
	for _, name := range []string{"vendor", "security"} {
		o := f.orgs[name]
		s, err := channel.Signer{MSPID: o.Descriptor.MSPID, Cert: o.Admin.Cert, Key: o.Admin.Key}.SignUpdate(update)
		if err != nil {
			t.Fatal(err)
		}
		f.ballots = append(f.ballots, state.Ballot{MSP: o.Descriptor.MSPID, Yes: true, Signature: &state.ConfigSignature{Header: s.GetSignatureHeader(), Signature: s.GetSignature()}})
	}
}

// An organisation comes and goes in the channel when the ledger's vote is won, and not before. Whatever ends half-way
// is finished by the same command.
func TestChannelFollowsTheLedger(t *testing.T) {
	w := newWorld(t)
	w.channel = newFakeChannel(t)
	retail := channeltest.New(t, "retail", 7100).Descriptor
	add := w.channel.update(t, channel.AddOrg(retail))
	id := w.proposed(state.ChannelChange{Title: "org-add RetailMSP", Update: add, Add: "RetailMSP"})
	w.channel.signed(t, add)
	submit := func(want int, text string) {
		t.Helper()
		code, out, errOut := w.run("channel", "submit", id, "--as", "vendor/admin")
		if code != want || !strings.Contains(out+errOut, text) {
			t.Fatalf("exit %d, %s%s", code, out, errOut)
		}
	}
	// Enough signatures for the orderers, and too few votes on the ledger.
	submit(exitError, "the members have not decided it: 1 of 2 votes")
	if w.channel.handed != 0 {
		t.Fatal("the channel was changed before the ledger")
	}
	if code, out, _ := w.run("channel", "show", id, "--as", "vendor/admin", "-o", "json"); code != 0 || !strings.Contains(out, `"state": "waiting"`) {
		t.Errorf("exit %d, %s", code, out)
	}
	// The vote is won, and no orderer takes it: the same again, later.
	w.channel.status, w.channel.refuse = state.ProposalAccepted, errors.New("no orderer answers")
	submit(exitUnavailable, "no orderer answers")
	w.channel.refuse = nil
	submit(0, "in force with block 6")
	submit(0, "what it changes is in force")

	// In the channel, and not on the ledger, as where somebody brought the signatures to an orderer by hand.
	w.channel.status = state.ProposalOpen
	submit(exitError, "the members have not decided it")
	w.acts = nil
	if code, _, errOut := w.run("channel", "vote", id, "--as", "security/admin"); code != 0 || len(w.acts) != 1 || !strings.Contains(errOut, "on the ledger it is not") {
		t.Errorf("exit %d, %q, %s", code, w.acts, errOut)
	}
	w.channel.status = state.ProposalAccepted
	submit(0, "what it changes is in force")
	// Another vote came between: then the list is put right by a vote of its own.
	w.channel.status, w.channel.stale = state.ProposalOpen, true
	submit(exitError, "waybill member propose add RetailMSP")
	if code, _, errOut := w.run("channel", "vote", id, "--as", "security/admin"); code != exitError || !strings.Contains(errOut, "nobody votes on it any more") {
		t.Errorf("exit %d, %s", code, errOut)
	}
	w.channel.stale = false
	// What the channel has in force is not what the members would vote on.
	id = w.proposed(state.ChannelChange{Title: "org-add RetailMSP", Update: add, Add: "RogueMSP"})
	w.acts = nil
	if code, _, errOut := w.run("channel", "vote", id, "--as", "security/admin"); code != exitError || len(w.acts) != 0 || !strings.Contains(errOut, "in force already") {
		t.Errorf("exit %d, %q, %s", code, w.acts, errOut)
	}
}

// What an organisation may sign alone is in force before its vote is won, and then waits in nobody's list.
func TestChannelVoteIsClosed(t *testing.T) {
	w := newWorld(t)
	w.channel = newFakeChannel(t)
	batch := w.channel.update(t, channel.SetBatch(800, 0, 0))
	id := w.proposed(state.ChannelChange{Title: "batch", Update: batch})
	w.channel.signed(t, batch)
	w.acts = nil
	if code, out, errOut := w.run("channel", "submit", id, "--as", "security/admin"); code != 0 || len(w.acts) != 0 {
		t.Fatalf("another's: exit %d, %q, %s%s", code, w.acts, out, errOut)
	}
	for range 2 { // the first may have ended before
		w.acts = nil
		if code, out, errOut := w.run("channel", "submit", id, "--as", "vendor/admin"); code != 0 || len(w.acts) != 1 || !strings.Contains(w.acts[0], "proposal:Withdraw "+id+" in force") {
			t.Errorf("exit %d, %q, %s%s", code, w.acts, out, errOut)
		}
	}
}
