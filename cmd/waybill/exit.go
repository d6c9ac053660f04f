package main

import (
	"context"
	"errors"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// The exit codes. They are protocol: a pipeline tells "no" from "not yet"
// from "cannot tell" by them.
const (
	exitYes         = 0
	exitError       = 1
	exitUsage       = 2
	exitUnknown     = 10
	exitDenied      = 11
	exitPending     = 12
	exitQuarantined = 13
	exitUnavailable = 14
)

// exitHelp is the table as the help prints it.
const exitHelp = `Exit codes: 0 yes, 1 error, 2 usage, 10 unknown, 11 denied, 12 pending,
13 quarantined, 14 ledger unreachable or stale, or nobody to rely on answered.`

// usageError is a command line that cannot be understood.
type usageError struct{ error }

// Unwrap returns the cause.
func (e usageError) Unwrap() error { return e.error }

// answerError carries a verdict that was already printed; only its exit code is left.
type answerError struct{ answer policy.Answer }

// Error implements error.
func (e answerError) Error() string { return string(e.answer) }

// answered turns a printed verdict into the error run exits by.
func answered(v policy.Verdict) error {
	if v.Verdict == policy.Allowed {
		return nil
	}
	return answerError{v.Verdict}
}

// exitOf is the one place that turns a result into an exit code.
func exitOf(err error) int {
	var usage usageError
	var answer answerError
	var receipt receiptError
	switch {
	case err == nil:
		return exitYes
	case errors.As(err, &usage):
		return exitUsage
	case errors.As(err, &answer):
		return exitOfAnswer(answer.answer)
	case errors.As(err, &receipt):
		return int(receipt)
	case errors.Is(err, context.DeadlineExceeded):
		return exitUnavailable
	}
	switch provenance.CodeOf(err) {
	case provenance.NotFound:
		return exitUnknown
	case provenance.Denied:
		return exitDenied
	case provenance.Quarantined:
		return exitQuarantined
	case provenance.Unavailable:
		return exitUnavailable
	default:
		return exitError
	}
}

// exitOfAnswer maps a verdict. An answer this program does not know is an
// error, never a yes.
func exitOfAnswer(a policy.Answer) int {
	switch a {
	case policy.Allowed:
		return exitYes
	case policy.Unknown:
		return exitUnknown
	case policy.Denied:
		return exitDenied
	case policy.Pending:
		return exitPending
	case policy.Quarantined:
		return exitQuarantined
	default:
		return exitError
	}
}
