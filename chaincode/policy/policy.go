// Package policy is the law of release: it parses a release policy and decides
// whether an image may run in a stage. It is pure: no ledger, no clock, no
// I/O. The contract and the gateway call the same Evaluate, whose answer is a verdict.
package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
)

// APIVersion and Kind open every policy document.
const (
	APIVersion = "waybill.dev/v1"
	Kind       = "ReleasePolicy"
)

// MaxBytes bounds a policy document, and its canonical form.
const MaxBytes = 32 << 10

// Who may be kept from approving.
const (
	// ExcludePusher: the organisation whose gateway recorded the push. The
	// registry's name for the pusher is a claim; the organisation is not.
	ExcludePusher = "pusher"
	// ExcludeRequester: the person who requested the promotion.
	ExcludeRequester = "requester"
	// ExcludeBuilder: every organisation that answers for the signature of a
	// slsa-provenance statement about the image which an evidence rule of the
	// stage accepts. By it, it says that it built the image.
	ExcludeBuilder = "builder"
)

// Policy is a release policy document.
type Policy struct {
	APIVersion string   `json:"apiVersion"`
	Kind       string   `json:"kind"`
	Metadata   Metadata `json:"metadata"`
	Spec       Spec     `json:"spec"`

	programs *celPrograms // filled by Parse, so that Evaluate compiles nothing
	hash     string       // filled by Parse
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
	Type string `json:"type"` // signature, slsa-provenance, sbom, vuln-scan, vex, test-result, review, custom/MSP/NAME
	// Signers lists who may have signed; at least one entry.
	Signers []SignerRule `json:"signers"`
	Min     int          `json:"min,omitempty"` // distinct signers; absent means 1
	MaxAge  Duration     `json:"maxAge,omitzero"`
	// Condition is a CEL expression over facts (this evidence's) and the
	// variables of Condition.
	Condition  string `json:"condition,omitempty"`
	Continuous bool   `json:"continuous,omitempty"`
}

// SignerRule accepts a signer; every field that is set must agree. A certificate
// that names an issuer is accepted by an entry with Identity and Issuer alone.
type SignerRule struct {
	// Org is the MSP id whose key, root or person it is. It is left out where Identity
	// and Issuer stand: the certificate is then below a trusted root that the members
	// share, and below no organisation's own.
	Org string `json:"org,omitempty"`
	// Role: the submitting person vouches and holds this role in Org.
	Role string `json:"role,omitempty"`
	// Key is the name of a key that Org registered.
	Key string `json:"key,omitempty"`
	// Root is the name of a root that Org registered: a certificate below it,
	// of whatever identity where none is given. Certificates of Notation name
	// no issuer; this is how a rule narrows to them.
	Root string `json:"root,omitempty"`
	// Identity and Issuer accept a certificate below a root that Org
	// registered. Identity is the whole SAN, or a pattern over it (compileName), or, as
	// CN=build.*,O=Team, attributes of the
	// subject of a certificate that has no SAN: of every type that is named, all
	// attributes of the subject must match, in order, each within itself. Issuer
	// is compared literally, and may be left out where Root is given: the certificate
	// has none then.
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

// Canonical returns the policy's one JSON form; its hash names the version.
func (p Policy) Canonical() []byte {
	b, _ := json.Marshal(p) // strings, ints and slices only: cannot fail
	return b
}

// Hash names the policy's text in full: SHA-256 of Canonical in hex. Votes,
// approvals and releases carry it. A policy that Parse returned must not be
// altered: it keeps its hash and what it compiled.
func (p *Policy) Hash() string {
	if p.hash != "" {
		return p.hash
	}
	return hashOf(p.Canonical())
}

func hashOf(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// Stage returns the stage of that name.
func (p Policy) Stage(name string) (Stage, bool) {
	if i := p.stage(name); i >= 0 {
		return p.Spec.Stages[i], true
	}
	return Stage{}, false
}

func (p Policy) stage(name string) int {
	return slices.IndexFunc(p.Spec.Stages, func(s Stage) bool { return s.Name == name })
}
