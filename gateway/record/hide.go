package record

import (
	"crypto/rand"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// hide returns the events as they may stand on the channel, under a salt that
// is drawn for them, and what they hide: nil where they hide nothing.
func hide(events []provenance.Event) (public []provenance.Event, clients []byte, err error) {
	var salt provenance.Salt
	if _, err := rand.Read(salt[:]); err != nil {
		return nil, nil, provenance.Wrap(provenance.Internal, err, "draw a salt")
	}
	public, hidden := provenance.Blinded(events, salt)
	if len(hidden.Of) == 0 {
		return public, nil, nil
	}
	clients, err = provenance.EncodeClients(hidden)
	return public, clients, err
}
