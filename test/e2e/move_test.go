package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/waybill-dev/waybill/test/lab"
)

// move has security go to another address; platform, which is down, stays away until it has, so that nothing is decided
// without security's orderer, and nothing endorsed without its peer.
func (r road) move(ctx context.Context) {
	r.t.Helper()
	vendor, security, platform, audit := r.hosts[:1], r.hosts[1:2], r.hosts[2:3], r.hosts[3:]
	r.must(ctx, platform, same("waybill org up"))
	to := strings.Replace(security[0].address, "127.77.", "127.78.", 1)
	out := r.must(ctx, security, same("waybill org announce --host peer="+to+":7051,orderer="+to+":7050,gateway="+to+":7443"))[0]
	for _, next := range []string{"waybill org export -o security.json", "waybill channel propose org-update security.json", "waybill channel propose orderer-update security.json"} {
		if !strings.Contains(out, next) {
			r.t.Errorf("what comes next is not said:\n%s", out)
		}
	}
	r.must(ctx, security, same("rm security.json && waybill org export -o security.json"))
	r.vote(ctx, "org-update", security)
	r.vote(ctx, "orderer-update", security, vendor[0], platform[0])
	if out := r.must(ctx, audit, same("waybill channel config"))[0]; !strings.Contains(out, to+":7050") || strings.Contains(out, security[0].address+":") {
		r.t.Errorf("security is not where it went:\n%s", out)
	}
	r.must(ctx, security, same("waybill org down && waybill org up"))
	if err := lab.Poll(ctx, time.Minute, func() error { return r.level(ctx, security[0]) }); err != nil {
		log, _ := r.run(ctx, security[0], "tail -c 6000 $WAYBILL_DIR/logs/security-orderer.log")
		r.t.Fatalf("%v\n%s", err, log)
	}
	r.must(ctx, platform, same("waybill org down"))
	for _, h := range []host{vendor[0], security[0], audit[0]} {
		act := func() error { _, err := r.run(ctx, h, "waybill context set moved_"+h.org+" true"); return err }
		if err := lab.Poll(ctx, time.Minute, act); err != nil {
			r.t.Error(err)
		}
	}
	r.must(ctx, security, same("waybill status"))
}

// level says whether a host's orderer has the blocks that its peer has.
func (r road) level(ctx context.Context, h host) error {
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
