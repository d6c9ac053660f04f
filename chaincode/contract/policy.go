package contract

import (
	"strconv"

	"github.com/hyperledger/fabric-contract-api-go/v2/contractapi"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
)

// PolicyContract answers which release rules are in force and were. No
// organisation changes them alone: see ProposalContract.
type PolicyContract struct{ contractapi.Contract }

// List returns the catalogue of policies in force.
func (PolicyContract) List(tx *Tx) (string, error) {
	c := state.Catalogue{Policies: []state.CatalogueEntry{}}
	_, err := state.Read(tx, state.PoliciesKey(), &c)
	return answer(c, err)
}

// Get returns a version of a policy; version "0" is the one in force.
func (PolicyContract) Get(tx *Tx, name, version string) (string, error) {
	if _, err := policy.ParseStageName(name); err != nil {
		return "", provenance.Errorf(provenance.Invalid, "policy name %q: want lower-case letters, digits and '-'", clip(name))
	}
	n, err := strconv.Atoi(version)
	if err != nil || n < 0 || n > 999999 {
		return "", provenance.Errorf(provenance.Invalid, "policy version %q: want a number, 0 for the one in force", clip(version))
	}
	if n == 0 {
		var c state.Catalogue
		if _, err := state.Read(tx, state.PoliciesKey(), &c); err != nil {
			return "", err
		}
		for _, e := range c.Policies {
			if e.Name == name {
				n = e.Version
			}
		}
	}
	var v state.PolicyVersion
	found, err := state.Read(tx, state.PolicyKey(name, n), &v)
	if err == nil && !found {
		err = provenance.Errorf(provenance.NotFound, "policy %q version %s is not on the ledger", clip(name), version)
	}
	return answer(v, err)
}

// Versions returns every version of a policy, the oldest first; NotFound when
// there never was one of that name.
func (PolicyContract) Versions(tx *Tx, name string) (string, error) {
	if _, err := policy.ParseStageName(name); err != nil {
		return "", provenance.Errorf(provenance.Invalid, "policy name %q: want lower-case letters, digits and '-'", clip(name))
	}
	versions := []state.PolicyVersion{}
	err := scanInto(tx, &versions, state.TypePolicy, name)
	if err == nil && len(versions) == 0 {
		err = provenance.Errorf(provenance.NotFound, "policy %q is not on the ledger", name)
	}
	return answer(versions, err)
}
