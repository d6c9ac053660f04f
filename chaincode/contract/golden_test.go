package contract

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
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
			c.Facts.Evidence = ledgered(c.Facts)
			seeded, err := statetest.Seed(c.Facts, c.Policy, c.Version)
			if err != nil {
				t.Fatal(err)
			}
			l.t, l.state, l.stopped = t, seeded, true // the clock is where the facts have it
			l.now = c.Now.Add(-time.Second)           // a transaction is a second later
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
			if c.Facts.Promoted || len(c.Facts.Approvals) > 0 {
				c.Facts.Attempt = max(1, c.Facts.Attempt) // the ledger counts from one
			}
			for i := range c.Facts.Evidence {
				c.Facts.Evidence[i].Cut = false // the ledger keeps a signer's first word
			}
			want := policy.Evaluate(p, version, c.Facts, c.Now)
			if diff := cmp.Diff(policytest.WantOf(want).Public(), policytest.WantOf(got), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("the rule language -, the contract +:\n%s%s", diff, answer)
			}
			loaded, err := state.JudgeBy(seeded, s, p, version, c.Now)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(comparable(c.Facts, p, !failing(want)), comparable(loaded.Facts, p, !failing(want)), cmpopts.EquateEmpty(), cmpopts.EquateComparable(provenance.Digest{})); diff != "" {
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
	if len(cases) < 400 || whole < 380 {
		t.Errorf("%d cases, %d of them whole: the table is not all there", len(cases), whole)
	}
}

// ledgered is the evidence that can stand on a ledger: about the image, and about
// one index, through which it was released.
func ledgered(f policy.Facts) []policy.Evidence {
	index := f.ViaIndex
	var list []policy.Evidence
	for _, e := range f.Evidence {
		if index.IsZero() && !e.On.IsZero() && e.On != f.Digest {
			index = e.On
		}
		if e.On.IsZero() || e.On == f.Digest || e.On == index {
			list = append(list, e)
		}
	}
	return list
}

// comparable is f without what no verdict under p can tell apart: an order
// that does not matter, what the contract fills in, what p does not listen to.
// Where no continuous rule fails, nothing that was superseded is looked at.
func comparable(f policy.Facts, p *policy.Policy, newest bool) policy.Facts {
	f.Majority = 0
	f.Tags = slices.Sorted(slices.Values(f.Tags))
	f.Members = slices.Sorted(slices.Values(f.Members))
	f.Evidence = slices.Clone(f.Evidence)
	if newest {
		f.Evidence = slices.DeleteFunc(f.Evidence, func(e policy.Evidence) bool { return e.Superseded })
	}
	slices.SortStableFunc(f.Evidence, func(a, b policy.Evidence) int { // the ledger's order
		return strings.Compare(fmt.Sprint(a.Superseded), fmt.Sprint(b.Superseded))
	})
	for i := range f.Evidence {
		if f.Evidence[i].On.IsZero() {
			f.Evidence[i].On = f.Digest
		}
	}
	if f.Released && !slices.ContainsFunc(f.ReleasedTo, func(r policy.ReleaseFact) bool { return r.Stage == f.Stage }) {
		f.ReleasedTo = append([]policy.ReleaseFact{{Stage: f.Stage, At: f.ReleasedAt}}, f.ReleasedTo...)
	}
	for i, r := range f.ReleasedTo {
		if r.Stage == f.Stage && f.Released {
			f.ReleasedTo[i].Unreviewed = f.Debt != nil && f.Debt.Reviewed == nil
		}
	}
	f.ReleasedTo = slices.SortedFunc(slices.Values(f.ReleasedTo), func(a, b policy.ReleaseFact) int { return strings.Compare(a.Stage, b.Stage) })
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

// failing tells whether a continuous rule fails of what is released.
func failing(v policy.Verdict) bool {
	released := slices.ContainsFunc(v.Reasons, func(r policy.Reason) bool { return r.Rule == "release" && r.Outcome == policy.Satisfied })
	return released && (v.Verdict == policy.Denied || v.Warning != "")
}

func encoded(t *testing.T, v policy.Verdict) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
