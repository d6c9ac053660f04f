package contract

import (
	"testing"
	"time"

	"github.com/hyperledger/fabric-chaincode-go/v2/shim"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
)

// Package state builds keys without Fabric; they must be Fabric's own, or the
// peer's prefix scans would miss them.
func TestKeysAreCompositeKeys(t *testing.T) {
	d := provenance.SHA256Of(nil)
	for key, parts := range map[string][]string{
		state.MembersKey():                                             {state.TypeMembers},
		state.PlaceKey(d, host, repo):                                  append([]string{state.TypePlace}, state.PlacePrefix(d, host, repo)...),
		state.TagKey(host, repo, "1.0"):                                {state.TypeTag, host, repo, "1.0"},
		state.SegmentKey(host, "VendorMSP", "l", 17):                   {state.TypeSegment, host, "VendorMSP", "l", "0000000000000011"},
		state.JournalKey(time.Unix(77, 0), host, "VendorMSP", "l", 17): {state.TypeJournal, "000000004d", host, "VendorMSP", "l", "0000000000000011"},
	} {
		want, err := shim.CreateCompositeKey(parts[0], parts[1:])
		if err != nil || key != want {
			t.Errorf("%q, want %q (%v)", key, want, err)
		}
		objectType, attributes, ok := state.SplitKey(key)
		if !ok || objectType != parts[0] || len(attributes) != len(parts)-1 {
			t.Errorf("%q splits into %q %q", key, objectType, attributes)
		}
	}
	for _, bad := range []string{"", "\x00", "plain", "\x00a", "a\x00"} {
		if _, _, ok := state.SplitKey(bad); ok {
			t.Errorf("%q was taken for a key", bad)
		}
	}
}
