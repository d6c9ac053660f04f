package proof

import (
	"bytes"
	"errors"
	"fmt"
)

// chain is a channel's configurations from the pinned one on.
type chain []*configuration

// openChain follows configuration blocks: the first has the pinned hash, each later one is signed by a quorum of the
// consenters of the one before it, and is the next change of the configuration.
func openChain(blocks [][]byte, pin []byte, channel string) (chain, error) {
	if len(blocks) == 0 {
		return nil, fmt.Errorf("the configuration blocks were left out: give the file that holds them: %w", errIncomplete)
	}
	var all chain
	for _, raw := range blocks {
		var err error
		if all, err = all.add(raw, pin, channel); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// add reads the configuration block that comes next.
func (all chain) add(raw, pin []byte, channel string) (chain, error) {
	k, err := parseBlock(raw)
	if err != nil {
		return nil, err
	}
	next, err := all.follow(k, pin)
	if err != nil {
		return nil, err
	}
	if next.channel != channel {
		return nil, fmt.Errorf("block %d is of channel %q, and the file of %q", k.number, next.channel, channel)
	}
	return append(all, next), nil
}

// follow checks a configuration block that comes next, or first.
func (all chain) follow(k *block, pin []byte) (*configuration, error) {
	if len(all) == 0 {
		if !bytes.Equal(k.hash(), pin) {
			return nil, fmt.Errorf("the first configuration block has the hash %x, and %x is pinned", k.hash(), pin)
		}
		if k.signed != nil || len(k.signatures) > 0 {
			return nil, errors.New("the pinned block has metadata, which its hash does not cover")
		}
		return parseConfiguration(k)
	}
	last := all[len(all)-1]
	if k.number <= last.block {
		return nil, fmt.Errorf("configuration block %d comes after %d", k.number, last.block)
	}
	if err := last.verify(k); err != nil {
		return nil, err
	}
	if k.lastConfig != k.number {
		return nil, fmt.Errorf("block %d: its signatures are those of a block whose configuration is in block %d", k.number, k.lastConfig)
	}
	next, err := parseConfiguration(k)
	if err != nil {
		return nil, err
	}
	if next.sequence != last.sequence+1 {
		return nil, fmt.Errorf("configuration %d of block %d follows configuration %d: one was left out", next.sequence, next.block, last.sequence)
	}
	return next, nil
}

// last is the configuration in force.
func (all chain) last() *configuration { return all[len(all)-1] }

// verify checks a block, or a header: its orderers sign which configuration is in force, and its consenters have
// signed; those of the one before where the block brings it. It returns the configuration that the block stands under.
func (all chain) verify(k *block) (*configuration, error) {
	for i, c := range all {
		if c.block != k.lastConfig {
			continue
		}
		if k.number < c.block || i+1 < len(all) && k.number >= all[i+1].block {
			return nil, fmt.Errorf("block %d names the configuration of block %d, which was not in force then", k.number, c.block)
		}
		if k.number != c.block {
			return c, c.verify(k)
		}
		if !bytes.Equal(k.hash(), c.hash) {
			return nil, fmt.Errorf("block %d is another one than the configuration block of that number", k.number)
		}
		return c, all[max(i-1, 0)].verify(k)
	}
	return nil, fmt.Errorf("block %d stands under the configuration of block %d, which is not among the configuration blocks: %w", k.number, k.lastConfig, errIncomplete)
}

// String says how far it goes.
func (all chain) String() string {
	if len(all) == 0 {
		return "none"
	}
	last := all.last()
	return fmt.Sprintf("%d configuration blocks, the last one block %d: %d members, %d orderers, of whom %d sign", len(all), last.block, len(last.members), len(last.consenters), last.quorum())
}
