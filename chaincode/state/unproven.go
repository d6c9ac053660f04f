package state

import "github.com/waybill-dev/waybill/chaincode/provenance"

// Unproven tells whether an image is on the ledger by its digest alone, in a
// repository, so that it cannot be released. One that is deleted there is not.
func Unproven(r Reader, host provenance.Host, repo provenance.Repository, d provenance.Digest) (unproven, found bool, err error) {
	var place Place
	found, err = Read(r, PlaceKey(d, host, repo), &place)
	return found && !place.Deleted && !place.Proven, found, err
}
