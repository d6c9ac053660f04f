// Package policytest reads the golden table of verdicts: policies, facts and a
// moment, and the verdict that package policy must give. The table is data, so
// that the same cases go through the pure function, the contract and a network.
package policytest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/waybill-dev/waybill/chaincode/policy"
)

// Case is one row of the table.
type Case struct {
	Group string // the file's name without its ending: the kind of rule
	Name  string // unique in its group
	// Policy is the document in force at Version, nil for none.
	Policy  json.RawMessage
	Version int
	Facts   policy.Facts
	Now     time.Time
	Want    Want
}

// Want is a verdict as the table says it.
type Want struct {
	Verdict policy.Answer `json:"verdict"`
	// Reasons are "RULE OUTCOME", in order.
	Reasons    []string   `json:"reasons"`
	Warning    string     `json:"warning,omitempty"`
	Until      *time.Time `json:"until,omitempty"`
	Releasable bool       `json:"releasable,omitempty"`
	Overdue    bool       `json:"overdue,omitempty"`
	Closed     bool       `json:"closed,omitempty"`
	// Says are texts that the details of the reasons must contain.
	Says []string `json:"says,omitempty"`
}

// WantOf returns a verdict in the table's form, without Says.
func WantOf(v policy.Verdict) Want {
	w := Want{Verdict: v.Verdict, Warning: v.Warning, Until: v.Until, Releasable: v.Releasable, Overdue: v.Overdue, Closed: v.Closed}
	for _, r := range v.Reasons {
		w.Reasons = append(w.Reasons, r.Rule+" "+string(r.Outcome))
	}
	return w
}

// Public returns what of w a verdict still says after it travelled as JSON.
func (w Want) Public() Want {
	w.Releasable, w.Overdue, w.Closed, w.Says = false, false, false, nil
	return w
}

// Unsaid returns the texts of w.Says that no reason of v contains.
func (w Want) Unsaid(v policy.Verdict) []string {
	return slices.DeleteFunc(slices.Clone(w.Says), func(text string) bool {
		return slices.ContainsFunc(v.Reasons, func(r policy.Reason) bool { return strings.Contains(r.Detail, text) })
	})
}

// File is one file of the table. What cases share stands at its top.
type File struct {
	// Spec is the policy's spec without match and stages.
	Spec json.RawMessage `json:"spec,omitempty"`
	// Facts are the facts of every case, as JSON with lower-camel names.
	Facts json.RawMessage `json:"facts"`
	Now   time.Time       `json:"now"`
	Cases []Row           `json:"cases"`
}

// Row is a case as it is written.
type Row struct {
	Name string `json:"name"`
	// Rules is the stage "production" without its name. The policy has a stage
	// "staging" before it, which asks for one approval.
	Rules json.RawMessage `json:"rules,omitempty"`
	// Spec overrides members of the file's.
	Spec json.RawMessage `json:"spec,omitempty"`
	// Policy stands in place of Rules and Spec: a whole document, or false for none.
	Policy json.RawMessage `json:"policy,omitempty"`
	// Facts override members of the file's.
	Facts json.RawMessage `json:"facts,omitempty"`
	Now   time.Time       `json:"now,omitzero"`
	Want  Want            `json:"want"`
}

// Version is the policy version of every case.
const Version = 3

// Load reads every file of a directory, chaincode/policy/testdata/cases.
func Load(dir string) ([]Case, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, fmt.Errorf("list the cases: %w", err)
	}
	if len(paths) == 0 {
		return nil, fmt.Errorf("no cases in %s", dir)
	}
	var all []Case
	for _, path := range paths {
		file, err := Read(path)
		if err != nil {
			return nil, err
		}
		cases, err := file.Expand()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		for i := range cases {
			cases[i].Group = strings.TrimSuffix(filepath.Base(path), ".json")
		}
		all = append(all, cases...)
	}
	return all, nil
}

// Read reads one file as it is written.
func Read(path string) (File, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return File{}, fmt.Errorf("read the cases: %w", err)
	}
	var file File
	if err := strict(b, &file); err != nil {
		return File{}, fmt.Errorf("%s: %w", path, err)
	}
	return file, nil
}

// Expand returns the file's cases, each whole.
func (f File) Expand() ([]Case, error) {
	names := map[string]bool{}
	var cases []Case
	for _, row := range f.Cases {
		if names[row.Name] {
			return nil, fmt.Errorf("case %q twice", row.Name)
		}
		names[row.Name] = true
		c, err := f.expand(row)
		if err != nil {
			return nil, fmt.Errorf("case %q: %w", row.Name, err)
		}
		cases = append(cases, c)
	}
	return cases, nil
}

func (f File) expand(row Row) (Case, error) {
	c := Case{Name: row.Name, Version: Version, Now: f.Now, Want: row.Want}
	if !row.Now.IsZero() {
		c.Now = row.Now
	}
	document, err := merge(f.Facts, row.Facts)
	if err != nil {
		return c, err
	}
	var facts factsJSON
	if err := strict(document, &facts); err != nil {
		return c, fmt.Errorf("facts: %w", err)
	}
	if c.Facts, err = facts.facts(c.Now); err != nil {
		return c, err
	}
	switch {
	case string(row.Policy) == "false":
		return c, nil
	case row.Policy != nil:
		c.Policy = row.Policy
		return c, nil
	}
	spec, err := merge(f.Spec, row.Spec)
	if err != nil {
		return c, err
	}
	stage, err := merge(json.RawMessage(`{"name":"production"}`), row.Rules)
	if err != nil {
		return c, err
	}
	spec, err = merge(json.RawMessage(`{"match":["reg.example/team/**"]}`), spec,
		fmt.Appendf(nil, `{"stages":[{"name":"staging","approvals":{"min":1}},%s]}`, stage))
	c.Policy = fmt.Appendf(nil, `{"apiVersion":%q,"kind":%q,"metadata":{"name":"team"},"spec":%s}`, policy.APIVersion, policy.Kind, spec)
	return c, err
}

// merge overrides members of objects, later ones winning.
func merge(objects ...json.RawMessage) (json.RawMessage, error) {
	all := map[string]json.RawMessage{}
	for _, o := range objects {
		if len(o) == 0 {
			continue
		}
		if err := json.Unmarshal(o, &all); err != nil {
			return nil, fmt.Errorf("merge: %w", err)
		}
	}
	return json.Marshal(all)
}

func strict(b []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	return dec.Decode(into)
}
