package ledgertest

import (
	"github.com/waybill-dev/waybill/chaincode/provenance"
)

func Unavailable(string) error {
	return provenance.Errorf(provenance.Unavailable, "SecurityMSP peer0: connection refused")
}
