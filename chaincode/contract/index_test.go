package contract

import (
	"fmt"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// An index lets in what it lists itself, and neither what a listed index lists
// nor anything that somebody says is listed.
func TestIndexesInIndexes(t *testing.T) {
	l := network(t)
	image, other := push("", "image"), push("", "other")
	events := []provenance.Event{image, other}
	inner := image.Digest
	for n := range 5 {
		children := []provenance.Digest{inner, digestOf(fmt.Sprint("unseen-", n))}
		if n == 0 {
			children = append(children, other.Digest)
		}
		e := index(fmt.Sprint("index-", n), children...)
		inner = e.Digest
		events = append(events, e)
	}
	if _, _, err := l.segment("gateway@VendorMSP", host, 1, events...); err != nil {
		t.Fatal(err)
	}
	l.now = l.now.Add(time.Minute)
	l.do("publisher@VendorMSP", about("promotion:Request", "index-4", "staging")...)
	expect(t, "the outermost", l.approve("release-manager@AuditMSP", "index-4", "staging"), policy.Allowed, "", "")
	expect(t, "listed by it", l.ask("index-3", "staging"), policy.Allowed, "", "")
	// Its hash stands in the bytes that were approved; whether it was pushed by itself says nothing.
	expect(t, "listed by it, and reported by nobody", l.ask("unseen-4", "staging"), policy.Allowed, "", "")
	for _, deeper := range []string{"index-2", "index-1", "index-0", "image", "other", "unseen-3", "unseen-0"} {
		if v := l.ask(deeper, "staging"); v.Verdict == policy.Allowed {
			t.Errorf("%s came in with an index that does not list it", deeper)
		}
	}
}
