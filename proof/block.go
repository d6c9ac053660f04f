package proof

import (
	"bytes"
	"crypto/sha256"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
)

// block is a block as a proof holds it, or its header alone.
type block struct {
	number       uint64
	previous     []byte
	dataHash     []byte
	data         [][]byte // envelopes; nil of a header alone
	signed       []byte   // common.OrdererBlockMetadata: what the orderers sign beside the header
	lastConfig   uint64   // of signed: the block with the configuration in force
	signatures   []blockSignature
	configuresIt bool // it holds a configuration, and nothing else
}

type blockSignature struct {
	consenter uint64
	header    []byte // common.IdentifierHeader
	signature []byte
}

// parseBlock reads a common.Block and checks that its data are those of its header.
func parseBlock(b []byte) (*block, error) {
	f, err := parse("common.Block", b)
	if err != nil {
		return nil, err
	}
	k, err := parseHeader(f.one(1))
	if err != nil {
		return nil, err
	}
	data, err := parse("common.BlockData", f.one(2))
	if err != nil {
		return nil, err
	}
	k.data = data.all(1)
	hash := sha256.Sum256(bytes.Join(k.data, nil))
	if !bytes.Equal(hash[:], k.dataHash) {
		return nil, fmt.Errorf("block %d: the data are not those of its header", k.number)
	}
	if err := k.wellFormed(); err != nil {
		return nil, fmt.Errorf("block %d: %w", k.number, err)
	}
	metadata, err := parse("common.BlockMetadata", f.one(3))
	if err != nil {
		return nil, err
	}
	switch list := metadata.all(1); {
	case len(list) == 0 && f.has(3) || len(list) > 1:
		return nil, fmt.Errorf("block %d: metadata beside the orderers' signatures, which nobody signs", k.number)
	case len(list) == 1:
		return k, k.parseSignatures(list[0])
	}
	return k, nil
}

// parseHeader reads a common.BlockHeader.
func parseHeader(b []byte) (*block, error) {
	f, err := parse("common.BlockHeader", b)
	if err != nil {
		return nil, err
	}
	return &block{number: f.numbers[1], previous: f.one(2), dataHash: f.one(3)}, nil
}

// parseFloor reads a header with its signatures.
func parseFloor(h Header) (*block, error) {
	k, err := parseHeader(h.Header)
	if err != nil {
		return nil, err
	}
	return k, k.parseSignatures(h.Metadata)
}

// parseSignatures reads a common.Metadata as SmartBFT orderers write it.
func (k *block) parseSignatures(b []byte) error {
	f, err := parse("common.Metadata", b)
	if err != nil {
		return err
	}
	k.signed = f.one(1)
	orderer, err := parse("common.OrdererBlockMetadata", k.signed)
	if err != nil {
		return err
	}
	last, err := parse("common.LastConfig", orderer.one(1))
	if err != nil {
		return err
	}
	k.lastConfig = last.numbers[1]
	for _, raw := range f.all(2) {
		s, err := parse("common.MetadataSignature", raw)
		if err != nil {
			return err
		}
		if s.has(1) {
			return fmt.Errorf("block %d: a signature with a certificate instead of a consenter's id: %w", k.number, errUnknown)
		}
		id, err := parse("common.IdentifierHeader", s.one(3))
		if err != nil {
			return err
		}
		k.signatures = append(k.signatures, blockSignature{id.numbers[1], s.one(3), s.one(2)})
	}
	return nil
}

// wellFormed tells whether the data can be taken apart in one way only: their hash is
// that of all of them one behind the other. A configuration stands alone in its block.
func (k *block) wellFormed() error {
	if len(k.data) == 0 {
		return errors.New("it is empty")
	}
	for i, raw := range k.data {
		e, err := parse("common.Envelope", raw)
		if err != nil {
			return fmt.Errorf("transaction %d: %w", i, err)
		}
		if len(k.data) == 1 && channelHeaderType(e.one(1)) == typeConfig {
			k.configuresIt = true
			return nil
		}
		if !e.has(1) || !e.has(2) {
			return fmt.Errorf("transaction %d has no payload or no signature", i)
		}
	}
	return nil
}

// The types of transaction (common.HeaderType).
const (
	typeConfig   = 1
	typeEndorsed = 3
)

// channelHeaderType is the type of a payload's transaction; 0 where it cannot be read.
func channelHeaderType(payload []byte) uint64 {
	p, err := parsePayload(payload)
	if err != nil {
		return 0
	}
	return p.kind
}

// der is the header as it is hashed and signed.
func (k *block) der() []byte {
	b, _ := asn1.Marshal(struct { // integers and bytes always have an encoding
		Number             *big.Int
		Previous, DataHash []byte
	}{new(big.Int).SetUint64(k.number), k.previous, k.dataHash})
	return b
}

func (k *block) hash() []byte {
	h := sha256.Sum256(k.der())
	return h[:]
}
