package contract

import (
	"fmt"
	"time"

	"github.com/waybill-dev/waybill/chaincode/evidence"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/test/sigstore"
)

// bundled is a bundle about an image.
type bundled struct {
	image string
	text  []byte
}

// keyless makes a Sigstore that changes, of which the members share the first text.
func (p *peers) keyless(l *ledger) {
	s := l.sigstoreOf("public")
	for i := range 4 {
		p.roots = append(p.roots, string(s.TrustedRoot()))
		for range 2 {
			image := p.image()
			p.bundles = append(p.bundles, bundled{image, l.attested(s, sigstore.Identity{URI: fmt.Sprintf("https://git.example/team/%d", i), Issuer: forge}, image, 0)})
		}
		l.now = l.now.Add(time.Minute)
		if err := s.Rotate(sigstore.RekorV1); err != nil {
			p.t.Fatal(err)
		}
	}
	l.share("public", []byte(p.roots[1]))
}

// keylessEvidence hands in what some version of the shared root verifies.
func (p *peers) keylessEvidence() (string, map[string][]byte, []string) {
	b := pick(p, p.bundles...)
	return "gateway@" + p.org(), map[string][]byte{"envelope": b.text},
		[]string{"evidence:Submit", host, repo, digestOf(b.image).String(), "", string(evidence.FormatBundle), "", "public", ""}
}

// trust changes a root: an own one, or by a vote the shared one.
func (p *peers) trust(name string) []string {
	switch p.rng.IntN(5) {
	case 0, 1:
		return []string{"trust:Add", name, pick(p, p.roots...), ""}
	case 2, 3:
		return []string{"trust:Withdraw", name, "lost", pick(p, "", p.all[0].now.Add(-time.Hour).Format(time.RFC3339))}
	}
	return []string{"proposal:Open", string(state.ProposeTrust), sharedBody("public", []byte(pick(p, p.roots...)))}
}
