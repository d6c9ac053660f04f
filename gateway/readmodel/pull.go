package readmodel

import (
	"time"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// Pull is one pull, as the gateway of the registry's owner recorded it. Who
// pulled it, from where and with what is the registry's word; address and user
// agent are there only where the owner put them on the channel. Of a pull with a
// Blind the owner keeps these and the actor to itself, under the segment's name.
type Pull struct {
	Block      uint64
	Tx, Seq    int // in the block, and in the segment
	TxID       string
	Time       time.Time     // of the transaction
	By         policy.Person // the gateway
	Host       provenance.Host
	Repository provenance.Repository
	Tag        provenance.Tag
	Digest     provenance.Digest
	Source     string
	Actor      string
	Address    string
	UserAgent  string
	OccurredAt time.Time // the registry's clock
	ID         provenance.EventID
	Blind      provenance.Digest
	Lane       string // the segment's …
	Number     uint64 // … name
	Nth        int    // of the segment's pulls with a Blind, from 0
}

// PullFilter says which pulls are asked for: those of an image, from one
// repository or (host empty) from all, not before Since by the registry's clock.
type PullFilter struct {
	Digest     provenance.Digest
	Host       provenance.Host
	Repository provenance.Repository
	Since      time.Time // zero: all
}
