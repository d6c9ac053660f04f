package org

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/waybill-dev/waybill/network/disk"
)

// Announcing is what the organisation becomes by Announce; it is an error where it cannot become that.
func (s Spec) Announcing(announce Announce, listen Listen) (Spec, error) {
	s.Announce = announce
	s.Listen.Peer, s.Listen.Orderer, s.Listen.Gateway = listen.Peer, listen.Orderer, listen.Gateway
	if s.Next != nil {
		return s, errors.New("an upgrade of the contract is under way: finish it first")
	}
	return s, s.Validate()
}

// Announce changes where others reach the organisation's nodes, and where these listen for them. Their certificates have to
// name the new hosts before, and the nodes are to be restarted afterwards; what the channel says of
// the organisation is changed by its members' votes. Listeners that are for this host only stay.
//
// The gateway's configuration is its operator's: only the addresses in it that are the old ones are changed.
func (f *Folder) Announce(ctx context.Context, announce Announce, listen Listen) error {
	unlock, err := f.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	before := f.spec
	after, err := before.Announcing(announce, listen)
	if err != nil {
		return err
	}
	// Before the folder says so: repeated after a crash, the file is as it should be and the folder follows.
	if err := f.readdressGateway(before, after); err != nil {
		return err
	}
	f.spec = after
	if err := f.save(); err != nil {
		return err
	}
	return f.makeConfig()
}

// readdressGateway replaces the peer's and the API's address in the gateway's configuration.
func (f *Folder) readdressGateway(before, after Spec) error {
	file := f.gatewayPaths().Config
	raw, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	text := raw
	for _, c := range []struct{ key, from, to string }{
		{"address", before.Announce.Peer, after.Announce.Peer},
		{"listen", before.Listen.Gateway, after.Listen.Gateway},
	} {
		if c.from == c.to {
			continue
		}
		old, now := fmt.Appendf(nil, "%s: %q", c.key, c.from), fmt.Appendf(nil, "%s: %q", c.key, c.to)
		if bytes.Contains(text, now) {
			continue // done by a call that was cut short
		}
		if bytes.Count(text, old) != 1 {
			return fmt.Errorf("%s does not say %s once: write %s there, and try again", file, old, now)
		}
		text = bytes.Replace(text, old, now, 1)
	}
	if bytes.Equal(text, raw) {
		return nil
	}
	return disk.Write(file, text, 0o600)
}
