package policy

// vsaProblem says why a verification summary decides nothing for this repository;
// "" where it is none or does. Who verified an image for one repository said nothing
// of another that has the same image, and a summary that failed satisfies no rule,
// whatever its condition.
func (j *judge) vsaProblem(rule *EvidenceRule, e *Evidence) string {
	if rule.Type != typeVSA {
		return ""
	}
	if result, _ := e.Facts["result"].(string); result != "PASSED" {
		return "its result is " + clip(result, 80)
	}
	here := string(j.f.Host) + "/" + string(j.f.Repository)
	if repository, _ := e.Facts["repository"].(string); repository != here {
		resource, _ := e.Facts["resourceUri"].(string)
		return "it is about " + clip(resource, 120) + " and not " + here
	}
	return ""
}
