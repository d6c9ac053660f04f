package proof

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/protobuf/proto"
)

// The status of a transaction, answered by who may not, or about another one.
func TestStatusesOfOtherTransactions(t *testing.T) {
	n := prepared(t, nil)
	other, otherID := n.make(n.act())
	otherEnvelope := n.envelope(other)
	for name, c := range map[string]struct {
		change func(*call)
		want   Result
		why    string
	}{
		"of another transaction": {func(s *call) { *s = n.status(otherEnvelope, otherID, 0) }, Invalid, "does not ask"},
		"another's answer":       {func(s *call) { s.response = n.status(otherEnvelope, otherID, 0).response }, Invalid, "the signature is wrong"},
		"another channel":        {func(s *call) { s.args[1] = []byte("another") }, Invalid, "does not ask"},
		"another function":       {func(s *call) { s.args[0] = []byte("GetBlockByTxID") }, Invalid, "does not ask"},
		"an argument more":       {func(s *call) { s.args = append(s.args, nil) }, Invalid, "does not ask"},
		"another chaincode":      {func(s *call) { s.chaincode = "waybill" }, Invalid, "does not ask"},
		"a status of 404":        {func(s *call) { s.status = 404 }, Invalid, "status 404"},
		"two organisations":      {func(s *call) { s.endorsers = s.endorsers[:2] }, Invalid, "want 3"},
		"a client":               {func(s *call) { s.endorsers[0].pair = n.orgs["AuditMSP"].client }, Invalid, "want a peer"},
		"the header of another":  {func(s *call) { s.header = func(h *common.ChannelHeader) { h.ChannelId = "another" } }, Invalid, `of channel "another"`},
		"to come":                {func(s *call) { s.at = n.at.Add(time.Hour) }, Invalid, "still to come"},
	} {
		f := n.transaction(n.act(), 0, c.change)
		refused(t, name, n.verify(f), c.want, c.why)
	}
	f := n.transaction(n.act(), 11, nil)
	if r := n.verify(f); r.Result != Valid || r.Exit() != 11 || r.Transaction.Status != "invalid: code 11" {
		t.Errorf("a transaction that peers found invalid: %s", r.JSON())
	}
	if r := Verify(f.Marshal(), Options{Genesis: n.pin(), At: n.at.Add(2 * time.Hour), MaxAge: time.Hour}); r.Result != Stale || r.Transaction == nil {
		t.Errorf("%s", r.JSON())
	}
}

// Transactions that are no transactions, and blocks that are others.
func TestTransactionsThatNobodyMade(t *testing.T) {
	n := prepared(t, nil)
	stranger := testNetwork(t)
	for name, c := range map[string]struct {
		change func(*call)
		why    string
	}{
		"of another channel": {func(c *call) { c.header = func(h *common.ChannelHeader) { h.ChannelId = "another" } }, `of channel "another"`},
		"by nobody":          {func(c *call) { c.creator = identityOf("RetailMSP", n.orgs["PlatformMSP"].client) }, "its creator"},
		"signed by another":  {func(c *call) { c.creator = identityOf("VendorMSP", n.orgs["VendorMSP"].client) }, "its creator: the signature is wrong"},
		"of two actions": {func(c *call) {
			c.tx = func(tx *peer.Transaction) { tx.Actions = append(tx.Actions, tx.GetActions()[0]) }
		}, "2 actions"},
		"of another proposal":  {func(c *call) { c.hash = bytes.Repeat([]byte{1}, 32) }, "another proposal"},
		"endorsed by stranger": {func(c *call) { c.endorsers[0].pair = stranger.orgs["AuditMSP"].peer }, "endorsement 0"},
		"endorsed twice":       {func(c *call) { c.endorsers[0] = c.endorsers[1] }, "the same peer"},
	} {
		a := n.act()
		c.change(&a)
		refused(t, name, n.verify(n.transaction(a, 0, nil)), Invalid, c.why)
	}
	two := n.act()
	two.endorsers = append(two.endorsers, endorser{msp: "VendorMSP", pair: n.orgs["VendorMSP"].issue(t, "second", "peer")})
	if r := n.verify(n.transaction(two, 0, nil)); r.Result != Valid || len(r.Transaction.Endorsers) != 3 {
		t.Errorf("two peers of one organisation: %s", r.JSON())
	}

	f := n.transaction(n.act(), 0, nil)
	if r := n.verify(f); r.Result != Valid || len(r.Transaction.Writes) != 2 || r.Transaction.Arguments[1][:1] != "(" {
		t.Fatalf("%s", r.JSON())
	}
	before := n.transaction(n.act(), 0, nil)
	change := func(name, why string, change func(*File)) {
		t.Helper()
		g := f
		change(&g)
		refused(t, name, n.verify(g), Invalid, why)
	}
	change("another id", "is not in block", func(g *File) { g.TransactionID = strings.Repeat("ab", 32) })
	change("another block", "is not in block", func(g *File) { g.Block, g.Floor = before.Block, before.Floor })
	change("another status", "does not ask", func(g *File) { g.Status = before.Status })
	change("a floor below", "higher than the floor", func(g *File) { g.Block, g.TransactionID = before.Block, before.TransactionID })
	change("a configuration block", "which the configuration chain proves", func(g *File) { g.Block = g.Config[0] })
	change("a block that is none", "common.Block", func(g *File) { g.Block = []byte{0xff} })
	change("a status that is none", "common.Payload", func(g *File) { g.Status = []byte{0xff} })

	// A quorum signs two blocks of a number.
	payload, id := n.make(n.act())
	envelope := n.envelope(payload)
	status, _ := n.make(n.status(envelope, id, 0))
	raw := n.block(blockOptions{}, envelope)
	n.blocks = n.blocks[:len(n.blocks)-1]
	twin := n.block(blockOptions{}, n.envelope([]byte("x")))
	g, err := NewTransaction("waybill", n.configs(), twin, raw, id, status)
	n.check(err)
	refused(t, "another block as the floor", n.verify(g), Invalid, "the floor is another block")

	raw = n.block(blockOptions{}, envelope, envelope)
	g, err = NewTransaction("waybill", n.configs(), raw, raw, id, status)
	n.check(err)
	refused(t, "a transaction twice", n.verify(g), Invalid, "in the block twice")
	payload, id = n.make(call{chaincode: "waybill", at: n.at, header: func(h *common.ChannelHeader) { h.Type = 2 }, results: n.act().results})
	envelope = n.envelope(payload)
	raw = n.block(blockOptions{}, envelope)
	g, err = NewTransaction("waybill", n.configs(), raw, raw, id, status)
	n.check(err)
	refused(t, "a transaction that calls nothing", n.verify(g), Invalid, "calls no chaincode")
}

// The hash of a block's data is that of all of them in a row: it could be cut elsewhere.
func TestBlocksCutElsewhere(t *testing.T) {
	n := prepared(t, nil)
	f := n.transaction(n.act(), 0, nil)
	var b common.Block
	n.check(proto.Unmarshal(f.Block, &b))
	data := b.GetData().GetData()
	whole := bytes.Join(data, nil)
	for name, c := range map[string]struct {
		data [][]byte
		why  string
	}{
		"one":            {[][]byte{whole}, "again, or out of order"},
		"a byte further": {[][]byte{whole[:len(data[0])+1], whole[len(data[0])+1:]}, "transaction 0"},
		"an empty one":   {[][]byte{data[0], {}, data[1]}, "no payload or no signature"},
		"nothing":        {nil, "the data are not those of its header"},
		"another order":  {[][]byte{data[1], data[0]}, "the data are not those of its header"},
		"one left out":   {data[:1], "the data are not those of its header"},
		"one added":      {append(data[:2:2], data[0]), "the data are not those of its header"},
		"payload, apart": {[][]byte{whole[:len(data[0])], whole[len(data[0]) : len(data[0])+4], whole[len(data[0])+4:]}, "transaction 1"},
	} {
		b.Data.Data = c.data
		f.Block = n.marshal(&b)
		refused(t, name, n.verify(f), Invalid, c.why)
	}
	empty := n.block(blockOptions{})
	f.Block = n.bare(empty, true)
	refused(t, "a block of nothing", n.verify(f), Invalid, "it is empty")
}

// The answer of the peers as a file holds it, taken apart further down.
func TestStatusesThatAreNotWhole(t *testing.T) {
	n := prepared(t, nil)
	f := n.transaction(n.act(), 0, nil)
	var p common.Payload
	var tx peer.Transaction
	var cap peer.ChaincodeActionPayload
	var prp peer.ProposalResponsePayload
	var action peer.ChaincodeAction
	n.check(proto.Unmarshal(f.Status, &p))
	n.check(proto.Unmarshal(p.GetData(), &tx))
	n.check(proto.Unmarshal(tx.GetActions()[0].GetPayload(), &cap))
	n.check(proto.Unmarshal(cap.GetAction().GetProposalResponsePayload(), &prp))
	n.check(proto.Unmarshal(prp.GetExtension(), &action))
	with := func(prpBytes []byte) File {
		g := f
		cap.Action.ProposalResponsePayload = prpBytes
		tx.Actions[0].Payload = n.marshal(&cap)
		p.Data = n.marshal(&tx)
		g.Status = n.marshal(&p)
		return g
	}
	extension := func(b []byte) []byte {
		return n.marshal(&peer.ProposalResponsePayload{ProposalHash: prp.GetProposalHash(), Extension: b})
	}
	response := func(b []byte) []byte {
		a := proto.Clone(&action).(*peer.ChaincodeAction)
		a.Response.Payload = b
		return extension(n.marshal(a))
	}
	refused(t, "no answer", n.verify(with([]byte{0xff})), Invalid, "protos.ProposalResponsePayload")
	refused(t, "no action", n.verify(with(extension([]byte{0xff}))), Invalid, "protos.ChaincodeAction")
	refused(t, "no response", n.verify(with(extension([]byte{0x1a, 1, 0xff}))), Invalid, "protos.Response")
	refused(t, "no transaction", n.verify(with(response([]byte{0xff}))), Invalid, "protos.ProcessedTransaction")
	refused(t, "the transaction in it", n.verify(with(response(n.marshal(&peer.ProcessedTransaction{TransactionEnvelope: &common.Envelope{}})))), Invalid, "left out of a file")
	refused(t, "another code", n.verify(with(response(n.marshal(&peer.ProcessedTransaction{ValidationCode: 1})))), Invalid, "the signature is wrong")
}

func TestConfigurationBesideTheFile(t *testing.T) {
	n := prepared(t, nil)
	f := n.receipt(n.question())
	config, err := NewConfig("waybill", n.configs())
	n.check(err)
	n.configure(blockOptions{}, nil)
	longer, err := NewConfig("waybill", n.configs())
	n.check(err)
	stranger := testNetwork(t)
	strange, err := NewConfig("waybill", stranger.configs())
	n.check(err)
	bare := f
	bare.Config = nil
	for name, c := range map[string]struct {
		file   File
		beside []byte
		want   Result
		why    string
	}{
		"in the file":                     {f, nil, Valid, ""},
		"beside":                          {bare, config.Marshal(), Valid, ""},
		"in both":                         {f, config.Marshal(), Valid, ""},
		"beside, and longer":              {bare, longer.Marshal(), Valid, ""},
		"in both, and longer beside":      {f, longer.Marshal(), Valid, ""},
		"nowhere":                         {bare, nil, Incomplete, "left out"},
		"no configuration beside":         {bare, f.Marshal(), Invalid, "is of kind receipt"},
		"nothing that can be read beside": {bare, []byte("{"), Invalid, "the file of configuration blocks"},
		"another network's beside":        {bare, strange.Marshal(), Invalid, "is pinned"},
		"another version beside":          {bare, []byte(`{"version":2}`), Unknown, "version 2"},
	} {
		r := Verify(c.file.Marshal(), Options{Genesis: n.pin(), Config: c.beside})
		if c.want == Valid {
			if r.Result != Valid {
				t.Errorf("%s: %s", name, r.JSON())
			}
			continue
		}
		refused(t, name, r, c.want, c.why)
	}
	broken := f
	broken.Config = [][]byte{{0xff}}
	refused(t, "a broken one in the file", Verify(broken.Marshal(), Options{Genesis: n.pin(), Config: config.Marshal()}), Invalid, "common.Block")

	// Who is removed from the channel by a configuration that the reader knows endorses nothing any more.
	n.configure(blockOptions{}, func(c *common.Config) {
		delete(c.GetChannelGroup().GetGroups()["Application"].GetGroups(), "VendorMSP")
	})
	longer, err = NewConfig("waybill", n.configs())
	n.check(err)
	refused(t, "an organisation that left", Verify(f.Marshal(), Options{Genesis: n.pin(), Config: longer.Marshal()}), Invalid, "no member of the channel")
}
