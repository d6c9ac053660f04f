package contract

import (
	"slices"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
)

// robotOU in a certificate's subject marks an identity as no person, as a
// grant of the role robot or gateway does.
const robotOU = "robot"

// standing is what the caller is in its organisation.
type standing struct {
	roles []string // held now, in the order of state.Roles
	robot bool
}

// standing reads the caller's roles, all in one round trip.
func (tx *Tx) standing() (standing, error) {
	var s standing
	cert, err := tx.GetClientIdentity().GetX509Certificate()
	if err != nil || cert == nil {
		return s, provenance.Errorf(provenance.Forbidden, "caller presents no X.509 certificate")
	}
	units := cert.Subject.OrganizationalUnit
	s.robot = slices.Contains(units, robotOU)
	roles := state.Roles()
	keys := make([]string, len(roles))
	for i, r := range roles {
		keys[i] = state.GrantKey(tx.caller.MSP, tx.caller.Name, string(r))
	}
	values, err := tx.Get(keys...)
	if err != nil {
		return s, err
	}
	for i, r := range roles {
		held := r == state.RoleAdmin && slices.Contains(units, string(state.RoleAdmin))
		if values[i] != nil {
			var g state.Grant
			if err := state.Decode(values[i], &g); err != nil {
				return s, err
			}
			held = held || !g.Revoked
		}
		if held {
			s.roles = append(s.roles, string(r))
			s.robot = s.robot || r == state.RoleRobot || r == state.RoleGateway
		}
	}
	return s, nil
}

func (s standing) holds(role string) bool { return slices.Contains(s.roles, role) }
