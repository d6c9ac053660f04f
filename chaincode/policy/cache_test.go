package policy_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
)

func TestCache(t *testing.T) {
	var c policy.Cache
	first, err := c.Parse([]byte(glass))
	if err != nil {
		t.Fatal(err)
	}
	if again, err := c.Parse([]byte(glass)); err != nil || again != first {
		t.Errorf("parsed again: %v", err)
	}
	other := strings.Replace(glass, `"min":2`, `"min":3`, 1)
	if p, err := c.Parse([]byte(other)); err != nil || p == first || p.Spec.Stages[1].Approvals.Min != 3 {
		t.Errorf("another text: %v", err)
	}
	for range 2 {
		if p, err := c.Parse([]byte(`{}`)); p != nil || provenance.CodeOf(err) != provenance.Invalid {
			t.Errorf("a bad text: %v, %v", p, err)
		}
	}
	var none *policy.Cache
	if p, err := none.Parse([]byte(glass)); err != nil || p.Metadata.Name != "team" {
		t.Errorf("no cache: %v", err)
	}
	var wg sync.WaitGroup
	for i := range 200 { // more texts than it keeps
		wg.Go(func() {
			name := fmt.Sprintf("team-%d", i%100)
			p, err := c.Parse([]byte(strings.Replace(glass, `"name":"team"`, `"name":"`+name+`"`, 1)))
			if err != nil || p.Metadata.Name != name {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	wg.Wait()
}
