package readmodel

import (
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// SearchFilter says which records are looked for; what is set must all match.
type SearchFilter struct {
	Digest     string // a digest, or the hex digits that a SHA-256 begins with
	Tag        provenance.Tag
	Repository string // host/repository or a pattern of it, as in policies
	Actor      string // the registry's word, or NAME or NAME@MSP of who signed
	MSP        string
	Kinds      []string // one of them
	Stage      string
	Text       string // in the line or the reason of an act, without regard to case
	// Since and Before bound the time of the transaction.
	Since, Before time.Time
}
