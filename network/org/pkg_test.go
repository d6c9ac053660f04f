package org

import (
	"bytes"
	"testing"

	"github.com/hyperledger/fabric-admin-sdk/pkg/chaincode"
)

func TestPackageIsReproducible(t *testing.T) {
	a, id, err := Package("waybill", FirstVersion)
	if err != nil {
		t.Fatal(err)
	}
	b, _, err := Package("waybill", FirstVersion)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a, b) {
		t.Error("two packages of the same chaincode differ")
	}
	// Networks that exist have this id on their ledgers: changing it breaks their next Up.
	const want = "waybill_1:dc269b7ee069659c5128170104c84f769e45328fe00cef843711a7371f6a13ee"
	if id != want {
		t.Errorf("id is %s, want %s", id, want)
	}
}

func TestPackageIsWhatFabricReads(t *testing.T) {
	pkg, id, err := Package("waybill", FirstVersion)
	if err != nil {
		t.Fatal(err)
	}
	metadata, code, err := chaincode.ParseChaincodePackage(pkg)
	if err != nil {
		t.Fatal(err)
	}
	if metadata.Type != "ccaas" || metadata.Label != "waybill_1" || len(code) == 0 {
		t.Errorf("read back as %+v with %d bytes of code", metadata, len(code))
	}
	if got := chaincode.GetPackageID("waybill_1", pkg); got != id {
		t.Errorf("Fabric calls it %s, we %s", got, id)
	}
}
