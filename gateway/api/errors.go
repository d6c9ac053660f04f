package api

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// errorDomain marks our details in a gRPC status.
const errorDomain = "waybill.dev"

// rendering is how a provenance code looks on the wire.
type rendering struct {
	grpc codes.Code
	http int
}

// render is the one table code -> gRPC -> HTTP. A code that is missing here is
// rendered as Internal.
func render(code provenance.Code) rendering {
	switch code {
	case provenance.Invalid:
		return rendering{codes.InvalidArgument, http.StatusBadRequest}
	case provenance.Forbidden:
		return rendering{codes.PermissionDenied, http.StatusForbidden}
	case provenance.NotFound:
		return rendering{codes.NotFound, http.StatusNotFound}
	case provenance.Conflict, provenance.Stale:
		return rendering{codes.Aborted, http.StatusConflict}
	case provenance.Denied, provenance.Quarantined, provenance.BadEvidence:
		return rendering{codes.FailedPrecondition, http.StatusUnprocessableEntity}
	case provenance.Unavailable:
		return rendering{codes.Unavailable, http.StatusServiceUnavailable}
	case provenance.Full:
		return rendering{codes.ResourceExhausted, http.StatusTooManyRequests}
	default:
		return rendering{codes.Internal, http.StatusInternalServerError}
	}
}

// problem is an error as it leaves the gateway: the body of a failed REST
// call, and the details of a failed gRPC call.
type problem struct {
	Code    provenance.Code `json:"code"`
	Message string          `json:"message"`
	Hint    string          `json:"hint,omitempty"`

	rendering
}

// hintedError adds advice to an error, and may say that the caller is not known at all.
type hintedError struct {
	error
	hint            string
	unauthenticated bool
}

func (h *hintedError) Unwrap() error { return h.error }

// withHint adds advice on what to do about err.
func withHint(err error, hint string) error { return &hintedError{error: err, hint: hint} }

// toProblem decides what a caller may read of an error. Uncoded and Internal
// errors may hold anything, so only the log has their text.
func toProblem(err error) problem {
	p := problem{Code: provenance.CodeOf(err)}
	var coded *provenance.Error
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		p.Code, p.Message = provenance.Unavailable, "the call was ended before it was answered"
	case p.Code == provenance.Internal:
		p.Message = "the gateway failed to answer; its log has the details"
	case errors.As(err, &coded):
		p.Message = coded.Message
		if coded.Err != nil {
			p.Message += ": " + coded.Err.Error()
		}
	}
	p.rendering = render(p.Code)
	// As in an answer: it may repeat what is stored.
	p.Message = strings.ToValidUTF8(p.Message, mark)
	var h *hintedError
	if errors.As(err, &h) {
		p.Hint = strings.ToValidUTF8(h.hint, mark)
		if h.unauthenticated {
			p.rendering = rendering{codes.Unauthenticated, http.StatusUnauthorized}
		}
	}
	return p
}

// status renders the problem for gRPC.
func (p problem) status() error {
	s := status.New(p.grpc, string(p.Code)+": "+p.Message)
	info := &errdetails.ErrorInfo{Reason: string(p.Code), Domain: errorDomain}
	if p.Hint != "" {
		info.Metadata = map[string]string{"hint": p.Hint}
	}
	if detailed, err := s.WithDetails(info); err == nil {
		s = detailed
	}
	return s.Err()
}

// fromStatus is the client's side of problem.status: it returns a coded error.
// A status without our details did not come from a gateway's method.
func fromStatus(err error) error {
	if err == nil {
		return nil
	}
	s := status.Convert(err)
	for _, d := range s.Details() {
		info, ok := d.(*errdetails.ErrorInfo)
		if !ok || info.GetDomain() != errorDomain {
			continue
		}
		code := provenance.Code(info.GetReason())
		out := provenance.Errorf(code, "%s", s.Message())
		if parsed, ok := provenance.ParseError(s.Message()); ok && strings.HasPrefix(s.Message(), parsed.Prefix()) && parsed.Code == code {
			out = parsed
		}
		if hint := info.GetMetadata()["hint"]; hint != "" {
			return withHint(out, hint)
		}
		return out
	}
	if parsed, ok := provenance.ParseError(s.Message()); ok {
		return parsed
	}
	switch s.Code() {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled:
		return provenance.Wrap(provenance.Unavailable, err, "gateway")
	default:
		return provenance.Wrap(provenance.Internal, err, "gateway")
	}
}

// HintOf returns the gateway's advice on an error of a Client, or "".
func HintOf(err error) string {
	var h *hintedError
	if errors.As(err, &h) {
		return h.hint
	}
	return ""
}
