package proof

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// NewConfig makes a file of configuration blocks of what a peer delivers: common.Block, from the pinned one on.
func NewConfig(channel string, config [][]byte) (File, error) {
	_, blocks, err := trimConfig(channel, config)
	return File{Version: Version, Kind: KindConfig, Channel: channel, Config: blocks}, err
}

// NewReceipt makes a receipt. config are the configuration blocks as peers deliver them, from the pinned one on; floor
// is a recent block, with or without its data; transaction is the common.Payload of the endorsements of verdict:Ask.
func NewReceipt(channel string, config [][]byte, floor, transaction []byte) (File, error) {
	f, _, err := begin(KindReceipt, channel, config, floor)
	if err != nil {
		return f, err
	}
	call, err := parseInvocation(transaction)
	if err != nil {
		return f, err
	}
	f.Transaction, err = call.payloadOf()
	return f, err
}

// NewTransaction makes the proof of the transaction with that id in block, of which status tells what became of it:
// the common.Payload of the endorsements of qscc:GetTransactionByID.
func NewTransaction(channel string, config [][]byte, floor, block []byte, id string, status []byte) (File, error) {
	f, all, err := begin(KindTransaction, channel, config, floor)
	if err != nil {
		return f, err
	}
	header, data, metadata, err := all.trim(block)
	if err != nil {
		return f, err
	}
	f.Block, f.TransactionID = message{}.part(1, header).part(2, data).part(3, message{}.part(1, metadata)), id
	f.Status, err = leaveOut(status)
	return f, err
}

func begin(kind, channel string, config [][]byte, floor []byte) (File, chain, error) {
	f := File{Version: Version, Kind: kind, Channel: channel}
	all, blocks, err := trimConfig(channel, config)
	if err != nil {
		return f, nil, err
	}
	header, _, metadata, err := all.trim(floor)
	f.Config, f.Floor = blocks, &Header{Header: header, Metadata: metadata}
	return f, all, err
}

// trimConfig leaves out of configuration blocks what no proof holds.
func trimConfig(channel string, config [][]byte) (all chain, blocks [][]byte, err error) {
	var pin []byte
	for i, raw := range config {
		header, data, metadata, err := all.trim(raw)
		if err != nil {
			return nil, nil, err
		}
		b := message{}.part(1, header).part(2, data)
		if i > 0 {
			b = b.part(3, message{}.part(1, metadata))
		} else if k, err := parseHeader(header); err == nil {
			pin = k.hash()
		}
		blocks = append(blocks, b)
		if all, err = all.add(b, pin, channel); err != nil {
			return nil, nil, err
		}
	}
	if len(all) == 0 {
		return nil, nil, errors.New("no configuration block")
	}
	return all, blocks, nil
}

// trim takes of a common.Block the header, the data and the orderers' signatures: of these a quorum that verifies, by
// consenter.
func (all chain) trim(raw []byte) (header, data, metadata []byte, err error) {
	f, err := parse("common.Block", raw)
	if err != nil {
		return nil, nil, nil, err
	}
	k, err := parseHeader(f.one(1))
	if err != nil || len(all) == 0 {
		return f.one(1), f.one(2), nil, err
	}
	m, err := parse("common.BlockMetadata", f.one(3))
	if err != nil {
		return nil, nil, nil, err
	}
	if !m.has(1) {
		return nil, nil, nil, fmt.Errorf("block %d bears no signatures", k.number)
	}
	if err := k.parseSignatures(m.one(1)); err != nil {
		return nil, nil, nil, err
	}
	signers := all.last()
	for _, c := range all {
		if c.block <= k.lastConfig && c.block < k.number {
			signers = c
		}
	}
	return f.one(1), f.one(2), signers.trim(k), nil
}

// trim keeps of a block's signatures a quorum of those that verify.
func (c *configuration) trim(k *block) []byte {
	header := k.der()
	good := slices.DeleteFunc(slices.Clone(k.signatures), func(s blockSignature) bool { return c.signedBy(k, s, header) != nil })
	slices.SortFunc(good, func(a, b blockSignature) int { return cmp.Compare(a.consenter, b.consenter) })
	good = slices.CompactFunc(good, func(a, b blockSignature) bool { return a.consenter == b.consenter })
	var list [][]byte
	for _, s := range good[:min(len(good), c.quorum())] {
		list = append(list, message{}.bytes(2, s.signature).bytes(3, s.header))
	}
	return message{}.bytes(1, k.signed).parts(2, list)
}

// leaveOut takes the envelope out of the answer of qscc:GetTransactionByID.
func leaveOut(status []byte) ([]byte, error) {
	call, err := parseInvocation(status)
	if err != nil {
		return nil, err
	}
	if call.response, err = call.withEnvelope(nil); err != nil {
		return nil, err
	}
	return call.payloadOf()
}

// payloadOf is the payload of a call, with its endorsements in the order of their organisations.
func (v *invocation) payloadOf() ([]byte, error) {
	of := map[string]string{}
	for _, raw := range v.endorsements {
		f, err := parse("protos.Endorsement", raw)
		if err != nil {
			return nil, err
		}
		who, err := parseIdentity(f.one(1))
		if err != nil {
			return nil, err
		}
		of[string(raw)] = who.msp
	}
	list := slices.Clone(v.endorsements)
	slices.SortStableFunc(list, func(a, b []byte) int { return cmp.Compare(of[string(a)], of[string(b)]) })
	endorsed := message{}.bytes(1, v.response).parts(2, list)
	action := message{}.bytes(1, v.signatureHeader).bytes(2, message{}.bytes(1, v.action.one(1)).part(2, endorsed))
	header := message{}.bytes(1, v.header).bytes(2, v.signatureHeader)
	return message{}.part(1, header).bytes(2, message{}.parts(1, [][]byte{action})), nil
}

// HeaderHash is the hash of a block's header: what is pinned of block 0.
func HeaderHash(block []byte) ([]byte, error) {
	f, err := parse("common.Block", block)
	if err != nil {
		return nil, err
	}
	k, err := parseHeader(f.one(1))
	if err != nil {
		return nil, err
	}
	return k.hash(), nil
}

// TransactionIDs are the ids of the transactions of a block that call a function, whatever became of them.
func TransactionIDs(block []byte, function string) ([]string, error) {
	f, err := parse("common.Block", block)
	if err != nil {
		return nil, err
	}
	data, err := parse("common.BlockData", f.one(2))
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, raw := range data.all(1) {
		e, err := parse("common.Envelope", raw)
		if err != nil {
			continue
		}
		if call, err := parseInvocation(e.one(1)); err == nil && len(call.args) > 0 && string(call.args[0]) == function {
			ids = append(ids, call.id)
		}
	}
	return ids, nil
}

// ParseHash reads a hash as people pin it: 64 hex digits, in groups or without.
func ParseHash(s string) ([]byte, error) {
	s = strings.ReplaceAll(s, " ", "")
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != sha256.Size {
		return nil, fmt.Errorf("%.80q: want a hash of 64 hex digits", s)
	}
	return b, nil
}
