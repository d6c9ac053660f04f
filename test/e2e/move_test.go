package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/waybill-dev/waybill/test/lab"
)

// move has security go to another address, at which the others find it once they have agreed and begun anew.
func (r road) move(ctx context.Context) {
	r.t.Helper()
	security, others := r.hosts[1:2], []host{r.hosts[0], r.hosts[2], r.hosts[3]}
	to := strings.Replace(security[0].address, "127.77.", "127.78.", 1)
	out := r.must(ctx, security, same("waybill org announce --host peer="+to+":7051,orderer="+to+":7050,gateway="+to+":7443"))[0]
	for _, next := range []string{"waybill org export -o security.json", "waybill channel propose org-update security.json", "waybill channel propose orderer-update security.json"} {
		if !strings.Contains(out, next) {
			r.t.Errorf("what comes next is not said:\n%s", out)
		}
	}
	r.must(ctx, security, same("rm security.json && waybill org export -o security.json"))
	r.vote(ctx, "org-update", security)
	r.vote(ctx, "orderer-update", security, others[:2]...)
	if out := r.must(ctx, others[:1], same("waybill channel config"))[0]; !strings.Contains(out, to+":7050") || strings.Contains(out, security[0].address+":") {
		r.t.Errorf("security is not where it went:\n%s", out)
	}
	for _, h := range slices.Concat(others, security) { // one after the other: three decide meanwhile
		r.must(ctx, []host{h}, same("waybill org restart orderer"))
		if err := lab.Poll(ctx, time.Minute, func() error { return r.ordererLevel(ctx, h) }); err != nil {
			r.t.Fatal(err)
		}
	}
	// Without platform nothing is decided but by security's orderer.
	r.must(ctx, others[1:2], same("waybill org down"))
	r.acts(ctx, others[0], "moved")
	r.must(ctx, others[1:2], same("waybill org up"))
	r.acts(ctx, security[0], "moved")
}

// ordererLevel says whether a host's orderer has the blocks that its peer has.
func (r road) ordererLevel(ctx context.Context, h host) error {
	out, err := r.run(ctx, h, "waybill org status -o json")
	if err != nil {
		return err
	}
	var nodes []struct {
		Kind   string `json:"kind"`
		Height uint64 `json:"height"`
	}
	if err := json.Unmarshal([]byte(out), &nodes); err != nil {
		return fmt.Errorf("%w:\n%s", err, out)
	}
	heights := map[string]uint64{}
	for _, node := range nodes {
		heights[node.Kind] = node.Height
	}
	if heights["orderer"] == 0 || heights["orderer"] < heights["peer"] {
		return fmt.Errorf("%s's orderer has %d blocks, its peer %d", h.org, heights["orderer"], heights["peer"])
	}
	return nil
}

// vote has a host put its descriptor to the vote, others agree, and the first of all bring it into force.
func (r road) vote(ctx context.Context, kind string, by []host, others ...host) {
	r.t.Helper()
	var made struct {
		Result struct {
			Proposal struct {
				ID string `json:"id"`
			} `json:"proposal"`
		} `json:"result"`
	}
	out := r.must(ctx, by, same("waybill channel propose "+kind+" "+by[0].org+".json -o json 2>notices || { cat notices; exit 1; }"))[0]
	if err := json.Unmarshal([]byte(out), &made); err != nil || made.Result.Proposal.ID == "" {
		r.t.Fatalf("no proposal: %v\n%s", err, out)
	}
	for _, h := range others {
		r.must(ctx, []host{h}, same("waybill channel vote "+made.Result.Proposal.ID))
	}
	r.must(ctx, by, same("waybill channel submit "+made.Result.Proposal.ID))
}
