// Package policy is the law of release: it parses a release policy and decides
// whether an image may run in a stage. It is pure: no ledger, no clock, no
// I/O. The contract and the gateway call the same Evaluate.
package policy

import (
	"bytes"
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// APIVersion and Kind open every policy document.
const (
	APIVersion = "waybill.dev/v1"
	Kind       = "ReleasePolicy"
)

// Limits of a policy document.
const (
	MaxBytes    = 32 << 10
	maxStages   = 16
	maxPatterns = 32
)

// Who may be kept from approving.
const (
	// ExcludePusher: the organisation whose gateway recorded the push. The
	// registry's name for the pusher is a claim; the organisation is not.
	ExcludePusher = "pusher"
	// ExcludeRequester: the person who requested the promotion.
	ExcludeRequester = "requester"
)

// Policy is a release policy document.
type Policy struct {
	APIVersion string   `json:"apiVersion"`
	Kind       string   `json:"kind"`
	Metadata   Metadata `json:"metadata"`
	Spec       Spec     `json:"spec"`
}

// Metadata names a policy.
type Metadata struct {
	Name string `json:"name"`
}

// Spec is what a policy says: the repositories it governs and its stages in order.
type Spec struct {
	// Match lists patterns over host/repository, by path segment: "*" is one
	// segment, a closing "**" is the rest.
	Match []string `json:"match"`
	// Context names the context variables conditions may use, and for each the
	// member (MSP id) whose word counts: context.incident is what that member published.
	Context map[string]string `json:"context,omitempty"`
	// Waivers says who may approve exceptions; absent, there are none.
	Waivers *WaiverRule `json:"waivers,omitempty"`
	Stages  []Stage     `json:"stages"`
}

// WaiverRule says how a waiver comes to count: Min organisations approve it,
// all of Orgs among them, and it ends after at most MaxDuration.
type WaiverRule struct {
	Min         int      `json:"min"`
	Orgs        []string `json:"orgs,omitempty"`
	MaxDuration Duration `json:"maxDuration"`
}

// Stage is one place where an image may be released to, and its rules. Every
// rule must be satisfied or waived before a release.
type Stage struct {
	Name string `json:"name"`
	// From names an earlier stage that must hold a release of the same image.
	From string `json:"from,omitempty"`
	// Soak is how long ago the release to From must have been.
	Soak Duration `json:"soak,omitzero"`
	// Freeze lists the weekly windows in which nothing is released.
	Freeze []Window `json:"freeze,omitempty"`
	// MaxAge is how long ago the push may have been recorded.
	MaxAge     Duration       `json:"maxAge,omitzero"`
	Approvals  Approvals      `json:"approvals"`
	Evidence   []EvidenceRule `json:"evidence,omitempty"`
	Conditions []Condition    `json:"conditions,omitempty"`
	Witnesses  *Witnesses     `json:"witnesses,omitempty"`
	BreakGlass *BreakGlass    `json:"breakGlass,omitempty"`
	// Grace is how long a released image stays allowed, with a warning, after
	// a continuous rule stopped being satisfied.
	Grace Duration `json:"grace,omitzero"`
}

// Window is a weekly window in UTC. It opens on each of Days ("Mon" ... "Sun")
// at From ("HH:MM") and closes at To; a To at or before From is on the next day.
type Window struct {
	Days []string `json:"days"`
	From string   `json:"from"`
	To   string   `json:"to"`
}

// Approvals is the quorum rule: Min approvals from distinct organisations.
type Approvals struct {
	Min int `json:"min"`
	// Orgs must all be among the approving organisations (MSP ids).
	Orgs []string `json:"orgs,omitempty"`
	// Role an approver must hold; absent means release-manager.
	Role string `json:"role,omitempty"`
	// Exclude is who cannot approve. Absent means pusher and requester both;
	// an empty list means nobody is excluded.
	Exclude []string `json:"exclude"`
	// Expires is how long an approval counts; absent, until the release.
	Expires Duration `json:"expires,omitzero"`
	// Robots: identities granted the role robot or gateway count too.
	Robots bool `json:"robots,omitempty"`
}

// EvidenceRule asks for verified evidence of a type. Of each accepted signer
// only the newest piece counts.
type EvidenceRule struct {
	Name string `json:"name"` // of the rule within the stage; reported as evidence/NAME
	Type string `json:"type"` // signature, slsa-provenance, sbom, vuln-scan, vex, test-result, review, custom/NAME
	// Signers lists who may have signed; at least one entry.
	Signers []SignerRule `json:"signers"`
	Min     int          `json:"min,omitempty"` // distinct signers; absent means 1
	MaxAge  Duration     `json:"maxAge,omitzero"`
	// Condition is a CEL expression over facts (this evidence's) and the
	// variables of Condition.
	Condition  string `json:"condition,omitempty"`
	Continuous bool   `json:"continuous,omitempty"`
}

// SignerRule accepts a signer; every field that is set must agree.
type SignerRule struct {
	Org string `json:"org"` // MSP id whose key, certificate root or person it is
	// Role: the submitting person vouches and holds this role in Org.
	Role string `json:"role,omitempty"`
	// Key is the name of a key that Org registered.
	Key string `json:"key,omitempty"`
	// Identity and Issuer accept a certificate below a root that Org
	// registered. Identity is a glob over the whole SAN ("*" stays within a
	// path segment, "**" does not); Issuer is compared literally.
	Identity string `json:"identity,omitempty"`
	Issuer   string `json:"issuer,omitempty"`
}

// Condition is a rule in CEL over image, tags, labels, evidence, stage and context.
type Condition struct {
	Name       string `json:"name"` // reported as condition/NAME
	CEL        string `json:"cel"`
	Continuous bool   `json:"continuous,omitempty"`
}

// Witnesses asks that the gateways of Min organisations saw the digest at the
// registry themselves; the organisation that recorded the push is one of them.
type Witnesses struct {
	Min  int      `json:"min"`
	Orgs []string `json:"orgs,omitempty"`
}

// BreakGlass says who may release without which rules. It makes a debt: a
// member of another organisation reviews within Review, or the release is quarantined.
type BreakGlass struct {
	By        []SignerRule `json:"by"`      // org and role
	Without   []string     `json:"without"` // rule names as reported
	Review    Duration     `json:"review"`
	Reviewers []string     `json:"reviewers,omitempty"` // MSP ids; absent: any other member
}

var stageName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// Parse reads a policy from JSON: unknown fields, trailing data and anything a
// release could not be decided by are Invalid. The defaults are filled in, so
// that Canonical of the result says everything that is in force.
func Parse(b []byte) (Policy, error) {
	var p Policy
	if len(b) > MaxBytes {
		return p, provenance.Errorf(provenance.Invalid, "policy of %d bytes: at most %d", len(b), MaxBytes)
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&p); err != nil {
		return Policy{}, provenance.Errorf(provenance.Invalid, "policy: %v", err)
	}
	if dec.More() {
		return Policy{}, provenance.Errorf(provenance.Invalid, "policy: data after the document")
	}
	for i := range p.Spec.Stages {
		if p.Spec.Stages[i].Approvals.Exclude == nil {
			p.Spec.Stages[i].Approvals.Exclude = []string{ExcludePusher, ExcludeRequester}
		}
	}
	return p, p.check()
}

// Canonical returns the policy's one JSON form; its hash names the version.
func (p Policy) Canonical() []byte {
	b, _ := json.Marshal(p) // strings, ints and slices only: cannot fail
	return b
}

// Stage returns the stage of that name.
func (p Policy) Stage(name string) (Stage, bool) {
	i := slices.IndexFunc(p.Spec.Stages, func(s Stage) bool { return s.Name == name })
	if i < 0 {
		return Stage{}, false
	}
	return p.Spec.Stages[i], true
}

func (p Policy) check() error {
	invalid := func(format string, args ...any) error {
		return provenance.Errorf(provenance.Invalid, "policy %q: "+format, append([]any{p.Metadata.Name}, args...)...)
	}
	if p.APIVersion != APIVersion || p.Kind != Kind {
		return invalid("want apiVersion %s and kind %s", APIVersion, Kind)
	}
	if !stageName.MatchString(p.Metadata.Name) {
		return invalid("metadata.name must be lower-case letters, digits and '-'")
	}
	if len(p.Spec.Match) == 0 || len(p.Spec.Match) > maxPatterns {
		return invalid("spec.match needs 1 to %d patterns", maxPatterns)
	}
	for _, pattern := range p.Spec.Match {
		if err := CheckPattern(pattern); err != nil {
			return err
		}
	}
	if len(p.Spec.Stages) == 0 || len(p.Spec.Stages) > maxStages {
		return invalid("spec.stages needs 1 to %d stages", maxStages)
	}
	earlier := map[string]bool{}
	for _, s := range p.Spec.Stages {
		if !stageName.MatchString(s.Name) || earlier[s.Name] {
			return invalid("stage %q: names are unique, of lower-case letters, digits and '-'", s.Name)
		}
		if s.From != "" && !earlier[s.From] {
			return invalid("stage %q: from %q is not an earlier stage", s.Name, s.From)
		}
		earlier[s.Name] = true
		a := s.Approvals
		if a.Min < 0 || a.Min > 64 || (a.Min == 0 && s.From == "") {
			return invalid("stage %q: approvals.min must be 1 to 64 (0 only with from): no rule is never a pass", s.Name)
		}
		if len(a.Orgs) > a.Min || len(slices.Compact(slices.Sorted(slices.Values(a.Orgs)))) != len(a.Orgs) {
			return invalid("stage %q: approvals.orgs must be distinct and no more than min", s.Name)
		}
		for _, x := range a.Exclude {
			if x != ExcludePusher && x != ExcludeRequester {
				return invalid("stage %q: exclude %q: want %s or %s", s.Name, x, ExcludePusher, ExcludeRequester)
			}
		}
	}
	return nil
}

// CheckPattern tells whether a pattern may stand in spec.match: the host is
// literal, so that no policy reaches over every registry by accident.
func CheckPattern(pattern string) error {
	segments := strings.Split(pattern, "/")
	if len(segments) < 2 {
		return provenance.Errorf(provenance.Invalid, "pattern %q: want host/path, as in reg.example/team/**", pattern)
	}
	if _, err := provenance.ParseHost(segments[0]); err != nil {
		return err
	}
	for i, s := range segments[1:] {
		switch {
		case s == "*", s == "**" && i == len(segments)-2:
		default:
			if _, err := provenance.ParseRepository(s); err != nil {
				return provenance.Errorf(provenance.Invalid, "pattern %q: segment %q is not a name, '*' or a closing '**'", pattern, s)
			}
		}
	}
	return nil
}

// Match tells how specifically a pattern matches host/repository: the number
// of literal segments, or -1 where it does not match. Segments are compared
// whole: team/a never matches team/ab.
func Match(pattern string, host provenance.Host, repo provenance.Repository) int {
	want := strings.Split(pattern, "/")
	have := append([]string{string(host)}, strings.Split(string(repo), "/")...)
	literal := 0
	for i, w := range want {
		if w == "**" && i == len(want)-1 {
			if len(have) > i {
				return literal
			}
			return -1
		}
		if i >= len(have) || (w != "*" && w != have[i]) {
			return -1
		}
		if w != "*" {
			literal++
		}
	}
	if len(have) != len(want) {
		return -1
	}
	// An exact pattern is more specific than one of as many literals ending in "**".
	return literal + 1
}

// Select returns the index of the most specific pattern list for a repository,
// or -1. Ties go to the first; Overlap keeps ties from being accepted.
func Select(patterns [][]string, host provenance.Host, repo provenance.Repository) int {
	best, at := -1, -1
	for i, list := range patterns {
		for _, p := range list {
			if m := Match(p, host, repo); m > best {
				best, at = m, i
			}
		}
	}
	return at
}

// Overlap returns a pattern of a that some repository would match as
// specifically as a pattern of b, or "". It errs on the side of refusing.
func Overlap(a, b []string) string {
	for _, p := range a {
		for _, q := range b {
			if unify(strings.Split(p, "/"), strings.Split(q, "/")) {
				return p
			}
		}
	}
	return ""
}

// unify tells whether two patterns of equal specificity match a common name.
func unify(p, q []string) bool {
	if weight(p) != weight(q) {
		return false
	}
	for i := 0; ; i++ {
		switch {
		case i >= len(p) || i >= len(q):
			return len(p) == len(q)
		case p[i] == "**" && i == len(p)-1, q[i] == "**" && i == len(q)-1:
			return true
		case p[i] != q[i] && p[i] != "*" && q[i] != "*":
			return false
		}
	}
}

func weight(p []string) int {
	n := 0
	for _, s := range p {
		if s != "*" && s != "**" {
			n++
		}
	}
	if p[len(p)-1] != "**" {
		n++
	}
	return n
}

// ParseStageName reads a stage's name: 1 to 63 lower-case letters, digits and '-'.
func ParseStageName(s string) (string, error) {
	if !stageName.MatchString(s) {
		return "", provenance.Errorf(provenance.Invalid, "stage %q: want lower-case letters, digits and '-'", s[:min(len(s), 80)])
	}
	return s, nil
}
