package index

import (
	"time"

	"github.com/waybill-dev/waybill/chaincode/policy"
)

// Block is what the index takes from one block of the channel.
type Block struct {
	Number       uint64
	Hash         []byte // of the header
	PreviousHash []byte // of the header before; empty for block 0
	// Txs are the VALID transactions of our chaincode, in block order.
	Txs []Tx
	// Organisations is set on configuration blocks: the channel's members.
	Organisations []Organisation
}

// Tx is one valid transaction.
type Tx struct {
	ID       string
	Index    int // in the block, invalid and foreign transactions counted
	Creator  policy.Person
	At       time.Time
	Function string
	Writes   []Write
}

// Write is one key of a transaction's write set.
type Write struct {
	Key    string
	Value  []byte
	Delete bool
}

// Organisation is a member of the channel as its configuration names it; the
// certificates and revocation lists are PEM.
type Organisation struct {
	MSPID             string   `json:"mspid"`
	RootCerts         [][]byte `json:"rootCerts"`
	IntermediateCerts [][]byte `json:"intermediateCerts,omitempty"`
	RevocationLists   [][]byte `json:"revocationLists,omitempty"`
}
