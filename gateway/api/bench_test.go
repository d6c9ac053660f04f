package api_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/block"
	"github.com/waybill-dev/waybill/gateway/index"
	"github.com/waybill-dev/waybill/gateway/readmodel"
)

// BenchmarkVerdict asks for the verdict of a promoted image under a policy of
// seven rules over 50 pieces of evidence, with every answer at a height of its
// own index: through the API, as a caller does, and of the index alone.
func BenchmarkVerdict(b *testing.B) {
	g := start(b, nil)
	s := g.ruled()
	var writes []block.Write
	set := state.EvidenceSet{}
	for i := range 50 {
		e := scan(s.Digest, fmt.Sprint("scanner", i), 0, time.Unix(int64(3000+i), 0))
		set.Entries = append(set.Entries, state.EvidenceEntry{Type: e.Type, ID: e.ID, Signer: state.SignerID(e.Signer), Since: e.Since()})
		writes = append(writes, g.put(state.EvidenceKey(e.Digest, e.Type, e.ID), e))
	}
	g.block("scanner@AuditMSP", append(writes, g.put(state.EvidenceSetKey(s.Digest, "AuditMSP"), set))...)
	image := "reg.example:5000/team/app@" + s.Digest.String()
	report := func(b *testing.B) { b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "verdicts/s") }
	b.Run("grpc", func(b *testing.B) {
		c := g.client(g.audit.issue("auditor", soon()))
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				v, err := c.GetVerdict(b.Context(), image, s.Stage)
				if err != nil || v.GetVerdict() != "denied" {
					b.Errorf("%v, %v", v, err)
				}
			}
		})
		report(b)
	})
	b.Run("index", func(b *testing.B) {
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				err := g.index.View(b.Context(), func(r *index.Snapshot) error {
					_, err := state.Ask(r, s, time.Now())
					return err
				})
				if err != nil {
					b.Error(err)
				}
			}
		})
		report(b)
	})
	// As of the height before: the newest change is one that does not count yet.
	height := g.height
	g.block("scanner@AuditMSP", g.put(state.HoldKey(s.Digest, "AuditMSP"), state.Hold{Digest: s.Digest, MSP: "AuditMSP", Reason: "later"}))
	b.Run("index as of", func(b *testing.B) {
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				err := g.index.ViewAt(b.Context(), readmodel.When{Height: height}, time.Now(), func(_ readmodel.AsOf, r *index.Snapshot) error {
					v, err := state.Ask(r, s, time.Now())
					if err == nil && v.Verdict != policy.Denied {
						err = fmt.Errorf("%s as of %d", v.Verdict, height)
					}
					return err
				})
				if err != nil {
					b.Error(err)
				}
			}
		})
		report(b)
	})
}

// scan is a vulnerability scan vouched for by a person of AuditMSP.
func scan(d provenance.Digest, who string, critical int, at time.Time) state.Evidence {
	facts, _ := json.Marshal(map[string]any{"critical": critical, "high": 0}) // cannot fail
	return state.Evidence{
		Digest: d, Type: "vuln-scan", ID: fmt.Sprintf("%x", []byte(fmt.Sprint(who, critical, at.Unix()))), Format: "plain", Facts: facts,
		Signer: policy.Signer{Kind: policy.SignedByPerson, MSP: "AuditMSP", Name: who, Roles: []string{"scanner"}},
		Act:    state.Act{By: policy.Person{MSP: "AuditMSP", Name: who}, At: at},
	}
}
