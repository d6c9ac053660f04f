package contract

import (
	"reflect"
	"slices"
	"testing"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
)

// callable returns the transactions that exist, by reflection and not by the table.
func callable() map[string]bool {
	methods := map[string]bool{}
	for name, contract := range map[string]any{
		"member": &MemberContract{}, "registry": &RegistryContract{}, "record": &RecordContract{}, "image": &ImageContract{}, "tag": &TagContract{},
		"promotion": &PromotionContract{}, "release": &ReleaseContract{}, "quarantine": &QuarantineContract{}, "policy": &PolicyContract{},
		"verdict": &VerdictContract{}, "proposal": &ProposalContract{}, "key": &KeyContract{}, "trust": &TrustContract{}, "schema": &SchemaContract{},
		"evidence": &EvidenceContract{}, "context": &ContextContract{}, "label": &LabelContract{}, "waiver": &WaiverContract{}, "clock": &ClockContract{}, "channel": &ChannelContract{},
		"genesis": &GenesisContract{},
	} {
		typ := reflect.TypeOf(contract)
		for i := range typ.NumMethod() {
			m := typ.Method(i)
			if m.Type.NumIn() > 1 && m.Type.In(1) == reflect.TypeFor[*Tx]() {
				methods[name+":"+m.Name] = true
			}
		}
	}
	return methods
}

// restricted says again, beside the table, who may call what; whatever is
// missing here is open to every identity of the channel.
func restricted() map[string][]state.Role {
	const (
		admin, manager, scanner = state.RoleAdmin, state.RoleReleaseManager, state.RoleScanner
		publisher, auditor      = state.RolePublisher, state.RoleAuditor
		gateway                 = state.RoleGateway
	)
	return map[string][]state.Role{
		"genesis:Import": {admin},
		"member:Found":   {admin}, "member:Join": {admin}, "member:Grant": {admin}, "member:Revoke": {admin}, "member:TakeBack": {admin},
		"record:Segment": {gateway}, "record:Witness": {gateway}, "record:Manifest": {gateway}, "clock:Tick": {gateway},
		"record:Clients": {gateway}, "record:ReadClients": {gateway}, "record:PurgeClients": {gateway, admin},
		"evidence:Withdraw": {admin, publisher, scanner, manager, auditor},
		"evidence:Submit":   {admin, publisher, scanner, manager, auditor, gateway}, "evidence:SubmitBatch": {admin, publisher, scanner, manager, auditor, gateway},
		"proposal:Open": {admin}, "proposal:Vote": {admin}, "proposal:Withdraw": {admin}, "channel:Propose": {admin}, "channel:Vote": {admin},
		"key:Add": {admin}, "key:Withdraw": {admin}, "trust:Add": {admin}, "trust:Withdraw": {admin}, "schema:Add": {admin}, "label:Set": {admin},
		"context:Set":    {admin, manager, scanner, gateway},
		"waiver:Request": {admin, manager}, "waiver:Approve": {admin, manager}, "waiver:Revoke": {admin, manager},
		"promotion:Request": {manager, publisher},
		"promotion:Approve": {manager, scanner, auditor, admin}, "promotion:Reject": {manager, scanner, auditor, admin},
		"promotion:Cancel":   {manager, publisher, admin},
		"promotion:Withdraw": {manager, scanner, auditor, admin},
		"release:Release":    {manager}, "release:Auto": {gateway}, "release:Resume": {manager, admin},
		"release:BreakGlass": {admin, publisher, scanner, manager, auditor}, "release:Review": {manager, admin, auditor},
		"release:Settle": state.Roles(),
		"quarantine:Set": {admin, scanner, manager}, "quarantine:Lift": {admin, manager},
	}
}

// TestAccess walks every transaction × every role × members, a member voted
// out and a stranger. The table is checked against the methods that exist, so
// that a new transaction cannot be forgotten.
func TestAccess(t *testing.T) {
	methods := callable()
	for name := range methods {
		if _, ok := accessTable()[name]; !ok {
			t.Errorf("%s is callable but not in the role table", name)
		}
	}
	for name := range restricted() {
		if _, ok := accessTable()[name]; !ok {
			t.Errorf("%s has roles in this test but no row", name)
		}
	}
	l := network(t)
	removePlatform(l)
	people := []string{"stranger"}
	for _, r := range state.Roles() {
		people = append(people, string(r))
	}
	for name, rule := range accessTable() {
		if !methods[name] {
			t.Errorf("%s is in the role table but does not exist", name)
			continue
		}
		args := make([]string, rule.args)
		for i := range args {
			args[i] = "?"
		}
		for _, org := range []string{"VendorMSP", "AuditMSP", "PlatformMSP", "OutsiderMSP"} {
			for _, person := range people {
				_, _, err := l.invoke(person+"@"+org, nil, append([]string{name}, args...)...)
				roles, limited := restricted()[name]
				allowed := !limited || slices.Contains(roles, state.Role(person))
				if org == "PlatformMSP" || org == "OutsiderMSP" {
					// Anybody may read; who is no member may found or join, and is then refused for other reasons.
					allowed = !limited || (slices.Contains([]string{"member:Join", "member:Found", "genesis:Import"}, name) && person == "admin")
				}
				if refused := provenance.CodeOf(err) == provenance.Forbidden; refused == allowed {
					t.Errorf("%s by %s@%s: %v, want allowed %v", name, person, org, err, allowed)
				}
			}
		}
		l.refused(provenance.Invalid, "admin@VendorMSP", append([]string{name, "one too many"}, args...)...)
	}
	for _, name := range []string{"member:join", "member:Init", "Member:Join", "promotion:GetName", "record:segment", "policy:Apply"} {
		if _, _, err := l.invoke("admin@VendorMSP", nil, name); err == nil {
			t.Errorf("%q was not refused", name)
		}
	}
	l.do("admin@AuditMSP", "member:Revoke", "scanner", "scanner")
	l.refused(provenance.Forbidden, "scanner@AuditMSP", "quarantine:Set", provenance.SHA256Of(nil).String(), "no longer")
}

// removePlatform votes a member out.
func removePlatform(l *ledger) {
	l.t.Helper()
	for _, org := range []string{"VendorMSP", "AuditMSP", "SecurityMSP"} {
		l.do("admin@"+org, "proposal:Open", string(state.ProposeMemberRemove), `{"msp":"PlatformMSP"}`)
	}
}
