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
	if err := f.CheckLater(genesis, later(9, audit, me)); err != nil {
		t.Errorf("voted in later: %v", err)
	}
	for name, err := range map[string]error{
		"not voted in":            f.CheckLater(genesis, later(9, audit)),
		"an impostor voted in":    f.CheckLater(genesis, later(9, audit, impostor)),
		"the first block again":   f.CheckLater(genesis, later(0, audit, me)),
		"no first block":          f.CheckLater(later(8, audit), later(9, audit, me)),
		"of another channel":      f.CheckLater(found(t, "other", nil, audit), later(9, audit, me)),
		"another's configuration": f.CheckLater(genesis, found(t, "other", func(b *common.Block) { b.Header.Number = 9 }, audit, me)),
	} {
		if err == nil {
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

// consenters is a block in which vendor's consenter is changed, with a header that fits.
func consenters(t *testing.T, change func(*common.Consenter), orgs ...channel.Descriptor) []byte {
	t.Helper()
	return found(t, "waybill", func(b *common.Block) {
		envelope, payload, config, orderers := &common.Envelope{}, &common.Payload{}, &common.ConfigEnvelope{}, &common.Orderers{}
		read := func(raw []byte, into proto.Message) {
			if err := proto.Unmarshal(raw, into); err != nil {
				t.Fatal(err)
			}
		}
		read(b.Data.Data[0], envelope)
		read(envelope.Payload, payload)
		read(payload.Data, config)
		value := config.Config.ChannelGroup.Groups["Orderer"].Values["Orderers"]
		read(value.Value, orderers)
		for _, c := range orderers.ConsenterMapping {
			if c.MspId == "VendorMSP" {
				change(c)
			}
		}
		written := func(m proto.Message) []byte {
			raw, err := proto.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			return raw
		}
		value.Value = written(orderers)
		payload.Data = written(config)
		envelope.Payload = written(payload)
		b.Data.Data[0] = written(envelope)
		b.Header.DataHash = dataHash(b.Data.Data[0])
	}, orgs...)
}
