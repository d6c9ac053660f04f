package policy

// Accepts tells whether some evidence rule of some stage accepts a signer's
// evidence of a type; never where there is no policy.
func (p *Policy) Accepts(typ string, s Signer) bool {
	if p == nil {
		return false
	}
	compiled := p.programs
	if compiled == nil { // built otherwise than by Parse
		compiled = compile(p)
	}
	for i := range p.Spec.Stages {
		j := &judge{stage: &p.Spec.Stages[i], programs: compiled.stages[i]}
		for k := range j.stage.Evidence {
			if j.stage.Evidence[k].Type == typ && j.acceptsSigner(k, s) {
				return true
			}
		}
	}
	return false
}
