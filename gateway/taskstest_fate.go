package gateway

import (
	"errors"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// fate says what the worker will make of an error.
func fate(err error) string {
	var lost *hopelessError
	var waits *waitingError
	switch {
	case errors.As(err, &lost) && lost.wants != "":
		return "lost until " + lost.wants
	case errors.As(err, &lost):
		return "lost"
	case errors.As(err, &waits):
		return "waits for " + waits.wants
	}
	return string(provenance.CodeOf(err))
}
