package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"google.golang.org/protobuf/proto"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/network/channel"
	"github.com/waybill-dev/waybill/network/channel/channeltest"
)

// fakeChannel is a channel of two organisations whose orderers take what enough signed.
type fakeChannel struct {
	orgs    map[string]channeltest.Org
	config  *common.Config
	block   *common.Block
	down    []string
	left    []string // whom Down was told that they leave
	handed  int      // signatures that the orderers got
	refuse  error    // what the orderers say
	status  state.ProposalStatus
	stale   bool // on the ledger
	ballots []state.Ballot
}

func newFakeChannel(t *testing.T) *fakeChannel {
	t.Helper()
	f := &fakeChannel{orgs: map[string]channeltest.Org{}}
	var descriptors []channel.Descriptor
	for i, name := range []string{"vendor", "security"} {
		f.orgs[name] = channeltest.New(t, name, 7000+10*i)
		descriptors = append(descriptors, f.orgs[name].Descriptor)
	}
	block, err := channel.Found(channel.Parameters{}, descriptors)
	if err != nil {
		t.Fatal(err)
	}
	f.block = block
	if _, f.config, err = channel.ConfigOf(block); err != nil {
		t.Fatal(err)
	}
	return f
}

type fakeMember struct {
	*fakeChannel
	channel.Signer
}

func (f *fakeChannel) of(p person) channelMember {
	o := f.orgs[p.org.Org]
	return fakeMember{f, channel.Signer{MSPID: o.Descriptor.MSPID, Cert: o.Admin.Cert, Key: o.Admin.Key}}
}

func (f *fakeChannel) Current(context.Context) (*common.Config, uint64, error) {
	return f.config, 5, nil
}

func (f *fakeChannel) ConfigBlock(context.Context) (*common.Block, error) { return f.block, nil }

func (f *fakeChannel) Down(_ context.Context, _ *common.Config, leaving ...string) ([]string, error) {
	f.left = leaving
	return f.down, nil
}

func (f *fakeChannel) Submit(_ context.Context, _ *common.Config, update []byte, signatures []*common.ConfigSignature) (uint64, error) {
	if f.refuse != nil {
		return 0, f.refuse
	}
	f.handed = len(signatures)
	var err error
	f.config, err = channel.Apply("waybill", f.config, update)
	return 6, err
}

func (f *fakeChannel) Close() error { return nil }

// update computes what a change needs.
func (f *fakeChannel) update(t *testing.T, change channel.Change) []byte {
	t.Helper()
	to, err := change(f.config)
	if err != nil {
		t.Fatal(err)
	}
	update, err := channel.Compute("waybill", f.config, to)
	if err != nil {
		t.Fatal(err)
	}
	return update
}

// proposed has the peers hand out a proposal.
func (w *world) proposed(body state.ChannelChange) string {
	w.t.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		w.t.Fatal(err)
	}
	p := state.Proposal{Round: 1, Kind: state.ProposeChannel, Name: body.Title, Body: raw, Act: state.Act{By: policy.Person{MSP: "VendorMSP", Name: "admin"}}}
	p.ID, p.Hash = state.ProposalID(state.ChangeHash(p.Kind, p.Name, 0, p.Body, ""), 1), state.ContentHash(p.Body, "")
	w.channel.status = state.ProposalOpen
	view := func() any {
		p.Status = w.channel.status
		return tally{Proposal: p, Yes: []string{"VendorMSP"}, No: []string{}, Needed: 2, Stale: w.channel.stale}
	}
	w.peers["member:List"] = func(...string) any { return map[string]any{"version": 3} }
	w.peers["proposal:Get"] = func(...string) any { return view() }
	w.peers["channel:Votes"] = func(...string) any { return w.channel.ballots }
	w.peers["key:List"] = func(...string) any {
		return []state.TrustKey{{MSP: "SecurityMSP", Name: "scan"}, {MSP: "VendorMSP", Name: "build"}}
	}
	w.peers["registry:List"] = func(...string) any { return []map[string]string{{"host": "reg.example", "owner": "SecurityMSP"}} }
	w.results["channel:Propose"] = func(...string) any { return view() }
	w.results["channel:Vote"] = func(args ...string) any {
		w.channel.vote(w.t, "SecurityMSP", args[2], args[3])
		return view()
	}
	w.results["proposal:Withdraw"] = func(...string) any { return view() }
	return p.ID
}

func (f *fakeChannel) vote(t *testing.T, mspID, header, signature string) {
	t.Helper()
	b := state.Ballot{MSP: mspID, Yes: true, Signature: &state.ConfigSignature{}}
	for text, into := range map[string]*[]byte{header: &b.Signature.Header, signature: &b.Signature.Signature} {
		raw, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		*into = raw
	}
	f.ballots = append(f.ballots, b)
}

// One proposes, looks, another signs, and the first brings it to the orderers.
func TestChannelVote(t *testing.T) {
	w := newWorld(t)
	w.channel = newFakeChannel(t)
	update := w.channel.update(t, channel.SetBatch(800, 0, 0))
	id := w.proposed(state.ChannelChange{Title: "batch", Update: update, ChannelBase: state.ChannelBase{Members: 3}})
	code, out, errOut := w.run("channel", "propose", "batch", "--messages", "800", "--as", "vendor/admin")
	if code != 0 || !strings.Contains(errOut, "+ at most 800 transactions") || !strings.Contains(out, "waybill channel vote "+id) {
		t.Fatalf("exit %d, %s%s", code, out, errOut)
	}
	act := strings.Fields(w.acts[0])
	w.channel.vote(t, "VendorMSP", act[len(act)-2], act[len(act)-1])
	if code, _, errOut := w.run("channel", "submit", id, "--as", "vendor/admin"); code != exitError || !strings.Contains(errOut, "not signed by enough organisations: Channel/Orderer/Admins") {
		t.Errorf("with one signature: exit %d, %s", code, errOut)
	}
	if code, out, errOut := w.run("channel", "show", id, "--as", "security/auditor"); code != 0 || !strings.Contains(out, "Channel/Orderer/Admins: not met yet") {
		t.Errorf("exit %d, %s%s", code, out, errOut)
	}
	if code, out, errOut := w.run("channel", "vote", id, "--as", "security/admin"); code != 0 || !strings.Contains(out, "signed: batch") || !strings.Contains(errOut, "+ at most 800 transactions") {
		t.Fatalf("exit %d, %s%s", code, out, errOut)
	}
	code, out, errOut = w.run("channel", "submit", id, "--as", "vendor/admin")
	if code != 0 || out != "in force with block 6, as configuration 1: batch\n" || w.channel.handed != 2 {
		t.Errorf("exit %d, %d signatures, %s%s", code, w.channel.handed, out, errOut)
	}
	if code, out, _ := w.run("channel", "show", id, "--as", "vendor/admin"); code != 0 || !strings.Contains(out, "what it changes is in force") {
		t.Errorf("exit %d, %s", code, out)
	}
	if code, out, _ := w.run("channel", "config", "--as", "vendor/auditor"); code != 0 || !strings.Contains(out, "channel waybill, configuration 1 of block 5") || !strings.Contains(out, "at most 800 transactions") {
		t.Errorf("exit %d, %s", code, out)
	}
}

// What nobody should sign is not signed, whatever its title says.
func TestChannelVoteRefuses(t *testing.T) {
	w := newWorld(t)
	w.channel = newFakeChannel(t)
	retail := channeltest.New(t, "retail", 7100).Descriptor
	hidden := func(c *common.Config) (*common.Config, error) {
		c = proto.CloneOf(c)
		app := c.GetChannelGroup().GetGroups()["Application"]
		app.Policies["Endorsement"] = app.GetPolicies()["Readers"]
		return c, nil
	}
	add := w.channel.update(t, channel.AddOrg(retail))
	stale := w.channel.update(t, channel.RemoveOrg("SecurityMSP"))
	for name, c := range map[string]struct {
		body state.ChannelChange
		want string
	}{
		"a hidden policy":       {state.ChannelChange{Title: "batch", Update: w.channel.update(t, hidden)}, "Endorsement is not what follows"},
		"another is invited":    {state.ChannelChange{Title: "org-add RetailMSP", Update: add, Add: "RogueMSP"}, "the proposal invites RogueMSP"},
		"nobody is invited":     {state.ChannelChange{Title: "batch", Update: add}, "the members' list stays as it is"},
		"another one leaves":    {state.ChannelChange{Title: "org-remove SecurityMSP", Update: stale, Remove: "VendorMSP"}, "ends the membership of VendorMSP"},
		"no configuration":      {state.ChannelChange{Title: "batch", Update: []byte("x")}, "it is of no use any more"},
		"from another future":   {state.ChannelChange{Title: "batch", Update: w.channel.update(t, channel.SetBatch(7, 0, 0)), ChannelBase: state.ChannelBase{Sequence: 9}}, "computed from configuration 9, and your peer has 0"},
		"of another membership": {state.ChannelChange{Title: "batch", Update: w.channel.update(t, channel.SetBatch(7, 0, 0)), Remove: "SecurityMSP"}, "ends the membership of SecurityMSP"},
	} {
		id := w.proposed(c.body)
		w.acts = nil
		code, out, errOut := w.run("channel", "vote", id, "--as", "security/admin")
		if code == 0 || len(w.acts) > 0 || !strings.Contains(errOut, c.want) {
			t.Errorf("%s: exit %d, %q, %s%s", name, code, w.acts, out, errOut)
		}
		if code, _, _ := w.run("channel", "submit", id, "--as", "security/admin"); code == 0 || w.channel.handed > 0 {
			t.Errorf("%s: it is submitted", name)
		}
	}
	id := w.proposed(state.ChannelChange{Title: "org-add RetailMSP", Update: add, Add: "RogueMSP"})
	if code, _, errOut := w.run("channel", "vote", id, "--as", "security/admin", "--despite-warnings"); code != 0 {
		t.Errorf("exit %d, %s", code, errOut)
	}
	// A configuration that moved on: the same signature is of no use.
	var err error
	if w.channel.config, err = channel.Apply("waybill", w.channel.config, add); err != nil {
		t.Fatal(err)
	}
	id = w.proposed(state.ChannelChange{Title: "org-remove SecurityMSP", Update: stale, Remove: "SecurityMSP"})
	if code, _, errOut := w.run("channel", "vote", id, "--as", "security/admin", "--despite-warnings"); code != exitError || !strings.Contains(errOut, "the configuration has moved on") {
		t.Errorf("exit %d, %s", code, errOut)
	}
	vote := policyProposal(t, string(storedPolicy(t).Text))
	w.peers["proposal:Get"] = func(...string) any { return tally{Proposal: vote} }
	if code, _, errOut := w.run("channel", "vote", vote.ID, "--as", "security/admin"); code != exitUsage || !strings.Contains(errOut, "no change of the channel") {
		t.Errorf("exit %d, %s", code, errOut)
	}
}

// Whoever goes leaves things behind; consenters change while all others are up.
func TestChannelRemovals(t *testing.T) {
	w := newWorld(t)
	w.channel = newFakeChannel(t)
	id := w.proposed(state.ChannelChange{Title: "org-remove SecurityMSP", Update: w.channel.update(t, channel.RemoveOrg("SecurityMSP")), Remove: "SecurityMSP"})
	code, out, errOut := w.run("channel", "show", id, "--as", "vendor/admin")
	for _, want := range []string{"SecurityMSP leaves the channel", "1 keys of SecurityMSP vouch for nothing", "registry reg.example stays SecurityMSP's", "quarantines hold nothing"} {
		if !strings.Contains(out, want) {
			t.Errorf("exit %d, no %q in %s%s", code, want, out, errOut)
		}
	}
	w.channel.down = []string{"the orderer of VendorMSP does not answer"}
	w.acts = nil
	file := filepath.Join(t.TempDir(), "config.block")
	if code, out, errOut := w.run("channel", "config", "--block", file, "--as", "vendor/auditor"); code != 0 || out != "" || !strings.Contains(errOut, "block 0 of channel waybill is in") {
		t.Errorf("exit %d, %s%s", code, out, errOut)
	}
	if code, _, errOut := w.run("channel", "inspect", file); code != 0 {
		t.Errorf("what was written is no block: exit %d, %s", code, errOut)
	}
	code, _, errOut = w.run("channel", "propose", "org-remove", "SecurityMSP", "--as", "vendor/admin")
	if code != exitError || len(w.acts) > 0 || !strings.Contains(errOut, "1 consenters are down") || strings.Join(w.channel.left, " ") != "SecurityMSP" {
		t.Errorf("exit %d, %q, leaving %q, %s", code, w.acts, w.channel.left, errOut)
	}
	if code, _, errOut := w.run("channel", "propose", "batch", "--as", "vendor/admin"); code != exitUsage {
		t.Errorf("nothing to change: exit %d, %s", code, errOut)
	}
	if code, _, errOut := w.run("channel", "propose", "org-remove", "NobodyMSP", "--as", "vendor/admin"); code != exitError || !strings.Contains(errOut, "NobodyMSP is not in the channel") {
		t.Errorf("exit %d, %s", code, errOut)
	}
}
