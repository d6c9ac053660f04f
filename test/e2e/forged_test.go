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
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/test/lab"
	"github.com/waybill-dev/waybill/test/rogue"
)

// TestForgedVerdicts carries the attacks out that once worked: on a real
// network, with a real registry, gateways and the command line.
func TestForgedVerdicts(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	l := lab.For(ctx, t)
	for _, org := range []string{"vendor", "audit"} {
		if err := l.StartGateway(ctx, org); err != nil {
			t.Fatalf("%v\n%s", err, l.Log("gateway-"+org))
		}
	}
	if err := l.AddRegistry(ctx, l.Registry, "distribution", lab.Owner); err != nil {
		t.Fatal(err)
	}
	f := &forgery{consortium: newConsortium(ctx, t, l)}
	f.agree("forged", `"stages":[{"name":"staging","approvals":{"min":1}},{"name":"production","approvals":{"min":2}},{"name":"soaked","from":"staging","soak":"1m","approvals":{"min":1}}]`)
	drawer := f.drawn(t)
	t.Run("a vote is for one text", f.text)
	t.Run("quarantines survive floods and deletions", f.flooded)
	t.Run("an index lists what its bytes list", f.lied)
	t.Run("a forged deletion", f.deleted)
	t.Run("text that breaks a reader", f.garbled)
	t.Run("dates", f.dated)
	t.Run("an endorsement kept in a drawer", drawer)
}

const forgedRepo = "forged/app"

type forgery struct{ *consortium }

// agree has a majority put a policy in force for the images of a team.
func (f *forgery) agree(team, stages string) {
	f.t.Helper()
	text := fmt.Sprintf(`{"apiVersion":"waybill.dev/v1","kind":"ReleasePolicy","metadata":{"name":%q},"spec":{"match":[%q],%s}}`, team, f.lab.Registry+"/"+team+"/**", stages)
	for _, who := range []string{"vendor/admin", "security/admin", "audit/admin"} {
		f.propose(who, "policy", text)
	}
	f.settle()
}

// says runs the command line, and wants an exit status and a text of it.
func (f *forgery) says(code int, text string, args ...string) string {
	f.t.Helper()
	out, got := f.lab.Waybill(f.ctx, args...)
	if got != code || !strings.Contains(out, text) {
		f.t.Errorf("waybill %s: exit %d, want %d and %q:\n%s", strings.Join(args, " "), got, code, text, out)
	}
	return out
}

func (f *forgery) image(digest string) string {
	return f.lab.Registry + "/" + forgedRepo + "@" + digest
}

// recorded waits until the ledger has an image, and knows what its bytes say.
func (f *forgery) recorded(digests ...string) {
	f.t.Helper()
	for _, d := range digests {
		err := lab.Poll(f.ctx, time.Minute, func() error {
			out, code := f.lab.Waybill(f.ctx, "status", f.image(d), "--as", "vendor/auditor")
			if code != 0 {
				return fmt.Errorf("status %s: exit %d: %s", d, code, out)
			}
			return nil
		})
		if err != nil {
			f.t.Fatal(err)
		}
	}
	f.settle()
}

// release promotes an image to production, and has two organisations approve it.
func (f *forgery) release(digest string) {
	f.t.Helper()
	if out, code := f.lab.Waybill(f.ctx, "promote", f.image(digest), "--to", "production", "--as", "vendor/release-manager"); code != 12 {
		f.t.Fatalf("promote: exit %d:\n%s", code, out)
	}
	f.settle()
	for i, who := range []string{"security/release-manager", "platform/release-manager"} {
		if out, code := f.lab.Waybill(f.ctx, "approve", f.image(digest), "--to", "production", "--as", who); code != []int{12, 0}[i] {
			f.t.Fatalf("approve as %s: exit %d:\n%s", who, code, out)
		}
		f.settle()
	}
	f.says(0, "ALLOWED", "verify", f.image(digest), "--stage", "production", "--as", "platform/auditor")
}

// images pushes images by their names to the real registry.
func (f *forgery) images(names ...string) []string {
	f.t.Helper()
	if err := f.lab.PushBlob(f.ctx, forgedRepo); err != nil {
		f.t.Fatal(err)
	}
	digests := make([]string, len(names))
	for i, name := range names {
		var err error
		if digests[i], err = f.lab.PushImage(f.ctx, forgedRepo, name, name); err != nil {
			f.t.Fatal(err)
		}
	}
	f.recorded(digests...)
	return digests
}

// Whoever has seen one text votes for that text: another one under its id, or
// another vote's hash, is nothing.
func (f *forgery) text(t *testing.T) {
	f.t = t
	strict := fmt.Sprintf(`{"apiVersion":"waybill.dev/v1","kind":"ReleasePolicy","metadata":{"name":"strict"},"spec":{"match":["%s/strict/**"],"stages":[{"name":"production","approvals":{"min":3}}]}}`, f.lab.Registry)
	loose := strings.Replace(strict, `"min":3`, `"min":1`, 1)
	a, b := f.propose("vendor/admin", "policy", strict), f.propose("audit/admin", "policy", loose)
	f.settle()
	if a.Proposal.ID == b.Proposal.ID || len(a.Proposal.ID) != 64 {
		t.Fatalf("proposals %s and %s", a.Proposal.ID, b.Proposal.ID)
	}
	_, err := f.as("security/admin").Submit(f.ctx, "proposal:Vote", b.Proposal.ID, a.Proposal.Hash, "yes", "")
	f.refused("a vote that has seen another text", provenance.Stale, err)
	f.says(0, "2 of 3", "proposal", "vote", a.Proposal.ID, "yes", "--as", "security/admin")
	f.settle()
	f.says(0, "in force as version 1", "proposal", "vote", a.Proposal.ID, "yes", "--as", "platform/admin")
	f.settle()
	got, err := f.as("audit/auditor").Evaluate(f.ctx, "policy:Get", "strict", "0")
	if err != nil || !strings.Contains(string(got), `"min":3`) {
		t.Errorf("in force: %s, %v", got, err)
	}
}

// A platform is held through the index that carried it to production: forty
// indexes that list it since, and that the held one is deleted, change nothing.
func (f *forgery) flooded(t *testing.T) {
	f.t = t
	names := []string{"amd64", "arm64"}
	platforms := f.images(names...)
	index, err := f.lab.PushIndex(f.ctx, forgedRepo, "all", "all", names...)
	if err != nil {
		t.Fatal(err)
	}
	f.recorded(index)
	f.release(index)
	verify := func(code int, says, digest string) {
		t.Helper()
		f.says(code, says, "verify", f.image(digest), "--stage", "production", "--as", "security/auditor")
	}
	verify(0, "ALLOWED", platforms[0])
	f.says(0, "", "quarantine", f.image(index), "--reason", "a backdoor", "--as", "security/scanner")
	f.settle()
	verify(13, "QUARANTINED", platforms[0])

	var others []string
	for i := range 40 {
		other, err := f.lab.PushIndex(f.ctx, forgedRepo, fmt.Sprint("other-", i), fmt.Sprint("other ", i), names...)
		if err != nil {
			t.Fatal(err)
		}
		others = append(others, other)
	}
	f.recorded(others...)
	verify(13, "QUARANTINED", platforms[0])
	verify(13, "QUARANTINED", others[39]) // the held image does not come back through another index
	if err := f.lab.DeleteManifest(f.ctx, forgedRepo, index); err != nil {
		t.Fatal(err)
	}
	err = lab.Poll(f.ctx, time.Minute, func() error {
		out, _ := f.lab.Waybill(f.ctx, "history", f.image(index), "--as", "vendor/auditor")
		if !strings.Contains(out, "delete") {
			return fmt.Errorf("the deletion is not recorded:\n%s", out)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	f.settle()
	verify(13, "QUARANTINED", platforms[0])
	verify(13, "QUARANTINED", platforms[1])
}

// The registry's owner says that an approved index lists an image of its choice.
func (f *forgery) lied(t *testing.T) {
	f.t = t
	good, evil := imageOf("good"), imageOf("evil")
	body := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":%q,"size":%d}]}`, good, len(manifestOf("good")))
	index := provenance.SHA256Of(body)
	events := []provenance.Event{}
	for _, d := range []provenance.Digest{good, evil, index} {
		e := provenance.Event{
			ID: provenance.NewEventID("forged", "main", d.String()), Action: provenance.Push, Source: "distribution", Repository: forgedRepo, Digest: d,
			MediaType: "application/vnd.oci.image.manifest.v1+json", Size: 100, OccurredAt: time.Now().UTC().Truncate(time.Second),
		}
		if d == index {
			e.MediaType, e.Children = "application/vnd.oci.image.index.v1+json", []provenance.Digest{good, evil}
		}
		events = append(events, e)
	}
	manifests := [][]byte{manifestOf("good"), manifestOf("evil"), body}
	if err := record(f.ctx, f.as("vendor/gateway"), f.lab.Registry, "lies", 1, manifests, events...); err != nil {
		t.Fatal(err)
	}
	f.recorded(good.String(), evil.String(), index.String())
	f.release(index.String())
	f.says(0, "ALLOWED", "verify", f.image(good.String()), "--stage", "production", "--as", "audit/auditor")
	f.says(12, "PENDING", "verify", f.image(evil.String()), "--stage", "production", "--as", "audit/auditor")

	// Without its bytes it is a name, and nobody can release it.
	blind := imageOf("blind")
	e := events[0]
	e.ID, e.Digest = provenance.NewEventID("forged", "main", "blind"), blind
	if err := record(f.ctx, f.as("vendor/gateway"), f.lab.Registry, "lies", 2, nil, e); err != nil {
		t.Fatal(err)
	}
	f.recorded(blind.String())
	f.says(10, "digest alone", "verify", f.image(blind.String()), "--stage", "production", "--as", "audit/auditor")
}

// Somebody with the connector's secret says that a released image is gone.
func (f *forgery) deleted(t *testing.T) {
	f.t = t
	d := f.images("served")[0]
	f.release(d)
	notification := fmt.Sprintf(`{"events":[{"id":"8f5a3c1e-0001","timestamp":%q,"action":"delete","target":{"digest":%q,"repository":%q},"request":{"id":"1","addr":"10.0.0.1","host":%q,"method":"DELETE"},"actor":{},"source":{"addr":"r:5000","instanceID":"1"}}]}`,
		time.Now().UTC().Format(time.RFC3339Nano), d, forgedRepo, f.lab.Registry)
	if err := f.lab.Notify(f.ctx, notification); err != nil {
		t.Fatal(err)
	}
	later := f.images("after-the-forgery") // the same repository keeps its order: what came before is settled
	f.recorded(later...)
	f.says(0, "ALLOWED", "verify", f.image(d), "--stage", "production", "--as", "security/auditor")
}

// What would break a reader of somebody else's history is not recorded.
func (f *forgery) garbled(t *testing.T) {
	f.t = t
	d := f.images("read")[0]
	digest, err := provenance.ParseDigest(d)
	if err != nil {
		t.Fatal(err)
	}
	for name, actor := range map[string]string{"bidi": "ci\u202egnp", "control": "ci\x1b[2J", "not UTF-8": "ci\xff"} {
		e := provenance.Event{
			ID: provenance.NewEventID("forged", "main", name), Action: provenance.Push, Source: "distribution", Repository: forgedRepo, Digest: digest, Actor: actor,
			MediaType: "application/vnd.oci.image.manifest.v1+json", Size: 100, OccurredAt: time.Now().UTC().Truncate(time.Second),
		}
		f.refused("an actor with "+name, provenance.Invalid, record(f.ctx, f.as("vendor/gateway"), f.lab.Registry, "garbled", 1, nil, e))
	}
	f.says(0, "push", "history", f.image(d), "--as", "audit/auditor")
}

// Nothing is dated in the future.
func (f *forgery) dated(t *testing.T) {
	f.t = t
	e := provenance.Event{
		ID: provenance.NewEventID("forged", "main", "dated"), Action: provenance.Push, Source: "distribution", Repository: forgedRepo, Digest: imageOf("dated"),
		MediaType: "application/vnd.oci.image.manifest.v1+json", Size: 100,
	}
	for _, at := range []time.Time{time.Now().Add(5 * time.Minute), time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)} {
		e.OccurredAt = at.UTC().Truncate(time.Second)
		f.refused("a push of "+at.Format(time.DateOnly), provenance.Invalid, record(f.ctx, f.as("vendor/gateway"), f.lab.Registry, "dated", 1, [][]byte{manifestOf("dated")}, e))
	}
}

// drawn has the release to staging endorsed, which begins a soak, and keeps it.
// What it returns hands it in once the ledger's clock has moved.
func (f *forgery) drawn(t *testing.T) func(t *testing.T) {
	t.Helper()
	d := f.images("drawn")[0]
	image := []string{f.lab.Registry, forgedRepo, d, "staging"}
	begin := f.clock()
	f.act("vendor/release-manager", "promotion:Request", image...)
	f.settle()
	var seen policy.Verdict
	b, err := f.as("security/auditor").EvaluateOwn(f.ctx, "verdict:Ask", image...)
	if err == nil {
		err = json.Unmarshal(b, &seen)
	}
	if err != nil {
		t.Fatal(err)
	}
	// The first run sets the gate; it is the second that releases.
	kept, err := rogue.Keep(f.ctx, f.as("security/release-manager"), "promotion:Approve", approval(image, seen, "")...)
	if err != nil {
		t.Fatal(err)
	}
	return func(t *testing.T) {
		f.t = t
		err := lab.Poll(f.ctx, 100*time.Second, func() error {
			if now := f.clock(); now.Seq <= begin.Seq {
				return fmt.Errorf("the clock stands at %s", now.At)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		f.settle()
		commit, held, err := kept.Use(f.ctx)
		if err != nil || commit.Valid || commit.Code != "MVCC_READ_CONFLICT" {
			t.Errorf("an approval kept for %s: %+v, %v", held.Round(time.Second), commit, err)
		}
		t.Logf("an approval kept for %s is %s", held.Round(time.Second), commit.Code)
		if held > 2*time.Minute {
			t.Errorf("it was good for %s, and two minutes are the bound", held)
		}
		f.says(12, "PENDING", "verify", f.image(d), "--stage", "staging", "--as", "audit/auditor")
		// An honest client meets the same and endorses again by itself.
		f.says(0, "ALLOWED", "approve", f.image(d), "--to", "staging", "--as", "security/release-manager")
		f.settle()
		f.says(12, "soak", "promote", f.image(d), "--to", "soaked", "--as", "vendor/release-manager")
	}
}

func (f *forgery) clock() (c state.Clock) {
	f.t.Helper()
	b, err := f.as("audit/auditor").EvaluateOwn(f.ctx, "clock:Get")
	if err == nil {
		err = json.Unmarshal(b, &c)
	}
	if err != nil {
		f.t.Fatal(err)
	}
	return c
}
