package org

import (
	"bytes"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"google.golang.org/protobuf/proto"

	"github.com/waybill-dev/waybill/network/channel"
)

// Descriptor returns what the organisation tells the others about itself.
func (f *Folder) Descriptor() (channel.Descriptor, error) {
	d := channel.Descriptor{Version: channel.Version, Name: f.spec.Name, MSPID: f.spec.MSPID}
	for _, list := range []struct {
		dir, kind string
		into      *[]string
	}{
		{"cacerts", certificateBlock, &d.Roots}, {"intermediatecerts", certificateBlock, &d.Intermediates},
		{"tlscacerts", certificateBlock, &d.TLSRoots}, {"tlsintermediatecerts", certificateBlock, &d.TLSIntermediates},
		{"crls", "X509 CRL", &d.RevocationLists},
	} {
		var err error
		if *list.into, err = readBlocks(f.at("msp", list.dir), list.kind); err != nil {
			return channel.Descriptor{}, err
		}
	}
	peer, err := endpoint(f.spec.Announce.Peer)
	if err != nil {
		return channel.Descriptor{}, err
	}
	orderer, err := endpoint(f.spec.Announce.Orderer)
	if err != nil {
		return channel.Descriptor{}, err
	}
	identity, err := readBlock(f.at("orderer", "msp", "signcerts", "cert.pem"))
	if err != nil {
		return channel.Descriptor{}, err
	}
	tls, err := readBlock(f.at("orderer", "tls", "server.crt"))
	if err != nil {
		return channel.Descriptor{}, err
	}
	d.Peer, d.Gateway = peer, "https://"+f.spec.Announce.Gateway
	d.Orderer = &channel.Orderer{Host: orderer.Host, Port: orderer.Port, Identity: identity, ClientTLS: tls, ServerTLS: tls}
	return d, nil
}

// Export returns the descriptor's file, signed by the organisation's admin.
func (f *Folder) Export() ([]byte, error) {
	d, err := f.Descriptor()
	if err != nil {
		return nil, err
	}
	cert, key, err := f.person(admin)
	if err != nil {
		return nil, err
	}
	return channel.Sign(d, cert, key)
}

func endpoint(address string) (channel.Endpoint, error) {
	host, text, err := splitAddress(address)
	if err != nil {
		return channel.Endpoint{}, err
	}
	port, err := strconv.Atoi(text)
	return channel.Endpoint{Host: host, Port: port}, err
}

const certificateBlock = "CERTIFICATE"

// readBlocks returns the PEM blocks of the files in a folder, by name, each written in the one way.
func readBlocks(dir, kind string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range entries {
		raw, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		for block, rest := pem.Decode(raw); block != nil; block, rest = pem.Decode(rest) {
			if block.Type != kind {
				return nil, fmt.Errorf("%s in %s: want %s only", block.Type, filepath.Join(dir, e.Name()), kind)
			}
			out = append(out, encodeBlock(kind, block.Bytes))
		}
	}
	return out, nil
}

func encodeBlock(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// readBlock returns the certificate that a file begins with.
func readBlock(file string) (string, error) {
	der, err := readPEM(file)
	if err != nil {
		return "", err
	}
	return encodeBlock(certificateBlock, der), nil
}

// CheckGenesis refuses a first block that the organisation is not in exactly as it describes itself:
// with other roots somebody else could act in its name, with another orderer its own would be
// none. What the block says of others is theirs to compare: channel.Inspect.
func (f *Folder) CheckGenesis(raw []byte) error {
	_, config, err := f.blockOf(raw, true)
	if err != nil {
		return err
	}
	return f.isIn(config)
}

// CheckLater checks a later block of the channel, with the configuration that let the organisation in, against its own
// descriptor. Its orderer may be a consenter in it or not be one yet, which comes by a vote of its own: consenter says.
func (f *Folder) CheckLater(genesis, later []byte) (consenter bool, err error) {
	if _, _, err := f.blockOf(genesis, true); err != nil {
		return false, err
	}
	number, config, err := f.blockOf(later, false)
	if err != nil {
		return false, err
	}
	if number == 0 {
		return false, errors.New("the configuration is that of the first block")
	}
	d, err := f.Descriptor()
	if err != nil {
		return false, err
	}
	if err := channel.Has(&common.Config{ChannelGroup: config}, d); err != nil {
		return false, fmt.Errorf("%w; compare fingerprints", err)
	}
	return config.GetGroups()["Orderer"].GetGroups()[d.MSPID] != nil, nil
}

// blockOf reads a block with a configuration of the organisation's channel.
func (f *Folder) blockOf(raw []byte, first bool) (uint64, *common.ConfigGroup, error) {
	block := &common.Block{}
	if err := proto.Unmarshal(raw, block); err != nil {
		return 0, nil, fmt.Errorf("not a block: %w", err)
	}
	number := block.GetHeader().GetNumber()
	if first && number != 0 {
		return 0, nil, fmt.Errorf("block %d is not a channel's first", number)
	}
	name, config, err := configOf(block)
	if err == nil && name != f.spec.Channel {
		err = fmt.Errorf("the block is of channel %q, the organisation of %q", name, f.spec.Channel)
	}
	return number, config, err
}

// isIn compares what a configuration says of the organisation with its descriptor.
func (f *Folder) isIn(have *common.ConfigGroup) error {
	d, err := f.Descriptor()
	if err != nil {
		return err
	}
	alone, err := channel.Found(channel.Parameters{Channel: f.spec.Channel}, []channel.Descriptor{d})
	if err != nil {
		return err
	}
	_, want, err := configOf(alone)
	if err != nil {
		return err
	}
	for _, group := range []string{"Application", "Orderer"} {
		mine := have.GetGroups()[group].GetGroups()[d.MSPID]
		unversion(mine)
		if !proto.Equal(mine, want.GetGroups()[group].GetGroups()[d.MSPID]) {
			return fmt.Errorf("%s is not in the block as its own descriptor says (%s): it was made of another descriptor; compare fingerprints", d.MSPID, group)
		}
	}
	return sameConsenter(d.MSPID, have, want)
}

// CheckGenesisOfOthers is CheckGenesis for an organisation that was voted in: the first block is the others'
// and says nothing of it, so that all there is to go by is its hash, which a member told by another way.
func (f *Folder) CheckGenesisOfOthers(raw []byte, hash string) error {
	_, config, err := f.blockOf(raw, true)
	if err != nil {
		return err
	}
	block := &common.Block{}
	if err := proto.Unmarshal(raw, block); err != nil {
		return fmt.Errorf("not a block: %w", err)
	}
	plain := func(hash string) string { return strings.ToLower(strings.Join(strings.Fields(hash), "")) }
	if got := channel.GenesisHash(block); plain(got) != plain(hash) {
		return fmt.Errorf("the block has the hash %s, and not %s", got, hash)
	}
	for _, group := range []string{"Application", "Orderer"} {
		if config.GetGroups()[group].GetGroups()[f.spec.MSPID] != nil {
			return fmt.Errorf("%s is in the block: it is a founder, and its block has to be what its descriptor says", f.spec.MSPID)
		}
	}
	return nil
}

// unversion takes from a group how often each part was changed.
func unversion(g *common.ConfigGroup) {
	if g == nil {
		return
	}
	g.Version = 0
	for _, v := range g.GetValues() {
		v.Version = 0
	}
	for _, p := range g.GetPolicies() {
		p.Version = 0
	}
	for _, below := range g.GetGroups() {
		unversion(below)
	}
}

// sameConsenter compares the organisation's line in the list of consenters; its number depends on the others.
func sameConsenter(mspID string, have, want *common.ConfigGroup) error {
	var lists [2][]*common.Consenter
	for i, config := range []*common.ConfigGroup{have, want} {
		orderers := &common.Orderers{}
		if err := proto.Unmarshal(config.GetGroups()["Orderer"].GetValues()["Orderers"].GetValue(), orderers); err != nil {
			return fmt.Errorf("consenters of the block: %w", err)
		}
		for _, c := range orderers.GetConsenterMapping() {
			if c.GetMspId() == mspID {
				c.Id = 0
				lists[i] = append(lists[i], c)
			}
		}
	}
	if len(lists[0]) != 1 || len(lists[1]) != 1 || !proto.Equal(lists[0][0], lists[1][0]) {
		return fmt.Errorf("the orderer of %s is not among the block's consenters as its own descriptor says", mspID)
	}
	return nil
}

// configOf returns the channel's name and the configuration in a first block, whose hash it checks.
func configOf(block *common.Block) (string, *common.ConfigGroup, error) {
	data := block.GetData().GetData()
	if len(data) != 1 {
		return "", nil, fmt.Errorf("%d transactions in the first block, want one", len(data))
	}
	if !bytes.Equal(block.GetHeader().GetDataHash(), dataHash(data[0])) {
		return "", nil, errors.New("the block's header is not of its content")
	}
	envelope, payload := &common.Envelope{}, &common.Payload{}
	header, config := &common.ChannelHeader{}, &common.ConfigEnvelope{}
	for _, step := range []struct {
		raw  func() []byte
		into proto.Message
	}{
		{func() []byte { return data[0] }, envelope},
		{envelope.GetPayload, payload},
		{func() []byte { return payload.GetHeader().GetChannelHeader() }, header},
		{payload.GetData, config},
	} {
		if err := proto.Unmarshal(step.raw(), step.into); err != nil {
			return "", nil, fmt.Errorf("first block: %w", err)
		}
	}
	return header.GetChannelId(), config.GetConfig().GetChannelGroup(), nil
}
