package main

import (
	"context"
	"fmt"
	"io"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/network"
	"github.com/waybill-dev/waybill/network/channel"
)

// channelMember is the channel's configuration as somebody of one organisation reaches it: *channel.Member, or a
// test's fake.
type channelMember interface {
	configReader
	configWriter
	io.Closer
}

// configReader asks the own peer, and the orderers.
type configReader interface {
	// Current returns the configuration in force, and in which block it is.
	Current(ctx context.Context) (*common.Config, uint64, error)
	// ConfigBlock returns that block.
	ConfigBlock(ctx context.Context) (*common.Block, error)
	// Down says which consenters do not answer, but for those of organisations that leave.
	Down(ctx context.Context, config *common.Config, leaving ...string) ([]string, error)
}

// configWriter signs an update, and hands it with its signatures to the orderers.
type configWriter interface {
	SignUpdate(update []byte) (*common.ConfigSignature, error)
	Submit(ctx context.Context, config *common.Config, update []byte, signatures []*common.ConfigSignature) (uint64, error)
}

func connectChannel(c network.Clients, p person) (channelMember, error) {
	signer, err := channel.ReadSigner(p.org.MSPID, p.keys.Cert, p.keys.Key, p.openKey())
	if err != nil {
		return nil, err
	}
	return channel.Connect(c.Channel, signer, p.org.PeerAddress, p.org.PeerTLSCA)
}

// channelDoor is the channel with the contract on it, for one person.
type channelDoor struct {
	ownPeer
	channelMember
	name string
}

// close ends both connections.
func (d channelDoor) close() {
	d.ownPeer.close()
	_ = d.Close() // what was asked was answered
}

// openChannel opens the channel as whoever signs, or with reading as whoever asks.
func (a *app) openChannel(reading bool) (channelDoor, error) {
	p, err := a.signerPeer, error(nil)
	if reading {
		p = a.readerPeer
	}
	own, err := p()
	if err != nil {
		return channelDoor{}, err
	}
	c, err := a.clients()
	if err != nil {
		own.close()
		return channelDoor{}, err
	}
	member, err := a.backends.channel(c, own.me)
	if err != nil {
		own.close()
		return channelDoor{}, err
	}
	return channelDoor{ownPeer: own, channelMember: member, name: c.Channel}, nil
}

// current asks for the configuration in force.
func (d channelDoor) current(ctx context.Context) (*common.Config, uint64, error) {
	config, block, err := d.Current(ctx)
	if err != nil {
		return nil, 0, provenance.Wrap(provenance.Unavailable, err, "%s's peer", d.me.org.Org)
	}
	return config, block, nil
}

// onChange opens the channel as openChannel does, and hands on a proposed change of it.
func (a *app) onChange(ctx context.Context, reading bool, id string, do func(channelDoor, channelView) error) error {
	d, err := a.openChannel(reading)
	if err != nil {
		return err
	}
	defer d.close()
	v, err := d.view(ctx, id)
	if err != nil {
		return err
	}
	return do(d, v)
}

// allUp refuses a change of consenters while one is down: the channel may stop for good.
func (d channelDoor) allUp(ctx context.Context, config *common.Config, leaving ...string) error {
	down, err := d.Down(ctx, config, leaving...)
	if err != nil {
		return err
	}
	for _, text := range down {
		d.a.notice("%s", text)
	}
	if len(down) > 0 {
		return hint(provenance.Errorf(provenance.Conflict, "%d consenters are down: consenters are changed one at a time, while all are up", len(down)),
			"start what is down first; with too few left, blocks would stop for good")
	}
	return nil
}

func writeExplanation(w io.Writer, e channel.Explanation) {
	for _, line := range e.Summary {
		fmt.Fprintf(w, "  %s\n", sanitize(line))
	}
	if len(e.Summary) > 0 {
		fmt.Fprintln(w)
	}
	for _, c := range e.Changes {
		fmt.Fprintln(w, sanitize(c.Path))
		if c.Was != "" {
			writeIndented(w, "  - ", c.Was)
		}
		if c.Becomes != "" {
			writeIndented(w, "  + ", c.Becomes)
		}
	}
	for _, warning := range e.Warnings {
		fmt.Fprintf(w, "WARNING: %s\n", sanitize(warning))
	}
}
