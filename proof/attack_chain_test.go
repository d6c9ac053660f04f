package proof

import (
	"bytes"

	"testing"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/msp"
	"github.com/hyperledger/fabric-protos-go-apiv2/orderer"
	"google.golang.org/protobuf/proto"

	"github.com/waybill-dev/waybill/network/channel/channeltest"
)

// raw makes a receipt's file without the help of NewReceipt, which leaves out what does not verify.
func (n *network) raw(config [][]byte, floor []byte) File {
	payload, _ := n.make(n.question())
	f := File{Version: Version, Kind: KindReceipt, Channel: "waybill", Transaction: payload}
	for i, raw := range config {
		f.Config = append(f.Config, n.bare(raw, i > 0))
	}
	var b common.Block
	n.check(proto.Unmarshal(floor, &b))
	f.Floor = &Header{Header: n.marshal(b.GetHeader()), Metadata: b.GetMetadata().GetMetadata()[0]}
	return f
}

// bare is a block with the orderers' signatures alone, or without.
func (n *network) bare(raw []byte, signed bool) []byte {
	var b common.Block
	n.check(proto.Unmarshal(raw, &b))
	list := b.GetMetadata().GetMetadata()[:1]
	b.Metadata = nil
	if signed {
		b.Metadata = &common.BlockMetadata{Metadata: list}
	}
	return n.marshal(&b)
}

// Every way to sign a block that is not by a quorum.
func TestBlocksThatNoQuorumSigned(t *testing.T) {
	n, other := testNetwork(t), testNetwork(t)
	q := n.quorum()
	vendor := signer{id: 4, pair: n.orgs["VendorMSP"].OrdererAgent}
	high := q[1]
	high.high = true
	metadata := func(change func(*common.Metadata)) func(*common.Block) {
		return func(b *common.Block) {
			var m common.Metadata
			n.check(proto.Unmarshal(b.GetMetadata().GetMetadata()[0], &m))
			change(&m)
			b.Metadata.Metadata[0] = n.marshal(&m)
		}
	}
	for name, c := range map[string]struct {
		blockOptions
		why string
	}{
		"two of four":                   {blockOptions{signers: q[:2]}, "2 signatures"},
		"none":                          {blockOptions{signers: []signer{}}, "0 signatures"},
		"one twice":                     {blockOptions{signers: []signer{q[0], q[1], q[1]}}, "again, or out of order"},
		"one under two ids":             {blockOptions{signers: []signer{q[0], q[1], {id: 3, pair: q[1].pair}}}, "the signature is wrong"},
		"one under an id that is none":  {blockOptions{signers: []signer{q[0], q[1], {id: 9, pair: q[1].pair}}}, "there is none"},
		"one under id 0":                {blockOptions{signers: []signer{{id: 0, pair: q[2].pair}, q[0], q[1]}}, "there is none"},
		"another order":                 {blockOptions{signers: []signer{q[1], q[0], q[2]}}, "out of order"},
		"more than the quorum":          {blockOptions{signers: append(n.quorum(), vendor)}, "4 signatures"},
		"of another network":            {blockOptions{signers: other.quorum()}, "the signature is wrong"},
		"a peer in place of an orderer": {blockOptions{signers: []signer{q[0], q[1], {id: 3, pair: n.orgs["SecurityMSP"].peer}}}, "the signature is wrong"},
		"the other form of a signature": {blockOptions{signers: []signer{q[0], high, q[2]}}, "one form"},
		"a signature with a certificate": {blockOptions{change: metadata(func(m *common.Metadata) {
			m.Signatures[0].SignatureHeader = []byte("certificate")
		})}, "instead of a consenter's id"},
		"another last configuration": {blockOptions{change: metadata(func(m *common.Metadata) {
			m.Value = n.marshal(&common.OrdererBlockMetadata{LastConfig: &common.LastConfig{Index: 1}})
		})}, "not among the configuration blocks"},
		"another view": {blockOptions{change: metadata(func(m *common.Metadata) {
			m.Value = n.marshal(&common.OrdererBlockMetadata{LastConfig: &common.LastConfig{}, ConsenterMetadata: []byte("wive")})
		})}, "the signature is wrong"},
		"another number":   {blockOptions{change: func(b *common.Block) { b.Header.Number++ }}, "the signature is wrong"},
		"another previous": {blockOptions{change: func(b *common.Block) { b.Header.PreviousHash[0]++ }}, "the signature is wrong"},
		"other data":       {blockOptions{change: func(b *common.Block) { b.Header.DataHash[0]++ }}, "the signature is wrong"},
	} {
		floor := n.block(c.blockOptions, n.envelope([]byte("x")))
		n.blocks = n.blocks[:1]
		want := Invalid
		switch name {
		case "a signature with a certificate":
			want = Unknown
		case "another last configuration":
			want = Incomplete
		}
		refused(t, name, n.verify(n.raw(n.configs(), floor)), want, c.why)
	}
}

// Chains of configurations that were cut, mixed, or made by who may not.
func TestConfigurationsThatDoNotFollow(t *testing.T) {
	n := testNetwork(t)
	first := n.blocks[0]
	second := n.configure(blockOptions{}, nil)
	n.block(blockOptions{}, n.envelope([]byte("x")))
	old := n.blocks[len(n.blocks)-1]
	third := n.configure(blockOptions{}, nil)
	floor := n.block(blockOptions{}, n.envelope([]byte("x")))
	if r := n.verify(n.raw(n.configs(), floor)); r.Result != Valid {
		t.Fatalf("%s", r.JSON())
	}
	stranger := testNetwork(t)
	strange := stranger.configure(blockOptions{}, nil)
	for name, c := range map[string]struct {
		config [][]byte
		floor  []byte
		want   Result
		why    string
	}{
		"none":                          {nil, floor, Incomplete, "left out"},
		"the last left out":             {[][]byte{first, second}, floor, Incomplete, "not among"},
		"one left out":                  {[][]byte{first, third}, floor, Invalid, "one was left out"},
		"the first left out":            {[][]byte{second, third}, floor, Invalid, "is pinned"},
		"another order":                 {[][]byte{first, third, second}, floor, Invalid, "one was left out"},
		"one twice":                     {[][]byte{first, second, second, third}, floor, Invalid, "comes after"},
		"of another network":            {[][]byte{first, strange}, floor, Invalid, "the signature is wrong"},
		"all of another network":        {stranger.configs(), floor, Invalid, "is pinned"},
		"one more than the floor knows": {n.configs(), old, Invalid, "goes on behind it"},
		"a block that is none":          {[][]byte{first, second, n.block(blockOptions{}, n.envelope([]byte("x")))}, floor, Invalid, "names"},
	} {
		if name == "a block that is none" {
			c.why = "signatures are those of a block whose configuration"
		}
		f := n.raw(c.config, c.floor)
		if len(c.config) == 0 {
			f.Config = nil
		}
		refused(t, name, n.verify(f), c.want, c.why)
	}

	f := n.raw(n.configs(), floor)
	f.Config[0] = n.bare(first, true)
	refused(t, "metadata of the pinned block", n.verify(f), Invalid, "which its hash does not cover")
	f = n.raw(n.configs(), floor)
	f.Config[1] = second
	refused(t, "metadata that nobody signs", n.verify(f), Invalid, "which nobody signs")
	f = n.raw(n.configs(), floor)
	f.Channel = "another"
	refused(t, "another channel", n.verify(f), Invalid, `of channel "waybill"`)
	r := Verify(n.raw(n.configs(), floor).Marshal(), Options{Genesis: bytes.Repeat([]byte{1}, 32)})
	refused(t, "another pin", r, Invalid, "is pinned")
}

// Blocks and configurations whose numbers say what they may not.
func TestConfigurationsOutOfPlace(t *testing.T) {
	n := testNetwork(t)
	n.configure(blockOptions{}, nil)
	config := n.configs()
	late := n.block(blockOptions{lastConfig: 1, number: 5}, n.envelope([]byte("x")))
	n.blocks = n.blocks[:2]

	under := n.block(blockOptions{number: 7, lastConfig: 1}, n.envelope([]byte("x")))
	n.blocks = n.blocks[:2]
	n.configure(blockOptions{number: 6}, nil)
	three := n.configs()
	refused(t, "a block under a configuration before the one in force", n.verify(n.raw(three, under)), Invalid, "was not in force then")
	n.blocks = n.blocks[:2]
	early := n.block(blockOptions{number: 1, lastConfig: 6}, n.envelope([]byte("x")))
	refused(t, "a block before its configuration", n.verify(n.raw(three, early)), Invalid, "was not in force then")
	n.blocks = n.blocks[:2]
	if r := n.verify(n.raw(config, late)); r.Result != Valid {
		t.Errorf("%s", r.JSON())
	}

	n.config.Sequence = 1
	n.configure(blockOptions{}, func(c *common.Config) { c.Sequence += 1 })
	refused(t, "a configuration that jumps", n.verify(n.raw(n.configs(), late)), Invalid, "one was left out")
	n.blocks, n.config.Sequence = n.blocks[:2], 1
	n.configure(blockOptions{lastConfig: 1}, nil)
	refused(t, "a configuration block of another configuration", n.verify(n.raw(n.configs(), late)), Invalid, "whose configuration is in block 1")
	n.blocks, n.config.Sequence = n.blocks[:2], 1
	n.configure(blockOptions{signers: n.quorum()[:2]}, nil)
	refused(t, "a configuration that two signed", n.verify(n.raw(n.configs(), late)), Invalid, "2 signatures")
	n.blocks, n.config.Sequence = n.blocks[:2], 1

	// A quorum signs another block of the configuration's number.
	n.blocks, n.config.Sequence = n.blocks[:1], 0
	n.configure(blockOptions{}, nil)
	config = n.configs()
	n.blocks = n.blocks[:1]
	twin := n.block(blockOptions{lastConfig: 1}, n.envelope([]byte("x")))
	refused(t, "another block of the configuration's number", n.verify(n.raw(config, twin)), Invalid, "another one than the configuration block")
}

// Configurations that a proof does not rest on: each is signed by a quorum.
func TestConfigurationsThatAreNotKnown(t *testing.T) {
	orderers := func(c *common.Config) *common.ConfigGroup { return c.GetChannelGroup().GetGroups()["Orderer"] }
	application := func(c *common.Config) *common.ConfigGroup {
		return c.GetChannelGroup().GetGroups()["Application"]
	}
	consenters := func(n *network, c *common.Config, change func(*common.Orderers)) {
		var list common.Orderers
		n.check(proto.Unmarshal(orderers(c).GetValues()["Orderers"].GetValue(), &list))
		change(&list)
		orderers(c).GetValues()["Orderers"].Value = n.marshal(&list)
	}
	mspOf := func(n *network, g *common.ConfigGroup, org string, change func(*msp.MSPConfig, *msp.FabricMSPConfig)) {
		v := g.GetGroups()[org].GetValues()["MSP"]
		var outer msp.MSPConfig
		var m msp.FabricMSPConfig
		n.check(proto.Unmarshal(v.GetValue(), &outer))
		n.check(proto.Unmarshal(outer.GetConfig(), &m))
		change(&outer, &m)
		outer.Config = n.marshal(&m)
		v.Value = n.marshal(&outer)
	}
	vendor := func(change func(*msp.FabricMSPConfig)) func(*network, *common.Config) {
		return func(n *network, c *common.Config) {
			mspOf(n, application(c), "VendorMSP", func(_ *msp.MSPConfig, m *msp.FabricMSPConfig) { change(m) })
		}
	}
	strangerCA := channeltest.Authority(t, "stranger")
	for name, c := range map[string]struct {
		change func(*network, *common.Config)
		want   Result
		why    string
	}{
		"no orderers":        {func(_ *network, c *common.Config) { delete(c.GetChannelGroup().GetGroups(), "Orderer") }, Invalid, "no group Orderer"},
		"no members":         {func(_ *network, c *common.Config) { delete(c.GetChannelGroup().GetGroups(), "Application") }, Invalid, "no group Application"},
		"no consensus":       {func(_ *network, c *common.Config) { delete(orderers(c).GetValues(), "ConsensusType") }, Invalid, "no ConsensusType"},
		"no list":            {func(_ *network, c *common.Config) { delete(orderers(c).GetValues(), "Orderers") }, Invalid, "no Orderers"},
		"no policy":          {func(_ *network, c *common.Config) { delete(orderers(c).GetPolicies(), "BlockValidation") }, Invalid, "no policy of blocks"},
		"a member without":   {func(_ *network, c *common.Config) { delete(application(c).GetGroups()["VendorMSP"].GetValues(), "MSP") }, Invalid, "no MSP"},
		"an orderer without": {func(_ *network, c *common.Config) { delete(orderers(c).GetGroups()["VendorMSP"].GetValues(), "MSP") }, Invalid, "no MSP"},
		"Raft": {func(n *network, c *common.Config) {
			orderers(c).GetValues()["ConsensusType"].Value = n.marshal(&orderer.ConsensusType{Type: "etcdraft"})
		}, Unknown, "which sign alone"},
		"any orderer signs": {func(n *network, c *common.Config) {
			orderers(c).GetPolicies()["BlockValidation"].Policy = &common.Policy{Type: 3, Value: []byte("ANY")}
		}, Unknown, "not a quorum of exactly its consenters"},
		"no consenters": {func(n *network, c *common.Config) {
			consenters(n, c, func(l *common.Orderers) { l.ConsenterMapping = nil })
		}, Invalid, "no consenters"},
		"two consenters of one id": {func(n *network, c *common.Config) {
			consenters(n, c, func(l *common.Orderers) { l.ConsenterMapping[1].Id = 1 })
		}, Invalid, "is there twice"},
		"two consenters of one certificate": {func(n *network, c *common.Config) {
			consenters(n, c, func(l *common.Orderers) { l.ConsenterMapping[1].Identity = l.ConsenterMapping[0].GetIdentity() })
		}, Invalid, "is there twice"},
		"a consenter of nobody": {func(n *network, c *common.Config) {
			consenters(n, c, func(l *common.Orderers) { l.ConsenterMapping[1].MspId = "RetailMSP" })
		}, Invalid, "no organisation that orders"},
		"a consenter without a certificate": {func(n *network, c *common.Config) {
			consenters(n, c, func(l *common.Orderers) { l.ConsenterMapping[1].Identity = nil })
		}, Invalid, "no PEM block"},
		"a consenter less, and the old policy": {func(n *network, c *common.Config) {
			consenters(n, c, func(l *common.Orderers) { l.ConsenterMapping = l.GetConsenterMapping()[:3] })
		}, Unknown, "not a quorum"},
		"an MSP twice": {func(n *network, c *common.Config) {
			application(c).GetGroups()["Second"] = application(c).GetGroups()["VendorMSP"]
		}, Invalid, "of two organisations"},
		"an MSP without an id": {vendor(func(m *msp.FabricMSPConfig) { m.Name = "" }), Invalid, "has no id"},
		"an MSP of another kind": {func(n *network, c *common.Config) {
			mspOf(n, application(c), "VendorMSP", func(o *msp.MSPConfig, _ *msp.FabricMSPConfig) { o.Type = 1 })
		}, Unknown, "an MSP of kind 1"},
		"a list of admins":    {vendor(func(m *msp.FabricMSPConfig) { m.Admins = m.GetRootCerts() }), Unknown, "list of admins"},
		"a root that is none": {vendor(func(m *msp.FabricMSPConfig) { m.RootCerts = [][]byte{[]byte("root")} }), Invalid, "no PEM block"},
		"an intermediate that is none": {vendor(func(m *msp.FabricMSPConfig) {
			m.IntermediateCerts = [][]byte{[]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")}
		}), Invalid, "intermediates of VendorMSP"},
		"an intermediate of another": {vendor(func(m *msp.FabricMSPConfig) {
			m.IntermediateCerts = [][]byte{[]byte(strangerCA.Below(t, "below").PEM())}
		}), Invalid, "intermediate \"below\" of VendorMSP"},
		"a list that is none": {vendor(func(m *msp.FabricMSPConfig) { m.RevocationList = [][]byte{[]byte("list")} }), Invalid, "no PEM block X509 CRL"},
		"a list that is broken": {vendor(func(m *msp.FabricMSPConfig) {
			m.RevocationList = [][]byte{[]byte("-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n")}
		}), Invalid, "revocation list of VendorMSP"},
		"no units":            {vendor(func(m *msp.FabricMSPConfig) { m.FabricNodeOus.Enable = false }), Unknown, "cannot be told from clients"},
		"a unit of two roles": {vendor(func(m *msp.FabricMSPConfig) { m.FabricNodeOus.PeerOuIdentifier.OrganizationalUnitIdentifier = "client" }), Invalid, "stands for two roles"},
		"a unit's certifier":  {vendor(func(m *msp.FabricMSPConfig) { m.FabricNodeOus.PeerOuIdentifier.Certificate = []byte("none") }), Invalid, "no PEM block"},
	} {
		n := testNetwork(t)
		n.configure(blockOptions{}, func(config *common.Config) { c.change(n, config) })
		floor := n.block(blockOptions{lastConfig: 1}, n.envelope([]byte("x")))
		refused(t, name, n.verify(n.raw([][]byte{n.blocks[0], n.blocks[1]}, floor)), c.want, c.why)
	}
}

// An orderer whose certificate is revoked signs nothing; one whose certificate ended goes on.
func TestOrderersThatAreRevoked(t *testing.T) {
	n := testNetwork(t)
	audit := n.orgs["AuditMSP"]
	list := []byte(audit.Enrolment.Revoke(t, audit.OrdererAgent.Cert))
	n.configure(blockOptions{}, func(c *common.Config) {
		v := c.GetChannelGroup().GetGroups()["Orderer"].GetGroups()["AuditMSP"].GetValues()["MSP"]
		var outer msp.MSPConfig
		var m msp.FabricMSPConfig
		n.check(proto.Unmarshal(v.GetValue(), &outer))
		n.check(proto.Unmarshal(outer.GetConfig(), &m))
		m.RevocationList = [][]byte{list}
		outer.Config = n.marshal(&m)
		v.Value = n.marshal(&outer)
	})
	floor := n.block(blockOptions{}, n.envelope([]byte("x")))
	refused(t, "a revoked orderer", n.verify(n.raw(n.configs(), floor)), Invalid, "not one of its organisation's")
	n.blocks = n.blocks[:2]
	others := append(n.quorum()[1:], signer{id: 4, pair: n.orgs["VendorMSP"].OrdererAgent})
	floor = n.block(blockOptions{signers: others}, n.envelope([]byte("x")))
	if r := n.verify(n.raw(n.configs(), floor)); r.Result != Valid {
		t.Errorf("%s", r.JSON())
	}
}
