package policy

import (
	"regexp"
	"slices"
	"strings"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// Limits of a policy document, in numbers of things.
const (
	maxStages      = 16
	maxPatterns    = 32
	maxRules       = 32 // of one kind in a stage
	maxExpressions = 64 // in the document
	maxList        = 64 // organisations, signers, windows, variables
	maxQuorum      = 64
)

// defaultRole is the role an approver must hold where the rule names none.
const defaultRole = "release-manager"

var (
	stageName    = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	mspName      = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)
	variableName = regexp.MustCompile(`^[a-z][A-Za-z0-9_]{0,62}$`)
	keyName      = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)
	customType   = regexp.MustCompile(`^custom/[A-Za-z0-9][A-Za-z0-9._-]{0,63}/[a-z0-9][a-z0-9._-]{0,62}$`)
)

// ParseStageName reads a stage's name: 1 to 63 lower-case letters, digits and '-'.
func ParseStageName(s string) (string, error) {
	if !stageName.MatchString(s) {
		return "", provenance.Errorf(provenance.Invalid, "stage %q: want lower-case letters, digits and '-'", clip(s, 80))
	}
	return s, nil
}

// refuse makes errors that start with where they are.
type refuse func(format string, args ...any) error

func (r refuse) in(format string, args ...any) refuse {
	return func(inner string, more ...any) error {
		return r(format+": "+inner, append(slices.Clone(args), more...)...)
	}
}

func (p Policy) check() error {
	no := refuse(func(format string, args ...any) error {
		return provenance.Errorf(provenance.Invalid, "policy %q: "+format, append([]any{clip(p.Metadata.Name, 80)}, args...)...)
	})
	if p.APIVersion != APIVersion || p.Kind != Kind {
		return no("want apiVersion %s and kind %s", APIVersion, Kind)
	}
	if !stageName.MatchString(p.Metadata.Name) {
		return no("metadata.name must be lower-case letters, digits and '-'")
	}
	if len(p.Spec.Match) == 0 || len(p.Spec.Match) > maxPatterns {
		return no("spec.match needs 1 to %d patterns", maxPatterns)
	}
	for _, pattern := range p.Spec.Match {
		if err := CheckPattern(pattern); err != nil {
			return err
		}
	}
	if len(p.Spec.Context) > maxList {
		return no("spec.context names more than %d variables", maxList)
	}
	for _, name := range sortedKeys(p.Spec.Context) {
		if !variableName.MatchString(name) || !mspName.MatchString(p.Spec.Context[name]) {
			return no("spec.context %q: want a variable's name and the MSP id whose word counts", clip(name, 80))
		}
	}
	if w := p.Spec.Waivers; w != nil {
		if err := checkQuorum(no.in("spec.waivers"), w.Min, 1, w.Orgs); err != nil {
			return err
		}
		if w.MaxDuration == 0 {
			return no("spec.waivers: maxDuration is missing: a waiver ends")
		}
	}
	if len(p.Spec.Stages) == 0 || len(p.Spec.Stages) > maxStages {
		return no("spec.stages needs 1 to %d stages", maxStages)
	}
	earlier, expressions := map[string]bool{}, 0
	for _, s := range p.Spec.Stages {
		if !stageName.MatchString(s.Name) || earlier[s.Name] {
			return no("stage %q: names are unique, of lower-case letters, digits and '-'", clip(s.Name, 80))
		}
		if s.From != "" && !earlier[s.From] {
			return no("stage %q: from %q is not an earlier stage", s.Name, clip(s.From, 80))
		}
		earlier[s.Name] = true
		if err := s.check(no.in("stage %q", s.Name)); err != nil {
			return err
		}
		expressions += len(s.Conditions) + len(s.Evidence)
	}
	if expressions > maxExpressions {
		return no("%d evidence rules and conditions: at most %d in a document", expressions, maxExpressions)
	}
	return nil
}

func (s Stage) check(no refuse) error {
	if s.Soak != 0 && s.From == "" {
		return no("soak needs from: it counts from the release to an earlier stage")
	}
	if len(s.Freeze) > maxList {
		return no("freeze: at most %d windows", maxList)
	}
	for i, w := range s.Freeze {
		if err := w.check(no.in("freeze[%d]", i)); err != nil {
			return err
		}
	}
	if _, open := thaw(s.Freeze, 0); len(s.Freeze) > 0 && !open {
		return no("freeze covers the whole week: nothing could ever be released")
	}
	if err := s.checkApprovals(no); err != nil {
		return err
	}
	if len(s.Evidence) > maxRules || len(s.Conditions) > maxRules {
		return no("at most %d evidence rules and %d conditions", maxRules, maxRules)
	}
	names := map[string]bool{}
	for i, e := range s.Evidence {
		if !stageName.MatchString(e.Name) || names["e/"+e.Name] {
			return no("evidence[%d]: name %q: names are unique, of lower-case letters, digits and '-'", i, clip(e.Name, 80))
		}
		names["e/"+e.Name] = true
		if err := e.check(no.in("evidence/%s", e.Name)); err != nil {
			return err
		}
	}
	for i, c := range s.Conditions {
		if !stageName.MatchString(c.Name) || names["c/"+c.Name] {
			return no("conditions[%d]: name %q: names are unique, of lower-case letters, digits and '-'", i, clip(c.Name, 80))
		}
		names["c/"+c.Name] = true
	}
	if w := s.Witnesses; w != nil {
		if err := checkQuorum(no.in("witnesses"), w.Min, 1, w.Orgs); err != nil {
			return err
		}
	}
	return s.BreakGlass.check(no.in("breakGlass"), s)
}

func (s Stage) checkApprovals(no refuse) error {
	a := s.Approvals
	least := 1
	if s.From != "" || len(s.Evidence)+len(s.Conditions) > 0 || s.Witnesses != nil {
		least = 0
	}
	if a.Min < least {
		return no("approvals.min must be 1 to %d (0 only with from, evidence, conditions or witnesses): no rule is never a pass", maxQuorum)
	}
	if err := checkQuorum(no.in("approvals"), a.Min, least, a.Orgs); err != nil {
		return err
	}
	if !stageName.MatchString(a.Role) {
		return no("approvals.role %q is no role", clip(a.Role, 80))
	}
	for i, x := range a.Exclude {
		if x != ExcludePusher && x != ExcludeRequester && x != ExcludeBuilder || slices.Contains(a.Exclude[:i], x) {
			return no("approvals.exclude %q: want %s, %s or %s, each once", clip(x, 80), ExcludePusher, ExcludeRequester, ExcludeBuilder)
		}
		if x == ExcludeBuilder && !slices.ContainsFunc(s.Evidence, func(e EvidenceRule) bool { return e.Type == typeProvenance }) {
			return no("approvals.exclude builder: no evidence rule of the stage asks for %s, so nobody could say who built the image", typeProvenance)
		}
		if x == ExcludeBuilder && slices.ContainsFunc(s.Evidence, func(e EvidenceRule) bool {
			return e.Type == typeProvenance && slices.ContainsFunc(e.Signers, func(r SignerRule) bool { return r.Org == "" })
		}) {
			return no("approvals.exclude builder: a signer of %s has no org, so that no organisation answers for who built the image", typeProvenance)
		}
	}
	return nil
}

// checkQuorum checks a number of organisations and those that must be among them.
func checkQuorum(no refuse, least, from int, orgs []string) error {
	if least < from || least > maxQuorum {
		return no("min must be %d to %d", from, maxQuorum)
	}
	if len(orgs) > least {
		return no("orgs must be distinct and no more than min")
	}
	return checkOrgs(no, "orgs", orgs)
}

func checkOrgs(no refuse, field string, orgs []string) error {
	if len(orgs) > maxList {
		return no("%s: at most %d", field, maxList)
	}
	for i, o := range orgs {
		if !mspName.MatchString(o) || slices.Contains(orgs[:i], o) {
			return no("%s: %q is no MSP id, or named twice", field, clip(o, 80))
		}
	}
	return nil
}

func (e EvidenceRule) check(no refuse) error {
	if !slices.Contains(evidenceTypes(), e.Type) && !customType.MatchString(e.Type) {
		return no("type %q: want %s or custom/MSP/NAME", clip(e.Type, 80), strings.Join(evidenceTypes(), ", "))
	}
	if len(e.Signers) == 0 || len(e.Signers) > maxList {
		return no("signers needs 1 to %d entries: evidence that anybody signed is no evidence", maxList)
	}
	for i, s := range e.Signers {
		if err := s.check(no.in("signers[%d]", i)); err != nil {
			return err
		}
	}
	if e.Min < 1 || e.Min > maxQuorum {
		return no("min must be 1 to %d", maxQuorum)
	}
	return nil
}

func evidenceTypes() []string {
	return []string{"signature", typeProvenance, "sbom", "vuln-scan", typeVEX, "test-result", "review"}
}

func (r SignerRule) check(no refuse) error {
	switch {
	case r.Org == "" && (r.Identity == "" || r.Issuer == "" || r.Role != "" || r.Key != ""):
		return no("org is missing: only identity and issuer, with a root or without, name a signer of no organisation")
	case r.Org != "" && !mspName.MatchString(r.Org):
		return no("org %q is no MSP id", clip(r.Org, 80))
	case r.Role != "" && !stageName.MatchString(r.Role):
		return no("role %q is no role", clip(r.Role, 80))
	case r.Role != "" && (r.Key != "" || r.Root != "" || r.Identity != "" || r.Issuer != ""):
		return no("role is of a person who vouches: it cannot stand with key, root, identity or issuer")
	case r.Key != "" && !keyName.MatchString(r.Key):
		return no("key %q is no name of a key", clip(r.Key, 80))
	case r.Root != "" && !keyName.MatchString(r.Root):
		return no("root %q is no name of a root", clip(r.Root, 80))
	case r.Root != "" && r.Key != "":
		return no("key and root: a signature is of a key or of a certificate")
	case r.Issuer != "" && r.Identity == "":
		return no("issuer %s without identity: it vouches for everybody who has an account there; name the one who signs", clip(r.Issuer, 80))
	case r.Identity != "" && r.Issuer == "" && r.Root == "":
		return no("identity stands with an issuer or a root: a name means what its issuer says it means")
	case len(r.Identity) > maxIdentity || len(r.Issuer) > maxIdentity:
		return no("identity and issuer are at most %d bytes", maxIdentity)
	case r.Identity != "" && strings.Trim(r.Identity, "*") == "":
		return no("identity %q accepts everybody", r.Identity)
	}
	if r.Identity != "" {
		if _, err := compilePattern(r.Identity); err != nil {
			return no("%s", messageOf(err))
		}
	}
	return nil
}

func (b *BreakGlass) check(no refuse, s Stage) error {
	if b == nil {
		return nil
	}
	if len(b.By) == 0 || len(b.By) > maxList {
		return no("by needs 1 to %d entries", maxList)
	}
	for i, who := range b.By {
		if err := who.check(no.in("by[%d]", i)); err != nil {
			return err
		}
		if who.Role == "" {
			return no("by[%d]: want an org and a role", i)
		}
	}
	if len(b.Without) == 0 {
		return no("without names no rule")
	}
	for i, rule := range b.Without {
		if !slices.Contains(s.Rules(), rule) || slices.Contains(b.Without[:i], rule) {
			return no("without %q: want this stage's rules, each once: %s", clip(rule, 80), strings.Join(s.Rules(), ", "))
		}
	}
	if b.Review == 0 {
		return no("review is missing: how long a second organisation has to look")
	}
	return checkOrgs(no, "reviewers", b.Reviewers)
}

// Rules lists the stage's rules as reasons name them, in their order, without promotion.
func (s Stage) Rules() []string {
	var names []string
	add := func(has bool, name string) {
		if has {
			names = append(names, name)
		}
	}
	add(s.From != "", ruleFrom)
	add(s.Soak != 0, ruleSoak)
	add(len(s.Freeze) > 0, ruleFreeze)
	add(s.MaxAge != 0, ruleMaxAge)
	add(true, ruleApprovals)
	for _, e := range s.Evidence {
		add(true, ruleEvidence+e.Name)
	}
	for _, c := range s.Conditions {
		add(true, ruleCondition+c.Name)
	}
	add(s.Witnesses != nil, ruleWitnesses)
	return names
}
