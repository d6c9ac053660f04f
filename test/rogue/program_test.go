package rogue

import "testing"

// A change whose place has moved is made nowhere, and nobody would notice before
// a network runs with it.
func TestChaincodeHasItsPlace(t *testing.T) {
	for _, p := range []Program{Chaincode(), Later(), Other()} {
		if _, err := p.Change("../.."); err != nil {
			t.Error(err)
		}
	}
}
