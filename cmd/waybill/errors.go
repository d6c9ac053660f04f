package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/api"
)

// usageHint stands for the help of whichever command was typed.
const usageHint = "see waybill --help"

// hinted is an error that knows what to do about it.
type hinted struct {
	error
	hint string
}

// Unwrap returns the cause.
func (e hinted) Unwrap() error { return e.error }

// hint adds advice to an error; nil stays nil.
func hint(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return hinted{err, fmt.Sprintf(format, args...)}
}

// usagef makes a usageError.
func usagef(format string, args ...any) error {
	return usageError{fmt.Errorf(format, args...)}
}

// asUsage says that an error is the command line's fault; nil stays nil.
func asUsage(err error) error {
	if err == nil {
		return nil
	}
	return usageError{err}
}

// report prints an error the program's one way: "waybill: message" in lower
// case without a full stop, and a hint line where there is one. A verdict
// or a report that was printed already is not repeated.
func report(w io.Writer, err error) {
	var answer answerError
	var receipt receiptError
	if err == nil || errors.As(err, &answer) || errors.As(err, &receipt) {
		return
	}
	fmt.Fprintf(w, "waybill: %s\n", sanitize(message(err)))
	if h := hintOf(err); h != "" {
		fmt.Fprintf(w, "hint: %s\n", sanitize(h))
	}
}

// functionName is a transaction's name before what it answered. The person
// typed a command and need not know it.
var functionName = regexp.MustCompile(`^[a-z]+:[A-Z][A-Za-z]*: `)

// message is the error's text for a person: the code of a coded error is for
// programs, and the exit code already says it.
func message(err error) string {
	if errors.Is(err, context.Canceled) {
		return "interrupted"
	}
	text := err.Error()
	for {
		coded, ok := provenance.ParseError(text)
		if !ok {
			break
		}
		text = strings.Replace(text, coded.Prefix(), "", 1)
	}
	text = functionName.ReplaceAllString(text, "")
	return lowerFirst(strings.TrimSuffix(text, "."))
}

// lowerFirst lowers a capital that starts an ordinary word, not an acronym or
// a name such as VendorMSP.
func lowerFirst(s string) string {
	word, _, _ := strings.Cut(s, " ")
	if word == "" || word[1:] != strings.ToLower(word[1:]) {
		return s
	}
	return strings.ToLower(s[:1]) + s[1:]
}

// hintOf returns the error's own hint, or the general one for its code.
func hintOf(err error) string {
	var own hinted
	if errors.As(err, &own) {
		return own.hint
	}
	if h := api.HintOf(err); h != "" {
		return h
	}
	if errors.Is(err, context.Canceled) {
		return ""
	}
	var usage usageError
	if errors.As(err, &usage) {
		return usageHint
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "see what runs with: waybill network status, on an organisation's own host: waybill doctor; a longer wait is --timeout 2m"
	}
	switch provenance.CodeOf(err) {
	case provenance.Forbidden:
		return "see who has which role with: waybill member list"
	case provenance.NotFound:
		return "only what a gateway recorded is on the ledger: waybill status, waybill policy list"
	case provenance.Conflict:
		return "the ledger already says something else: read it, then decide"
	case provenance.Denied, provenance.Quarantined:
		return "waybill explain IMAGE --stage STAGE says which rule and who can fix it"
	case provenance.Unavailable:
		return "see what runs, and what is wrong, with: waybill network status, on an organisation's own host: waybill doctor"
	case provenance.Full:
		return "the gateway's queue or disk is full; try again later, see waybill status"
	default:
		return ""
	}
}
