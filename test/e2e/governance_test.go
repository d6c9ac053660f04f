package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/ledger"
	"github.com/waybill-dev/waybill/test/lab"
)

// consortium is a real network and one connection per person that acts.
type consortium struct {
	t     *testing.T
	ctx   context.Context //nolint:containedctx // of the test that made it
	lab   *lab.Lab
	doors map[string]*ledger.Client // they outlive the subtest that opens them
}

func newConsortium(ctx context.Context, t *testing.T, l *lab.Lab) *consortium {
	c := &consortium{t: t, ctx: ctx, lab: l, doors: map[string]*ledger.Client{}}
	t.Cleanup(func() {
		for _, door := range c.doors {
			_ = door.Close() // only tested with
		}
	})
	return c
}

// as connects a person, "org/person", to its own organisation's peer.
func (c *consortium) as(who string) *ledger.Client {
	c.t.Helper()
	if door, ok := c.doors[who]; ok {
		return door
	}
	org, person, _ := splitPerson(who)
	door, err := c.lab.Dial(org, person)
	if err != nil {
		c.t.Fatal(err)
	}
	c.doors[who] = door
	return door
}

func splitPerson(who string) (org, person string, ok bool) {
	for i := range who {
		if who[i] == '/' {
			return who[:i], who[i+1:], true
		}
	}
	return who, "", false
}

// act submits until the peers agree: one that is a block behind answers otherwise, and
// every act here may be done twice.
func (c *consortium) act(who, fn string, args ...string) []byte {
	c.t.Helper()
	var payload []byte
	err := lab.Poll(c.ctx, 20*time.Second, func() error {
		r, err := c.as(who).Submit(c.ctx, fn, args...)
		payload = r.Payload
		return err
	})
	if err != nil {
		c.t.Fatalf("%s %s: %v", who, fn, err)
	}
	return payload
}

// fate submits with the peers of the named organisations alone and returns the
// validation code.
func (c *consortium) fate(who string, orgs []string, fn string, args ...string) string {
	c.t.Helper()
	var commit ledger.Commit
	err := lab.Poll(c.ctx, 20*time.Second, func() error {
		var err error
		commit, err = c.as(who).SubmitWith(c.ctx, orgs, fn, args...)
		return err
	})
	if err != nil {
		c.t.Fatalf("%s %s: %v", who, fn, err)
	}
	return commit.Code
}

type proposalView struct {
	Proposal state.Proposal `json:"proposal"`
	Yes      []string       `json:"yes"`
	Needed   int            `json:"needed"`
}

func (c *consortium) propose(who, kind, body string) (v proposalView) {
	c.t.Helper()
	if err := json.Unmarshal(c.act(who, "proposal:Open", kind, body), &v); err != nil {
		c.t.Fatal(err)
	}
	return v
}

const (
	govHost = "registry.governance.example"
	govRepo = "team/app"
)

func govPolicy(orgs string) string {
	return fmt.Sprintf(`{"apiVersion":"waybill.dev/v1","kind":"ReleasePolicy","metadata":{"name":"governance"},"spec":{"match":[%q],"stages":[{"name":"production","approvals":{"min":1,"orgs":%s,"exclude":[]}}]}}`, govHost+"/**", orgs)
}

func TestGovernance(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	l := lab.For(ctx, t)
	c := newConsortium(ctx, t, l)
	t.Run("a minority changes no policy", c.minority)
	t.Run("a release needs the peers its stage names", c.gate)
	t.Run("acts go through while their repository is pushed to", c.busy)
	t.Run("the guard follows the vote", c.guard)
}

func (c *consortium) minority(t *testing.T) {
	c.t = t
	text := govPolicy(`["SecurityMSP"]`)
	for _, who := range []string{"vendor/admin", "vendor/admin", "audit/admin"} {
		if v := c.propose(who, "policy", text); v.Proposal.Status != state.ProposalOpen || v.Needed != 3 {
			t.Fatalf("%s: %+v", who, v)
		}
	}
	if b, err := c.as("audit/auditor").Evaluate(c.ctx, "policy:Get", "governance", "0"); provenance.CodeOf(err) != provenance.NotFound {
		t.Errorf("two of four put it in force: %s, %v", b, err)
	}
	if _, err := c.as("security/auditor").Submit(c.ctx, "proposal:Open", "policy", text); provenance.CodeOf(err) != provenance.Forbidden {
		t.Errorf("by no admin: %v", err)
	}
	if v := c.propose("security/admin", "policy", text); v.Proposal.Status != state.ProposalAccepted || v.Proposal.Version != 1 {
		t.Errorf("three of four: %+v", v)
	}
}

// govPush is a push of an image, named after its content, under a tag of its own.
func govPush(content string) provenance.Event {
	d := imageOf(content)
	return provenance.Event{
		ID: provenance.NewEventID("governance", "main", content), Action: provenance.Push, Source: "distribution", Repository: govRepo, Tag: provenance.Tag("v-" + hexOf(d)[:12]),
		Digest: d, MediaType: "application/vnd.oci.image.manifest.v1+json", Size: 100, OccurredAt: time.Now().UTC().Truncate(time.Second),
	}
}

// gate releases an image whose stage names security: first endorsed by the
// three others, which is enough for the chaincode's own policy and not for the gate's.
func (c *consortium) gate(t *testing.T) {
	c.t = t
	c.own(govHost)
	event := govPush("governance")
	err := lab.Poll(c.ctx, 20*time.Second, func() error {
		return record(c.ctx, c.as("vendor/gateway"), govHost, "lane-0", 1, [][]byte{manifestOf("governance")}, event)
	})
	if err != nil {
		t.Fatal(err)
	}
	image := []string{govHost, govRepo, event.Digest.String(), "production"}
	var v policy.Verdict
	if err := json.Unmarshal(c.act("vendor/release-manager", "promotion:Request", image...), &v); err != nil {
		t.Fatal(err)
	}
	approve := approval(image, v, "seen")
	others := []string{"VendorMSP", "PlatformMSP", "AuditMSP"}
	if code := c.fate("security/release-manager", others, "promotion:Approve", approve...); code != "ENDORSEMENT_POLICY_FAILURE" {
		t.Errorf("released by the word of three peers, security's not among them: %s", code)
	}
	verdict := func() policy.Answer {
		b, err := c.as("security/auditor").Evaluate(c.ctx, "verdict:Ask", image...)
		if err == nil {
			err = json.Unmarshal(b, &v)
		}
		if err != nil {
			t.Fatal(err)
		}
		return v.Verdict
	}
	if got := verdict(); got != policy.Pending {
		t.Errorf("after the invalid release: %s", got)
	}
	with := []string{"SecurityMSP", "PlatformMSP", "AuditMSP"}
	if code := c.fate("security/release-manager", with, "promotion:Approve", approve...); code != "VALID" {
		t.Errorf("with security's peer: %s", code)
	}
	if got := verdict(); got != policy.Allowed {
		t.Errorf("released: %s", got)
	}
}

// busy promotes and approves images of a repository into which others are
// pushed without a pause. The pushes change what the acts read, the directory of
// the repository; an act that meets one in a block is run again, by Submit and by nobody else.
func (c *consortium) busy(t *testing.T) {
	c.t = t
	const images = 8
	var events []provenance.Event
	var manifests [][]byte
	for i := range images {
		name := fmt.Sprint("wanted ", i)
		events, manifests = append(events, govPush(name)), append(manifests, manifestOf(name))
	}
	gateway := c.as("vendor/gateway")
	if err := lab.Poll(c.ctx, 20*time.Second, func() error { return record(c.ctx, gateway, govHost, "lane-0", 2, manifests, events...) }); err != nil {
		t.Fatal(err)
	}
	requester, approver := c.as("vendor/release-manager"), c.as("security/release-manager")
	ctx, stop := context.WithCancel(c.ctx)
	var storm errgroup.Group
	segments := 0
	storm.Go(func() error {
		for ; ctx.Err() == nil; segments++ {
			a, b := fmt.Sprint("a ", segments), fmt.Sprint("b ", segments)
			if err := record(ctx, gateway, govHost, "busy", segments, [][]byte{manifestOf(a), manifestOf(b)}, govPush(a), govPush(b)); err != nil && ctx.Err() == nil {
				return err
			}
		}
		return nil
	})
	start := time.Now()
	for _, e := range events {
		image := []string{govHost, govRepo, e.Digest.String(), "production"}
		r, err := requester.Submit(c.ctx, "promotion:Request", image...)
		var v policy.Verdict
		if err == nil {
			err = json.Unmarshal(r.Payload, &v)
		}
		if err == nil {
			err = reaches(c.ctx, approver, r.Block)
		}
		if err == nil {
			r, err = approver.Submit(c.ctx, "promotion:Approve", approval(image, v, "seen")...)
		}
		if err == nil {
			err = json.Unmarshal(r.Payload, &v)
		}
		if err != nil || v.Verdict != policy.Allowed {
			t.Errorf("%s: %s, %v", e.Digest.Short(), v.Verdict, err)
		}
	}
	took := time.Since(start)
	stop()
	if err := storm.Wait(); err != nil {
		t.Error(err)
	}
	t.Logf("%d acts in %s beside %d segments", 2*images, took.Round(time.Millisecond), segments)
	if segments < images {
		t.Errorf("%d segments beside %d acts: it was not busy", segments, 2*images)
	}
}

// reaches waits until the peer of a person has a block. A peer leaves an orderer that
// withholds blocks after ten seconds.
func reaches(ctx context.Context, who *ledger.Client, block uint64) error {
	return lab.Poll(ctx, time.Minute, func() error {
		height, err := who.Height(ctx)
		if err == nil && height <= block {
			err = fmt.Errorf("block %d is not there, the height is %d", block, height)
		}
		return err
	})
}

// guard: once all four must agree, three peers are too few to write what a
// vote is about, although they still are enough for everything else.
func (c *consortium) guard(t *testing.T) {
	c.t = t
	for _, who := range []string{"vendor/admin", "audit/admin", "security/admin"} {
		c.propose(who, "majority", `{"majority":4}`)
	}
	three := []string{"VendorMSP", "SecurityMSP", "AuditMSP"}
	body := govPolicy(`["AuditMSP"]`)
	if code := c.fate("vendor/admin", three, "proposal:Open", "policy", body); code != "VALID" {
		t.Fatalf("a new key is held to the chaincode's policy: %s", code)
	}
	v := c.propose("vendor/admin", "policy", body)
	if v.Needed != 4 || len(v.Yes) != 1 {
		t.Fatalf("%+v", v)
	}
	if code := c.fate("vendor/admin", three, "proposal:Withdraw", v.Proposal.ID, "too few peers"); code != "ENDORSEMENT_POLICY_FAILURE" {
		t.Errorf("three of four peers wrote a guarded key: %s", code)
	}
	// Left to choose, the peer finds the endorsers that the guard asks for.
	c.act("vendor/admin", "proposal:Withdraw", v.Proposal.ID, "all of them")
	_, err := c.as("vendor/admin").Submit(c.ctx, "proposal:Vote", v.Proposal.ID, v.Proposal.Hash, "no", "")
	var coded *provenance.Error
	if !errors.As(err, &coded) || coded.Code != provenance.Conflict {
		t.Errorf("a vote on what was withdrawn: %v", err)
	}
}
