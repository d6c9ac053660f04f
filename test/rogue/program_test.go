package rogue

import "testing"

// A change whose place has moved is made nowhere, and nobody would notice before
// a network runs with it.
func TestChaincodeHasItsPlace(t *testing.T) {
	if _, err := Chaincode().Change("../.."); err != nil {
		t.Error(err)
	}
}
