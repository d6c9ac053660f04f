package api

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"time"

	"google.golang.org/grpc"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
)

// access is who may call a method.
type access int

const (
	nobody access = iota // not in the table
	// members: any member of the channel; everybody, where the configuration
	// allows anonymous reads.
	members
	// named: any member of the channel, by its certificate, whatever the
	// configuration says of anonymous reads.
	named
	// operators: people of the organisation that runs this gateway.
	operators
	// admins: those of them who are admins, by certificate or by a grant.
	admins
)

// accessTable says who may call what. What is not in it, nobody may call.
func accessTable() map[string]access {
	return map[string]access{
		waybillv1.Waybill_GetStatus_FullMethodName:          members,
		waybillv1.Waybill_GetImage_FullMethodName:           members,
		waybillv1.Waybill_GetTag_FullMethodName:             members,
		waybillv1.Waybill_GetVerdict_FullMethodName:         members,
		waybillv1.Waybill_GetReceipt_FullMethodName:         named,
		waybillv1.Waybill_GetProof_FullMethodName:           named,
		waybillv1.Waybill_ListHistory_FullMethodName:        members,
		waybillv1.Waybill_Search_FullMethodName:             named,
		waybillv1.Waybill_FindImages_FullMethodName:         members,
		waybillv1.Waybill_ListEvents_FullMethodName:         named,
		waybillv1.Waybill_ListPulls_FullMethodName:          named,
		waybillv1.Waybill_ListPromotions_FullMethodName:     members,
		waybillv1.Waybill_GetEvidence_FullMethodName:        members,
		waybillv1.Waybill_GetTree_FullMethodName:            members,
		waybillv1.Waybill_ListPolicies_FullMethodName:       members,
		waybillv1.Waybill_GetPolicy_FullMethodName:          members,
		waybillv1.Waybill_ListPolicyVersions_FullMethodName: members,
		waybillv1.Waybill_SimulatePolicy_FullMethodName:     named,
		waybillv1.Waybill_ListProposals_FullMethodName:      members,
		waybillv1.Waybill_GetProposal_FullMethodName:        members,
		waybillv1.Waybill_GetInbox_FullMethodName:           named,
		waybillv1.Waybill_ListKeys_FullMethodName:           members,
		waybillv1.Waybill_ListSchemas_FullMethodName:        members,
		waybillv1.Waybill_ListWaivers_FullMethodName:        members,
		waybillv1.Waybill_ListContext_FullMethodName:        members,
		waybillv1.Waybill_ListLabels_FullMethodName:         members,
		waybillv1.Waybill_ListMembers_FullMethodName:        members,
		waybillv1.Waybill_ListRegistries_FullMethodName:     members,
		waybillv1.Waybill_ListDeadLetters_FullMethodName:    operators,
		waybillv1.Waybill_RetryDeadLetters_FullMethodName:   operators,
		waybillv1.Waybill_ListUnusable_FullMethodName:       operators,
		waybillv1.Waybill_RemoveUnusable_FullMethodName:     operators,
		waybillv1.Waybill_StartSweep_FullMethodName:         operators,
		waybillv1.Waybill_GetSweeps_FullMethodName:          operators,
		waybillv1.Waybill_ListConnectors_FullMethodName:     admins,
		waybillv1.Waybill_TestConnector_FullMethodName:      admins,
	}
}

// guard stands before every call of both protocols.
type guard struct {
	org       string
	anonymous bool
	table     map[string]access
	log       *slog.Logger
	observe   func(method string, code provenance.Code, took time.Duration)
	deadline  time.Duration
	// roles are those the ledger gives a caller.
	roles func(context.Context, caller) ([]string, error)
}

// check tells whether c may call method.
func (g guard) check(method string, c caller) error {
	rule := g.table[method]
	switch {
	case rule == nobody:
		return provenance.Errorf(provenance.Forbidden, "nobody may call %s", method)
	case c.err != nil:
		return &hintedError{error: c.err, unauthenticated: true, hint: "use a certificate of a member of the channel, in its dates"}
	case c.anonymous() && (rule != members || !g.anonymous):
		return &hintedError{
			error: provenance.Errorf(provenance.Forbidden, "no client certificate"), unauthenticated: true,
			hint: "present the certificate of a member of the channel",
		}
	case (rule == operators || rule == admins) && c.MSP != g.org:
		return provenance.Errorf(provenance.Forbidden, "only people of %s may call this on its gateway, not %s", g.org, c)
	}
	return nil
}

// checkRole tells whether c, whom check has let pass, holds the role that method wants.
func (g guard) checkRole(ctx context.Context, method string, c caller) error {
	if g.table[method] != admins {
		return nil
	}
	roles, err := g.roles(ctx, c)
	if err == nil && !slices.Contains(roles, string(state.RoleAdmin)) {
		err = withHint(provenance.Errorf(provenance.Forbidden, "%s is no admin of %s", c, g.org), "ask as ORG/admin")
	}
	return err
}

// intercept is the interceptor of both protocols. It is where errors take the
// form a caller sees, and where those a caller must not see are logged.
func (g guard) intercept(ctx context.Context, request any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (response any, err error) {
	began := time.Now()
	c := callerOf(ctx)
	defer func() {
		if r := recover(); r != nil {
			err = provenance.Errorf(provenance.Internal, "panic in %s: %v\n%s", info.FullMethod, r, debug.Stack())
		}
		var code provenance.Code
		if err != nil {
			p := toProblem(err)
			code = p.Code
			level := slog.LevelDebug
			if code == provenance.Internal {
				level = slog.LevelError
			}
			g.log.LogAttrs(ctx, level, "api call failed", slog.String("method", info.FullMethod), slog.String("caller", c.String()), slog.Any("error", err))
			response, err = nil, p.status()
		}
		g.observe(info.FullMethod, code, time.Since(began))
	}()
	if err := g.check(info.FullMethod, c); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, g.deadline)
	defer cancel()
	if err := g.checkRole(ctx, info.FullMethod, c); err != nil {
		return nil, err
	}
	if response, err = handle(ctx, request); err == nil {
		sanitize(response)
	}
	return response, err
}

// String names the caller for logs.
func (c caller) String() string {
	if c.err != nil {
		return fmt.Sprintf("refused (%v)", c.err)
	}
	if c.anonymous() {
		return "anonymous"
	}
	return c.Person.String()
}
