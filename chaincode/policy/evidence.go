package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Types of evidence that rules treat on their own.
const (
	typeProvenance = "slsa-provenance"
	typeVEX        = "vex"
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
// sets must agree. pattern is the entry's identity, compiled.
func (r SignerRule) accepts(s Signer, pattern *regexp.Regexp) bool {
	if r.Org != s.MSP {
		return false
	}
	switch {
	case r.Role != "":
		return s.Kind == SignedByPerson && slices.Contains(s.Roles, r.Role)
	case r.Root != "" && r.Identity == "":
		return s.Kind == SignedByCertificate && r.Root == s.Key
	case r.Identity != "":
		return s.Kind == SignedByCertificate && (r.Key == "" || r.Key == s.Key) && (r.Root == "" || r.Root == s.Key) &&
			(r.Issuer == s.Issuer || r.Issuer == "" && r.Root != "") && pattern != nil && len(s.Identity) <= 4*maxIdentity && pattern.MatchString(s.Identity)
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
		return s.Identity + " of " + s.MSP
	default:
		return s.Name + "@" + s.MSP
	}
}

// weighed is what one signer's evidence comes to under one rule.
type weighed struct {
	by     identity
	newest *Evidence // not withdrawn; nil where all of it was
	lapse  time.Time // when the last of it ceased to count, where none counts
}

// candidates returns, by signer in order of first appearance, the evidence the
// rule's type and signers accept.
func (j *judge) candidates(i int) []weighed {
	rule := &j.stage.Evidence[i]
	found := make([]weighed, 0, 4)
	for k := range j.f.Evidence {
		e := &j.f.Evidence[k]
		if e.Type != rule.Type || !j.accepted(i, e.Signer) {
			continue
		}
		by := identityOf(e.Signer)
		n := slices.IndexFunc(found, func(w weighed) bool { return w.by == by })
		if n < 0 {
			n = len(found)
			found = append(found, weighed{by: by})
		}
		w := &found[n]
		if e.Withdrawn.IsZero() {
			if w.newest == nil || e.At.After(w.newest.At) || e.At.Equal(w.newest.At) && e.ID > w.newest.ID {
				w.newest = e
			}
		}
		if end := lapse(rule, e); end.After(w.lapse) {
			w.lapse = end
		}
	}
	return found
}

// lapse tells when a piece ceases to count; zero where it does not.
func lapse(rule *EvidenceRule, e *Evidence) time.Time {
	end := e.Withdrawn
	if rule.MaxAge != 0 {
		if old := e.At.Add(time.Duration(rule.MaxAge)); end.IsZero() || old.Before(end) {
			end = old
		}
	}
	return end
}

func (j *judge) accepted(i int, s Signer) bool {
	for k, r := range j.stage.Evidence[i].Signers {
		if r.accepts(s, j.programs.signers[i][k]) {
			return true
		}
	}
	return false
}

// evidence judges a rule: one accepted signer whose newest piece fails the
// condition denies, whatever the others say.
func (j *judge) evidence(i int) result {
	rule, name := &j.stage.Evidence[i], ruleEvidence+j.stage.Evidence[i].Name
	var passed []*Evidence
	var failed, old []string
	var lapses []time.Time
	var since time.Time
	for _, w := range j.candidates(i) {
		switch {
		case w.newest == nil:
			lapses = append(lapses, w.lapse)
		case rule.MaxAge != 0 && !j.now.Before(w.newest.At.Add(time.Duration(rule.MaxAge))):
			old = append(old, fmt.Sprintf("%s: too old since %s", w.newest.Signer, stamp(w.newest.At.Add(time.Duration(rule.MaxAge)))))
			lapses = append(lapses, w.lapse)
		default:
			if why := j.holds(i, w.newest); why != "" {
				failed = append(failed, fmt.Sprintf("%s of %s: %s", w.newest.Signer, stamp(w.newest.At), why))
				if since.IsZero() || w.newest.At.Before(since) {
					since = w.newest.At
				}
			} else {
				passed = append(passed, w.newest)
			}
		}
	}
	if len(failed) > 0 {
		r := ruling(name, Violated, rule.fix(), "%s fails: %s", rule.Type, strings.Join(failed, "; "))
		r.since = since
		return r
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
		if rule.Type == typeVEX {
			j.suppress(passed)
		}
		return ruling(name, Satisfied, "", "%s", detail)
	}
	if len(old) > 0 {
		detail += "; " + strings.Join(old, "; ")
	}
	if gone := j.withdrawn(i); gone != "" {
		detail += "; " + gone
	}
	r := ruling(name, Unmet, rule.fix(), "%s", detail)
	// It was satisfied until the piece that made it fall below Min lapsed.
	slices.SortFunc(lapses, time.Time.Compare)
	if k := len(lapses) - (rule.Min - len(passed)); k >= 0 {
		r.since = lapses[k]
	}
	return r
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
	if j.stage.Evidence[i].Condition == "" {
		return ""
	}
	ok, why := j.run(j.programs.evidence[i], &activation{j: j, base: j.base, over: e})
	switch {
	case why != "":
		return why
	case !ok:
		return "not " + clip(j.stage.Evidence[i].Condition, 120)
	}
	return ""
}

func (j *judge) withdrawn(i int) string {
	for k := range j.f.Evidence {
		e := &j.f.Evidence[k]
		if e.Type == j.stage.Evidence[i].Type && !e.Withdrawn.IsZero() && j.accepted(i, e.Signer) {
			return strings.TrimSpace(fmt.Sprintf("%s: withdrawn at %s %s", e.Signer, stamp(e.Withdrawn), clip(e.Why, 120)))
		}
	}
	return ""
}

// EvidenceSet returns the hash that stands for all a verdict may rest on:
// SHA-256 in hex over the sorted ids of the evidence that was not withdrawn and
// of the stage's waivers that were not revoked, each on
// its line after its kind. An approver signs it.
func EvidenceSet(f Facts) string {
	evidence := make([]string, 0, len(f.Evidence))
	for i := range f.Evidence {
		if f.Evidence[i].Withdrawn.IsZero() {
			evidence = append(evidence, f.Evidence[i].ID)
		}
	}
	var waivers []string
	for i := range f.Waivers {
		if f.Waivers[i].Stage == f.Stage && !f.Waivers[i].Revoked {
			waivers = append(waivers, f.Waivers[i].ID)
		}
	}
	text := make([]byte, 0, len("evidence \n")*len(evidence)+2*sha256.Size*len(evidence))
	for _, set := range []struct {
		kind string
		ids  []string
	}{{"evidence ", evidence}, {"waiver ", waivers}} {
		slices.Sort(set.ids)
		for _, id := range slices.Compact(set.ids) {
			text = append(append(append(text, set.kind...), id...), '\n')
		}
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}
