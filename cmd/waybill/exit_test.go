package main

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
)

func TestExitCodes(t *testing.T) {
	coded := func(c provenance.Code) error { return fmt.Errorf("do it: %w", provenance.Errorf(c, "x")) }
	for _, tt := range []struct {
		name string
		err  error
		want int
	}{
		{"nothing", nil, 0},
		{"any error", errors.New("x"), 1},
		{"usage", usagef("x"), 2},
		{"usage with a hint", hint(usagef("x"), "y"), 2},
		{"a malformed image", usageError{coded(provenance.Invalid)}, 2},
		{"allowed", answered(policy.Verdict{Verdict: policy.Allowed}), 0},
		{"unknown", answered(policy.Verdict{Verdict: policy.Unknown}), 10},
		{"denied", answered(policy.Verdict{Verdict: policy.Denied}), 11},
		{"pending", answered(policy.Verdict{Verdict: policy.Pending}), 12},
		{"quarantined", answered(policy.Verdict{Verdict: policy.Quarantined}), 13},
		{"an answer of the future is never a yes", answered(policy.Verdict{Verdict: "fine"}), 1},
		{"no answer is never a yes", answered(policy.Verdict{}), 1},
		{"invalid", coded(provenance.Invalid), 1},
		{"forbidden", coded(provenance.Forbidden), 1},
		{"not found", coded(provenance.NotFound), 10},
		{"conflict", coded(provenance.Conflict), 1},
		{"denied by the ledger", coded(provenance.Denied), 11},
		{"quarantined by the ledger", coded(provenance.Quarantined), 13},
		{"unavailable", coded(provenance.Unavailable), 14},
		{"full", coded(provenance.Full), 1},
		{"internal", coded(provenance.Internal), 1},
		{"too late", fmt.Errorf("ask: %w", context.DeadlineExceeded), 14},
		{"interrupted", context.Canceled, 1},
	} {
		if got := exitOf(tt.err); got != tt.want {
			t.Errorf("%s: exit %d, want %d", tt.name, got, tt.want)
		}
	}
}
