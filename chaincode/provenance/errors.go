package provenance

import (
	"errors"
	"fmt"
	"strings"
)

// Code is the stable name of a kind of failure. Fabric carries only text from
// a contract to its caller, so every contract error starts with its code and
// ParseError finds it again on the other side. Codes are protocol: they are
// never renamed.
type Code string

// The codes. What a caller should do is part of each meaning.
const (
	// Invalid: the request is malformed. Correct it; retrying is useless.
	Invalid Code = "WB_INVALID"
	// Forbidden: the caller's certificate does not carry the role. Ask an admin of the organisation for a grant.
	Forbidden Code = "WB_FORBIDDEN"
	// NotFound: the thing named is not on the ledger.
	NotFound Code = "WB_NOT_FOUND"
	// Conflict: the ledger already says something else. Read it, then decide.
	Conflict Code = "WB_CONFLICT"
	// Denied: the release rules refuse. The verdict says which rule.
	Denied Code = "WB_DENIED"
	// Quarantined: the image is under quarantine, which beats every release.
	Quarantined Code = "WB_QUARANTINED"
	// Unavailable: the ledger or the registry cannot be reached now. Retry later.
	Unavailable Code = "WB_UNAVAILABLE"
	// Full: the queue or its disk is full. Retry after a while.
	Full Code = "WB_FULL"
	// Stale: it was decided from facts that have changed since; look again and repeat.
	Stale Code = "WB_STALE"
	// BadEvidence: a signature, subject or document that does not verify.
	BadEvidence Code = "WB_EVIDENCE"
	// Internal: a defect or a damaged state. The log has the full text.
	Internal Code = "WB_INTERNAL"
)

// Phase is how far a request came before it failed, where a caller goes on by
// that and the code does not tell. Phases are protocol, as codes are.
type Phase string

const (
	// Membership: the caller's organisation has not joined, or is not invited. It may be on its way.
	Membership Phase = "membership"
	// Role: the caller's organisation is a member, and its roles do not allow the transaction.
	Role Phase = "role"
	// Stage: the policy that governs the image has no such stage.
	Stage Phase = "stage"
)

// Error is a failure with a stable code, and a phase where it has one. It prints
// as "CODE: message", or "CODE (phase): message".
type Error struct {
	Code    Code
	Phase   Phase
	Message string
	Err     error
}

// Prefix is what stands before the message.
func (e *Error) Prefix() string {
	if e.Phase != "" {
		return fmt.Sprintf("%s (%s): ", e.Code, e.Phase)
	}
	return string(e.Code) + ": "
}

// Error implements error.
func (e *Error) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("%s%s: %v", e.Prefix(), e.Message, e.Err)
	}
	return e.Prefix() + e.Message
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Errorf makes an Error. It understands no %w: use Wrap for a cause.
func Errorf(code Code, format string, args ...any) error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// ErrorIn is Errorf for a failure in a phase.
func ErrorIn(phase Phase, code Code, format string, args ...any) error {
	return &Error{Code: code, Phase: phase, Message: fmt.Sprintf(format, args...)}
}

// PhaseOf returns the phase of the outermost Error in err's chain that has one, or "".
func PhaseOf(err error) Phase {
	for coded := (*Error)(nil); errors.As(err, &coded); err = coded.Err {
		if coded.Phase != "" {
			return coded.Phase
		}
	}
	return ""
}

// Wrap gives a cause a code and names what failed.
func Wrap(code Code, err error, format string, args ...any) error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...), Err: err}
}

// CodeOf returns the code of the outermost Error in err's chain, or Internal
// when there is none. It returns "" for nil.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	var coded *Error
	if errors.As(err, &coded) {
		return coded.Code
	}
	return Internal
}

func codes() []Code {
	return []Code{Invalid, Forbidden, NotFound, Conflict, Denied, Quarantined, Unavailable, Full, Stale, BadEvidence, Internal}
}

func phases() []Phase { return []Phase{"", Membership, Role, Stage} }

// ParseError finds the first code in text that came over a wire ("chaincode
// response 500, WB_NOT_FOUND: ...") and returns it as an Error, with its phase
// if it has one. ok is false when the text holds no code.
func ParseError(text string) (parsed *Error, ok bool) {
	at := -1
	for _, code := range codes() {
		for _, phase := range phases() {
			e := &Error{Code: code, Phase: phase}
			i := strings.Index(text, e.Prefix())
			if i >= 0 && (at < 0 || i < at) {
				at, parsed = i, e
				parsed.Message = text[i+len(e.Prefix()):]
			}
		}
	}
	return parsed, at >= 0
}
