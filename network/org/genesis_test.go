package org

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"google.golang.org/protobuf/proto"

	"github.com/waybill-dev/waybill/network/channel"
)

func found(t *testing.T, name string, change func(*common.Block), orgs ...channel.Descriptor) []byte {
	t.Helper()
	block, err := channel.Found(channel.Parameters{Channel: name}, orgs)
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(block)
	}
	raw, err := proto.Marshal(block)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func describe(t *testing.T, name, host string) channel.Descriptor {
	t.Helper()
	f, err := Create(t.Context(), filepath.Join(t.TempDir(), name), testSpec(name, host), Options{})
	if err != nil {
		t.Fatal(err)
	}
	d, err := f.Descriptor()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// An organisation takes no first block in which it is not as it says itself.
func TestGenesisOfOthers(t *testing.T) {
	f := testFolder(t)
	me, err := f.Descriptor()
	if err != nil {
		t.Fatal(err)
	}
	audit, impostor := describe(t, "audit", "127.0.0.3"), describe(t, "vendor", "127.0.0.2")
	moved, borrowed, idle := me, me, me
	moved.Peer.Port++
	orderer := *impostor.Orderer
	orderer.Host = "127.0.0.4"
	borrowed.Orderer = &orderer
	idle.Orderer = nil
	if err := f.CheckGenesis(found(t, "waybill", nil, audit, me)); err != nil {
		t.Errorf("its own: %v", err)
	}
	for name, c := range map[string]struct {
		raw  []byte
		want string
	}{
		"without it":           {found(t, "waybill", nil, audit), "VendorMSP is not in the block as its own descriptor says"},
		"another's roots":      {found(t, "waybill", nil, audit, impostor), "VendorMSP is not in the block as its own descriptor says"},
		"another address":      {found(t, "waybill", nil, audit, moved), "(Application)"},
		"another's orderer":    {found(t, "waybill", nil, audit, borrowed), "(Orderer)"},
		"without its orderer":  {found(t, "waybill", nil, audit, idle), "(Orderer)"},
		"of another channel":   {found(t, "other", nil, audit, me), `of channel "other"`},
		"a later block":        {found(t, "waybill", func(b *common.Block) { b.Header.Number = 7 }, audit, me), "block 7 is not a channel's first"},
		"another's content":    {found(t, "waybill", func(b *common.Block) { b.Header.DataHash[0]++ }, audit, me), "not of its content"},
		"two transactions":     {found(t, "waybill", func(b *common.Block) { b.Data.Data = append(b.Data.Data, nil) }, audit, me), "2 transactions"},
		"no block":             {[]byte("genesis"), "not a block"},
		"nothing":              {nil, "0 transactions"},
		"a consenter replaced": {consenters(t, func(c *common.Consenter) { c.Port++ }, audit, me), "not among the block's consenters"},
		"another certificate":  {consenters(t, func(c *common.Consenter) { c.Identity = []byte(audit.Orderer.Identity) }, audit, me), "not among the block's consenters"},
	} {
		if err := f.CheckGenesis(c.raw); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
	genesis := found(t, "waybill", nil, audit)
	later := func(number uint64, orgs ...channel.Descriptor) []byte {
		return found(t, "waybill", func(b *common.Block) { b.Header.Number = number }, orgs...)
	}
	if consenter, err := f.CheckLater(genesis, later(9, audit, me)); err != nil || !consenter {
		t.Errorf("voted in later: %t, %v", consenter, err)
	}
	// Between the two votes the organisation is in the channel, and its orderer is no consenter yet.
	if consenter, err := f.CheckLater(genesis, votedIn(t, me, audit)); err != nil || consenter {
		t.Errorf("voted in, its orderer not: %t, %v", consenter, err)
	}
	for name, blocks := range map[string][2][]byte{
		"not voted in":                {genesis, later(9, audit)},
		"an impostor voted in":        {genesis, later(9, audit, impostor)},
		"an impostor, and no orderer": {genesis, votedIn(t, impostor, audit)},
		"another's orderer":           {genesis, later(9, audit, borrowed)},
		"at another address":          {genesis, votedIn(t, moved, audit)},
		"the first block again":       {genesis, later(0, audit, me)},
		"no first block":              {later(8, audit), later(9, audit, me)},
		"of another channel":          {found(t, "other", nil, audit), later(9, audit, me)},
		"another's configuration":     {genesis, found(t, "other", func(b *common.Block) { b.Header.Number = 9 }, audit, me)},
	} {
		if _, err := f.CheckLater(blocks[0], blocks[1]); err == nil {
			t.Errorf("later, %s: taken", name)
		}
	}
	if err := f.keepGenesis(t.Context(), []byte("one"), false); err != nil {
		t.Fatal(err)
	}
	if err := f.keepGenesis(t.Context(), []byte("two"), false); err == nil || !strings.Contains(err.Error(), "another first block") {
		t.Errorf("a second one: %v", err)
	}
}

// votedIn is a later block, with the configuration in which an organisation was let in and its orderer is no consenter.
func votedIn(t *testing.T, d channel.Descriptor, founders ...channel.Descriptor) []byte {
	t.Helper()
	return reconfigured(t, func(b *common.Block, config *common.ConfigEnvelope) {
		b.Header.Number = 9
		var err error
		if config.Config, err = channel.AddOrg(d)(config.Config); err != nil {
			t.Fatal(err)
		}
	}, founders...)
}

func decoded(t *testing.T, raw []byte, into proto.Message) {
	t.Helper()
	if err := proto.Unmarshal(raw, into); err != nil {
		t.Fatal(err)
	}
}

func written(t *testing.T, m proto.Message) []byte {
	t.Helper()
	raw, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// consenters is a block in which vendor's consenter is changed, with a header that fits.
func consenters(t *testing.T, change func(*common.Consenter), orgs ...channel.Descriptor) []byte {
	t.Helper()
	return reconfigured(t, func(_ *common.Block, config *common.ConfigEnvelope) {
		orderers := &common.Orderers{}
		value := config.Config.ChannelGroup.Groups["Orderer"].Values["Orderers"]
		decoded(t, value.Value, orderers)
		for _, c := range orderers.ConsenterMapping {
			if c.MspId == "VendorMSP" {
				change(c)
			}
		}
		value.Value = written(t, orderers)
	}, orgs...)
}

// reconfigured is a block whose configuration is changed, with a header that fits.
func reconfigured(t *testing.T, change func(*common.Block, *common.ConfigEnvelope), orgs ...channel.Descriptor) []byte {
	t.Helper()
	return found(t, "waybill", func(b *common.Block) {
		envelope, payload, config := &common.Envelope{}, &common.Payload{}, &common.ConfigEnvelope{}
		decoded(t, b.Data.Data[0], envelope)
		decoded(t, envelope.Payload, payload)
		decoded(t, payload.Data, config)
		change(b, config)
		payload.Data = written(t, config)
		envelope.Payload = written(t, payload)
		b.Data.Data[0] = written(t, envelope)
		b.Header.DataHash = dataHash(b.Data.Data[0])
	}, orgs...)
}
