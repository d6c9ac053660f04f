package channel_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/waybill-dev/waybill/network/channel"
	"github.com/waybill-dev/waybill/network/channel/channeltest"
)

func four(t *testing.T) []channel.Descriptor {
	t.Helper()
	var out []channel.Descriptor
	for i, name := range []string{"vendor", "security", "platform", "audit"} {
		out = append(out, channeltest.New(t, name, 7000+10*i).Descriptor)
	}
	return out
}

func found(t *testing.T, orgs []channel.Descriptor) []byte {
	t.Helper()
	block, err := channel.Found(channel.Parameters{}, orgs)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := proto.Marshal(block)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// Everybody makes the block, and all have the same.
func TestFoundIsDeterministic(t *testing.T) {
	orgs := four(t)
	first := found(t, orgs)
	for range 20 {
		slices.Reverse(orgs)
		if !bytes.Equal(first, found(t, orgs)) {
			t.Fatal("the same descriptors, another block")
		}
		orgs[0], orgs[2] = orgs[2], orgs[0]
	}
	orgs[1].Peer.Port = 9999
	if bytes.Equal(first, found(t, orgs)) {
		t.Error("another port, and the same block")
	}
}

func TestFoundRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		change func([]channel.Descriptor) []channel.Descriptor
		want   string
	}{
		"nobody":      {func([]channel.Descriptor) []channel.Descriptor { return nil }, "0 organisations"},
		"one twice":   {func(o []channel.Descriptor) []channel.Descriptor { return append(o, o[0]) }, "the same"},
		"an MSP id":   {func(o []channel.Descriptor) []channel.Descriptor { o[1].MSPID = o[0].MSPID; return o }, "MSP id"},
		"a name":      {func(o []channel.Descriptor) []channel.Descriptor { o[1].Name = o[0].Name; return o }, "same name"},
		"a root":      {func(o []channel.Descriptor) []channel.Descriptor { o[1].Roots = o[0].Roots; return o }, "same authority"},
		"a TLS root":  {func(o []channel.Descriptor) []channel.Descriptor { o[1].TLSRoots = o[0].TLSRoots; return o }, "same authority"},
		"as TLS root": {func(o []channel.Descriptor) []channel.Descriptor { o[1].TLSRoots = o[0].Roots; return o }, "same authority"},
		"as intermediate": {func(o []channel.Descriptor) []channel.Descriptor {
			o[1].Intermediates = o[0].Roots
			return o
		}, "same authority"},
		"a peer's address": {func(o []channel.Descriptor) []channel.Descriptor { o[1].Peer = o[0].Peer; return o }, "same endpoint"},
		"an orderer's":     {func(o []channel.Descriptor) []channel.Descriptor { o[1].Peer = o[0].Orderer.Endpoint(); return o }, "same endpoint"},
		"no orderer": {func(o []channel.Descriptor) []channel.Descriptor {
			for i := range o {
				o[i].Orderer = nil
			}
			return o
		}, "no organisation runs an orderer"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := channel.Found(channel.Parameters{}, c.change(four(t)))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v; want %q", err, c.want)
			}
		})
	}
	for _, p := range []channel.Parameters{{Channel: "Way/bill"}, {BatchTimeout: -1}, {BatchInterval: 1 << 60}, {MaxMessageCount: 1 << 31}, {AbsoluteMaxBytes: 1}, {PreferredMaxBytes: 1 << 31}} {
		if _, err := channel.Found(p, four(t)); err == nil {
			t.Errorf("%+v: accepted", p)
		}
	}
}

// An authority that crosses over: a certificate of the other's key, made by one's own root.
func TestFoundRefusesACrossSignedAuthority(t *testing.T) {
	vendor, rogue := channeltest.New(t, "vendor", 7000), channeltest.New(t, "rogue", 7100)
	crossed := channeltest.Reissue(t, &rogue.Enrolment, vendor.Enrolment.Key, channeltest.AsAuthority("vendor enrolment CA"))
	rogue.Descriptor.Intermediates = []string{crossed.PEM()}
	d, err := channel.Open(rogue.File(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := channel.Found(channel.Parameters{}, []channel.Descriptor{vendor.Descriptor, d}); err == nil || !strings.Contains(err.Error(), "same authority") {
		t.Error(err)
	}
}
