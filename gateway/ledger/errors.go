package ledger

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hyperledger/fabric-protos-go-apiv2/gateway"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// translate gives an error of the gateway service its code.
//
// The contract's own word comes first, wherever it stands: in the status
// message or in the details, one per node. Then whatever says that nodes could
// not be reached, or did not agree yet, is WB_UNAVAILABLE with the nodes
// named. The rest is WB_INTERNAL.
func translate(err error, what string) error {
	if err == nil {
		return nil
	}
	var coded *provenance.Error
	if errors.As(err, &coded) {
		return err
	}
	s := statusOf(err)
	details := detailsOf(s)
	for _, text := range append(messages(details), s.Message()) {
		if parsed, ok := provenance.ParseError(text); ok {
			return &provenance.Error{Code: parsed.Code, Phase: parsed.Phase, Message: what + ": " + parsed.Message}
		}
	}
	if refusedSigner(details) {
		return provenance.Wrap(provenance.Forbidden, brief{err, "the orderers do not accept who signed it" + named(details)}, "%s", what)
	}
	if why := unavailable(err, s, details); why != "" {
		return provenance.Wrap(provenance.Unavailable, brief{err, why}, "%s", what)
	}
	if s.Code() == codes.PermissionDenied || s.Code() == codes.Unauthenticated {
		return provenance.Wrap(provenance.Forbidden, brief{err, s.Message() + named(details)}, "%s", what)
	}
	return provenance.Wrap(provenance.Internal, brief{err, s.Message() + named(details)}, "%s", what)
}

// refusedSigner tells whether every orderer that stood in the way refused the
// signature: the certificate has expired, or the channel's members no longer
// accept it. One that says so beside others that are down may be lying.
func refusedSigner(details []*gateway.ErrorDetail) bool {
	return len(details) > 1 && !slices.ContainsFunc(messages(details), func(text string) bool {
		return !strings.Contains(text, "status=FORBIDDEN")
	})
}

// brief keeps the cause for errors.As and prints one line.
type brief struct {
	cause error
	text  string
}

func (b brief) Error() string { return b.text }
func (b brief) Unwrap() error { return b.cause }

// unavailable returns why the network cannot serve now, or "".
func unavailable(err error, s *status.Status, details []*gateway.ErrorDetail) string {
	text := s.Message()
	switch {
	case errors.Is(err, context.DeadlineExceeded) || s.Code() == codes.DeadlineExceeded:
		return "no answer within the deadline" + named(details)
	case errors.Is(err, context.Canceled) || s.Code() == codes.Canceled:
		return "the call was cancelled"
	case s.Code() == codes.FailedPrecondition:
		return "too few organisations can be reached to satisfy the endorsement policy: " + text + named(details)
	case s.Code() == codes.Unavailable:
		return text + named(details)
	case strings.Contains(text, "exceeding concurrency limit"):
		return "the peer is busy: " + text
	case s.Code() == codes.Aborted, s.Code() == codes.ResourceExhausted:
		// No contract code in it, so it was the road and not the contract: a chaincode process or peer is down, or
		// peers at different heights disagree for a moment.
		return text + named(details)
	case s.Code() == codes.Unknown && len(details) > 0:
		return text + named(details)
	case s.Code() == codes.NotFound || s.Code() == codes.Unimplemented:
		return "the peer is not ready: " + text
	}
	return ""
}

func statusOf(err error) *status.Status {
	var carrier interface{ GRPCStatus() *status.Status }
	if errors.As(err, &carrier) {
		return carrier.GRPCStatus()
	}
	return status.Convert(err)
}

func detailsOf(s *status.Status) []*gateway.ErrorDetail {
	var details []*gateway.ErrorDetail
	for _, d := range s.Details() {
		if d, ok := d.(*gateway.ErrorDetail); ok {
			details = append(details, d)
		}
	}
	return details
}

func messages(details []*gateway.ErrorDetail) []string {
	texts := make([]string, len(details))
	for i, d := range details {
		texts[i] = d.GetMessage()
	}
	return texts
}

// named lists the nodes that stood in the way: " (SecurityMSP peer:7051: connection refused; ...)".
func named(details []*gateway.ErrorDetail) string {
	const most = 8
	if len(details) == 0 {
		return ""
	}
	var parts []string
	for i, d := range details {
		if i == most {
			parts = append(parts, fmt.Sprintf("and %d more", len(details)-most))
			break
		}
		parts = append(parts, strings.TrimSpace(fmt.Sprintf("%s %s: %s", d.GetMspId(), d.GetAddress(), line(d.GetMessage()))))
	}
	return " (" + strings.Join(parts, "; ") + ")"
}

// line makes one short line of a text that a node sent.
func line(s string) string {
	const limit = 200
	s = strings.Join(strings.Fields(strings.ToValidUTF8(s, "?")), " ")
	if len(s) > limit {
		s = strings.ToValidUTF8(s[:limit], "") + "…"
	}
	return s
}

// alreadySent tells whether a failed submit only says that the orderers have
// this transaction: under SmartBFT a resent one is refused that way although
// it commits.
func alreadySent(err error) bool {
	s := statusOf(err)
	for _, text := range append(messages(detailsOf(s)), s.Message()) {
		if strings.Contains(text, "already processed") || strings.Contains(text, "already exists") {
			return true
		}
	}
	return false
}

// conflicting tells whether a commit code means that another transaction came
// first, so that a fresh run may succeed.
func conflicting(code string) bool {
	return code == peer.TxValidationCode_MVCC_READ_CONFLICT.String() || code == peer.TxValidationCode_PHANTOM_READ_CONFLICT.String()
}

// guarded tells whether a commit code means that the endorsements did not
// satisfy the policy of the chaincode or of a key.
func guarded(code string) bool {
	return code == peer.TxValidationCode_ENDORSEMENT_POLICY_FAILURE.String()
}

// errDisagree says that the endorsing peers answered differently.
var errDisagree = errors.New("the peers do not agree, some are blocks behind")

// disagreed tells whether a failed endorsement says so: after one peer had
// endorsed, others refused or answered something else. The contract is
// deterministic, so they stand at different blocks, and what one that is behind
// says of the request is no verdict on it. What the first peer that is asked
// refuses comes with another message.
func disagreed(err error) bool {
	s := statusOf(err)
	return strings.Contains(s.Message(), "failed to collect enough transaction endorsements") && slices.ContainsFunc(messages(detailsOf(s)), func(text string) bool {
		_, coded := provenance.ParseError(text)
		return coded || strings.Contains(text, "ProposalResponsePayloads do not match")
	})
}
