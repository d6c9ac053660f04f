package channel

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"google.golang.org/protobuf/proto"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// Report says what a first block makes of a channel.
type Report struct {
	Channel     string `json:"channel"`
	GenesisHash string `json:"genesisHash"`
	// After is the channel that this one goes on from.
	After         *provenance.Predecessor `json:"after,omitempty"`
	Organizations []string                `json:"organizations"` // MSP ids
	Consenters    int                     `json:"consenters"`
	Quorum        int                     `json:"quorum"`
	Tolerance     int                     `json:"tolerance"`
	Fields        []Field                 `json:"fields"`
	// Exact says that the block is, byte for byte, what Found makes of the descriptors. Without descriptors it is false.
	Exact       bool     `json:"exact"`
	Differences []string `json:"differences,omitempty"`
}

// Field is one field of a configuration in words.
type Field struct {
	Path       string `json:"path"`
	Text       string `json:"text"`
	Understood bool   `json:"understood"`
	// Want is what the descriptors say, where that differs.
	Want string `json:"want,omitempty"`
}

// Inspect reads a channel's first block, field by field, and compares it with what Found makes of the
// descriptors. It is an error if the block is no first block at all.
func Inspect(block *common.Block, orgs []Descriptor) (Report, error) {
	return InspectAfter(block, orgs, nil)
}

// InspectAfter is Inspect of a first block whose channel is to go on from another one.
func InspectAfter(block *common.Block, orgs []Descriptor, after *provenance.Predecessor) (Report, error) {
	name, config, err := ConfigOf(block)
	if err != nil {
		return Report{}, err
	}
	if block.GetHeader().GetNumber() != 0 {
		return Report{}, fmt.Errorf("block %d of channel %s, not its first", block.GetHeader().GetNumber(), name)
	}
	data := sha256.Sum256(block.GetData().GetData()[0])
	if !bytes.Equal(data[:], block.GetHeader().GetDataHash()) {
		return Report{}, errors.New("the block's header is not of its data")
	}
	has, err := elements(config.GetChannelGroup())
	if err != nil {
		return Report{}, err
	}
	report := Report{Channel: name, GenesisHash: GenesisHash(block)}
	if report.After, err = PredecessorOf(block); err != nil {
		return Report{}, err
	}
	for id := range config.GetChannelGroup().GetGroups()[applicationGroup].GetGroups() {
		report.Organizations = append(report.Organizations, id)
	}
	report.Organizations = union(report.Organizations, nil)
	if list, err := consenters(config); err == nil {
		report.Consenters = len(list)
		report.Quorum, report.Tolerance = Quorum(len(list)), Tolerance(len(list))
	}
	want := map[string]element{}
	var expected *common.Block
	if len(orgs) > 0 {
		if expected, err = Found(Parameters{Channel: name, After: after}, orgs); err != nil {
			return Report{}, err
		}
		_, wanted, err := ConfigOf(expected)
		if err != nil {
			return Report{}, err
		}
		if want, err = elements(wanted.GetChannelGroup()); err != nil {
			return Report{}, err
		}
	}
	report.compare(has, want, expected != nil)
	if expected == nil {
		report.Differences = append(report.Differences, Doubts(config)...)
		return report, nil
	}
	switch {
	case report.After != nil && after == nil:
		report.Differences = append(report.Differences, "it goes on from channel "+report.After.Channel+", and nobody said that it should")
	case after != nil && (report.After == nil || *report.After != *after):
		report.Differences = append(report.Differences, "it does not go on from channel "+after.Channel+" as that one ended")
	}
	if report.After != nil && name != report.After.Successor(report.Organizations) {
		report.Differences = append(report.Differences, "its name is not the one that founders and predecessor make: nothing can be imported into it")
	}
	report.Exact = len(report.Differences) == 0 && bytes.Equal(marshal(expected), marshal(block))
	if !report.Exact && len(report.Differences) == 0 {
		report.Differences = append(report.Differences, "the block's frame: its configuration is what the descriptors say, but what is round it differs (header, nonce, time or metadata)")
	}
	return report, nil
}

// PredecessorOf returns which channel a first block says that its own goes on from; nil: from none.
func PredecessorOf(block *common.Block) (*provenance.Predecessor, error) {
	if len(block.GetData().GetData()) != 1 {
		return nil, errors.New("not a channel's first block: it does not hold exactly one envelope")
	}
	envelope, payload, header := &common.Envelope{}, &common.Payload{}, &common.ChannelHeader{}
	if proto.Unmarshal(block.GetData().GetData()[0], envelope) != nil || proto.Unmarshal(envelope.GetPayload(), payload) != nil ||
		proto.Unmarshal(payload.GetHeader().GetChannelHeader(), header) != nil {
		return nil, errors.New("not a channel's first block: it does not decode")
	}
	if len(header.GetExtension()) == 0 {
		return nil, nil
	}
	p, err := provenance.ParsePredecessor(header.GetExtension())
	return &p, err
}

// Fields says what a configuration is, field by field.
func Fields(config *common.Config) ([]Field, error) {
	has, err := elements(config.GetChannelGroup())
	if err != nil {
		return nil, err
	}
	r := Report{}
	r.compare(has, nil, false)
	return r.Fields, nil
}

func (r *Report) compare(has, want map[string]element, compared bool) {
	for _, e := range inOrder(has) {
		f := Field{Path: e.at()}
		f.Text, f.Understood = e.words()
		w, ok := want[e.id()]
		switch {
		case !compared:
			if !f.Understood {
				r.Differences = append(r.Differences, f.Path+": "+f.Text)
			}
		case !ok:
			f.Want = "nothing"
			r.Differences = append(r.Differences, fmt.Sprintf("%s is there, and no descriptor says so", f.Path))
		case !same(e, w):
			f.Want, _ = w.words()
			if f.Want == f.Text {
				f.Want += " (in other bytes, or with another version)"
			}
			r.Differences = append(r.Differences, f.Path+" differs from what the descriptors say")
		}
		if e.kind != groupKind {
			r.Fields = append(r.Fields, f)
		}
	}
	for _, e := range inOrder(want) {
		if _, ok := has[e.id()]; !ok {
			r.Differences = append(r.Differences, e.at()+" is missing")
		}
	}
}

// same compares two elements without what is below them.
func same(a, b element) bool {
	switch a.kind {
	case groupKind:
		return a.group.GetVersion() == b.group.GetVersion() && a.group.GetModPolicy() == b.group.GetModPolicy()
	case valueKind:
		return proto.Equal(a.value, b.value)
	}
	return proto.Equal(a.policy, b.policy)
}

// ConfigOf returns the channel's name and configuration from a block that holds one.
func ConfigOf(block *common.Block) (string, *common.Config, error) {
	if len(block.GetData().GetData()) != 1 {
		return "", nil, errors.New("not a configuration block: it does not hold exactly one envelope")
	}
	envelope, payload := &common.Envelope{}, &common.Payload{}
	header, config := &common.ChannelHeader{}, &common.ConfigEnvelope{}
	if proto.Unmarshal(block.GetData().GetData()[0], envelope) != nil || proto.Unmarshal(envelope.GetPayload(), payload) != nil ||
		proto.Unmarshal(payload.GetHeader().GetChannelHeader(), header) != nil {
		return "", nil, errors.New("not a configuration block: it does not decode")
	}
	if header.GetType() != int32(common.HeaderType_CONFIG) {
		return "", nil, fmt.Errorf("not a configuration block: a block of type %d", header.GetType())
	}
	if proto.Unmarshal(payload.GetData(), config) != nil || config.GetConfig().GetChannelGroup() == nil {
		return "", nil, errors.New("not a configuration block: no configuration in it")
	}
	if !chainName.MatchString(header.GetChannelId()) {
		return "", nil, fmt.Errorf("channel name %.80q: want %s", header.GetChannelId(), chainName)
	}
	return header.GetChannelId(), config.GetConfig(), nil
}

// consenters are those of a configuration.
func consenters(config *common.Config) ([]*common.Consenter, error) {
	list := &common.Orderers{}
	raw := config.GetChannelGroup().GetGroups()[ordererGroup].GetValues()[orderersKey].GetValue()
	if err := exact(raw, list); err != nil {
		return nil, fmt.Errorf("list of consenters: %w", err)
	}
	return list.GetConsenterMapping(), nil
}

// Takes says whether an organisation takes part in the channel.
func Takes(config *common.Config, mspID string) bool {
	return config.GetChannelGroup().GetGroups()[applicationGroup].GetGroups()[mspID] != nil
}

// Has says whether a configuration has an organisation exactly as its descriptor says, and in no other way: what a
// latecomer asks of the configuration that let it in. Its orderer may be a consenter or not be one yet.
func Has(config *common.Config, d Descriptor) error {
	if err := d.shape(); err != nil {
		return err
	}
	root := config.GetChannelGroup()
	in := root.GetGroups()[applicationGroup].GetGroups()[d.MSPID]
	switch {
	case in == nil:
		return fmt.Errorf("%s is not in the channel", d.MSPID)
	case !sameConfig(in, applicationOrg(d)):
		return fmt.Errorf("%s is in the channel by another descriptor", d.MSPID)
	}
	list, err := consenters(config)
	if err != nil {
		return err
	}
	orders := root.GetGroups()[ordererGroup].GetGroups()[d.MSPID]
	for _, c := range list {
		if c.GetMspId() != d.MSPID {
			continue
		}
		if d.Orderer == nil || orders == nil || !sameConfig(orders, ordererOrg(d)) || !proto.Equal(c, consenterOf(d, c.GetId())) {
			return fmt.Errorf("%s has a consenter by another descriptor", d.MSPID)
		}
		return nil
	}
	if orders != nil {
		return fmt.Errorf("%s orders, and has no consenter", d.MSPID)
	}
	return nil
}
