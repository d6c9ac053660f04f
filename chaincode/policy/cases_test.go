package policy_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/policy/policytest"
)

const table = "testdata/cases"

func judge(t testing.TB, c policytest.Case) policy.Verdict {
	t.Helper()
	if c.Policy == nil {
		return policy.Evaluate(nil, 0, c.Facts, c.Now)
	}
	p, err := policy.Parse(c.Policy)
	if err != nil {
		t.Fatalf("%s/%s: %v", c.Group, c.Name, err)
	}
	return policy.Evaluate(&p, c.Version, c.Facts, c.Now)
}

// TestCases is the law in examples: the contract and the gateway give these
// very verdicts. UPDATE_GOLDEN=1 rewrites what is wanted, to be read in the diff.
func TestCases(t *testing.T) {
	if os.Getenv("UPDATE_GOLDEN") != "" {
		update(t)
	}
	cases, err := policytest.Load(table)
	if err != nil {
		t.Fatal(err)
	}
	if len(cases) < 150 {
		t.Fatalf("%d cases: the table is not all there", len(cases))
	}
	for _, c := range cases {
		t.Run(c.Group+"/"+c.Name, func(t *testing.T) {
			v := judge(t, c)
			want := c.Want
			want.Says = nil
			if diff := cmp.Diff(want, policytest.WantOf(v), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("want -, got +:\n%s%+v", diff, v.Reasons)
			}
			if unsaid := c.Want.Unsaid(v); len(unsaid) > 0 {
				t.Errorf("no reason says %q:\n%+v", unsaid, v.Reasons)
			}
			for _, r := range v.Reasons {
				if r.Detail == "" || (r.Outcome == policy.Unmet || r.Outcome == policy.Violated) != (r.Fix != "") && r.Rule != "break-glass" {
					t.Errorf("a reason says why, and what to do where something is to be done: %+v", r)
				}
			}
			if again := judge(t, c); !reflect.DeepEqual(v, again) {
				t.Errorf("evaluated again it differs: %+v", again.Reasons)
			}
		})
	}
}

func update(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join(table, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		file, err := policytest.Read(path)
		if err != nil {
			t.Fatal(err)
		}
		cases, err := file.Expand()
		if err != nil {
			t.Fatal(err)
		}
		for i, c := range cases {
			says := file.Cases[i].Want.Says
			file.Cases[i].Want = policytest.WantOf(judge(t, c))
			file.Cases[i].Want.Says = says
		}
		if err := os.WriteFile(path, layout(t, file), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// layout writes a file of the table with one line for each part of a case.
func layout(t *testing.T, file policytest.File) []byte {
	compact := func(v any) []byte {
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(v); err != nil {
			t.Fatal(err)
		}
		return bytes.TrimSpace(b.Bytes())
	}
	var out bytes.Buffer
	out.WriteString("{\n")
	if file.Spec != nil {
		out.WriteString(` "spec": ` + string(compact(file.Spec)) + ",\n")
	}
	out.WriteString(` "facts": ` + string(compact(file.Facts)) + ",\n \"now\": " + string(compact(file.Now)) + ",\n \"cases\": [\n")
	for i, row := range file.Cases {
		out.WriteString("  {\n   \"name\": " + string(compact(row.Name)))
		part := func(name string, v json.RawMessage) {
			if v != nil {
				out.WriteString(",\n   \"" + name + `": ` + string(compact(v)))
			}
		}
		part("policy", row.Policy)
		part("rules", row.Rules)
		part("spec", row.Spec)
		part("facts", row.Facts)
		if !row.Now.IsZero() {
			part("now", compact(row.Now))
		}
		part("want", compact(row.Want))
		out.WriteString("\n  }")
		if i < len(file.Cases)-1 {
			out.WriteByte(',')
		}
		out.WriteByte('\n')
	}
	out.WriteString(" ]\n}\n")
	return out.Bytes()
}
