package contract

import (
	"slices"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
)

// robotOU in a certificate's subject marks an identity as no person, as a
// grant of the role robot or gateway does.
const robotOU = "robot"

// callerRoles is what the caller is in its organisation.
type callerRoles struct {
	roles []string // held now, in the order of state.Roles
	robot bool
}

// callerRoles reads the caller's roles.
func (tx *Tx) callerRoles() (callerRoles, error) {
	var s callerRoles
	cert, err := tx.GetClientIdentity().GetX509Certificate()
	if err != nil || cert == nil {
		return s, provenance.Errorf(provenance.Forbidden, "caller presents no X.509 certificate")
	}
	units := cert.Subject.OrganizationalUnit
	s.robot = slices.Contains(units, robotOU)
	granted, err := tx.granted(state.Roles())
	if err != nil {
		return s, err
	}
	for _, r := range state.Roles() {
		if slices.Contains(granted, r) || r == state.RoleAdmin && slices.Contains(units, string(state.RoleAdmin)) {
			s.roles = append(s.roles, string(r))
			s.robot = s.robot || r == state.RoleRobot || r == state.RoleGateway
		}
	}
	return s, nil
}

func (s callerRoles) holds(role string) bool { return slices.Contains(s.roles, role) }
