package proof

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// MediaType is the type of a proof's file.
const MediaType = "application/vnd.waybill.proof+json"

// Version is the version of the files that this package reads and makes.
const Version = 1

// The kinds of file.
const (
	KindReceipt     = "receipt"     // a verdict, signed by peers of several organisations
	KindTransaction = "transaction" // a transaction on the chain, and its status
	KindConfig      = "config"      // the configuration blocks of a channel, for files that leave them out
)

// Bounds of a file. A file beyond them is none: whoever makes one that is too large for its
// reader has made none, and takes nothing from anybody else.
const (
	MaxFile   = 128 << 20 // bytes of the JSON; a channel's blocks are of 64 MiB at most
	MaxConfig = 1024      // configuration blocks
)

// ErrVersion is the error of a file of another version: nothing can be said of it.
var ErrVersion = errors.New("a file of another version")

// File is what travels. Bytes are protobuf messages of Fabric, in the one encoding that
// this package takes: fields in the order of their numbers, none twice, none that is
// zero, none that is unknown.
type File struct {
	Version int    `json:"version"`
	Kind    string `json:"kind"`
	Channel string `json:"channel"`
	// Config are the configuration blocks (common.Block) from the pinned one on, without a
	// gap. Of the pinned one the metadata are left out, as nothing signs them in block 0;
	// the others hold the orderers' signatures alone, as Header.Metadata.
	Config [][]byte `json:"config,omitempty"`
	// Floor is a recent header: the channel was at least as high, and its last
	// configuration is the last of Config.
	Floor *Header `json:"floor,omitempty"`
	// Transaction is, in a receipt, the common.Payload that the client made of the
	// endorsements of verdict:Ask, and never signed or sent.
	Transaction []byte `json:"transaction,omitempty"`
	// Block is, in the proof of a transaction, the whole block, as in Config.
	Block []byte `json:"block,omitempty"`
	// TransactionID names the transaction in Block.
	TransactionID string `json:"transactionId,omitempty"`
	// Status is the common.Payload made of the endorsements of
	// qscc:GetTransactionByID, the transaction's envelope left out of the response: it
	// is in Block, and is put back before a signature is checked.
	Status []byte `json:"status,omitempty"`
}

// Header is a block without its data.
type Header struct {
	Header []byte `json:"header"` // common.BlockHeader
	// Metadata are the orderers' signatures (common.Metadata): exactly a quorum of them,
	// by the ascending id of the consenter.
	Metadata []byte `json:"metadata"`
}

// Marshal returns the one encoding of a file: JSON without white space, and a line's end.
func (f File) Marshal() []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(f) // text, numbers and bytes always have an encoding
	return b.Bytes()
}

// Parse reads a file. What Marshal would not write is an error: so no two files say
// the same. The error is ErrVersion for a file of another version.
func Parse(b []byte) (File, error) {
	if len(b) > MaxFile {
		return File{}, fmt.Errorf("a file of %d bytes: at most %d", len(b), MaxFile)
	}
	var which struct {
		Version *int `json:"version"`
	}
	if err := json.Unmarshal(b, &which); err != nil {
		return File{}, fmt.Errorf("no proof's file: %w", err)
	}
	if which.Version == nil {
		return File{}, errors.New("no proof's file: it has no version")
	}
	if *which.Version != Version {
		return File{}, fmt.Errorf("version %d: %w", *which.Version, ErrVersion)
	}
	var f File
	if err := json.Unmarshal(b, &f); err != nil {
		return File{}, fmt.Errorf("no proof's file: %w", err)
	}
	if !bytes.Equal(f.Marshal(), b) {
		return File{}, errors.New("not in the one form that a proof's file has: a member that is unknown, given twice, empty or in another place, white space, or bytes behind the end")
	}
	return f, f.check()
}

// check tells whether the file has what its kind has, and nothing else.
func (f File) check() error {
	if len(f.Config) > MaxConfig {
		return fmt.Errorf("%d configuration blocks: at most %d", len(f.Config), MaxConfig)
	}
	receipt, transaction := f.Transaction != nil, f.Block != nil || f.TransactionID != "" || f.Status != nil
	switch f.Kind {
	case KindReceipt:
		if !receipt || transaction || f.Floor == nil {
			return errors.New("a receipt has a floor and a transaction, and nothing of other kinds")
		}
	case KindTransaction:
		if receipt || f.Block == nil || f.TransactionID == "" || f.Status == nil || f.Floor == nil {
			return errors.New("a transaction's proof has a floor, a block, a transaction's id and a status, and nothing of other kinds")
		}
	case KindConfig:
		if receipt || transaction || f.Floor != nil || len(f.Config) == 0 {
			return errors.New("a file of configuration blocks has these alone")
		}
	default:
		return fmt.Errorf("kind %q: %w", f.Kind, ErrVersion)
	}
	if f.Channel == "" {
		return errors.New("the file names no channel")
	}
	return nil
}
