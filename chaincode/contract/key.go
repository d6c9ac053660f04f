package contract

import (
	"time"

	"github.com/hyperledger/fabric-contract-api-go/v2/contractapi"

	"github.com/waybill-dev/waybill/chaincode/evidence"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
)

// KeyContract keeps the trust material that organisations answer for.
type KeyContract struct{ contractapi.Contract }

// Add registers a public key or a certificate root of the caller's
// organisation. notBefore and notAfter are RFC 3339, or "" for no bound. A name
// names one key for ever: adding the same again is success without a write,
// another key, one that was withdrawn, or the name of a trusted root, is a Conflict.
func (KeyContract) Add(tx *Tx, name, kind, pem, notBefore, notAfter string) (string, error) {
	parsed, err := evidence.ParseKey(name, kind, pem)
	if err != nil {
		return "", err
	}
	k := state.TrustKey{MSP: tx.caller.MSP, Name: name, Kind: kind, PEM: pem, Fingerprint: parsed.Fingerprint(), Act: tx.act()}
	if k.NotBefore, err = parseTime("notBefore", notBefore); err != nil {
		return "", err
	}
	if k.NotAfter, err = parseTime("notAfter", notAfter); err != nil {
		return "", err
	}
	if !k.NotAfter.IsZero() && (!k.NotAfter.After(k.NotBefore) || !k.NotAfter.After(tx.now)) {
		return "", provenance.Errorf(provenance.Invalid, "key %q would never be valid: notAfter is %s", name, notAfter)
	}
	root, err := loadRoot(tx, k.MSP, name)
	if err != nil {
		return "", err
	}
	key := state.TrustKeyKey(k.MSP, name)
	var old state.TrustKey
	found, err := state.Read(tx, key, &old)
	switch {
	case err != nil:
		return "", err
	case root != nil:
		return "", provenance.Errorf(provenance.Conflict, "%s is there already: a key needs a name of its own", root)
	case found && old.Withdrawn != nil:
		return "", provenance.Errorf(provenance.Conflict, "key %q of %s was withdrawn; a new key needs a new name", name, k.MSP)
	case found && old.Kind == k.Kind && old.PEM == k.PEM && old.NotBefore.Equal(k.NotBefore) && old.NotAfter.Equal(k.NotAfter):
		return answer(old, nil)
	case found:
		return "", provenance.Errorf(provenance.Conflict, "%s has another key %q already", k.MSP, name)
	}
	return answer(k, tx.put(key, k))
}

// Withdraw ends a key of the caller's organisation: nothing it signs is taken
// from then on. compromisedSince is RFC 3339 or ""; what was recorded since
// then counts no more either. Withdrawing again may only name an earlier time.
func (KeyContract) Withdraw(tx *Tx, name, reason, compromisedSince string) (string, error) {
	if err := needReason("withdrawing a key", reason); err != nil {
		return "", err
	}
	since, err := parseTime("compromisedSince", compromisedSince)
	if err != nil {
		return "", err
	}
	if since.After(tx.now) {
		return "", provenance.Errorf(provenance.Invalid, "compromisedSince %s has not come yet", compromisedSince)
	}
	key := state.TrustKeyKey(tx.caller.MSP, name)
	var k state.TrustKey
	found, err := state.Read(tx, key, &k)
	if err != nil {
		return "", err
	}
	if !found {
		return "", provenance.Errorf(provenance.NotFound, "%s has no key %q", tx.caller.MSP, clip(name))
	}
	if w := k.Withdrawn; w != nil && (since.IsZero() || !w.CompromisedSince.IsZero() && !since.Before(w.CompromisedSince)) {
		return answer(k, nil)
	}
	k.Withdrawn = &state.Withdrawal{Reason: reason, CompromisedSince: since, Act: tx.act()}
	return answer(k, tx.put(key, k))
}

// List returns every key, withdrawn ones too.
func (KeyContract) List(tx *Tx) (string, error) {
	list := []state.TrustKey{}
	err := scanInto(tx, &list, state.TypeKey)
	return answer(list, err)
}

// parseTime reads RFC 3339 in whole seconds as UTC; "" is no time.
func parseTime(what, s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339, s)
	t = t.UTC()
	if err != nil || t.Year() < 1970 || t.Year() > 9999 {
		return time.Time{}, provenance.Errorf(provenance.Invalid, "%s %q: want a time as in 2026-03-02T09:00:00Z", what, clip(s))
	}
	return t.Truncate(time.Second), nil
}
