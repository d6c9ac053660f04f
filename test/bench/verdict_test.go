package bench

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/waybill-dev/waybill/test/lab"
)

const (
	verdictCalls = 3000
	verdictsOut  = 16 // questions under way at once
)

// verdictPolicy has what a real policy has: a quorum, three kinds of evidence
// with conditions, and a condition on the image.
const verdictPolicy = `{"apiVersion":"waybill.dev/v1","kind":"ReleasePolicy","metadata":{"name":"bench"},"spec":{"match":["%s"],"stages":[
 {"name":"production","approvals":{"min":2},"conditions":[{"name":"small","cel":"image.size < 1000000"}],"evidence":[
  {"name":"scan","type":"vuln-scan","signers":[{"org":"SecurityMSP"}],"condition":"facts.critical == 0 && facts.high <= 3"},
  {"name":"sbom","type":"sbom","signers":[{"org":"VendorMSP"}],"condition":"facts.components > 0"},
  {"name":"tested","type":"test-result","signers":[{"org":"PlatformMSP"}]}]}]}}`

// agreePolicy has a majority propose the policy for what is in bench/ of registries.
func agreePolicy(ctx context.Context, l *lab.Lab, hosts ...string) error {
	policy := fmt.Sprintf(verdictPolicy, strings.Join(hosts, `/bench/**","`)+"/bench/**")
	for _, org := range []string{"vendor", "security", "platform"} {
		c, err := l.Dial(org, "admin")
		if err != nil {
			return err
		}
		// A voter whose peer is behind the others is refused; the same vote again changes nothing.
		err = lab.Poll(ctx, 20*time.Second, func() error {
			_, err := c.Submit(ctx, "proposal:Open", "policy", policy)
			return err
		})
		if err := errors.Join(err, c.Close()); err != nil {
			return err
		}
	}
	return nil
}

// verdictRate asks one peer for verdicts on an image with evidence and returns
// answers per second: the contract loads its facts, evaluates every rule and
// writes nothing.
func verdictRate(ctx context.Context, l *lab.Lab, w *watcher) (float64, error) {
	pushed := newEvent("push", l.Registry, "bench/verdict", "v1")
	digest := fmt.Sprint(pushed.Target["digest"])
	before := w.count.Load()
	if err := post(ctx, l, []event{pushed}); err != nil {
		return 0, err
	}
	if err := w.reach(ctx, before+1); err != nil {
		return 0, err
	}
	if err := withEvidence(ctx, l, "bench/verdict", digest); err != nil {
		return 0, err
	}
	c, err := l.Dial("audit", "auditor")
	if err != nil {
		return 0, err
	}
	defer func() { _ = c.Close() }()
	var next atomic.Int64
	var wg sync.WaitGroup
	errs := make(chan error, verdictsOut)
	start := time.Now()
	for range verdictsOut {
		wg.Go(func() {
			for next.Add(1) <= verdictCalls {
				if _, err := c.Evaluate(ctx, "verdict:Ask", l.Registry, "bench/verdict", digest, "production"); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	wg.Wait()
	select {
	case err := <-errs:
		return 0, err
	default:
		return verdictCalls / time.Since(start).Seconds(), nil
	}
}

// withEvidence agrees on the policy, and gives three pieces of evidence about a recorded image.
func withEvidence(ctx context.Context, l *lab.Lab, repo, digest string) error {
	if err := agreePolicy(ctx, l, l.Registry); err != nil {
		return err
	}
	for _, e := range []struct{ org, person, typ, document string }{
		{"security", "scanner", "vuln-scan", `{"SchemaVersion":2,"CreatedAt":"2026-01-01T08:00:00Z","ArtifactName":"app","ArtifactType":"container_image","Trivy":{"Version":"0.68.1"},"Results":[{"Target":"app","Class":"lang-pkgs","Type":"gobinary"}]}`},
		{"vendor", "publisher", "sbom", `{"bomFormat":"CycloneDX","specVersion":"1.5","version":1,"components":[{"type":"library","name":"a","version":"1","purl":"pkg:golang/a@1"}]}`},
		{"platform", "scanner", "test-result", `{"result":"PASSED","configuration":[],"passedTests":["unit"]}`},
	} {
		c, err := l.Dial(e.org, e.person)
		if err != nil {
			return err
		}
		_, err = c.SubmitTransient(ctx, map[string][]byte{"envelope": []byte(e.document)}, "evidence:Submit",
			l.Registry, repo, digest, e.typ, "plain", "", "", "")
		if err := errors.Join(err, c.Close()); err != nil {
			return err
		}
	}
	return nil
}
