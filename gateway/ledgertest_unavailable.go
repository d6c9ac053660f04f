package gateway

import (
	"github.com/waybill-dev/waybill/chaincode/provenance"
)

func unavailable(string) error {
	return provenance.Errorf(provenance.Unavailable, "SecurityMSP peer0: connection refused")
}
