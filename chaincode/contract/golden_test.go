package contract

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/policy/policytest"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/chaincode/state/statetest"
)

// TestGoldenThroughTheContract asks verdict:Ask for every case of the golden
// table, its facts written down as the records of a ledger. Where the ledger
// gives back all the facts, the answer is that of policy.Evaluate to the byte;
// where a fact cannot stand on a ledger, every rule's outcome still is.
func TestGoldenThroughTheContract(t *testing.T) {
	cases, err := policytest.Load("../policy/testdata/cases")
	if err != nil {
		t.Fatal(err)
	}
	l, whole := newLedger(t), 0
	for _, c := range cases {
		t.Run(c.Group+"/"+c.Name, func(t *testing.T) {
			seeded, err := statetest.Seed(c.Facts, c.Policy, c.Version)
			if err != nil {
				t.Fatal(err)
			}
			l.t, l.state = t, seeded
			l.now = c.Now.Add(-time.Second) // a transaction is a second later
			s := statetest.Subject(c.Facts)
			if _, err := policy.ParseStageName(s.Stage); err != nil {
				l.refused(provenance.Invalid, "auditor@AuditMSP", "verdict:Ask", string(s.Host), string(s.Repository), s.Digest.String(), s.Stage)
				return
			}
			answer := l.do("auditor@AuditMSP", "verdict:Ask", string(s.Host), string(s.Repository), s.Digest.String(), s.Stage)
			var got policy.Verdict
			if err := json.Unmarshal([]byte(answer), &got); err != nil {
				t.Fatal(err)
			}

			var p *policy.Policy
			version := 0
			if c.Policy != nil {
				parsed, err := policy.Parse(c.Policy)
				if err != nil {
					t.Fatal(err)
				}
				p, version = &parsed, c.Version
			}
			want := policy.Evaluate(p, version, c.Facts, c.Now)
			if diff := cmp.Diff(policytest.WantOf(want).Public(), policytest.WantOf(got), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("the rule language -, the contract +:\n%s%s", diff, answer)
			}
			loaded, _, err := state.LoadFacts(seeded, s, p)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(comparable(c.Facts, p), comparable(loaded, p), cmpopts.EquateEmpty(), cmpopts.EquateComparable(provenance.Digest{})); diff != "" {
				t.Logf("not all of it can stand on a ledger:\n%s", diff)
				return
			}
			whole++
			got.Children = nil // of the ledger alone
			if a, b := encoded(t, want), encoded(t, got); a != b {
				t.Errorf("the same facts, other words:\n%s\n%s", a, b)
			}
		})
	}
	t.Logf("%d cases, %d with every fact on the ledger", len(cases), whole)
	if len(cases) < 150 || whole < 150 {
		t.Errorf("%d cases, %d of them whole: the table is not all there", len(cases), whole)
	}
}

// comparable is f without what no verdict under p can tell apart: an order
// that does not matter, what the contract fills in, what p does not listen to.
func comparable(f policy.Facts, p *policy.Policy) policy.Facts {
	f.Majority = 0
	f.Tags = slices.Sorted(slices.Values(f.Tags))
	f.Members = slices.Sorted(slices.Values(f.Members))
	f.Evidence = slices.Clone(f.Evidence)
	for i := range f.Evidence {
		if f.Evidence[i].On.IsZero() {
			f.Evidence[i].On = f.Digest
		}
	}
	if f.Released && !slices.ContainsFunc(f.ReleasedTo, func(r policy.ReleaseFact) bool { return r.Stage == f.Stage }) {
		f.ReleasedTo = append([]policy.ReleaseFact{{Stage: f.Stage, At: f.ReleasedAt}}, f.ReleasedTo...)
	}
	for _, h := range f.Holds {
		if h.At.After(f.LastHold) {
			f.LastHold = h.At
		}
	}
	heard := map[string]map[string]policy.Value{}
	if p != nil {
		for _, msp := range p.Spec.Context {
			if f.Context[msp] != nil {
				heard[msp] = f.Context[msp]
			}
		}
	}
	f.Context = heard
	return f
}

func encoded(t *testing.T, v policy.Verdict) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
