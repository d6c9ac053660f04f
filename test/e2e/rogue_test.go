package e2e

import (
	"context"
	"encoding/json"
	"path/filepath"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/test/lab"
	"github.com/waybill-dev/waybill/test/rogue"
)

// TestRogueMember: one organisation runs a contract of its own behind its peer,
// and then an orderer that keeps what it is sent. Nothing is released by it, and
// nothing of the others' stops.
func TestRogueMember(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	l := lab.For(ctx, t)
	f := &forgery{consortium: newConsortium(ctx, t, l)}
	f.own(l.Registry)
	f.agree("forged", `"stages":[{"name":"production","approvals":{"min":2}}]`)
	names := []string{"rogue", "honest", "withheld"}
	var events []provenance.Event
	var manifests [][]byte
	for _, name := range names {
		manifests = append(manifests, manifestOf(name))
		events = append(events, provenance.Event{
			ID: provenance.NewEventID("rogue", "main", name), Action: provenance.Push, Source: "distribution", Repository: forgedRepo, Digest: imageOf(name),
			MediaType: "application/vnd.oci.image.manifest.v1+json", Size: 100, OccurredAt: time.Now().UTC().Truncate(time.Second),
		})
	}
	if err := record(ctx, f.as("vendor/gateway"), l.Registry, "rogue", 1, manifests, events...); err != nil {
		t.Fatal(err)
	}
	f.settle()
	image := func(name string) []string {
		return []string{l.Registry, forgedRepo, imageOf(name).String(), "production"}
	}
	for _, name := range names {
		f.act("vendor/release-manager", "promotion:Request", image(name)...)
	}
	f.settle()

	program := filepath.Join(l.Dir, "rogue-chaincode")
	if err := rogue.Chaincode().Build(ctx, l.Dir, "-o", program, "./cmd/waybill-chaincode"); err != nil {
		t.Fatal(err)
	}
	if err := l.ReplaceChaincode(ctx, "audit", program); err != nil {
		t.Fatal(err)
	}
	ask := func(who, name string) (v policy.Verdict) {
		t.Helper()
		err := lab.Poll(ctx, 30*time.Second, func() error {
			b, err := f.as(who).EvaluateOwn(ctx, "verdict:Ask", image(name)...)
			if err != nil {
				return err
			}
			return json.Unmarshal(b, &v)
		})
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	seen := ask("security/auditor", "rogue")
	says := func(who string) (v policy.Verdict) {
		t.Helper()
		err := lab.Poll(ctx, 30*time.Second, func() error {
			b, err := f.as(who).EvaluateOwn(ctx, "promotion:Approve", approval(image("rogue"), seen, "")...)
			if err != nil {
				return err
			}
			return json.Unmarshal(b, &v)
		})
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	if rogue, honest := says("audit/release-manager"), says("platform/release-manager"); rogue.Verdict != policy.Allowed || honest.Verdict != policy.Pending {
		t.Fatalf("the rogue's contract says %s, an honest one %s", rogue.Verdict, honest.Verdict)
	}
	if code := f.fate("audit/release-manager", []string{"AuditMSP"}, "promotion:Approve", approval(image("rogue"), seen, "")...); code != "ENDORSEMENT_POLICY_FAILURE" {
		t.Errorf("released by the word of one peer: %s", code)
	}
	if _, err := f.as("audit/release-manager").Submit(ctx, "promotion:Approve", approval(image("rogue"), seen, "")...); err == nil {
		t.Error("the others' peers agreed with the rogue's")
	} else {
		t.Logf("with everybody's peers: %v", err)
	}
	if v := ask("platform/auditor", "rogue"); v.Verdict != policy.Pending {
		t.Errorf("the rogue's approval made it %s", v.Verdict)
	}

	// The others go on, whichever peers they are given.
	f.approves(ctx, t, image("honest"))
	f.says(0, "ALLOWED", "verify", f.image(imageOf("honest").String()), "--stage", "production", "--as", "platform/auditor")

	resume, err := rogue.Withhold(ctx, l, "audit")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := resume(); err != nil {
			t.Error(err)
		}
	})
	f.approves(ctx, t, image("withheld"))
}

// approves has two organisations approve an image, which releases it.
func (f *forgery) approves(ctx context.Context, t *testing.T, image []string) {
	t.Helper()
	for i, who := range []string{"security", "platform"} {
		var seen policy.Verdict
		b, err := f.as(who+"/auditor").EvaluateOwn(ctx, "verdict:Ask", image...)
		if err == nil {
			err = json.Unmarshal(b, &seen)
		}
		if err != nil {
			t.Fatal(err)
		}
		r, err := f.as(who+"/release-manager").Submit(ctx, "promotion:Approve", approval(image, seen, "")...)
		if err == nil {
			err = json.Unmarshal(r.Payload, &seen)
		}
		if want := []policy.Answer{policy.Pending, policy.Allowed}[i]; err != nil || seen.Verdict != want {
			t.Fatalf("approval of %s: %s, want %s: %v", who, seen.Verdict, want, err)
		}
		if err := reaches(ctx, f.as("security/auditor"), r.Block); err != nil {
			t.Fatal(err)
		}
		if err := reaches(ctx, f.as("platform/auditor"), r.Block); err != nil {
			t.Fatal(err)
		}
	}
}
