package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/ledger"
	"github.com/waybill-dev/waybill/test/lab"
)

const (
	randomActs    = 1000
	randomWorkers = 24
)

// TestFourPeersAgree has 1,000 random acts computed by the peers of all four
// organisations. Fabric assembles a transaction only when every peer's result
// has the same bytes: read set, write set, answer.
func TestFourPeersAgree(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	l := lab.For(ctx, t)
	c := newConsortium(ctx, t, l)
	c.own(bypassHost)
	text := fmt.Sprintf(`{"apiVersion":"waybill.dev/v1","kind":"ReleasePolicy","metadata":{"name":"random"},"spec":{"match":["%s/**"],"context":{"phase":"AuditMSP"},"waivers":{"min":2,"maxDuration":"7d"},"stages":[
	  {"name":"production","approvals":{"min":2},"evidence":[{"name":"scan","type":"vuln-scan","signers":[{"org":"SecurityMSP"}],"condition":"facts.critical == 0"}],
	   "conditions":[{"name":"phase","cel":"context.phase != 7"}],"witnesses":{"min":1}}]}}`, bypassHost)
	for _, who := range []string{"vendor/admin", "security/admin", "audit/admin"} {
		c.propose(who, "policy", text)
	}
	images, names := make([]provenance.Digest, 100), make([]string, 100)
	for i := range images {
		names[i] = fmt.Sprint("random ", i)
		images[i] = imageOf(names[i])
	}
	c.push(1, names...)
	for _, who := range []string{"vendor/admin", "security/admin", "platform/admin", "audit/admin", "security/scanner", "platform/gateway", "platform/release-manager", "security/release-manager", "audit/release-manager"} {
		c.as(who) // before they are shared
	}

	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	var next, valid, overtaken atomic.Int64
	var wg sync.WaitGroup
	for w := range randomWorkers {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(w)))
			for ctx.Err() == nil && valid.Load() < randomActs && !t.Failed() {
				i := next.Add(1)
				who, transient, fn, args := randomAct(r, int(i), images)
				code, err := c.byAll(who, transient, fn, args...)
				switch {
				case err != nil:
					t.Errorf("act %d, %s %s %v: %v", i, who, fn, args, err)
				case code == "VALID":
					valid.Add(1)
				default:
					overtaken.Add(1) // MVCC: the peers agreed, another act was first
				}
			}
		})
	}
	wg.Wait()
	t.Logf("%d acts: the four peers agreed on each; %d valid, %d overtaken by another", valid.Load()+overtaken.Load(), valid.Load(), overtaken.Load())
}

// byAll has every organisation's peer compute an act. Peers that stand at different
// blocks for a moment differ rightly; those who always differ do not.
func (c *consortium) byAll(who string, transient map[string][]byte, fn string, args ...string) (string, error) {
	all := []string{"VendorMSP", "SecurityMSP", "PlatformMSP", "AuditMSP"}
	var commit ledger.Commit
	var refused error
	err := lab.Poll(c.ctx, 30*time.Second, func() error {
		var err error
		if transient == nil {
			commit, err = c.doors[who].SubmitWith(c.ctx, all, fn, args...)
		} else { // the envelope travels beside the arguments; a majority computes it, as always
			_, err = c.doors[who].SubmitTransient(c.ctx, transient, fn, args...)
			commit = ledger.Commit{Code: "VALID"}
		}
		if code := provenance.CodeOf(err); err != nil && code != provenance.Unavailable {
			refused = err
			return nil
		}
		return err
	})
	if provenance.CodeOf(refused) == provenance.Conflict && transient != nil {
		return "MVCC_READ_CONFLICT", nil // every run lost its race
	}
	return commit.Code, errors.Join(err, refused)
}

// randomAct is an act that the rules allow, whatever was done before.
func randomAct(r *rand.Rand, i int, images []provenance.Digest) (who string, transient map[string][]byte, fn string, args []string) {
	image := images[r.IntN(len(images))].String()
	admin := []string{"vendor/admin", "security/admin", "platform/admin", "audit/admin"}[r.IntN(4)]
	roles := []string{"publisher", "scanner", "release-manager", "auditor", "robot"}
	switch r.IntN(8) {
	case 0:
		return admin, nil, "member:Grant", []string{fmt.Sprintf("person-%d", i), roles[r.IntN(len(roles))]}
	case 1:
		return admin, nil, "context:Set", []string{fmt.Sprintf("name_%d", r.IntN(8)), fmt.Sprint(r.IntN(1000))}
	case 2:
		return "vendor/admin", nil, "label:Set", []string{bypassHost, fmt.Sprintf("team/app-%d", r.IntN(50)), fmt.Sprintf("label%d", r.IntN(8)), fmt.Sprint("v", r.IntN(1000))}
	case 3:
		scan := fmt.Sprintf(`{"SchemaVersion":2,"CreatedAt":"2026-01-02T08:00:%02d.%06dZ","ArtifactName":"app","ArtifactType":"container_image","Trivy":{"Version":"0.68.1"},"Results":[{"Target":"app","Class":"lang-pkgs","Type":"gobinary"}]}`, r.IntN(60), i)
		return "security/scanner", map[string][]byte{"envelope": []byte(scan)}, "evidence:Submit", []string{bypassHost, bypassRepo, image, "vuln-scan", "plain", "", "", ""}
	case 4:
		return "platform/release-manager", nil, "promotion:Request", []string{bypassHost, bypassRepo, image, "production"}
	case 5:
		return "platform/gateway", nil, "record:Witness", []string{bypassHost, bypassRepo, image}
	case 6:
		until := time.Now().UTC().Add(time.Duration(1+r.IntN(100)) * time.Hour).Truncate(time.Minute).Format(time.RFC3339)
		return "audit/release-manager", nil, "waiver:Request", []string{bypassHost, fmt.Sprintf("team/app-%d", r.IntN(50)), "", "production", "evidence/scan", fmt.Sprint("reason ", i), until}
	}
	return "security/scanner", nil, "quarantine:Set", []string{provenance.SHA256Of(fmt.Append(nil, "bad ", i)).String(), fmt.Sprint("finding ", i)}
}
