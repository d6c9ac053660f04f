package proof

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/msp"
	"google.golang.org/protobuf/proto"
)

// unknownField is a field that no message has.
var unknownField = []byte{0x98, 0x06, 0x01}

// Every message of a configuration, with a field that is not known: a quorum signed it all the same.
func TestConfigurationsWithMessagesThatCannotBeRead(t *testing.T) {
	spoil := func(m proto.Message) { m.ProtoReflect().SetUnknown(unknownField) }
	orderers := func(c *common.Config) *common.ConfigGroup { return c.GetChannelGroup().GetGroups()["Orderer"] }
	members := func(c *common.Config) *common.ConfigGroup { return c.GetChannelGroup().GetGroups()["Application"] }
	vendor := func(n *network, c *common.Config, change func(*msp.MSPConfig, *msp.FabricMSPConfig)) {
		v := members(c).GetGroups()["VendorMSP"].GetValues()["MSP"]
		var outer msp.MSPConfig
		var m msp.FabricMSPConfig
		n.check(proto.Unmarshal(v.GetValue(), &outer))
		n.check(proto.Unmarshal(outer.GetConfig(), &m))
		change(&outer, &m)
		outer.Config = n.marshal(&m)
		v.Value = n.marshal(&outer)
	}
	for what, change := range map[string]func(*network, *common.Config){
		"common.Config":                         func(_ *network, c *common.Config) { spoil(c) },
		"common.ConfigGroup":                    func(_ *network, c *common.Config) { spoil(c.GetChannelGroup()) },
		"common.ConfigGroup of an organisation": func(_ *network, c *common.Config) { spoil(members(c).GetGroups()["VendorMSP"]) },
		"common.ConfigGroup of members":         func(_ *network, c *common.Config) { spoil(members(c)) },
		"common.ConfigGroup of orderers":        func(_ *network, c *common.Config) { spoil(orderers(c)) },
		"common.ConfigValue":                    func(_ *network, c *common.Config) { spoil(orderers(c).GetValues()["ConsensusType"]) },
		"common.ConfigPolicy":                   func(_ *network, c *common.Config) { spoil(orderers(c).GetPolicies()["BlockValidation"]) },
		"orderer.ConsensusType":                 func(_ *network, c *common.Config) { orderers(c).GetValues()["ConsensusType"].Value = unknownField },
		"common.Orderers":                       func(_ *network, c *common.Config) { orderers(c).GetValues()["Orderers"].Value = unknownField },
		"common.Consenter": func(n *network, c *common.Config) {
			orderers(c).GetValues()["Orderers"].Value = message{}.parts(1, [][]byte{unknownField})
		},
		"msp.MSPConfig": func(n *network, c *common.Config) {
			vendor(n, c, func(o *msp.MSPConfig, _ *msp.FabricMSPConfig) { spoil(o) })
		},
		"msp.FabricMSPConfig": func(n *network, c *common.Config) {
			vendor(n, c, func(_ *msp.MSPConfig, m *msp.FabricMSPConfig) { spoil(m) })
		},
		"msp.FabricNodeOUs": func(n *network, c *common.Config) {
			vendor(n, c, func(_ *msp.MSPConfig, m *msp.FabricMSPConfig) { spoil(m.GetFabricNodeOus()) })
		},
		"msp.FabricOUIdentifier": func(n *network, c *common.Config) {
			vendor(n, c, func(_ *msp.MSPConfig, m *msp.FabricMSPConfig) { spoil(m.GetFabricNodeOus().GetPeerOuIdentifier()) })
		},
	} {
		n := testNetwork(t)
		n.configure(blockOptions{}, func(c *common.Config) { change(n, c) })
		what, _, _ = strings.Cut(what, " of ")
		floor := n.block(blockOptions{lastConfig: 1}, n.envelope([]byte("x")))
		refused(t, what, n.verify(n.raw(n.blocks[:2], floor)), Invalid, what+": a field that is not known")
	}
	// What no decoder of Fabric's can be made to write.
	for what, b := range map[string][]byte{
		"map":            message{}.parts(2, [][]byte{unknownField}),
		"is there twice": message{}.parts(2, [][]byte{message{}.bytes(1, []byte("a")).part(2, []byte{}), message{}.bytes(1, []byte("a")).part(2, []byte{})}),
	} {
		if _, err := parseGroup(b); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
	k := &block{configuresIt: true, data: [][]byte{message{}.bytes(1, message{}.part(1, []byte{}).bytes(2, unknownField))}}
	if _, err := parseConfiguration(k); err == nil || !strings.Contains(err.Error(), "common.ConfigEnvelope") {
		t.Error(err)
	}
}

// Every message of a receipt and of a transaction's proof in turn, with bytes that are no message.
func TestFilesWithMessagesThatCannotBeRead(t *testing.T) {
	n := prepared(t, nil)
	for name, f := range map[string]File{"receipt": n.receipt(n.question()), "transaction": n.transaction(n.act(), 0, nil)} {
		for part, put := range partsOf(f) {
			put(func(b []byte) []byte {
				broken(t, messageOf(part), b, func(what string, changed []byte) {
					r := n.verify(put(func([]byte) []byte { return changed }))
					if r.Result != Invalid {
						t.Errorf("%s %s: %s: %s", name, part, what, r.Result)
					}
				})
				return b
			})
		}
	}
}

// broken hands out a message with each of those within it in turn as bytes that are none.
func broken(t *testing.T, what string, b []byte, out func(what string, changed []byte)) {
	out(what, unknownField)
	list := wireFields(t, b)
	for i, f := range list {
		within := nested[what+"."+string(rune('0'+f.number))]
		if what == "common.Payload" && f.number == 2 {
			within = inPayload(b)
		}
		if within == "" || len(f.bytes) == 0 {
			continue
		}
		broken(t, within, f.bytes, func(what string, changed []byte) {
			all := append([]wireField{}, list...)
			all[i].bytes = changed
			out(what, encodeFields(all))
		})
	}
}

// A block whose data hash is right, and whose data cannot be read.
func TestBlocksWhoseDataAreNone(t *testing.T) {
	n := prepared(t, nil)
	f := n.transaction(n.act(), 0, nil)
	f.Block = n.bare(n.block(blockOptions{}, unknownField), true)
	refused(t, "an envelope that is none", n.verify(f), Invalid, "common.Envelope")
	for what, b := range map[string][]byte{
		"kvrwset.KVRWSet":      message{}.bytes(1, []byte("n")).bytes(2, unknownField),
		"kvrwset.KVRead":       message{}.bytes(1, []byte("n")).bytes(2, message{}.parts(1, [][]byte{unknownField})),
		"kvrwset.Version":      message{}.bytes(1, []byte("n")).bytes(2, message{}.parts(1, [][]byte{message{}.part(2, unknownField)})),
		"kvrwset.KVWrite":      message{}.bytes(1, []byte("n")).bytes(2, message{}.parts(3, [][]byte{unknownField})),
		"rwset.NsReadWriteSet": unknownField,
	} {
		if _, err := parseNamespace(b); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestFilesOfOtherKinds(t *testing.T) {
	n := prepared(t, nil)
	receipt, transaction := n.receipt(n.question()), n.transaction(n.act(), 0, nil)
	config, err := NewConfig("waybill", n.configs())
	n.check(err)
	for name, c := range map[string]struct {
		file   File
		change func(*File)
		want   Result
		why    string
	}{
		"a receipt without a floor":        {receipt, func(f *File) { f.Floor = nil }, Invalid, "a receipt has a floor"},
		"a receipt without a transaction":  {receipt, func(f *File) { f.Transaction = nil }, Invalid, "a receipt has a floor"},
		"a receipt with a status":          {receipt, func(f *File) { f.Status = []byte{1} }, Invalid, "a receipt has a floor"},
		"a transaction without its block":  {transaction, func(f *File) { f.Block = nil }, Invalid, "a transaction's proof has"},
		"a transaction without its status": {transaction, func(f *File) { f.Status = nil }, Invalid, "a transaction's proof has"},
		"a transaction with a receipt's":   {transaction, func(f *File) { f.Transaction = []byte{1} }, Invalid, "a transaction's proof has"},
		"a configuration with a floor":     {config, func(f *File) { f.Floor = receipt.Floor }, Invalid, "has these alone"},
		"a configuration without blocks":   {config, func(f *File) { f.Config = nil }, Invalid, "has these alone"},
		"a kind to come":                   {receipt, func(f *File) { f.Kind = "checkpoint" }, Unknown, `kind "checkpoint"`},
		"no channel":                       {receipt, func(f *File) { f.Channel = "" }, Invalid, "names no channel"},
		"too many configurations":          {receipt, func(f *File) { f.Config = make([][]byte, MaxConfig+1) }, Invalid, "at most 1024"},
		"a version to come":                {receipt, func(f *File) { f.Version = 2 }, Unknown, "version 2"},
	} {
		f := c.file
		c.change(&f)
		refused(t, name, n.verify(f), c.want, c.why)
	}
	if r := n.verify(config); r.Result != Valid || r.Exit() != 0 {
		t.Errorf("%s", r.JSON())
	}
	refused(t, "too large", Verify(make([]byte, MaxFile+1), Options{}), Invalid, "at most")
	refused(t, "no JSON", Verify([]byte("x"), Options{}), Invalid, "no proof's file")
	refused(t, "no version", Verify([]byte("{}"), Options{}), Invalid, "it has no version")
	refused(t, "another type", Verify([]byte(`{"version":1,"kind":1}`), Options{}), Invalid, "no proof's file")
}

func TestReportsForPeople(t *testing.T) {
	n := prepared(t, nil)
	q := n.question()
	q.response = bytes.Replace(q.response, []byte(`"reasons":[]`), []byte(`"reasons":[{"rule":"recorded","outcome":"satisfied","detail":"pushed\u001b[2J"}]`), 1)
	keys := testReads()
	keys[key("hold", testDigest, "VendorMSP")] = 8
	q.results = n.results("waybill", keys)
	for name, c := range map[string]struct {
		r    Report
		want []string
	}{
		"a receipt":     {n.verify(n.receipt(q)), []string{"VALID", "ALLOWED", "production", "recorded: satisfied: pushed\uFFFD[2J", "VendorMSP (block 8, transaction 0)", "no quarantine of the image by AuditMSP", "not proven"}},
		"a transaction": {n.verify(n.transaction(n.act(), 0, nil)), []string{"VALID", "status    valid", "quarantine:Set", "wrote     waybill:", "argument"}},
		"a failure":     {n.verify(File{Version: 1, Kind: KindReceipt}), []string{"INVALID", "NO  file"}},
	} {
		var b bytes.Buffer
		if err := c.r.WriteText(&b); err != nil {
			t.Fatal(err)
		}
		for _, want := range c.want {
			if !strings.Contains(b.String(), want) {
				t.Errorf("%s: no %q in\n%s", name, want, b.String())
			}
		}
		if strings.Contains(b.String(), "\x1b") {
			t.Errorf("%s: it writes to the terminal what somebody else wrote", name)
		}
	}
	if err := (Report{}).WriteText(failing{}); err == nil {
		t.Error("a report that nobody read")
	}
	if got := (Report{}).Exit(); got != 15 {
		t.Errorf("a report of nothing: exit %d", got)
	}
	if got := (Report{Result: Unknown}).Exit(); got != 17 {
		t.Errorf("unknown: exit %d", got)
	}
	if got := (Report{Result: Incomplete}).Exit(); got != 16 {
		t.Errorf("incomplete: exit %d", got)
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errors.New("full") }

func TestWhatNoFileIsMadeOf(t *testing.T) {
	n := prepared(t, nil)
	payload, _ := n.make(n.question())
	floor := n.blocks[len(n.blocks)-1]
	bad := []byte{0xff}
	header := func(b []byte) []byte { return message{}.part(1, b) }
	unsigned := n.bare(floor, false)
	var spoiled common.Block
	n.check(proto.Unmarshal(floor, &spoiled))
	spoiled.Metadata.Metadata[0] = bad
	status, _ := n.make(n.status(n.envelope(payload), "id", 0))
	noAnswer := n.question()
	noAnswer.response = bad
	other, _ := n.make(noAnswer)
	twisted := func(endorsement []byte) []byte {
		c, err := parseInvocation(payload)
		n.check(err)
		header := message{}.bytes(1, c.header).bytes(2, c.signatureHeader)
		action := message{}.bytes(1, c.signatureHeader).bytes(2, message{}.bytes(1, c.action.one(1)).part(2, message{}.bytes(1, c.response).parts(2, [][]byte{endorsement})))
		return message{}.part(1, header).bytes(2, message{}.parts(1, [][]byte{action}))
	}
	receipt := func(config [][]byte, floor, payload []byte) error {
		_, err := NewReceipt("waybill", config, floor, payload)
		return err
	}
	transaction := func(config [][]byte, block, status []byte) error {
		_, err := NewTransaction("waybill", config, floor, block, "id", status)
		return err
	}
	hash := func(b []byte) error { _, err := HeaderHash(b); return err }
	ids := func(b []byte) error { _, err := TransactionIDs(b, ""); return err }
	for name, err := range map[string]error{
		"no configuration":                receipt(nil, floor, payload),
		"a configuration that is none":    receipt([][]byte{bad}, floor, payload),
		"a first that configures nothing": receipt([][]byte{floor}, floor, payload),
		"a first without a header":        receipt([][]byte{header(bad)}, floor, payload),
		"a floor that is none":            receipt(n.configs(), bad, payload),
		"a floor without a header":        receipt(n.configs(), header(bad), payload),
		"a floor without metadata":        receipt(n.configs(), message{}.part(1, []byte{}).part(3, bad), payload),
		"a floor without signatures":      receipt(n.configs(), unsigned, payload),
		"a floor with other signatures":   receipt(n.configs(), n.marshal(&spoiled), payload),
		"a payload that is none":          receipt(n.configs(), floor, bad),
		"an endorsement that is none":     receipt(n.configs(), floor, twisted(bad)),
		"an endorser that is none":        receipt(n.configs(), floor, twisted(message{}.bytes(1, bad))),
		"no chain":                        transaction(nil, floor, status),
		"a block that is none":            transaction(n.configs(), bad, status),
		"a status that is none":           transaction(n.configs(), floor, bad),
		"a status of something else":      transaction(n.configs(), floor, other),
		"the hash of nothing":             hash(bad),
		"the hash of no header":           hash(header(bad)),
		"the ids of nothing":              ids(bad),
		"the ids of no data":              ids(message{}.part(2, bad)),
	} {
		if err == nil {
			t.Errorf("%s: a file was made", name)
		}
	}
	block := message{}.part(2, message{}.parts(1, [][]byte{bad, n.envelope(payload), n.envelope([]byte("x"))}))
	if got, err := TransactionIDs(block, ask); err != nil || len(got) != 1 {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := TransactionIDs(block, "another"); err != nil || len(got) != 0 {
		t.Errorf("%v, %v", got, err)
	}
	for _, s := range []string{"", "ab", strings.Repeat("g", 64), strings.Repeat("a", 66)} {
		if _, err := ParseHash(s); err == nil {
			t.Errorf("%q is no hash", s)
		}
	}
	for _, s := range []string{strings.Repeat("a", 64), strings.Repeat("aaaa ", 16)} {
		if _, err := ParseHash(s); err != nil {
			t.Error(err)
		}
	}
}
