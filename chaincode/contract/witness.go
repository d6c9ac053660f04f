package contract

import (
	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
)

// Witness records that the caller's organisation saw an image at its registry
// itself: its gateway fetched the manifest and hashed it. Any member's gateway
// may; the push must be on the ledger first. Seeing it again is success
// without a write, and so is a word of the organisation that recorded the
// push, which is a witness by that.
func (RecordContract) Witness(tx *Tx, host, repository, digest string) (string, error) {
	h, repo, err := parseRepository(host, repository)
	if err != nil {
		return "", err
	}
	d, err := provenance.ParseDigest(digest)
	if err != nil {
		return "", err
	}
	var place state.Place
	found, err := state.Read(tx, state.PlaceKey(d, h, repo), &place)
	if err != nil {
		return "", err
	}
	if !found || place.Deleted {
		return "", provenance.Errorf(provenance.NotFound, "no push of %s to %s/%s is on the ledger", d.Short(), h, repo)
	}
	if place.MSP == tx.caller.MSP {
		return answer(state.Witness{MSP: place.MSP, Act: state.Act{By: policy.Person{MSP: place.MSP, Name: tx.caller.Name}, At: place.At}}, nil)
	}
	key := state.WitnessKey(d, h, repo, tx.caller.MSP)
	var seen state.Witness
	found, err = state.Read(tx, key, &seen)
	if err != nil || found {
		return answer(seen, err)
	}
	seen = state.Witness{MSP: tx.caller.MSP, Act: tx.act()}
	return answer(seen, tx.put(key, seen))
}
