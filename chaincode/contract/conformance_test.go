package contract

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/sigstore"
	"github.com/waybill-dev/waybill/chaincode/sigstore/sigstoretest"
)

// The client conformance suite of Sigstore through the transactions: a root that the members
// voted for, or a key that one of them registered, and what was signed years before.
func TestConformance(t *testing.T) {
	ledgers := map[string]*ledger{} // by trusted root: of two that share an authority one is refused
	for _, c := range sigstoretest.Suite(t) {
		t.Run(c.Name, func(t *testing.T) {
			l := ledgers[string(c.Root)]
			if l == nil {
				l = network(t)
				if _, err := sigstore.ParseTrustedRoot(c.Root); err != nil && c.Fails {
					l.refused(provenance.Invalid, "admin@VendorMSP", "proposal:Open", "trusted-root", sharedBody("suite", c.Root))
					return
				}
				l.share("suite", c.Root)
				l.now = l.now.AddDate(20, 0, 0)
				ledgers[string(c.Root)] = l
			}
			l.t = t
			msp, key := "", "suite"
			if c.Key != "" {
				msp, key = "VendorMSP", "suite-key-"+strings.ToLower(provenance.SHA256Of([]byte(c.Key)).String()[7:15])
				if _, _, err := l.invoke("admin@VendorMSP", nil, "key:Add", key, "public-key", c.Key, "", ""); err != nil {
					if !c.Fails || provenance.CodeOf(err) != provenance.Invalid {
						t.Fatal(err)
					}
					return // it is no key, and nobody registers it
				}
			}
			subject := provenance.SHA256Of(c.Artifact)
			e := push("", c.Name)
			e.Digest = subject
			if _, _, err := l.segment("gateway@VendorMSP", host, 1000+l.txs, e); err != nil {
				t.Fatal(err)
			}
			out, writes, err := l.invoke("gateway@VendorMSP", map[string][]byte{"envelope": c.Bundle}, "evidence:Submit", host, repo, subject.String(), "", "bundle", msp, key, "")
			if c.Fails {
				if code := provenance.CodeOf(err); code != provenance.BadEvidence || len(writes) != 0 {
					t.Errorf("%v, %d keys written", err, len(writes))
				}
				return
			}
			var s Submitted
			if err == nil {
				err = json.Unmarshal([]byte(out), &s)
			}
			if err != nil {
				t.Fatal(err)
			}
			pieces := evidenceOf(l, subject)
			for _, p := range pieces {
				e := p.Evidence
				if e.ID != s.ID {
					continue
				}
				if e.Signer.Kind == policy.SignedByCertificate && (e.Signer.MSP != "" || e.Signer.Identity != c.Identity || e.Signer.Issuer != c.Issuer || len(e.Uses) < 3 || e.RootVersion != 1) {
					t.Errorf("%+v", e)
				}
				return
			}
			t.Errorf("%s is not among %d pieces", s.ID, len(pieces))
		})
	}
}

func evidenceOf(l *ledger, d provenance.Digest) []EvidenceView {
	l.t.Helper()
	var pieces []EvidenceView
	if err := json.Unmarshal([]byte(l.do("auditor@AuditMSP", "evidence:List", d.String())), &pieces); err != nil {
		l.t.Fatal(err)
	}
	return pieces
}
