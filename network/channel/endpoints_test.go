package channel_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"google.golang.org/protobuf/proto"

	"github.com/waybill-dev/waybill/network/channel"
)

// A peer's gateway takes the number of addresses for that of the orderers, and waits for a quorum of them: with twenty
// of one organisation no transaction would be accepted any more. None announces them alone, in no number of steps.
func TestNobodyAnnouncesOrderersAlone(t *testing.T) {
	many := &common.OrdererAddresses{Addresses: []string{"10.0.0.1:7050", "10.0.0.1:7051", "10.0.0.1:7052"}}
	for name, steps := range map[string][]func(*common.ConfigGroup){
		"more addresses": {func(own *common.ConfigGroup) { own.Values["Endpoints"].Value = raw(t, many) }},
		"none":           {func(own *common.ConfigGroup) { own.Values["Endpoints"].Value = raw(t, &common.OrdererAddresses{}) }},
		"its own word on them, first": {
			func(own *common.ConfigGroup) { own.Values["Endpoints"].ModPolicy = "Admins" },
			func(own *common.ConfigGroup) { own.Values["Endpoints"].Value = raw(t, many) },
		},
		"out, and others in": {
			func(own *common.ConfigGroup) { delete(own.Values, "Endpoints") },
			func(own *common.ConfigGroup) {
				own.Values["Endpoints"] = &common.ConfigValue{Value: raw(t, many), ModPolicy: "Admins"}
			},
		},
		"its own word on the group, first": {
			func(own *common.ConfigGroup) { own.ModPolicy = "Admins" },
			func(own *common.ConfigGroup) { delete(own.Values, "Endpoints") },
		},
		"by the authorities": {func(own *common.ConfigGroup) { delete(own.Values, "MSP") }},
	} {
		c := consort(t, "vendor", "security", "platform", "audit")
		for i, step := range steps {
			to := proto.CloneOf(c.config)
			step(to.GetChannelGroup().GetGroups()["Orderer"].GetGroups()["AuditMSP"])
			update, err := channel.Compute("waybill", c.config, to)
			if err != nil {
				t.Fatal(err)
			}
			unmet := func(n int) []string {
				needs, _, err := channel.Needs("waybill", c.config, update, c.signatures(t, update, c.orgs[len(c.orgs)-n:]...), time.Now())
				if err != nil {
					t.Fatal(err)
				}
				return channel.Unmet(needs)
			}
			if got := unmet(1); i == 0 && !slices.Contains(got, "Channel/Orderer/Admins") {
				t.Errorf("%s: audit alone lacks %q", name, got)
			}
			if got := unmet(3); len(got) != 0 {
				t.Errorf("%s, step %d: a majority with audit lacks %q", name, i, got)
			}
			e := c.apply(t, update)
			if len(e.Warnings) == 0 {
				t.Errorf("%s, step %d: no warning", name, i)
			}
		}
		if len(channel.Doubts(c.config)) == 0 {
			t.Errorf("%s: nobody is told what the channel became", name)
		}
	}
}

// An update that lets somebody in or out is made for the versions of all organisations' groups: who could move its own
// alone would keep every other from coming or going.
func TestNobodyMakesMembershipStaleAlone(t *testing.T) {
	for name, step := range map[string]func(own *common.ConfigGroup){
		"a value more": func(own *common.ConfigGroup) {
			own.Values["Note"] = &common.ConfigValue{Value: []byte("x"), ModPolicy: "Admins"}
		},
		"a policy more": func(own *common.ConfigGroup) { own.Policies["Note"] = proto.CloneOf(own.Policies["Readers"]) },
		"a value less":  func(own *common.ConfigGroup) { delete(own.Values, "AnchorPeers") },
		"its own word":  func(own *common.ConfigGroup) { own.ModPolicy = "Admins" },
	} {
		c := consort(t, "vendor", "security", "platform", "audit")
		to := proto.CloneOf(c.config)
		step(to.GetChannelGroup().GetGroups()["Application"].GetGroups()["AuditMSP"])
		update, err := channel.Compute("waybill", c.config, to)
		if err != nil {
			t.Fatal(err)
		}
		needs, _, err := channel.Needs("waybill", c.config, update, c.signatures(t, update, c.orgs[3]), time.Now())
		if err != nil || !slices.Contains(channel.Unmet(needs), "Channel/Application/Admins") {
			t.Errorf("%s: audit alone lacks %q, %v", name, channel.Unmet(needs), err)
		}
	}
}

// What an organisation decides alone it decides still: whose certificates are revoked, and where its peer is.
func TestWhatOneOrganisationDecidesAlone(t *testing.T) {
	c := consort(t, "vendor", "security", "platform", "audit")
	d := c.orgs[0].Descriptor
	d.Peer.Port = 7999
	d.RevocationLists = []string{c.orgs[0].Enrolment.Revoke(t, c.orgs[0].Enrolment.Issue(t).Cert)}
	update := c.update(t, channel.UpdateOrg(d))
	gone, batch := c.update(t, channel.RemoveOrg("VendorMSP")), c.update(t, channel.SetBatch(700, 0, 0))
	needs, useless, err := channel.Needs("waybill", c.config, update, c.signatures(t, update, c.orgs[0]), time.Now())
	if err != nil || len(useless) != 0 || len(channel.Unmet(needs)) != 0 {
		t.Errorf("%v %q %v", needs, useless, err)
	}
	if e := c.apply(t, update); len(e.Warnings) != 0 {
		t.Errorf("%q", e.Warnings)
	}
	if doubts := channel.Doubts(c.config); len(doubts) != 0 {
		t.Errorf("%q", doubts)
	}
	// However often it does so, what others vote on goes on: its removal first of all.
	for i := range 5 {
		d.Peer.Port = 8000 + i
		c.apply(t, c.update(t, channel.UpdateOrg(d)))
	}
	for name, update := range map[string][]byte{"its removal": gone, "larger blocks": batch} {
		if _, err := channel.Explain("waybill", c.config, update); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A first block in which one organisation has more orderers' addresses than orderers, or the say over them, is not one
// of ours, whoever looks at it without descriptors too.
func TestInspectWarnsOfEndpoints(t *testing.T) {
	block, err := channel.Found(channel.Parameters{}, four(t))
	if err != nil {
		t.Fatal(err)
	}
	if r, err := channel.Inspect(block, nil); err != nil || len(r.Differences) != 0 {
		t.Fatalf("%q %v", r.Differences, err)
	}
	for name, x := range map[string]struct {
		change func(*common.ConfigGroup)
		want   string
	}{
		"more": {func(own *common.ConfigGroup) {
			own.Values["Endpoints"].Value = raw(t, &common.OrdererAddresses{Addresses: []string{"a:1", "b:2"}})
		}, "peers take the number of addresses"},
		"its own":         {func(own *common.ConfigGroup) { own.Values["Endpoints"].ModPolicy = "Admins" }, `changed by "Admins"`},
		"its own as well": {func(own *common.ConfigGroup) { own.ModPolicy = "Admins" }, `changed by "Admins"`},
	} {
		b := tampered(t, block, func(_ *common.Payload, g *common.ConfigGroup) {
			x.change(g.GetGroups()["Orderer"].GetGroups()["AuditMSP"])
		})
		if r, err := channel.Inspect(b, nil); err != nil || !strings.Contains(strings.Join(r.Differences, "\n"), x.want) {
			t.Errorf("%s: %q %v", name, r.Differences, err)
		}
	}
}
