// Package block holds a block of the channel as Waybill reads it.
package block

import (
	"time"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// Block is what Waybill reads from a block: the valid transactions of one
// chaincode, and the channel's organisations where the block configures them.
type Block struct {
	Number       uint64
	Hash         []byte // of the header
	PreviousHash []byte // of the header before; empty for block 0
	// Txs are the VALID transactions of our chaincode, in block order.
	Txs []Tx
	// After is the channel that this one goes on from, as its first block names it.
	After *provenance.Predecessor
	// Organisations is set on configuration blocks: the channel's members.
	Organisations []Organisation
}

// Tx is one valid transaction.
type Tx struct {
	ID       string
	Index    int // in the block, invalid and foreign transactions counted
	Creator  policy.Person
	At       time.Time // claimed by the client, bounded by the peers' time window
	Function string    // "contract:Function"; "" when another chaincode called ours
	Writes   []Write
	// Events are those of the segments that it writes, by key, once somebody decoded
	// them (index.Prepare); nil before.
	Events map[string][]provenance.Event
}

// Write is one key of a transaction's write set.
type Write struct {
	Key    string
	Value  []byte
	Delete bool
}

// Organisation is a member of the channel as its configuration names it: who
// may issue certificates for it. Certificates and revocation lists are PEM.
type Organisation struct {
	MSPID             string   `json:"mspid"`
	RootCerts         [][]byte `json:"rootCerts"`
	IntermediateCerts [][]byte `json:"intermediateCerts,omitempty"`
	RevocationLists   [][]byte `json:"revocationLists,omitempty"`
	// Orderers are the enrolment certificates by which its consenters are known, and OrderersTLS those they are dialled at.
	Orderers    [][]byte `json:"orderers,omitempty"`
	OrderersTLS [][]byte `json:"orderersTLS,omitempty"`
}
