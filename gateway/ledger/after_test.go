package ledger

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/gateway"
	"google.golang.org/protobuf/proto"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/block"
)

func TestBlocksAreCountedOn(t *testing.T) {
	header := strings.Repeat("07", 32)
	after := After{Channel: "old", Height: 9, Header: header}
	named := provenance.Predecessor{Channel: "old", Height: 9, Header: header}
	c := &Client{config: Config{Channel: "new", After: after}}
	got, err := c.counted(block.Block{Number: 0, After: &named})
	if err != nil || got.Number != 9 || hex.EncodeToString(got.PreviousHash) != header {
		t.Errorf("block %d after %x, %v", got.Number, got.PreviousHash, err)
	}
	if got, err = c.counted(block.Block{Number: 3, PreviousHash: []byte("p")}); err != nil || got.Number != 12 || string(got.PreviousHash) != "p" {
		t.Errorf("block %d after %q, %v", got.Number, got.PreviousHash, err)
	}
	for what, change := range map[string]func(*provenance.Predecessor){
		"another channel": func(p *provenance.Predecessor) { p.Channel = "other" }, "another height": func(p *provenance.Predecessor) { p.Height++ },
		"another block": func(p *provenance.Predecessor) { p.Header = strings.Repeat("08", 32) },
	} {
		other := named
		change(&other)
		if _, err := c.counted(block.Block{After: &other}); provenance.CodeOf(err) != provenance.Internal {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := c.counted(block.Block{}); provenance.CodeOf(err) != provenance.Internal {
		t.Errorf("a first block that goes on from none: %v", err)
	}
	if b, err := (&Client{}).counted(block.Block{Number: 4}); err != nil || b.Number != 4 {
		t.Errorf("a channel that goes on from none: block %d, %v", b.Number, err)
	}
}

// TestImportedSegmentsAreNotToldTwice: the channel before told of them.
func TestImportedSegmentsAreNotToldTwice(t *testing.T) {
	c := &Client{config: Config{After: After{Channel: "old", Height: 9, Header: strings.Repeat("07", 32)}}}
	writes := func() []block.Write {
		return []block.Write{{Key: state.JournalKey(testTime, "reg.example", "VendorMSP", "l", 1)}, {Key: state.ClockKey()}}
	}
	b, err := c.counted(block.Block{Number: 1, Txs: []block.Tx{{Function: ImportFunction, Writes: writes()}, {Function: "record:Segment", Writes: writes()}}})
	if err != nil || len(b.Txs[0].Writes) != 1 || len(b.Txs[1].Writes) != 2 {
		t.Errorf("%+v, %v", b, err)
	}
}

// TestForeignEnvelopes: what was sealed for the channel before is not sent for ever.
func TestForeignEnvelopes(t *testing.T) {
	sealed := func(channel string) Endorsed {
		must := func(m proto.Message) []byte {
			raw, err := proto.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			return raw
		}
		payload := must(&common.Payload{Header: &common.Header{ChannelHeader: must(&common.ChannelHeader{ChannelId: channel})}})
		return Endorsed{Bytes: must(&gateway.PreparedTransaction{Envelope: &common.Envelope{Payload: payload}})}
	}
	c := &Client{config: Config{Channel: "new"}}
	for channel, want := range map[string]bool{"new": false, "old": true} {
		if got, err := c.foreign(sealed(channel)); err != nil || got != want {
			t.Errorf("%s: %t, %v", channel, got, err)
		}
	}
	if _, err := c.foreign(Endorsed{Bytes: bytes.Repeat([]byte{255}, 9)}); err == nil {
		t.Error("bytes that are none")
	}
}
