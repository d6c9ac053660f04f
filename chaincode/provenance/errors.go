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

// Error is a failure with a stable code. It prints as "CODE: message".
type Error struct {
	Code    Code
	Message string
	Err     error
}

// Error implements error.
func (e *Error) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("%s: %s: %v", e.Code, e.Message, e.Err)
	}
	return fmt.Sprintf("%s: %s", e.Code, e.Message)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Errorf makes an Error. It understands no %w: use Wrap for a cause.
func Errorf(code Code, format string, args ...any) error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
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

// ParseError finds the first code in text that came over a wire ("chaincode
// response 500, WB_NOT_FOUND: ...") and returns it as an Error. ok is false
// when the text holds no code.
func ParseError(text string) (parsed *Error, ok bool) {
	at := -1
	for _, code := range codes() {
		i := strings.Index(text, string(code)+": ")
		if i >= 0 && (at < 0 || i < at) {
			at = i
			parsed = &Error{Code: code, Message: text[i+len(code)+2:]}
		}
	}
	return parsed, at >= 0
}
