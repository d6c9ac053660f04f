package policy

import (
	"regexp"
	"strings"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// programs is a policy's compiled expressions and patterns.
type programs struct {
	stages []stagePrograms
	err    error // of the first that does not compile
}

type stagePrograms struct {
	evidence   []*program // by rule; nil where the rule has no condition
	conditions []*program
	signers    [][]*regexp.Regexp // by rule and entry; nil where there is no identity
}

// compile compiles what p says. A program that does not compile is nil; its
// rule is refused by Parse, and never satisfied in a policy built otherwise.
func compile(p *Policy) *programs {
	out := &programs{stages: make([]stagePrograms, len(p.Spec.Stages))}
	expression := func(stage, rule, source string, overFacts bool) *program {
		prg, err := compileExpression(source, overFacts, p.Spec.Context)
		if err != nil && out.err == nil {
			out.err = provenance.Errorf(provenance.CodeOf(err), "policy %q: stage %q: %s: %s", p.Metadata.Name, stage, rule, plain(err))
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
			globs := make([]*regexp.Regexp, len(e.Signers))
			for k, signer := range e.Signers {
				if signer.Identity != "" {
					globs[k] = glob(signer.Identity)
				}
			}
			at.signers = append(at.signers, globs)
		}
		for _, c := range s.Conditions {
			at.conditions = append(at.conditions, expression(s.Name, ruleCondition+c.Name, c.CEL, false))
		}
	}
	return out
}

// glob compiles an identity's pattern, anchored at both ends: "*" stays within
// a path segment, "**" does not.
func glob(pattern string) *regexp.Regexp {
	var b strings.Builder
	b.WriteString(`(?s)\A`)
	for len(pattern) > 0 {
		switch {
		case strings.HasPrefix(pattern, "**"):
			b.WriteString(`.*`)
			pattern = strings.TrimLeft(pattern, "*")
		case pattern[0] == '*':
			b.WriteString(`[^/]*`)
			pattern = pattern[1:]
		default:
			n := strings.IndexByte(pattern, '*')
			if n < 0 {
				n = len(pattern)
			}
			b.WriteString(regexp.QuoteMeta(pattern[:n]))
			pattern = pattern[n:]
		}
	}
	b.WriteString(`\z`)
	re, err := regexp.Compile(b.String())
	if err != nil {
		return nil // not UTF-8: Parse refuses it, and nil matches nobody
	}
	return re
}
