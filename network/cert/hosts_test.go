package cert

import (
	"crypto/x509"
	"net"
	"slices"
	"testing"
)

// A certificate that is renewed for another address names the one before as well: others dial it until the channel
// knows better.
func TestWithHosts(t *testing.T) {
	t.Parallel()
	old := &x509.Certificate{DNSNames: []string{"peer.vendor.example"}, IPAddresses: []net.IP{net.ParseIP("10.0.0.1")}}
	now := withHosts(old, []string{"10.0.9.1", "peer.vendor.example", "new.vendor.example", "10.0.0.1"})
	if want := []string{"peer.vendor.example", "new.vendor.example"}; !slices.Equal(now.DNSNames, want) {
		t.Errorf("names %v, want %v", now.DNSNames, want)
	}
	if len(now.IPAddresses) != 2 || !now.IPAddresses[1].Equal(net.ParseIP("10.0.9.1")) {
		t.Errorf("addresses %v", now.IPAddresses)
	}
	if len(old.DNSNames) != 1 || len(old.IPAddresses) != 1 {
		t.Error("the old certificate was changed")
	}
	if withHosts(old, []string{"10.0.0.1"}) != old {
		t.Error("nothing is new, and a copy was made")
	}
}
