package api

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
)

// TestAccess walks every method of the service × every kind of caller. The
// expectations stand here in full, so that a change of the table is a change
// of this test too.
func TestAccess(t *testing.T) {
	own := caller{Person: policy.Person{MSP: "VendorMSP", Name: "admin"}}
	other := caller{Person: policy.Person{MSP: "AuditMSP", Name: "admin"}}
	broken := caller{err: provenance.Errorf(provenance.Forbidden, "expired")}
	type answers struct{ own, other, nobody, nobodyAllowed bool }
	read, operate, name := answers{own: true, other: true, nobodyAllowed: true}, answers{own: true}, answers{own: true, other: true}
	want := map[string]answers{
		"GetStatus": read, "GetImage": read, "GetTag": read, "GetVerdict": read, "ListHistory": read, "ListPromotions": read, "ListPolicies": read,
		"GetPolicy": read, "ListMembers": read, "ListRegistries": read, "ListDeadLetters": operate, "RetryDeadLetters": operate, "ListUnusable": operate, "RemoveUnusable": operate,
		"StartSweep": operate, "GetSweeps": operate,
		"ListConnectors": operate, "TestConnector": operate, // and there by role: TestConnectors
		"GetEvidence": read, "GetTree": read, "ListPolicyVersions": read, "SimulatePolicy": name, "ListProposals": read, "GetProposal": read, "GetInbox": name,
		"ListKeys": read, "ListSchemas": read, "ListWaivers": read, "ListContext": read, "ListLabels": read, "ListPulls": name,
		"Search": name, "FindImages": read, "ListEvents": name, "GetReceipt": name, "GetProof": name,
	}
	g := guard{org: "VendorMSP", table: accessTable(), log: slog.New(slog.DiscardHandler)}
	open := g
	open.anonymous = true
	methods := waybillv1.Waybill_ServiceDesc.Methods
	if len(methods) != len(want) || len(g.table) != len(want) || len(waybillv1.Waybill_ServiceDesc.Streams) != 0 {
		t.Fatalf("%d methods, %d in the table, %d expected, %d streams", len(methods), len(g.table), len(want), len(waybillv1.Waybill_ServiceDesc.Streams))
	}
	for _, m := range methods {
		expect, ok := want[m.MethodName]
		if !ok {
			t.Errorf("%s is not expected", m.MethodName)
		}
		full := "/" + waybillv1.Waybill_ServiceDesc.ServiceName + "/" + m.MethodName
		got := answers{
			own: g.check(full, own) == nil, other: g.check(full, other) == nil,
			nobody: g.check(full, caller{}) == nil, nobodyAllowed: open.check(full, caller{}) == nil,
		}
		if got != expect {
			t.Errorf("%s: %+v, want %+v", m.MethodName, got, expect)
		}
		if open.check(full, broken) == nil {
			t.Errorf("%s answers a caller whose certificate does not hold", m.MethodName)
		}
	}
	if err := open.check("/waybill.v1.Waybill/New", own); provenance.CodeOf(err) != provenance.Forbidden {
		t.Errorf("a method that is not in the table: %v", err)
	}
}

// TestErrorsKeepTheirCode: every code survives gRPC, and Internal keeps its text to itself.
func TestErrorsKeepTheirCode(t *testing.T) {
	seen := map[int]bool{}
	for _, code := range []provenance.Code{provenance.Invalid, provenance.Forbidden, provenance.NotFound, provenance.Conflict, provenance.Denied,
		provenance.Quarantined, provenance.Unavailable, provenance.Full, provenance.Internal, provenance.Stale, provenance.BadEvidence} {
		p := toProblem(withHint(provenance.Errorf(code, "the secret path"), "do this"))
		back := fromStatus(p.status())
		if provenance.CodeOf(back) != code || HintOf(back) != "do this" {
			t.Errorf("%s came back as %v, hint %q", code, back, HintOf(back))
		}
		if (p.Message == "the secret path") != (code != provenance.Internal) {
			t.Errorf("%s says %q", code, p.Message)
		}
		if p.http < 400 {
			t.Errorf("%s is HTTP %d", code, p.http)
		}
		seen[p.http] = true
	}
	if len(seen) < 8 {
		t.Errorf("HTTP statuses: %v", seen)
	}
	p := toProblem(errors.New("the secret path"))
	if p.Code != provenance.Internal || strings.Contains(p.Message, "secret") {
		t.Errorf("an error without a code: %+v", p)
	}
}

// TestPanic: a panic in a method is that call's Internal error, not the end of the gateway.
func TestPanic(t *testing.T) {
	var observed provenance.Code
	g := guard{org: "VendorMSP", anonymous: true, table: accessTable(), log: slog.New(slog.DiscardHandler), deadline: time.Minute,
		observe: func(_ string, code provenance.Code, _ time.Duration) { observed = code }}
	info := &grpc.UnaryServerInfo{FullMethod: waybillv1.Waybill_GetStatus_FullMethodName}
	_, err := g.intercept(t.Context(), nil, info, func(context.Context, any) (any, error) { panic("boom") })
	if status.Code(err) != codes.Internal || strings.Contains(err.Error(), "boom") || observed != provenance.Internal {
		t.Errorf("%v, observed %s", err, observed)
	}
}
