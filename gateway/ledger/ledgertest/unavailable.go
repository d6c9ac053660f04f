package ledgertest

import (
	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// Unavailable is what a ledger that cannot be reached answers, whatever it is asked.
func Unavailable(string) error {
	return provenance.Errorf(provenance.Unavailable, "SecurityMSP peer0: connection refused")
}
