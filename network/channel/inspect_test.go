package channel_test

import (
	"crypto/sha256"
	"strings"
	"testing"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/msp"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/waybill-dev/waybill/network/channel"
	"github.com/waybill-dev/waybill/network/channel/channeltest"
)

func raw(t *testing.T, m proto.Message) []byte {
	t.Helper()
	out, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func decode[M proto.Message](t *testing.T, b []byte, m M) M {
	t.Helper()
	if err := proto.Unmarshal(b, m); err != nil {
		t.Fatal(err)
	}
	return m
}

// tampered returns the block with another payload, hashed as its maker would have.
func tampered(t *testing.T, block *common.Block, change func(*common.Payload, *common.ConfigGroup)) *common.Block {
	t.Helper()
	envelope := decode(t, block.GetData().GetData()[0], &common.Envelope{})
	payload := decode(t, envelope.GetPayload(), &common.Payload{})
	config := decode(t, payload.GetData(), &common.ConfigEnvelope{})
	before := raw(t, config)
	change(payload, config.GetConfig().GetChannelGroup())
	if string(before) != string(raw(t, config)) {
		payload.Data = raw(t, config)
	}
	envelope.Payload = raw(t, payload)
	out := proto.CloneOf(block)
	out.Data.Data[0] = raw(t, envelope)
	sum := sha256.Sum256(out.GetData().GetData()[0])
	out.Header.DataHash = sum[:]
	return out
}

func TestInspectSaysThatABlockIsExact(t *testing.T) {
	orgs := four(t)
	block, err := channel.Found(channel.Parameters{Channel: "images"}, orgs)
	if err != nil {
		t.Fatal(err)
	}
	r, err := channel.Inspect(block, orgs)
	if err != nil {
		t.Fatal(err)
	}
	if !r.Exact || r.Channel != "images" || r.Consenters != 4 || r.Quorum != 3 || r.Tolerance != 1 || len(r.Organizations) != 4 {
		t.Errorf("%+v", r)
	}
	says := map[string]string{}
	for _, f := range r.Fields {
		if !f.Understood {
			t.Errorf("%s: %s", f.Path, f.Text)
		}
		says[f.Path] = f.Text
	}
	for path, want := range map[string]string{
		"Channel: Capabilities":              "V3_0",
		"Channel: Admins":                    "a majority of the groups below, by their Admins",
		"Channel/Application: Endorsement":   "3 of AuditMSP.peer, PlatformMSP.peer, SecurityMSP.peer, VendorMSP.peer",
		"Channel/Orderer: BatchSize":         "at most 500 transactions and 10485760 bytes in a block, 2097152 bytes if possible",
		"Channel/Orderer: Orderers":          "4 consenters, of which 3 must sign a block and 1 may lie or be gone\n1: 127.0.0.1:7031 of AuditMSP",
		"Channel/Orderer: BlockValidation":   "3 of AuditMSP \"CN=audit-orderer,OU=orderer\"",
		"Channel/Application/VendorMSP: MSP": "VendorMSP, roles by organisational unit\nroot \"CN=vendor enrolment CA\"",
	} {
		if !strings.HasPrefix(says[path], want) {
			t.Errorf("%s: %q, want %q", path, says[path], want)
		}
	}
	// Without descriptors it shows the same and claims nothing.
	if r, err := channel.Inspect(block, nil); err != nil || r.Exact || len(r.Differences) > 0 || len(r.Fields) != len(says) {
		t.Errorf("%+v %v", r, err)
	}
}

// Whoever makes the block could put more into it than the descriptors say.
func TestInspectFindsWhatIsMore(t *testing.T) {
	orgs := four(t)
	block, err := channel.Found(channel.Parameters{}, orgs)
	if err != nil {
		t.Fatal(err)
	}
	app := func(g *common.ConfigGroup) *common.ConfigGroup { return g.GetGroups()["Application"] }
	mspOf := func(g *common.ConfigGroup, change func(*msp.FabricMSPConfig)) {
		v := app(g).GetGroups()["AuditMSP"].GetValues()["MSP"]
		outer := decode(t, v.GetValue(), &msp.MSPConfig{})
		inner := decode(t, outer.GetConfig(), &msp.FabricMSPConfig{})
		change(inner)
		outer.Config = raw(t, inner)
		v.Value = raw(t, outer)
	}
	more := protowire.AppendVarint(protowire.AppendTag(nil, 77, protowire.VarintType), 1)
	for name, c := range map[string]struct {
		change func(*common.Payload, *common.ConfigGroup)
		want   string
	}{
		"one endorsement is enough": {func(_ *common.Payload, g *common.ConfigGroup) {
			p := app(g).GetPolicies()["Endorsement"].GetPolicy()
			e := decode(t, p.GetValue(), &common.SignaturePolicyEnvelope{})
			e.GetRule().GetNOutOf().N = 1
			p.Value = raw(t, e)
		}, "Channel/Application: Endorsement differs"},
		"no endorsement is enough": {func(_ *common.Payload, g *common.ConfigGroup) {
			p := app(g).GetPolicies()["Endorsement"].GetPolicy()
			e := decode(t, p.GetValue(), &common.SignaturePolicyEnvelope{})
			e.GetRule().GetNOutOf().N = 0
			p.Value = raw(t, e)
		}, "Channel/Application: Endorsement differs"},
		"any admin": {func(_ *common.Payload, g *common.ConfigGroup) {
			g.GetPolicies()["Admins"].GetPolicy().Value = raw(t, &common.ImplicitMetaPolicy{SubPolicy: "Admins"})
		}, "Channel: Admins differs"},
		"a fifth organisation": {func(_ *common.Payload, g *common.ConfigGroup) {
			app(g).GetGroups()["RogueMSP"] = proto.CloneOf(app(g).GetGroups()["AuditMSP"])
		}, "Channel/Application/RogueMSP is there"},
		"one organisation less": {func(_ *common.Payload, g *common.ConfigGroup) { delete(app(g).GetGroups(), "AuditMSP") }, "Channel/Application/AuditMSP is missing"},
		"an admin's certificate": {func(_ *common.Payload, g *common.ConfigGroup) {
			mspOf(g, func(m *msp.FabricMSPConfig) { m.Admins = m.GetRootCerts() })
		}, "Channel/Application/AuditMSP: MSP differs"},
		"another's root": {func(_ *common.Payload, g *common.ConfigGroup) {
			mspOf(g, func(m *msp.FabricMSPConfig) { m.RootCerts = append(m.RootCerts, []byte(orgs[0].Roots[0])) })
		}, "Channel/Application/AuditMSP: MSP differs"},
		"access lists": {func(_ *common.Payload, g *common.ConfigGroup) {
			app(g).GetValues()["ACLs"] = &common.ConfigValue{Value: []byte{1}, ModPolicy: "Admins"}
		}, "Channel/Application: ACLs is there"},
		"a policy more": {func(_ *common.Payload, g *common.ConfigGroup) {
			g.GetPolicies()["Backdoor"] = proto.CloneOf(g.GetPolicies()["Readers"])
		}, "Channel: Backdoor is there"},
		"another capability": {func(_ *common.Payload, g *common.ConfigGroup) {
			app(g).GetValues()["Capabilities"].Value = raw(t, &common.Capabilities{Capabilities: map[string]*common.Capability{"V2_0": {}}})
		}, "Channel/Application: Capabilities differs"},
		"who may change it": {func(_ *common.Payload, g *common.ConfigGroup) {
			app(g).GetPolicies()["Endorsement"].ModPolicy = "/Channel/Application/AuditMSP/Admins"
		}, "Channel/Application: Endorsement differs"},
		"who may change a group": {func(_ *common.Payload, g *common.ConfigGroup) { app(g).ModPolicy = "Readers" }, "Channel/Application differs"},
		"a version":              {func(_ *common.Payload, g *common.ConfigGroup) { app(g).GetPolicies()["Readers"].Version = 9 }, "Channel/Application: Readers differs"},
		"a hidden field": {func(_ *common.Payload, g *common.ConfigGroup) {
			v := g.GetGroups()["Orderer"].GetValues()["BatchSize"]
			v.Value = append(v.GetValue(), more...)
		}, "Channel/Orderer: BatchSize differs"},
		"a hidden field within": {func(_ *common.Payload, g *common.ConfigGroup) {
			v := g.GetGroups()["Orderer"].GetValues()["Orderers"]
			list := decode(t, v.GetValue(), &common.Orderers{})
			list.GetConsenterMapping()[0].ProtoReflect().SetUnknown(more)
			v.Value = raw(t, list)
		}, "Channel/Orderer: Orderers differs"},
		"another consenter's key": {func(_ *common.Payload, g *common.ConfigGroup) {
			v := g.GetGroups()["Orderer"].GetValues()["Orderers"]
			list := decode(t, v.GetValue(), &common.Orderers{})
			list.GetConsenterMapping()[0].Identity = list.GetConsenterMapping()[1].GetIdentity()
			v.Value = raw(t, list)
		}, "Channel/Orderer: Orderers differs"},
		"another nonce": {func(p *common.Payload, _ *common.ConfigGroup) {
			p.GetHeader().SignatureHeader = raw(t, &common.SignatureHeader{Nonce: make([]byte, 24)})
		}, "the block's frame"},
		"a creator": {func(p *common.Payload, _ *common.ConfigGroup) {
			p.GetHeader().SignatureHeader = raw(t, &common.SignatureHeader{Creator: []byte("x")})
		}, "the block's frame"},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := channel.Inspect(tampered(t, block, c.change), orgs)
			if err != nil {
				t.Fatal(err)
			}
			if r.Exact || !strings.Contains(strings.Join(r.Differences, "\n"), c.want) {
				t.Errorf("exact %v: %q, want %q", r.Exact, r.Differences, c.want)
			}
		})
	}
	t.Run("metadata", func(t *testing.T) {
		b := proto.CloneOf(block)
		b.Metadata.Metadata[0] = []byte{1}
		if r, err := channel.Inspect(b, orgs); err != nil || r.Exact {
			t.Error(r.Exact, err)
		}
	})
	t.Run("another organisation's descriptor", func(t *testing.T) {
		if r, err := channel.Inspect(block, four(t)); err != nil || r.Exact {
			t.Error(r.Exact, err)
		}
	})
}

// A latecomer looks whether the channel that let it in means it.
func TestHas(t *testing.T) {
	c := consort(t, "vendor", "security", "platform", "audit")
	retail := channeltest.New(t, "retail", 7100).Descriptor
	ask := func(d channel.Descriptor, want string) {
		t.Helper()
		if err := channel.Has(c.config, d); want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	ask(c.orgs[0].Descriptor, "")
	ask(retail, "is not in the channel")
	c.apply(t, c.update(t, channel.AddOrg(retail)))
	ask(retail, "")
	posing := channeltest.New(t, "retail", 7100).Descriptor
	ask(posing, "by another descriptor")
	c.apply(t, c.update(t, channel.AddOrderer(retail)))
	ask(retail, "")
	moved := clone(retail)
	moved.Orderer.Port = 9
	ask(moved, "a consenter by another descriptor")
	moved.Orderer = nil
	ask(moved, "a consenter by another descriptor")
}

func TestInspectRefusesWhatIsNoFirstBlock(t *testing.T) {
	block, err := channel.Found(channel.Parameters{}, four(t))
	if err != nil {
		t.Fatal(err)
	}
	second, hash := proto.CloneOf(block), proto.CloneOf(block)
	second.Header.Number = 1
	hash.Header.DataHash[0]++
	header := func(change func(*common.ChannelHeader)) *common.Block {
		return tampered(t, block, func(p *common.Payload, _ *common.ConfigGroup) {
			h := decode(t, p.GetHeader().GetChannelHeader(), &common.ChannelHeader{})
			change(h)
			p.Header.ChannelHeader = raw(t, h)
		})
	}
	for name, b := range map[string]*common.Block{
		"nothing": {}, "the second": second, "another data hash": hash,
		"no configuration": header(func(h *common.ChannelHeader) { h.Type = 3 }),
		"a channel's name": header(func(h *common.ChannelHeader) { h.ChannelId = "a\x1b[2K" }),
		"nonsense":         {Data: &common.BlockData{Data: [][]byte{[]byte("x")}}},
		"a bad name": tampered(t, block, func(_ *common.Payload, g *common.ConfigGroup) {
			g.GetValues()["a\nb"] = g.GetValues()["Capabilities"]
		}),
		"a name that looks like a path": tampered(t, block, func(_ *common.Payload, g *common.ConfigGroup) {
			g.GetValues()["Application/Capabilities"] = g.GetValues()["Capabilities"]
		}),
		"hidden fields": tampered(t, block, func(_ *common.Payload, g *common.ConfigGroup) {
			g.ProtoReflect().SetUnknown(protowire.AppendVarint(protowire.AppendTag(nil, 77, protowire.VarintType), 1))
		}),
	} {
		if r, err := channel.Inspect(b, nil); err == nil {
			t.Errorf("%s: %+v", name, r)
		}
	}
}
