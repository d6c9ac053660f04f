package sweep

import (
	"context"
	"testing"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
)

// A sweep that finds an image as it should be, and unproven, has it proven.
func TestSweepHasImagesProven(t *testing.T) {
	b := newBench(t)
	image := b.known("app", "v1", "one")
	proven := b.known("app", "v2", "two")
	b.state.Put(t, state.PlaceKey(proven, b.host, "app"), state.Place{Proven: true})
	var asked []string
	s := b.sweeper(func(s *Sweeper) {
		s.Prove = func(_ context.Context, host provenance.Host, repo provenance.Repository, d provenance.Digest) {
			asked = append(asked, string(host)+"/"+string(repo)+"@"+d.String())
		}
	})
	if got := found(b.swept(s, false)); len(got) != 0 {
		t.Fatal(got)
	}
	if len(asked) != 1 || asked[0] != string(b.host)+"/app@"+image.String() {
		t.Errorf("asked for %+v", asked)
	}
}
