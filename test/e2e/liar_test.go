package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/test/lab"
	"github.com/waybill-dev/waybill/test/rogue"
)

const (
	liarHost = "registry.liar.example"
	liarRepo = "team/app"
)

// TestLyingGateways: no honest gateway runs, and two that lie, the signer's own
// among them. What is signed is what was typed all the same, and nothing that
// they say makes verify say yes.
func TestLyingGateways(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	l := lab.For(ctx, t)
	c := newConsortium(ctx, t, l)
	c.own(liarHost)
	text := fmt.Sprintf(`{"apiVersion":"waybill.dev/v1","kind":"ReleasePolicy","metadata":{"name":"liar"},"spec":{"match":["%s/**"],"stages":[{"name":"production","approvals":{"min":2}}]}}`, liarHost)
	for _, who := range []string{"vendor/admin", "security/admin", "audit/admin"} {
		c.propose(who, "policy", text)
	}
	var events []provenance.Event
	for name, tag := range map[string]provenance.Tag{"typed": "1.0", "evil": "6.6.6"} {
		d := imageOf(name)
		events = append(events, provenance.Event{
			ID: provenance.NewEventID("liar", "main", name), Action: provenance.Push, Source: "distribution", Repository: liarRepo, Tag: tag,
			Digest: d, MediaType: "application/vnd.oci.image.manifest.v1+json", Size: 100, OccurredAt: time.Now().UTC().Truncate(time.Second),
		})
	}
	manifests := [][]byte{manifestOf("typed"), manifestOf("evil")}
	if err := lab.Poll(ctx, 20*time.Second, func() error {
		return record(ctx, c.as("vendor/gateway"), liarHost, "lane-0", 1, manifests, events...)
	}); err != nil {
		t.Fatal(err)
	}
	typed, evil := liarHost+"/"+liarRepo+"@"+imageOf("typed").String(), liarHost+"/"+liarRepo+"@"+imageOf("evil").String()
	for _, name := range []string{"typed", "evil"} {
		c.act("vendor/release-manager", "promotion:Request", liarHost, liarRepo, imageOf(name).String(), "production")
	}
	c.settle()

	addresses := map[string]string{}
	var liars []*rogue.Gateway
	serve := func(g *rogue.Gateway, org string) {
		o, err := l.Clients.Org(org)
		if err != nil {
			t.Fatal(err)
		}
		stop, err := g.Serve(ctx, o.GatewayAddress, l.GatewayConfig(org))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(stop)
		addresses[org], liars = o.GatewayAddress, append(liars, g)
	}
	serve(&rogue.Gateway{Digest: imageOf("evil").String()}, "security")
	serve(&rogue.Gateway{Digest: imageOf("evil").String(), Image: evil}, "vendor")

	zeros := liarHost + "/" + liarRepo + "@sha256:" + strings.Repeat("0", 64)
	for _, tt := range []struct {
		args string
		code int
		says string
	}{
		{"verify " + zeros + " --as platform/auditor", 10, "UNKNOWN"},
		{"verify " + zeros + " --as security/auditor", 10, "UNKNOWN"},
		{"verify " + zeros + " --as platform/auditor --gateway " + addresses["security"], 14, "word alone"},
		{"verify " + typed + " --as platform/auditor --gateway " + addresses["vendor"], 1, "another question"},
		{"verify " + typed + " --as platform/auditor --trust-gateway --gateway " + addresses["vendor"], 1, "another question"},
		{"verify " + typed + " --as platform/auditor", 12, "PENDING"},
		{"explain " + liarHost + "/" + liarRepo + ":1.0 --as platform/auditor", 12, imageOf("typed").String()},
	} {
		out, code := l.Waybill(ctx, append(strings.Fields(tt.args), "--stage", "production")...)
		if code != tt.code || !strings.Contains(out, tt.says) {
			t.Errorf("%s: exit %d, want %d and %q:\n%s", tt.args, code, tt.code, tt.says, out)
		}
	}

	before := liars[0].Asked() + liars[1].Asked()
	for _, who := range []string{"security/release-manager", "platform/release-manager"} {
		out, code := l.Waybill(ctx, "approve", liarHost+"/"+liarRepo+":1.0", "--to", "production", "--as", who)
		if code != 12 && code != 0 {
			t.Errorf("approve as %s: exit %d:\n%s", who, code, out)
		}
		c.settle()
	}
	if after := liars[0].Asked() + liars[1].Asked(); after != before {
		t.Errorf("the acts asked gateways %d times", after-before)
	}
	for name, want := range map[string]policy.Answer{"typed": policy.Allowed, "evil": policy.Pending} {
		var v policy.Verdict
		b, err := c.as("audit/auditor").EvaluateOwn(ctx, "verdict:Ask", liarHost, liarRepo, imageOf(name).String(), "production")
		if err == nil {
			err = json.Unmarshal(b, &v)
		}
		if err != nil || v.Verdict != want {
			t.Errorf("%s is %s, want %s: %v", name, v.Verdict, want, err)
		}
	}
}
