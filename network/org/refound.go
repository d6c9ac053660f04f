package org

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"

	"github.com/hyperledger/fabric-gateway/pkg/client"
	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"google.golang.org/protobuf/proto"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/network/channel"
	"github.com/waybill-dev/waybill/network/disk"
)

// Last says where the organisation's channel ends, as its own peer has it: what a channel that goes on from it names.
// It is an error if a block comes meanwhile: a channel that is decided on needs no other one.
func (f *Folder) Last(ctx context.Context) (provenance.Predecessor, error) {
	p := provenance.Predecessor{Channel: f.spec.Channel, Chaincode: f.spec.Chaincode}
	c, err := f.dial(robot)
	if err != nil {
		return p, err
	}
	defer c.close()
	first, err := c.blockOf(ctx, p.Channel, 0)
	if err != nil {
		return p, err
	}
	p.Genesis = channel.HeaderHash(first)
	if p.Height, p.Header, err = c.chainInfo(ctx, p.Channel); err != nil {
		return p, err
	}
	if p.State, err = c.stateHash(ctx, f.spec.MSPID); err != nil {
		return p, err
	}
	height, header, err := c.chainInfo(ctx, p.Channel)
	if err == nil && (height != p.Height || header != p.Header) {
		err = provenance.Errorf(provenance.Conflict, "channel %s goes on: block %d came meanwhile", p.Channel, height-1)
	}
	return p, err
}

func (c *conn) chainInfo(ctx context.Context, name string) (height uint64, header string, err error) {
	raw, err := c.gateway.GetNetwork(name).GetContract("qscc").EvaluateWithContext(ctx, "GetChainInfo", client.WithArguments(name))
	if err != nil {
		return 0, "", withDetails(err)
	}
	info := &common.BlockchainInfo{}
	if err := proto.Unmarshal(raw, info); err != nil {
		return 0, "", fmt.Errorf("height of channel %s: %w", name, err)
	}
	return info.GetHeight(), hex.EncodeToString(info.GetCurrentBlockHash()), nil
}

func (c *conn) blockOf(ctx context.Context, name string, number uint64) (*common.Block, error) {
	raw, err := c.gateway.GetNetwork(name).GetContract("qscc").EvaluateWithContext(ctx, "GetBlockByNumber", client.WithArguments(name, fmt.Sprint(number)))
	if err != nil {
		return nil, withDetails(err)
	}
	block := &common.Block{}
	if err := proto.Unmarshal(raw, block); err != nil {
		return nil, fmt.Errorf("block %d of channel %s: %w", number, name, err)
	}
	return block, nil
}

// stateHash reads the whole state from the own peer, and from no other.
func (c *conn) stateHash(ctx context.Context, mspID string) (hash string, err error) {
	for _, objectType := range state.Types() {
		for next, more := "", true; more; more = next != "" {
			raw, err := c.contract.EvaluateWithContext(ctx, "genesis:Export", client.WithArguments(objectType, next), client.WithEndorsingOrganizations(mspID))
			if err != nil {
				return "", withDetails(err)
			}
			var page state.StatePage
			if err := json.Unmarshal(raw, &page); err != nil {
				return "", fmt.Errorf("read the state: %w", err)
			}
			if hash, err = state.StateHash(hash, page.Entries); err != nil {
				return "", err
			}
			next = page.Next
		}
	}
	return hash, nil
}

// Founders are those of the folder's channel, which goes on from another one, as genesis:Import wants them.
func (f *Folder) Founders() (string, error) {
	if f.spec.After == nil {
		return "", provenance.Errorf(provenance.Conflict, "channel %s goes on from no other", f.spec.Channel)
	}
	raw, err := os.ReadFile(f.GenesisPath())
	if err != nil {
		return "", err
	}
	block := &common.Block{}
	if err := proto.Unmarshal(raw, block); err != nil {
		return "", fmt.Errorf("read %s: %w", f.GenesisPath(), err)
	}
	report, err := channel.Inspect(block, nil)
	if err != nil {
		return "", err
	}
	list, err := json.Marshal(report.Organizations)
	return string(list), err
}

// Refound leaves the organisation's channel for one that goes on from it, which the first block names: the
// old ledger stays on the peer, to be read. Of a block that goes on from another channel, or from another end of it than
// the own peer has, nothing is believed. After a crash it is called again.
func (f *Folder) Refound(ctx context.Context, raw []byte) error {
	block := &common.Block{}
	if err := proto.Unmarshal(raw, block); err != nil {
		return provenance.Wrap(provenance.Invalid, err, "not a block")
	}
	name, _, err := channel.ConfigOf(block)
	if err != nil {
		return provenance.Wrap(provenance.Invalid, err, "first block")
	}
	after, err := channel.PredecessorOf(block)
	switch {
	case err != nil:
		return err
	case after == nil:
		return provenance.Errorf(provenance.Invalid, "the block of channel %s goes on from no other: join it with another folder", name)
	}
	if f.spec.Channel != name {
		if err := f.leaveFor(ctx, name, *after, raw); err != nil {
			return err
		}
	}
	if f.spec.After == nil || *f.spec.After != *after {
		return provenance.Errorf(provenance.Conflict, "%s goes on in channel %s from another end of its channel already", f.spec.Name, f.spec.Channel)
	}
	if err := f.moveOn(ctx, raw); err != nil {
		return err
	}
	return f.Up(ctx)
}

// leaveFor compares the end of the own channel with what is named, and notes in org.json that the folder has left it.
func (f *Folder) leaveFor(ctx context.Context, name string, after provenance.Predecessor, raw []byte) error {
	if after.Channel != f.spec.Channel {
		return provenance.Errorf(provenance.Conflict, "channel %s goes on from channel %s, and %s is in channel %s", name, after.Channel, f.spec.Name, f.spec.Channel)
	}
	last, err := f.Last(ctx)
	if err != nil {
		return err
	}
	if last != after {
		return provenance.Errorf(provenance.Conflict, "channel %s ends here as %s, and the block goes on from %s", last.Channel, last.Bytes(), after.Bytes())
	}
	is := *f
	is.spec.Channel = name
	if err := is.CheckGenesis(raw); err != nil {
		return provenance.Wrap(provenance.Invalid, err, "first block of channel %s", name)
	}
	unlock, err := f.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if err := disk.CopyOnce(f.at("channel", after.Channel+".block"), f.GenesisPath()); err != nil {
		return err
	}
	f.spec.Channel, f.spec.After = name, &after
	return f.save()
}

// moveOn gives the folder the first block, and the gateway's configuration both channels.
func (f *Folder) moveOn(ctx context.Context, raw []byte) error {
	if f.spec.Programs.Gateway != "" {
		if err := f.Stop(ctx, string(KindGateway)); err != nil {
			return err
		}
	}
	have, err := os.ReadFile(f.GenesisPath())
	if err != nil {
		return err
	}
	if !bytes.Equal(have, raw) {
		if err := disk.Write(f.GenesisPath(), raw, 0o644); err != nil {
			return err
		}
	}
	config, err := os.ReadFile(f.gatewayPaths().Config)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return disk.Write(f.gatewayPaths().Config, goOn(config, f.spec.Channel, *f.spec.After), 0o600)
}

var (
	channelLine = regexp.MustCompile(`(?m)^channel:.*$`)
	afterLine   = regexp.MustCompile(`(?m)^after:.*\n`)
)

// goOn changes the channel in a gateway's configuration, and leaves all that a person wrote as it is.
func goOn(config []byte, name string, after provenance.Predecessor) []byte {
	config = channelLine.ReplaceAll(afterLine.ReplaceAll(config, nil), nil)
	lines := fmt.Sprintf("channel: %q\nafter: {channel: %q, height: %d, header: %q}\n", name, after.Channel, after.Height, after.Header)
	return append([]byte(lines), config...)
}
