package channel_test

import (
	"strings"
	"testing"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/orderer"
	"google.golang.org/protobuf/proto"

	"github.com/waybill-dev/waybill/network/channel"
	"github.com/waybill-dev/waybill/network/channel/channeltest"
)

// doubts are the warnings of a change that no command of this program makes.
func (c *consortium) doubts(t *testing.T, change func(*common.ConfigGroup)) string {
	t.Helper()
	to := proto.CloneOf(c.config)
	change(to.GetChannelGroup())
	update, err := channel.Compute("waybill", c.config, to)
	if err != nil {
		t.Fatal(err)
	}
	e, err := channel.Explain("waybill", c.config, update)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(e.Warnings, "\n")
}

// Every part of an update is in words that are understood, and what comes of it is none of our channels all the same.
func TestUnderstoodAndDoubted(t *testing.T) {
	c := consort(t, "vendor", "security", "platform", "audit")
	audit := c.orgs[3]
	app := func(g *common.ConfigGroup) *common.ConfigGroup { return g.GetGroups()["Application"] }
	ordering := func(g *common.ConfigGroup) *common.ConfigGroup { return g.GetGroups()["Orderer"] }
	consenters := func(change func(*common.Orderers)) func(*common.ConfigGroup) {
		return func(g *common.ConfigGroup) {
			list := listOf(t, g)
			change(list)
			ordering(g).GetValues()["Orderers"].Value = raw(t, list)
		}
	}
	batch := func(b *orderer.BatchSize) func(*common.ConfigGroup) {
		return func(g *common.ConfigGroup) { ordering(g).GetValues()["BatchSize"].Value = raw(t, b) }
	}
	for name, x := range map[string]struct {
		change func(*common.ConfigGroup)
		want   string
	}{
		"another's admin has its voice as well": {func(g *common.ConfigGroup) {
			orgs := app(g).GetGroups()
			orgs["AuditMSP"].GetPolicies()["Admins"] = orgs["VendorMSP"].GetPolicies()["Admins"]
		}, "Channel/Application/AuditMSP: Admins is not what follows"},
		"the same for ordering": {func(g *common.ConfigGroup) {
			orgs := ordering(g).GetGroups()
			orgs["AuditMSP"].GetPolicies()["Admins"] = orgs["VendorMSP"].GetPolicies()["Admins"]
		}, "Channel/Orderer/AuditMSP: Admins is not what follows"},
		"a policy beside the others": {func(g *common.ConfigGroup) {
			app(g).GetPolicies()["Extra"] = proto.CloneOf(app(g).GetPolicies()["Readers"])
		}, "Channel/Application: Extra is a policy that a channel of ours does not have"},
		"a policy goes": {func(g *common.ConfigGroup) {
			delete(app(g).GetGroups()["AuditMSP"].GetPolicies(), "Endorsement")
		}, "Channel/Application/AuditMSP: Endorsement goes"},
		"capabilities go":        {func(g *common.ConfigGroup) { delete(g.GetValues(), "Capabilities") }, "Channel: Capabilities goes"},
		"another kind of group":  {func(g *common.ConfigGroup) { g.GetGroups()["Consortiums"] = &common.ConfigGroup{ModPolicy: "Admins"} }, "Channel/Consortiums: a channel of ours has no such group"},
		"no transaction fits":    {batch(&orderer.BatchSize{MaxMessageCount: 500, AbsoluteMaxBytes: 1, PreferredMaxBytes: 1}), "1 bytes in a block at most"},
		"no transactions at all": {batch(&orderer.BatchSize{AbsoluteMaxBytes: 10 << 20, PreferredMaxBytes: 2 << 20}), "0 transactions in a block"},
		"more addresses than one": {func(g *common.ConfigGroup) {
			ordering(g).GetGroups()["AuditMSP"].GetValues()["Endpoints"].Value = raw(t, &common.OrdererAddresses{Addresses: []string{"127.0.0.1:1", "127.0.0.1:2"}})
		}, "AuditMSP orders at"},
		"a consenter counted twice": {consenters(func(l *common.Orderers) {
			l.ConsenterMapping = append(l.ConsenterMapping, proto.CloneOf(l.GetConsenterMapping()[0]))
		}), "consenters of AuditMSP and AuditMSP have the same number"},
		"a consenter at another's address": {consenters(func(l *common.Orderers) {
			l.GetConsenterMapping()[0].Port = l.GetConsenterMapping()[1].GetPort()
		}), "have the same address"},
		"a consenter in another's place": {consenters(func(l *common.Orderers) {
			l.GetConsenterMapping()[0].MspId = "VendorMSP"
		}), "the consenter 1 is of AuditMSP and becomes one of VendorMSP"},
		"a person as a consenter": {consenters(func(l *common.Orderers) {
			l.GetConsenterMapping()[0].Identity = []byte(audit.Admin.PEM())
		}), `the consenter of AuditMSP: roles ["admin"]`},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.doubts(t, x.change); !strings.Contains(got, x.want) {
				t.Errorf("%q, want %q", got, x.want)
			}
		})
	}
}

// An organisation that lost its host and has a backup from before a revocation would take it back by its next list.
func TestExplainWarnsOfWhoIsRevokedNoMore(t *testing.T) {
	c := consort(t, "vendor", "security")
	vendor := c.orgs[0]
	first, second := vendor.Enrolment.Issue(t), vendor.Enrolment.Issue(t)
	lists := func(list ...string) channel.Change {
		d := vendor.Descriptor
		d.RevocationLists = list
		return channel.UpdateOrg(d)
	}
	says(t, c.apply(t, c.update(t, lists(vendor.Enrolment.Revoke(t, first.Cert)))))
	says(t, c.apply(t, c.update(t, lists(vendor.Enrolment.Revoke(t, first.Cert, second.Cert)))))
	for name, change := range map[string]channel.Change{
		"an older list": lists(vendor.Enrolment.Revoke(t, first.Cert)),
		"no list":       lists(),
	} {
		e, err := channel.Explain("waybill", c.config, c.update(t, change))
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(e.Warnings, "\n"); !strings.Contains(got, "certificates of VendorMSP that are revoked would not be any more") {
			t.Errorf("%s: %q", name, got)
		}
	}
	// With its authority goes whoever it let in, so that nobody comes back.
	other := channeltest.Authority(t, "vendor 2")
	d := vendor.Descriptor
	d.Roots, d.Orderer = []string{other.PEM()}, nil
	e, err := channel.Explain("waybill", c.config, c.update(t, channel.UpdateOrg(d)))
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(e.Warnings, "\n"); strings.Contains(got, "would not be any more") {
		t.Errorf("with its authority: %q", got)
	}
}
