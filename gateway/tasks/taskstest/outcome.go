package taskstest

import (
	"errors"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/tasks"
)

// Outcome says what the worker will make of an error.
func Outcome(err error) string {
	var lost *tasks.FinalError
	var waits *tasks.WaitingError
	switch {
	case errors.As(err, &lost) && lost.For != "":
		return "lost until " + lost.For
	case errors.As(err, &lost):
		return "lost"
	case errors.As(err, &waits):
		return "waits for " + waits.For
	}
	return string(provenance.CodeOf(err))
}
