package contract

import (
	"slices"
	"strings"
	"sync"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
)

// access is what one transaction asks of its caller.
type access struct {
	args   int          // exact number of arguments
	roles  []state.Role // one of these; nil: any identity of the channel
	member bool         // the caller's organisation must have joined
	writes bool
}

// accessTable is the whole law of who may call what. A function that is not
// here is refused, whatever else exists: forgetting is safe. Nobody alters it: it
// is made once, for to make it took a tenth of a transaction.
var accessTable = sync.OnceValue(func() map[string]access { //nolint:gochecknoglobals // a value that never changes
	const (
		admin, manager, scanner = state.RoleAdmin, state.RoleReleaseManager, state.RoleScanner
		publisher, auditor      = state.RolePublisher, state.RoleAuditor
		gateway                 = state.RoleGateway
	)
	read := func(args int) access { return access{args: args} }
	write := func(args int, roles ...state.Role) access {
		return access{args: args, roles: roles, member: true, writes: true}
	}
	return map[string]access{
		// No organisation is a member before these two.
		"member:Found": {args: 1, roles: []state.Role{admin}, writes: true},
		"member:Join":  {args: 1, roles: []state.Role{admin}, writes: true},

		// Nor before the last page of a channel that goes on from another one.
		"genesis:Import": {args: 2, roles: []state.Role{admin}, writes: true},
		"genesis:Export": read(2),
		"genesis:Get":    read(0),

		"member:Grant":    write(2, admin),
		"member:Revoke":   write(2, admin),
		"member:TakeBack": write(3, admin),
		"member:List":     read(0),
		"registry:List":   read(0),

		"record:Segment":       write(4, gateway),
		"record:Clients":       write(3, gateway),
		"record:ReadClients":   {args: 3, roles: []state.Role{gateway}, member: true},
		"record:PurgeClients":  write(3, gateway, admin),
		"record:Witness":       write(3, gateway),
		"record:Manifest":      write(3, gateway),
		"image:Get":            read(3),
		"tag:Get":              read(3),
		"evidence:Submit":      write(8, scanner, publisher, manager, auditor, admin, gateway),
		"evidence:SubmitBatch": write(0, scanner, publisher, manager, auditor, admin, gateway),
		"evidence:Withdraw":    write(4, scanner, publisher, manager, auditor, admin),
		"evidence:List":        read(1),

		"clock:Tick": write(0, gateway),
		"clock:Get":  read(0),

		"proposal:Open":     write(2, admin),
		"proposal:Vote":     write(4, admin),
		"proposal:Withdraw": write(2, admin),
		"proposal:Get":      read(1),
		"proposal:List":     read(1),
		"policy:List":       read(0),
		"channel:Propose":   write(3, admin),
		"channel:Vote":      write(5, admin),
		"channel:Votes":     read(1),
		"policy:Get":        read(2),
		"policy:Versions":   read(1),

		"key:Add":        write(5, admin),
		"key:Withdraw":   write(3, admin),
		"key:List":       read(0),
		"trust:Add":      write(3, admin),
		"trust:Withdraw": write(3, admin),
		"trust:List":     read(0),
		"trust:Show":     read(3),
		"schema:Add":     write(2, admin),
		"schema:List":    read(0),
		"context:Set":    write(2, admin, manager, scanner, gateway),
		"context:List":   read(0),
		"label:Set":      write(4, admin),
		"label:List":     read(2),
		"waiver:Request": write(7, manager, admin),
		"waiver:Approve": write(3, manager, admin),
		"waiver:Revoke":  write(4, manager, admin),
		"waiver:List":    read(2),

		// The policy decides which of those who may speak count.
		"promotion:Request":  write(4, manager, publisher),
		"promotion:Approve":  write(9, manager, scanner, auditor, admin),
		"promotion:Reject":   write(6, manager, scanner, auditor, admin),
		"promotion:Withdraw": write(5, manager, scanner, auditor, admin),
		"promotion:Cancel":   write(6, manager, publisher, admin),
		"promotion:Get":      read(4),
		"release:Get":        read(4),
		"release:Release":    write(4, manager),
		"release:Auto":       write(4, gateway),
		"release:Resume":     write(3, manager, admin),
		"release:BreakGlass": write(5, manager, scanner, publisher, auditor, admin),
		"release:Review":     write(6, manager, admin, auditor),
		"release:Settle":     write(4, state.Roles()...),
		"quarantine:Set":     write(2, admin, scanner, manager),
		"quarantine:Lift":    write(2, admin, manager),
		"verdict:Ask":        read(4),
	}
})

// listed refuses a transaction that the table does not name.
func listed(name string) error {
	if _, ok := accessTable()[name]; !ok {
		return provenance.Errorf(provenance.Forbidden, "transaction %q is not in the role table", clip(name))
	}
	return nil
}

// authorise runs before every transaction of every contract.
func authorise(tx *Tx) error {
	name, args := tx.GetStub().GetFunctionAndParameters()
	if err := listed(name); err != nil {
		return err
	}
	rule := accessTable()[name]
	if len(args) != rule.args {
		return provenance.Errorf(provenance.Invalid, "%s takes %d arguments, not %d", name, rule.args, len(args))
	}
	for _, a := range args {
		if strings.ContainsRune(a, 0) {
			return provenance.Errorf(provenance.Invalid, "%s: an argument holds a NUL character", name)
		}
	}
	if err := tx.identify(); err != nil {
		return err
	}
	if err := tx.ahead(rule); err != nil {
		return err
	}
	if rule.member {
		// The list alone decides: members leave by vote.
		members, err := state.LoadMembers(tx)
		if err != nil {
			return err
		}
		if !slices.Contains(members.MSPs, tx.caller.MSP) {
			return provenance.ErrorIn(provenance.Membership, provenance.Forbidden, "%s is not a member yet; its admin joins it with member:Join", tx.caller.MSP)
		}
	}
	if rule.writes {
		taken, err := state.LoadTaken(tx, []policy.Person{tx.caller})
		if err != nil {
			return err
		}
		if taken[0] != nil {
			return provenance.Errorf(provenance.Forbidden, "%s: %s; it needs a certificate of another name", tx.caller, taken[0])
		}
	}
	if rule.roles == nil {
		return nil
	}
	allowed, err := tx.hasRole(rule.roles)
	if err != nil {
		return err
	}
	if !allowed {
		return provenance.ErrorIn(provenance.Role, provenance.Forbidden, "%s needs one of the roles %v of %s for %s", tx.caller, rule.roles, tx.caller.MSP, name)
	}
	return nil
}

const maxName = 128

func clip(s string) string {
	if len(s) > 64 {
		return s[:64] + "…"
	}
	return s
}
