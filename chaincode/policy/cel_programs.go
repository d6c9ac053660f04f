package policy

import "github.com/waybill-dev/waybill/chaincode/provenance"

// celPrograms is a policy's compiled expressions and patterns.
type celPrograms struct {
	stages []stagePrograms
	err    error // of the first that does not compile
}

type stagePrograms struct {
	evidence   []*program // by rule; nil where the rule has no condition
	conditions []*program
	signers    [][]*pattern // by rule and entry; nil where there is no identity
}

// compile compiles what p says. A program that does not compile is nil; its
// rule is refused by Parse, and never satisfied in a policy built otherwise.
func compile(p *Policy) *celPrograms {
	out := &celPrograms{stages: make([]stagePrograms, len(p.Spec.Stages))}
	expression := func(stage, rule, source string, overFacts bool) *program {
		prg, err := compileExpression(source, overFacts, p.Spec.Context)
		if err != nil && out.err == nil {
			out.err = provenance.Errorf(provenance.CodeOf(err), "policy %q: stage %q: %s: %s", p.Metadata.Name, stage, rule, messageOf(err))
		}
		return prg
	}
	for i, s := range p.Spec.Stages {
		at := &out.stages[i]
		for _, e := range s.Evidence {
			var prg *program
			if e.Condition != "" {
				prg = expression(s.Name, ruleEvidence+e.Name, e.Condition, true)
			}
			at.evidence = append(at.evidence, prg)
			patterns := make([]*pattern, len(e.Signers))
			for k, signer := range e.Signers {
				if signer.Identity != "" {
					patterns[k], _ = compilePattern(signer.Identity) // refused by Parse; nil matches nobody
				}
			}
			at.signers = append(at.signers, patterns)
		}
		for _, c := range s.Conditions {
			at.conditions = append(at.conditions, expression(s.Name, ruleCondition+c.Name, c.CEL, false))
		}
	}
	return out
}
