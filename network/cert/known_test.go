package cert

import (
	"context"
	"errors"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// TestRevokeAfterARestore: a folder of an older backup has an older list than the channel. Whom it revokes next is added to
// the channel's, whatever is put to the vote.
func TestRevokeAfterARestore(t *testing.T) {
	f := testFolder(t, time.Hour)
	channel := pinned(t, f, nil)
	var voted Changed
	o := Options{
		MSPID: "VendorMSP", Channel: func(context.Context) (Channel, error) { return channel, nil },
		Vote: func(c Changed) (string, error) { voted = c; return "vote", nil },
	}
	revoke := func(r Revocation) {
		t.Helper()
		if _, err := f.Revoke(t.Context(), r, o); err != nil {
			t.Fatal(err)
		}
	}
	names := func(lists [][]byte) (serials []string) {
		for _, l := range parseLists(lists) {
			for _, e := range l.RevokedCertificateEntries {
				serials = append(serials, e.SerialNumber.Text(16))
			}
		}
		slices.Sort(serials)
		return serials
	}
	revoke(Revocation{Serials: []string{"a1"}})
	older, err := os.ReadFile(f.listPath())
	if err != nil {
		t.Fatal(err)
	}
	revoke(Revocation{Serials: []string{"b2"}})
	channel.Members[0].Lists = voted.RevocationLists
	newest := parseLists(voted.RevocationLists)[0].Number

	for what, restored := range map[string][]byte{"an older list": older, "none": nil} {
		if err := os.Remove(f.listPath()); err != nil {
			t.Fatal(err)
		}
		if restored != nil {
			writeTest(t, f.listPath(), string(restored))
		}
		revoke(Revocation{Serials: []string{"c3"}})
		if got := names(voted.RevocationLists); !slices.Equal(got, []string{"a1", "b2", "c3"}) {
			t.Errorf("%s: %v are revoked", what, got)
		}
		if n := parseLists(voted.RevocationLists)[0].Number; n.Cmp(newest) <= 0 {
			t.Errorf("%s: list %v follows %v", what, n, newest)
		}
	}
	// Other things that are put to the vote bring the organisation's lists with them.
	writeTest(t, f.listPath(), string(older))
	if _, err := f.Renew(t.Context(), []string{OrdererEnrolment}, o); err != nil {
		t.Fatal(err)
	}
	if lists, err := f.RevocationLists(); err != nil || !slices.Equal(names(lists), []string{"a1", "b2"}) {
		t.Errorf("before the vote on an orderer %v are revoked, %v", names(lists), err)
	}
	// Each has what the other has not: revoked here, and not in the channel yet.
	writeTest(t, f.listPath(), string(older))
	o.Channel = nil
	revoke(Revocation{Serials: []string{"d4"}})
	o.Channel = channel.asked
	if _, err := f.RollOver(t.Context(), "VendorMSP", o); err != nil {
		t.Fatal(err)
	}
	if lists, err := f.RevocationLists(); err != nil || !slices.Equal(names(lists), []string{"a1", "b2", "d4"}) {
		t.Errorf("before a roll-over %v are revoked, %v", names(lists), err)
	}
}

func TestRevokeKnowsTheChannel(t *testing.T) {
	f := testFolder(t, time.Hour)
	o := Options{MSPID: "VendorMSP", Channel: func(context.Context) (Channel, error) { return Channel{}, errors.New("away") }}
	if _, err := f.Revoke(t.Context(), Revocation{Serials: []string{"a1"}}, o); err == nil {
		t.Error("revoked without knowing what is revoked already")
	}
	// A backup from before a roll-over: its authority is not the one that the channel has a list of.
	later := testFolder(t, time.Hour)
	if _, err := later.Revoke(t.Context(), Revocation{Serials: []string{"a1"}}, Options{}); err != nil {
		t.Fatal(err)
	}
	lists, err := later.RevocationLists()
	if err != nil {
		t.Fatal(err)
	}
	channel := pinned(t, later, nil)
	channel.Members[0].Lists = lists
	o.Channel = channel.asked
	if _, err := f.Revoke(t.Context(), Revocation{Serials: []string{"b2"}}, o); provenance.CodeOf(err) != provenance.Conflict {
		t.Errorf("an authority that is not here: %v", err)
	}
	// Another member's lists are its own matter.
	channel.Members[0].MSPID = "AuditMSP"
	if _, err := f.Revoke(t.Context(), Revocation{Serials: []string{"b2"}}, o); err != nil {
		t.Error(err)
	}
}
