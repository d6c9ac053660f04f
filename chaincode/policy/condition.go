package policy

import (
	"maps"
	"slices"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
)

// activation is what an expression sees. The base of a verdict sees the image;
// one over a piece of evidence sees that evidence's facts too.
type activation struct {
	j    *judge
	base *activation // nil for the base
	over *Evidence

	image, evidence, context map[string]any // built when first asked for
	suppressed               []string       // of the base: for the whole product
	looked                   bool           // suppressed is that of over
	counts                   map[string]any
}

// ResolveName implements cel.Activation.
func (a *activation) ResolveName(name string) (any, bool) {
	if a.base != nil {
		switch name {
		case varFacts:
			return a.over.Facts, true
		case varSuppressed:
			return a.ruledOut(), true
		case varCounts:
			if a.counts == nil {
				a.counts = counts(a.over.Facts, a.ruledOut())
			}
			return a.counts, true
		case varCertificate:
			return a.over.certificate(), true
		}
		return a.base.ResolveName(name)
	}
	f := a.j.f
	switch name {
	case varImage:
		if a.image == nil {
			a.image = image(f)
		}
		return a.image, true
	case varRepository:
		return string(f.Host) + "/" + string(f.Repository), true
	case varTags:
		return f.Tags, true
	case varLabels:
		return f.Labels, true
	case varEvidence:
		if a.evidence == nil {
			a.evidence = a.j.signersByType()
		}
		return a.evidence, true
	case varStage:
		return f.Stage, true
	case varContext:
		if a.context == nil {
			a.context = a.j.context()
		}
		return a.context, true
	case varNow:
		return a.j.minute, true
	}
	return nil, false
}

// ruledOut are the ids that are suppressed for the piece of evidence.
func (a *activation) ruledOut() []string {
	if !a.looked {
		a.suppressed, a.looked = a.j.vex.over(a.over.Facts, a.base.suppressed), true
	}
	return a.suppressed
}

// Parent implements cel.Activation.
func (a *activation) Parent() cel.Activation { return nil }

// certificate is what the signer's certificate says; of a signer without one, nothing.
func (e *Evidence) certificate() map[string]string {
	said := map[string]string{}
	if e.Signer.Kind != SignedByCertificate {
		return said
	}
	maps.Copy(said, e.Claims)
	said["identity"] = e.Signer.Identity
	delete(said, "issuer")
	if e.Signer.Issuer != "" {
		said["issuer"] = e.Signer.Issuer
	}
	return said
}

// image has no pushedAt where the ledger has none: a rule about it denies.
func image(f *Facts) map[string]any {
	children := make([]string, len(f.Children))
	for i, c := range f.Children {
		children[i] = c.String()
	}
	m := map[string]any{
		"digest": f.Digest.String(), "mediaType": f.MediaType, "artifactType": f.ArtifactType, "size": f.Size,
		"children": children, "pushedBy": f.PushedBy,
	}
	if !f.PushedAt.IsZero() {
		m["pushedAt"] = f.PushedAt.UTC()
	}
	return m
}

// signersByType counts the distinct signers of the evidence of each type, as far as
// they are counted. It goes by the newest piece of each about each subject, as rules do.
func (j *judge) signersByType() map[string]any {
	said := func(e *Evidence) bool { return !(!j.then && e.Superseded || j.then && e.At.After(j.now)) }
	var gone []*Evidence
	for i := range j.f.Evidence {
		if e := &j.f.Evidence[i]; said(e) && j.isWithdrawn(e) {
			gone = append(gone, e)
		}
	}
	seen := map[string][]identity{}
	for i := range j.f.Evidence {
		e := &j.f.Evidence[i]
		by := identityOf(e.Signer)
		if !j.counted(e) || !said(e) || j.isWithdrawn(e) || j.vsaProblem(e) != "" || slices.Contains(seen[e.Type], by) || slices.ContainsFunc(gone, func(g *Evidence) bool {
			return g.Type == e.Type && identityOf(g.Signer) == by && j.subject(g) == j.subject(e) && newer(g, e)
		}) {
			continue
		}
		seen[e.Type] = append(seen[e.Type], by)
	}
	count := make(map[string]any, len(seen))
	for typ, signers := range seen {
		count[typ] = int64(len(signers))
	}
	return count
}

// context binds the policy's variables to what the named members publish.
func (j *judge) context() map[string]any {
	m := make(map[string]any, len(j.p.Spec.Context))
	for name, msp := range j.p.Spec.Context {
		if !j.members[msp] {
			continue
		}
		value := j.f.Context[msp][name]
		if j.then {
			value = value.then(j.now)
		}
		switch v := value.Value.(type) {
		case bool, int64, string:
			m[name] = v
		}
	}
	return m
}

// run evaluates a program. why tells an error: missing data, a type that does
// not fit, a division by zero, the cost limit. All deny. The cost of a whole
// verdict is limited too: what comes after it is spent is denied unheard.
func (j *judge) run(p *program, vars *activation) (ok bool, why string) {
	if p == nil {
		return false, "the expression does not compile"
	}
	if why := j.unknown(p); why != "" {
		return false, why
	}
	if j.spent >= maxVerdictCost {
		return false, "the expressions of this verdict cost too much"
	}
	out, details, err := p.run.Eval(vars)
	switch cost := details.ActualCost(); {
	case p.price > 0:
		j.spent += p.price
	case cost != nil:
		j.spent += *cost
	default:
		j.spent += maxCost
	}
	if err != nil {
		return false, clip(err.Error(), 200)
	}
	yes, isBool := out.(types.Bool)
	if !isBool {
		return false, "the expression yields no bool"
	}
	return bool(yes), ""
}

func (j *judge) condition(i int) result {
	c, name := &j.stage.Conditions[i], ruleCondition+j.stage.Conditions[i].Name
	const fix = "change what the condition looks at"
	ok, why := j.run(j.programs.conditions[i], j.base)
	switch {
	case why != "":
		return ruleResult(name, Violated, fix, "cannot be decided: %s", why)
	case ok:
		return ruleResult(name, Satisfied, "", "%s", clip(c.CEL, 120))
	}
	return ruleResult(name, Violated, fix, "not %s", clip(c.CEL, 120))
}

// witnesses counts the members whose gateways saw the digest; the one that
// recorded the push is one of them.
func (j *judge) witnesses(w *Witnesses) result {
	saw := map[string]bool{}
	if j.members[j.f.PushedBy] {
		saw[j.f.PushedBy] = true
	}
	for _, x := range j.f.Witnesses {
		if j.members[x.MSP] {
			saw[x.MSP] = true
		}
	}
	missing := absent(w.Orgs, saw)
	detail := quorum(len(saw), w.Min, "witnesses", sortedKeys(saw), missing)
	if len(saw) >= w.Min && len(missing) == 0 {
		return ruleResult(ruleWitnesses, Satisfied, "", "%s", detail)
	}
	who := missing
	if len(who) == 0 {
		for _, m := range slices.Sorted(slices.Values(j.f.Members)) {
			if !saw[m] {
				who = append(who, m)
			}
		}
	}
	return ruleResult(ruleWitnesses, Unmet, "the gateways of "+list(who)+" look at the registry", "%s", detail)
}
