package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Types of evidence that rules treat on their own.
const (
	typeProvenance = "slsa-provenance"
	typeVEX        = "vex"
	typeVSA        = "vsa"
)

// maxIdentity bounds an accepted identity and issuer, in bytes.
const maxIdentity = 512

// identity is who signed: of each only the newest piece counts.
type identity struct {
	kind         SignerKind
	msp, a, name string
}

func identityOf(s Signer) identity {
	switch s.Kind {
	case SignedByKey:
		return identity{s.Kind, s.MSP, "", s.Key}
	case SignedByCertificate:
		return identity{s.Kind, s.MSP, s.Issuer, s.Identity}
	default:
		return identity{s.Kind, s.MSP, "", s.Name}
	}
}

// accepts tells whether a rule's entry accepts a signer: whatever the entry
// sets must agree. identity is the entry's, compiled. Where an issuer vouches for the
// signer's name, anybody can have such a certificate, and only an entry that says
// whom and by whom accepts one.
func (r SignerRule) accepts(s Signer, identity *pattern) bool {
	if r.Org != s.MSP {
		return false
	}
	named := r.Identity != "" && r.Issuer != ""
	if !named && (s.Issuer != "" || r.Org == "" || s.MSP == "") {
		return false
	}
	switch {
	case r.Role != "":
		return s.Kind == SignedByPerson && slices.Contains(s.Roles, r.Role)
	case r.Root != "" && r.Identity == "":
		return s.Kind == SignedByCertificate && r.Root == s.Key
	case r.Identity != "":
		return s.Kind == SignedByCertificate && (r.Key == "" || r.Key == s.Key) && (r.Root == "" || r.Root == s.Key) &&
			(r.Issuer == s.Issuer || r.Issuer == "" && r.Root != "") && identity != nil && len(s.Identity) <= 4*maxIdentity && identity.match(s.Identity)
	case r.Key != "":
		return s.Kind == SignedByKey && r.Key == s.Key
	}
	return true
}

func (r SignerRule) String() string {
	switch {
	case r.Role != "":
		return fmt.Sprintf("a %s of %s", r.Role, r.Org)
	case r.Root != "" && r.Identity == "":
		return fmt.Sprintf("a certificate below root %s of %s", r.Root, r.Org)
	case r.Org == "" && r.Root != "":
		return fmt.Sprintf("%s by %s below the shared root %s", r.Identity, r.Issuer, r.Root)
	case r.Org == "":
		return fmt.Sprintf("%s by %s", r.Identity, r.Issuer)
	case r.Identity != "" && r.Issuer == "":
		return fmt.Sprintf("%s below root %s of %s", r.Identity, r.Root, r.Org)
	case r.Identity != "":
		return fmt.Sprintf("%s by %s of %s", r.Identity, r.Issuer, r.Org)
	case r.Key != "":
		return fmt.Sprintf("key %s of %s", r.Key, r.Org)
	}
	return r.Org
}

func (s Signer) String() string {
	switch s.Kind {
	case SignedByKey:
		return "key " + s.Key + " of " + s.MSP
	case SignedByCertificate:
		if s.MSP == "" {
			return s.Identity + " by " + s.Issuer
		}
		return s.Identity + " of " + s.MSP
	default:
		return s.Name + "@" + s.MSP
	}
}

// evidence judges a rule: one accepted signer whose newest piece fails the
// condition denies, whatever the others say.
func (j *judge) evidence(i int) result {
	rule, name := &j.stage.Evidence[i], ruleEvidence+j.stage.Evidence[i].Name
	var passed []*Evidence // of as many signers
	var lent []*Evidence   // all that passed: a signer may have one about each index
	var failed, old []string
	for _, w := range j.candidates(i) {
		if w.lost {
			failed = append(failed, "what a signer said then is not kept")
			continue
		}
		first := len(lent)
		for _, e := range w.pieces {
			if j.isWithdrawn(e) {
				continue
			}
			if why := j.ageProblem(rule, e); why != "" {
				old = append(old, e.Signer.String()+": "+why)
			} else if why := j.holds(i, e); why != "" {
				failed = append(failed, fmt.Sprintf("%s of %s: %s", e.Signer, stamp(e.At), why))
			} else {
				lent = append(lent, e)
			}
		}
		if first < len(lent) {
			passed = append(passed, lent[first])
		}
	}
	if len(failed) > 0 {
		return ruleResult(name, Violated, rule.fix(), "%s fails: %s", rule.Type, strings.Join(failed, "; "))
	}
	detail := fmt.Sprintf("%d of %d signers of %s", len(passed), rule.Min, rule.Type)
	for k, e := range passed {
		separator := ", "
		if k == 0 {
			separator = ": "
		}
		detail += separator + e.Signer.String()
	}
	if len(passed) >= rule.Min {
		// A statement that may be too old, by a clock that stands still, sets nothing aside.
		if rule.Type == typeVEX && (rule.MaxAge == 0 && !j.readsNow(j.programs.evidence[i]) || j.clockProblem() == "") {
			j.suppress(lent)
		}
		return ruleResult(name, Satisfied, "", "%s", detail)
	}
	if len(old) > 0 {
		detail += "; " + strings.Join(old, "; ")
	}
	if gone := j.withdrawn(i); gone != "" {
		detail += "; " + gone
	}
	return ruleResult(name, Unmet, rule.fix(), "%s", detail)
}

// fix says who could sign.
func (e *EvidenceRule) fix() string {
	signers := make([]string, len(e.Signers))
	for i, s := range e.Signers {
		signers[i] = s.String()
	}
	return fmt.Sprintf("%s can: waybill attest IMAGE --type %s", strings.Join(signers, " or "), e.Type)
}

// holds runs the rule's condition over a piece of evidence; "" means true.
func (j *judge) holds(i int, e *Evidence) string {
	if why := j.vsaProblem(e); why != "" {
		return why
	}
	if j.stage.Evidence[i].Condition == "" {
		return ""
	}
	p := j.programs.evidence[i]
	if !j.then || !p.steady() {
		return j.heldAnew(i, p, e)
	}
	why, known := j.held[heldKey{i, e}]
	if !known {
		why = j.heldAnew(i, p, e)
		j.held[heldKey{i, e}] = why
	}
	return why
}

// heldKey is a rule and a piece of evidence.
type heldKey struct {
	rule int
	e    *Evidence
}

func (j *judge) heldAnew(i int, p *program, e *Evidence) string {
	if p != nil && len(p.claims) > 0 {
		said := e.certificate()
		for _, name := range p.claims {
			if said[name] == "" {
				return "its certificate does not say " + name
			}
		}
	}
	ok, why := j.run(p, &activation{j: j, base: j.base, over: e})
	switch {
	case why != "":
		return why
	case !ok:
		return "not " + clip(j.stage.Evidence[i].Condition, 120)
	}
	return ""
}

func (j *judge) withdrawn(i int) string {
	for _, e := range j.accepted(i) {
		if !e.Superseded && j.isWithdrawn(e) {
			return strings.TrimSpace(fmt.Sprintf("%s: withdrawn at %s %s", e.Signer, stamp(e.Withdrawn), clip(e.Why, 120)))
		}
	}
	return ""
}

// evidenceSetVersion opens what EvidenceSet hashes.
const evidenceSetVersion = "waybill.dev/evidence-set/v2"

// EvidenceSet returns the hash that stands for all that the stage's rules can
// rest on: SHA-256 in hex over a line that names the form, then, each on its
// line and sorted by id, the evidence that some rule of the stage accepts, or all
// that is counted where an expression of the stage counts evidence, and the waivers of its
// rules that enough organisations approved. What was withdrawn, superseded or
// revoked is left out. An approver signs it; what decides nothing does not
// change it, so that nobody makes an approval stale with that. It is empty
// where p has no such stage.
func EvidenceSet(p *Policy, f Facts) string {
	if unstaged(p, &f) != "" {
		return ""
	}
	return newJudge(p, &f, time.Time{}).evidenceSet()
}

func (j *judge) evidenceSet() string {
	pieces := make([]*Evidence, 0, len(j.f.Evidence))
	for _, e := range j.usable() {
		if e.Withdrawn.IsZero() && !e.Superseded {
			pieces = append(pieces, e)
		}
	}
	slices.SortFunc(pieces, func(a, b *Evidence) int {
		return cmp.Or(strings.Compare(a.ID, b.ID), strings.Compare(a.Type, b.Type), strings.Compare(j.subject(a).String(), j.subject(b).String()))
	})
	pieces = slices.CompactFunc(pieces, func(a, b *Evidence) bool {
		return a.ID == b.ID && a.Type == b.Type && j.subject(a) == j.subject(b)
	})
	var waivers []string
	for i := range j.f.Waivers {
		if w := &j.f.Waivers[i]; j.applies(w) && slices.Contains(j.stage.Rules(), w.Rule) {
			waivers = append(waivers, w.ID)
		}
	}
	slices.Sort(waivers)
	text := make([]byte, 0, 64+192*len(pieces)+80*len(waivers))
	text = append(text, evidenceSetVersion+"\n"...)
	for _, e := range pieces {
		text = append(append(text, "evidence "...), e.ID...)
		text = append(append(append(text, ' '), e.Type...), ' ')
		text = append(append(text, j.subject(e).String()...), '\n')
	}
	for _, id := range slices.Compact(waivers) {
		text = append(append(append(text, "waiver "...), id...), '\n')
	}
	return hashOf(text)
}

// usable returns the evidence that decides something in the stage, withdrawn
// and superseded pieces too: what some rule accepts, or all that is counted where
// an expression counts the signers of a type.
func (j *judge) usable() []*Evidence {
	if j.use != nil {
		return j.use
	}
	all := false
	for _, programs := range [][]*program{j.programs.evidence, j.programs.conditions} {
		for _, p := range programs {
			all = all || p != nil && p.evidence
		}
	}
	out := make([]*Evidence, 0, len(j.f.Evidence))
	if all {
		for i := range j.f.Evidence {
			if e := &j.f.Evidence[i]; j.counted(e) {
				out = append(out, e)
			}
		}
	} else {
		for i := range j.stage.Evidence {
			out = append(out, j.accepted(i)...)
		}
	}
	j.use = out
	return out
}
