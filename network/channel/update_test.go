package channel_test

import (
	"crypto/x509"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/waybill-dev/waybill/network/channel"
	"github.com/waybill-dev/waybill/network/channel/channeltest"
)

type consortium struct {
	orgs   []channeltest.Org
	config *common.Config
}

func consort(t *testing.T, names ...string) consortium {
	t.Helper()
	var c consortium
	var descriptors []channel.Descriptor
	for i, name := range names {
		o := channeltest.New(t, name, 7000+10*i)
		c.orgs, descriptors = append(c.orgs, o), append(descriptors, o.Descriptor)
	}
	block, err := channel.Found(channel.Parameters{}, descriptors)
	if err != nil {
		t.Fatal(err)
	}
	if _, c.config, err = channel.ConfigOf(block); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *consortium) update(t *testing.T, change channel.Change) []byte {
	t.Helper()
	to, err := change(c.config)
	if err != nil {
		t.Fatal(err)
	}
	update, err := channel.Compute("waybill", c.config, to)
	if err != nil {
		t.Fatal(err)
	}
	return update
}

// apply makes an update the current configuration.
func (c *consortium) apply(t *testing.T, update []byte) channel.Explanation {
	t.Helper()
	e, err := channel.Explain("waybill", c.config, update)
	if err != nil {
		t.Fatal(err)
	}
	if c.config, err = channel.Apply("waybill", c.config, update); err != nil {
		t.Fatal(err)
	}
	return e
}

func (c *consortium) signatures(t *testing.T, update []byte, orgs ...channeltest.Org) []*common.ConfigSignature {
	t.Helper()
	var out []*common.ConfigSignature
	for _, o := range orgs {
		s, err := channel.Signer{MSPID: o.Descriptor.MSPID, Cert: o.Admin.Cert, Key: o.Admin.Key}.SignUpdate(update)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, s)
	}
	return out
}

// A fifth organisation comes, its orderer joins, its authority is replaced, and it goes again: after each
// step the channel is what it would be had it been founded so, policies and quorum included.
func TestAnOrganisationComesAndGoes(t *testing.T) {
	c := consort(t, "vendor", "security", "platform", "audit")
	first := c.config
	retail := channeltest.New(t, "retail", 7100)

	e := c.apply(t, c.update(t, channel.AddOrg(retail.Descriptor)))
	says(t, e, "RetailMSP comes into the channel", "4 organisations become 5: 3 of their peers must endorse (before: 3 of 4)")
	changes(t, e, "Channel/Application: Endorsement", "3 of AuditMSP.peer, PlatformMSP.peer, RetailMSP.peer, SecurityMSP.peer, VendorMSP.peer")
	changes(t, e, "Channel: Readers", "any of AuditMSP.member, PlatformMSP.member, RetailMSP.member, SecurityMSP.member, VendorMSP.member")

	e = c.apply(t, c.update(t, channel.AddOrderer(retail.Descriptor)))
	says(t, e, "the orderer of RetailMSP (127.0.0.1:7101) joins the consenters", "4 consenters become 5: 4 must sign a block (before: 3), 1 may lie or be gone (before: 1)")

	second := channeltest.Authority(t, "retail 2")
	retail.Descriptor.Roots = append(retail.Descriptor.Roots, second.PEM())
	gone := retail.Enrolment.Issue(t)
	retail.Descriptor.RevocationLists = []string{retail.Enrolment.Revoke(t, gone.Cert)}
	e = c.apply(t, c.update(t, channel.UpdateOrg(retail.Descriptor)))
	changes(t, e, "Channel/Application/RetailMSP: MSP", `root "CN=retail 2"`)
	changes(t, e, "Channel/Orderer/RetailMSP: MSP", "1 certificates")

	agent := second.Issue(t, func(cert *x509.Certificate) { cert.Subject = channeltest.Named("retail-orderer", "orderer") })
	retail.Descriptor.Orderer.Identity, retail.Descriptor.Orderer.Port = agent.PEM(), 7109
	e = c.apply(t, c.update(t, channel.UpdateOrderer(retail.Descriptor)))
	says(t, e, "the orderer of RetailMSP (127.0.0.1:7109) gets another address or other certificates")
	changes(t, e, "Channel/Orderer/RetailMSP: Endpoints", "127.0.0.1:7109")

	e = c.apply(t, c.update(t, channel.RemoveOrg("RetailMSP")))
	says(t, e, "RetailMSP leaves the channel", "the orderer of RetailMSP (127.0.0.1:7109) leaves the consenters", "5 consenters become 4")
	if back, err := channel.Compute("waybill", c.config, first); !errors.Is(err, channel.ErrInForce) {
		t.Errorf("it is not what it was: %d bytes, %v", len(back), err)
	}
	if c.config.GetSequence() != 5 {
		t.Errorf("sequence %d", c.config.GetSequence())
	}
}

func TestBatchAndOrdererLeave(t *testing.T) {
	c := consort(t, "vendor", "security", "platform", "audit")
	e := c.apply(t, c.update(t, channel.SetBatch(800, 0, 0)))
	if len(e.Changes) != 1 {
		t.Errorf("%+v", e.Changes)
	}
	changes(t, e, "Channel/Orderer: BatchSize", "at most 800 transactions and 10485760 bytes")
	e = c.apply(t, c.update(t, channel.RemoveOrderer("AuditMSP")))
	says(t, e, "4 consenters become 3: 2 must sign a block (before: 3), 0 may lie or be gone (before: 1)")
	for _, edit := range e.Changes {
		if strings.HasPrefix(edit.Path, "Channel/Application") {
			t.Errorf("its people stay: %+v", edit)
		}
	}
}

func says(t *testing.T, e channel.Explanation, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(strings.Join(e.Summary, "\n"), w) {
			t.Errorf("%q does not say %q", e.Summary, w)
		}
	}
	if len(e.Warnings) > 0 {
		t.Errorf("warns: %q", e.Warnings)
	}
}

func changes(t *testing.T, e channel.Explanation, path, want string) {
	t.Helper()
	for _, edit := range e.Changes {
		if edit.Path == path && strings.Contains(edit.Becomes, want) && edit.Was != edit.Becomes {
			return
		}
	}
	t.Errorf("%s does not become %q: %+v", path, want, e.Changes)
}

func TestChangesAreRefused(t *testing.T) {
	c := consort(t, "vendor", "security", "platform", "audit")
	retail, vendor := channeltest.New(t, "retail", 7100), c.orgs[0]
	thief := channeltest.New(t, "thief", 7200)
	thief.Descriptor.TLSRoots = append(thief.Descriptor.TLSRoots, vendor.TLS.PEM())
	squat := channeltest.New(t, "squat", 7300)
	squat.Descriptor.Peer = vendor.Descriptor.Peer
	otherRoots := vendor.Descriptor
	otherRoots.Roots = []string{channeltest.Authority(t, "x").PEM()}
	noOrderer := retail.Descriptor
	noOrderer.Orderer = nil
	for name, x := range map[string]struct {
		change channel.Change
		want   string
	}{
		"there already":           {channel.AddOrg(vendor.Descriptor), "is in the channel"},
		"another's authority":     {channel.AddOrg(thief.Descriptor), "same authority"},
		"another's peer":          {channel.AddOrg(squat.Descriptor), "same endpoint"},
		"orderer of a stranger":   {channel.AddOrderer(retail.Descriptor), "add the organisation first"},
		"no orderer":              {channel.AddOrderer(noOrderer), "names no orderer"},
		"second orderer":          {channel.AddOrderer(vendor.Descriptor), "has a consenter"},
		"unknown organisation":    {channel.RemoveOrg("RetailMSP"), "is not in the channel"},
		"unknown orderer":         {channel.RemoveOrderer("RetailMSP"), "has no consenter"},
		"update of a stranger":    {channel.UpdateOrg(retail.Descriptor), "is not in the channel"},
		"orderer of other roots":  {channel.UpdateOrderer(otherRoots), "change these first"},
		"no transactions":         {channel.SetBatch(1<<31, 0, 0), "transactions in a block"},
		"more bytes than can be":  {channel.SetBatch(0, 1<<31, 0), "bytes in a block"},
		"preferred above highest": {channel.SetBatch(0, 0, 20<<20), "if possible"},
	} {
		if _, err := x.change(c.config); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: %v, want %q", name, err, x.want)
		}
	}
	last := consort(t, "vendor")
	if _, err := channel.RemoveOrg("VendorMSP")(last.config); err == nil {
		t.Error("the last organisation is removed")
	}
	if _, err := channel.RemoveOrderer("VendorMSP")(last.config); err == nil {
		t.Error("the last consenter is removed")
	}
}

// An update is made for one configuration; what was applied is known to be.
func TestStaleUpdates(t *testing.T) {
	c := consort(t, "vendor", "security", "platform", "audit")
	add := c.update(t, channel.AddOrg(channeltest.New(t, "retail", 7100).Descriptor))
	other := c.update(t, channel.AddOrg(channeltest.New(t, "wholesale", 7200).Descriptor))
	batch := c.update(t, channel.SetBatch(600, 0, 0))
	c.apply(t, add)
	if _, err := channel.Apply("waybill", c.config, add); !errors.Is(err, channel.ErrInForce) {
		t.Errorf("again: %v", err)
	}
	if _, err := channel.Explain("waybill", c.config, other); !errors.Is(err, channel.ErrStale) {
		t.Errorf("another organisation at once: %v", err)
	}
	c.apply(t, batch) // concerns nothing that changed
	if _, err := channel.Apply("other", c.config, batch); err == nil || errors.Is(err, channel.ErrStale) {
		t.Errorf("another channel: %v", err)
	}
}

// What a proposer could hide in an update is said loudly, or is no update.
func TestExplainWarns(t *testing.T) {
	c := consort(t, "vendor", "security", "platform", "audit")
	app := func(g *common.ConfigGroup) *common.ConfigGroup { return g.GetGroups()["Application"] }
	retail := channeltest.New(t, "retail", 7100)
	for name, x := range map[string]struct {
		change func(*common.ConfigGroup)
		want   string
	}{
		"another endorsement": {func(g *common.ConfigGroup) {
			app(g).Policies["Endorsement"] = app(g).GetPolicies()["Readers"]
		}, "Channel/Application: Endorsement is not what follows"},
		"another admin rule": {func(g *common.ConfigGroup) {
			g.GetPolicies()["Admins"].GetPolicy().Value = raw(t, &common.ImplicitMetaPolicy{SubPolicy: "Admins"})
		}, "Channel: Admins is not what follows"},
		"access list": {func(g *common.ConfigGroup) {
			app(g).GetValues()["ACLs"] = &common.ConfigValue{Value: []byte{1}, ModPolicy: "Admins"}
		}, "Channel/Application: ACLs: NOT UNDERSTOOD"},
		"who may change": {func(g *common.ConfigGroup) {
			app(g).GetPolicies()["Endorsement"].ModPolicy = "/Channel/Application/AuditMSP/Admins"
		}, "NOT UNDERSTOOD: it is changed by"},
		"who may change a group": {func(g *common.ConfigGroup) {
			app(g).GetGroups()["AuditMSP"].ModPolicy = "/Channel/Application/VendorMSP/Admins"
		}, "changed by /Channel/Application/VendorMSP/Admins"},
		"capability": {func(g *common.ConfigGroup) {
			app(g).GetValues()["Capabilities"].Value = protowire.AppendTag(nil, 9, protowire.VarintType)
		}, "NOT UNDERSTOOD"},
		"a policy of nobody": {func(g *common.ConfigGroup) {
			g.GetPolicies()["Extra"] = &common.ConfigPolicy{ModPolicy: "Admins", Policy: &common.Policy{Type: 1, Value: raw(t, &common.SignaturePolicyEnvelope{})}}
		}, "Channel: Extra: NOT UNDERSTOOD"},
		"two consenters": {func(g *common.ConfigGroup) {
			v := g.GetGroups()["Orderer"].GetValues()["Orderers"]
			list := decode(t, v.GetValue(), &common.Orderers{})
			list.ConsenterMapping = list.GetConsenterMapping()[:2]
			v.Value = raw(t, list)
		}, "2 consenters change at once"},
		"consenter without a policy": {func(g *common.ConfigGroup) {
			v := g.GetGroups()["Orderer"].GetValues()["Orderers"]
			list := decode(t, v.GetValue(), &common.Orderers{})
			list.GetConsenterMapping()[0].Port = 9
			v.Value = raw(t, list)
			delete(g.GetGroups()["Orderer"].GetGroups(), "AuditMSP")
		}, "is not among the orderers' organisations"},
		"a second consenter of one": {func(g *common.ConfigGroup) {
			list := listOf(t, g)
			more := proto.CloneOf(list.GetConsenterMapping()[0])
			more.Id, more.Port = 9, 9
			list.ConsenterMapping = append(list.ConsenterMapping, more)
			g.GetGroups()["Orderer"].GetValues()["Orderers"].Value = raw(t, list)
		}, "AuditMSP has 2 consenters"},
		"a consenter with a stranger's key": {func(g *common.ConfigGroup) {
			list := listOf(t, g)
			list.GetConsenterMapping()[0].Identity = []byte(retail.OrdererAgent.PEM())
			g.GetGroups()["Orderer"].GetValues()["Orderers"].Value = raw(t, list)
		}, "the consenter of AuditMSP: not below"},
		"other authorities for ordering": {func(g *common.ConfigGroup) {
			g.GetGroups()["Orderer"].GetGroups()["AuditMSP"].GetValues()["MSP"].Value = app(g).GetGroups()["VendorMSP"].GetValues()["MSP"].GetValue()
		}, "AuditMSP has other authorities for ordering"},
		"ordering without being in the channel": {func(g *common.ConfigGroup) {
			delete(app(g).GetGroups(), "AuditMSP")
		}, "AuditMSP orders, and is not among the channel's organisations"},
		"who may change a newcomer": {func(g *common.ConfigGroup) {
			o := proto.CloneOf(app(g).GetGroups()["AuditMSP"])
			o.ModPolicy = "/Channel/Application/VendorMSP/Admins"
			app(g).GetGroups()["NewMSP"] = o
		}, "Channel/Application/NewMSP: a group\nNOT UNDERSTOOD: it is changed by"},
		"an older capability": {func(g *common.ConfigGroup) {
			app(g).GetValues()["Capabilities"].Value = raw(t, &common.Capabilities{Capabilities: map[string]*common.Capability{"V2_0": {}}})
		}, "Channel/Application: Capabilities changes, as no command of this program does"},
		"an organisation with another's root": {func(g *common.ConfigGroup) {
			app(g).GetGroups()["CopyMSP"] = proto.CloneOf(app(g).GetGroups()["AuditMSP"])
		}, "CopyMSP has the MSP of \"AuditMSP\""},
	} {
		t.Run(name, func(t *testing.T) {
			to := proto.CloneOf(c.config)
			x.change(to.GetChannelGroup())
			update, err := channel.Compute("waybill", c.config, to)
			if err != nil {
				t.Fatal(err)
			}
			e, err := channel.Explain("waybill", c.config, update)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(strings.Join(e.Warnings, "\n"), x.want) || len(e.Changes) == 0 {
				t.Errorf("%q, want %q", e.Warnings, x.want)
			}
		})
	}
	update := c.update(t, channel.AddOrg(retail.Descriptor))
	parsed := decode(t, update, &common.ConfigUpdate{})
	edit := func(change func(*common.ConfigUpdate)) []byte {
		u := proto.CloneOf(parsed)
		change(u)
		return raw(t, u)
	}
	for name, b := range map[string][]byte{
		"nothing":     nil,
		"nonsense":    []byte("\xff"),
		"more behind": append(slices.Clone(update), protowire.AppendVarint(protowire.AppendTag(nil, 99, protowire.VarintType), 1)...),
		"twice":       append(slices.Clone(update), update...),
		"isolated":    edit(func(u *common.ConfigUpdate) { u.IsolatedData = map[string][]byte{"x": nil} }),
		"empty":       edit(func(u *common.ConfigUpdate) { u.ReadSet, u.WriteSet = nil, nil }),
		"no effect":   edit(func(u *common.ConfigUpdate) { u.WriteSet = u.GetReadSet() }),
		"deep": edit(func(u *common.ConfigUpdate) {
			g := &common.ConfigGroup{}
			for range 9 {
				g = &common.ConfigGroup{Groups: map[string]*common.ConfigGroup{"x": g}}
			}
			u.WriteSet.Groups["x"] = g
		}),
	} {
		if e, err := channel.Explain("waybill", c.config, b); err == nil {
			t.Errorf("%s: %+v", name, e)
		}
	}
	// It writes a value into a group that does not list it: no orderer takes it, and it is nothing to agree to.
	dangling := edit(func(u *common.ConfigUpdate) {
		u.GetWriteSet().Groups["Orderer"] = &common.ConfigGroup{Values: map[string]*common.ConfigValue{"X": {ModPolicy: "Admins"}}}
	})
	if e, err := channel.Explain("waybill", c.config, dangling); err == nil && !strings.Contains(strings.Join(e.Warnings, "\n"), "it is not in what comes of it") {
		t.Errorf("%+v", e.Warnings)
	}
}

func listOf(t *testing.T, g *common.ConfigGroup) *common.Orderers {
	t.Helper()
	return decode(t, g.GetGroups()["Orderer"].GetValues()["Orderers"].GetValue(), &common.Orderers{})
}

// Whose signatures are enough, as Fabric counts them.
func TestNeeds(t *testing.T) {
	c := consort(t, "vendor", "security", "platform", "audit")
	add := c.update(t, channel.AddOrg(channeltest.New(t, "retail", 7100).Descriptor))
	changed := c.orgs[0].Descriptor
	changed.Peer.Port = 7777
	own := c.update(t, channel.UpdateOrg(changed))
	ask := func(update []byte, signatures ...*common.ConfigSignature) ([]string, []string) {
		needs, useless, err := channel.Needs("waybill", c.config, update, signatures, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return channel.Unmet(needs), useless
	}
	for n, want := range map[int]int{0: 2, 2: 2, 3: 0, 4: 0} {
		if unmet, useless := ask(add, c.signatures(t, add, c.orgs[:n]...)...); len(unmet) != want || len(useless) != 0 {
			t.Errorf("%d signatures: %q %q", n, unmet, useless)
		}
	}
	if unmet, _ := ask(own, c.signatures(t, own, c.orgs[0])...); len(unmet) != 0 {
		t.Errorf("one's own anchor peer: %q", unmet)
	}
	if unmet, _ := ask(own, c.signatures(t, own, c.orgs[1:]...)...); len(unmet) != 1 {
		t.Errorf("another's anchor peer: %q", unmet)
	}
	// One organisation three times, a stranger, a client, over other bytes, somebody revoked: none counts.
	vendor := c.orgs[0]
	stranger, client, posing := channeltest.New(t, "retail", 7100), vendor, c.orgs[1]
	client.Admin = vendor.Enrolment.Issue(t, func(cert *x509.Certificate) { cert.Subject = channeltest.Named("p", "client") })
	posing.Admin = vendor.Admin
	for name, list := range map[string][]*common.ConfigSignature{
		"one thrice":   c.signatures(t, add, vendor, vendor, vendor, c.orgs[1]),
		"a stranger":   c.signatures(t, add, vendor, c.orgs[1], stranger),
		"a client":     c.signatures(t, add, c.orgs[1], c.orgs[2], client),
		"posing":       c.signatures(t, add, vendor, c.orgs[2], posing),
		"other bytes":  append(c.signatures(t, add, vendor, c.orgs[1]), c.signatures(t, own, c.orgs[2])...),
		"no signature": append(c.signatures(t, add, vendor, c.orgs[1]), &common.ConfigSignature{}),
	} {
		if unmet, _ := ask(add, list...); len(unmet) == 0 {
			t.Errorf("%s: enough", name)
		}
	}
	revoked := c.orgs[2].Descriptor
	revoked.RevocationLists = []string{c.orgs[2].Enrolment.Revoke(t, c.orgs[2].Admin.Cert)}
	c.apply(t, c.update(t, channel.UpdateOrg(revoked)))
	if unmet, useless := ask(add, c.signatures(t, add, c.orgs[:3]...)...); len(unmet) == 0 || len(useless) != 1 || !strings.Contains(useless[0], "revoked") {
		t.Errorf("revoked: %q %q", unmet, useless)
	}
}
