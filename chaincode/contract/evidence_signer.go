package contract

import (
	"slices"

	"github.com/waybill-dev/waybill/chaincode/evidence"
	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
)

// signerOf tells who answers for the evidence: a registered key, a trusted root in
// its version, or the caller for a plain document. With keyMSP "" the root is one
// that the members share.
func signerOf(tx *Tx, format, keyMSP, keyName string) (policy.Signer, *evidence.Key, int, error) {
	no := func(err error) (policy.Signer, *evidence.Key, int, error) { return policy.Signer{}, nil, 0, err }
	if evidence.Format(format) == evidence.FormatPlain {
		if keyMSP != "" || keyName != "" {
			return no(provenance.Errorf(provenance.Invalid, "plain evidence is vouched for by its submitter; it names no key"))
		}
		who, err := tx.callerRoles()
		if err != nil {
			return no(err)
		}
		roles := slices.DeleteFunc(who.roles, func(r string) bool { return r == string(state.RoleGateway) || r == string(state.RoleRobot) })
		if len(roles) == 0 {
			return no(provenance.Errorf(provenance.Forbidden, "%s is a gateway: it brings what others signed, and vouches for nothing", tx.caller))
		}
		return policy.Signer{Kind: policy.SignedByPerson, MSP: tx.caller.MSP, Name: tx.caller.Name, Roles: roles}, nil, 0, nil
	}
	if keyName == "" || len(keyMSP) > maxName || len(keyName) > maxName {
		return no(provenance.Errorf(provenance.Invalid, "evidence of format %q names the key that signed it: an organisation and a key, or a shared root alone", clip(format)))
	}
	root, err := loadRoot(tx, keyMSP, keyName)
	if err != nil {
		return no(err)
	}
	if root != nil || keyMSP == "" {
		return rootSigner(tx, root, keyMSP, keyName)
	}
	var k state.TrustKey
	found, err := state.Read(tx, state.TrustKeyKey(keyMSP, keyName), &k)
	if err != nil {
		return no(err)
	}
	members, err := state.LoadMembers(tx)
	if err != nil {
		return no(err)
	}
	switch {
	case !found:
		return no(provenance.Errorf(provenance.NotFound, "%s registered no key %q", clip(keyMSP), clip(keyName)))
	case !slices.Contains(members.MSPs, k.MSP):
		return no(provenance.Errorf(provenance.BadEvidence, "key %s of %s: %s is no member", k.Name, k.MSP, k.MSP))
	case k.Withdrawn != nil:
		return no(provenance.Errorf(provenance.BadEvidence, "key %s of %s was withdrawn: %s", k.Name, k.MSP, k.Withdrawn.Reason))
	}
	// A certificate becomes SignedByCertificate once it is read.
	signer := policy.Signer{Kind: policy.SignedByKey, MSP: k.MSP, Key: k.Name}
	return signer, &evidence.Key{MSP: k.MSP, Name: k.Name, Kind: evidence.KeyKind(k.Kind), PEM: k.PEM, NotBefore: k.NotBefore, NotAfter: k.NotAfter}, 0, nil
}

// rootSigner is signerOf for a trusted root, nil where there is none of that name.
func rootSigner(tx *Tx, r *state.TrustedRoot, msp, name string) (policy.Signer, *evidence.Key, int, error) {
	no := func(code provenance.Code, format string, args ...any) (policy.Signer, *evidence.Key, int, error) {
		return policy.Signer{}, nil, 0, provenance.Errorf(code, format, args...)
	}
	members, err := state.LoadMembers(tx)
	if err != nil {
		return policy.Signer{}, nil, 0, err
	}
	switch {
	case r == nil:
		return no(provenance.NotFound, "the members share no root %q", clip(name))
	case msp != "" && !slices.Contains(members.MSPs, msp):
		return no(provenance.BadEvidence, "%s: %s is no member", r, msp)
	case r.Withdrawn != nil:
		return no(provenance.BadEvidence, "%s was withdrawn: %s", r, r.Withdrawn.Reason)
	}
	var v state.RootVersion
	found, err := state.Read(tx, state.RootVersionKey(msp, name, r.Version), &v)
	if err != nil {
		return policy.Signer{}, nil, 0, err
	}
	if !found || v.Hash != r.Hash {
		return no(provenance.Internal, "%s version %d is in force but not on the ledger", r, r.Version)
	}
	signer := policy.Signer{Kind: policy.SignedByCertificate, MSP: msp, Key: name}
	return signer, &evidence.Key{MSP: msp, Name: name, Kind: evidence.TrustedRoot, Root: v.Text}, r.Version, nil
}
