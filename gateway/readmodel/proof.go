package readmodel

import (
	"time"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/state"
)

// ReceiptRequest asks for a verdict under the signatures of several organisations' peers.
type ReceiptRequest struct {
	Subject state.Subject
	// Organisations is how many must have signed; 0 is a majority of the channel's.
	Organisations int
	// MaxAge is how old a receipt may be that is handed out again; 0: it is made anew.
	MaxAge time.Duration
	// Answer is what the index says now: a receipt that says otherwise is not handed out again.
	Answer policy.Answer
	Asker  string // the MSP id of who asks
}

// TransactionRequest asks for the proof of a transaction.
type TransactionRequest struct {
	TxID          string
	Organisations int // as in ReceiptRequest
	Asker         string
}

// Proof is a file that is checked without a gateway.
type Proof struct {
	File []byte
	At   time.Time // of a receipt: when the question was asked
	// Signers are the organisations whose peers signed, sorted.
	Signers []string
	Answer  policy.Answer // of a receipt
}
