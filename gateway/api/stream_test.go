package api

import (
	"testing"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// Who fills the room to wait in fills their own, however many do.
func TestFollowersKeepNobodyElseOut(t *testing.T) {
	t.Parallel()
	f := newFollowers()
	var leave func()
	for _, msp := range []string{"AMSP", "BMSP", "CMSP", "DMSP", "EMSP"} {
		for range maxFollowers {
			release, err := f.take(msp)
			if err != nil {
				t.Fatalf("%s: %v", msp, err)
			}
			leave = release
		}
		if _, err := f.take(msp); provenance.CodeOf(err) != provenance.Unavailable {
			t.Errorf("one more of %s: %v", msp, err)
		}
	}
	leave()
	if _, err := f.take("EMSP"); err != nil {
		t.Errorf("after one left: %v", err)
	}
}
