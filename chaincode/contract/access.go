package contract

import (
	"strings"

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
// here is refused, whatever else exists: forgetting is safe.
func accessTable() map[string]access {
	admin := []state.Role{state.RoleAdmin}
	manager := []state.Role{state.RoleReleaseManager}
	read := func(args int) access { return access{args: args} }
	write := func(args int, roles []state.Role) access {
		return access{args: args, roles: roles, member: true, writes: true}
	}
	return map[string]access{
		"member:Join":       {args: 1, roles: admin, writes: true},
		"member:Grant":      write(2, admin),
		"member:Revoke":     write(2, admin),
		"member:List":       read(0),
		"registry:Add":      write(2, admin),
		"registry:List":     read(0),
		"record:Segment":    write(4, []state.Role{state.RoleGateway}),
		"image:Get":         read(1),
		"tag:Get":           read(3),
		"promotion:Request": write(4, []state.Role{state.RoleReleaseManager, state.RolePublisher}),
		"promotion:Approve": write(5, manager),
		"promotion:Reject":  write(5, manager),
		"promotion:Get":     read(4),
		"release:Release":   write(4, manager),
		"quarantine:Set":    write(2, []state.Role{state.RoleAdmin, state.RoleScanner, state.RoleReleaseManager}),
		"quarantine:Lift":   write(2, []state.Role{state.RoleAdmin, state.RoleReleaseManager}),
		"policy:Apply":      write(1, admin),
		"policy:List":       read(0),
		"policy:Get":        read(2),
		"verdict:Ask":       read(4),
	}
}

// authorise runs before every transaction of every contract.
func authorise(tx *Tx) error {
	name, args := tx.GetStub().GetFunctionAndParameters()
	rule, ok := accessTable()[name]
	if !ok {
		return provenance.Errorf(provenance.Forbidden, "transaction %q is not in the role table", clip(name))
	}
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
	if rule.member {
		values, err := tx.Get(state.MemberKey(tx.caller.MSP))
		if err != nil {
			return err
		}
		if values[0] == nil {
			return provenance.Errorf(provenance.Forbidden, "%s is not a member yet; its admin joins it with member:Join", tx.caller.MSP)
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
		return provenance.Errorf(provenance.Forbidden, "%s needs one of the roles %v of %s for %s", tx.caller, rule.roles, tx.caller.MSP, name)
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
