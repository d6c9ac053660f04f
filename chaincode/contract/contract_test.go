package contract

import (
	"strings"
	"testing"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

func TestSegmentOnce(t *testing.T) {
	l := network(t)
	for round, want := range []int{4, 0} {
		_, writes, err := l.segment("gateway@VendorMSP", host, 7, push("1.0", "v1"))
		if err != nil || len(writes) != want {
			t.Errorf("round %d: %d writes, %v; want %d (segment, place, tag, directory; then none)", round, len(writes), err, want)
		}
	}
	if _, _, err := l.segment("gateway@VendorMSP", host, 7, push("1.0", "other")); provenance.CodeOf(err) != provenance.Conflict {
		t.Errorf("other bytes under a known name: %v", err)
	}
	if _, _, err := l.segment("gateway@AuditMSP", host, 8, push("1.0", "v1")); provenance.CodeOf(err) != provenance.Forbidden {
		t.Errorf("a gateway of another organisation: %v", err)
	}
	if _, _, err := l.segment("gateway@VendorMSP", "other.example", 8, push("1.0", "v1")); provenance.CodeOf(err) != provenance.NotFound {
		t.Errorf("a registry nobody added: %v", err)
	}
	_, _, err := l.invoke("gateway@VendorMSP", map[string][]byte{"segment": []byte("x")}, "record:Segment", host, "lane-0", "9", strings.Repeat("0", 64))
	if provenance.CodeOf(err) != provenance.Invalid {
		t.Errorf("bytes that do not hash to the argument: %v", err)
	}
}
