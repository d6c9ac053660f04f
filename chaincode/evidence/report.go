package evidence

import "slices"

// testFacts reads an in-toto test-result predicate v0.1
// (in-toto/attestation, spec/predicates/test-result.md).
func testFacts(m map[string]any) (extracted, error) {
	result := str(m, "result")
	if !slices.Contains([]string{"PASSED", "WARNED", "FAILED"}, result) {
		return extracted{}, invalid("test-result: result %q: want PASSED, WARNED or FAILED", clip(result))
	}
	facts := map[string]any{"result": result, "url": text(str(m, "url"))}
	for name, member := range map[string]string{"passed": "passedTests", "warned": "warnedTests", "failed": "failedTests"} {
		facts[name] = int64(len(list(m, member)))
	}
	if result == "PASSED" && facts["failed"] != int64(0) {
		return extracted{}, invalid("test-result: PASSED with failed tests")
	}
	return extracted{facts: facts, predicateType: "https://in-toto.io/attestation/test-result/v0.1"}, nil
}

const maxReviewers = 32

// reviewFacts reads a review: {"approved":true,"reviewers":["..."],
// "url":"...","commit":"...","comment":"...","at":"RFC 3339 time"}, of which
// the first two must be there.
func reviewFacts(m map[string]any) (extracted, error) {
	approved, ok := at(m, "approved").(bool)
	given := list(m, "reviewers")
	if !ok || len(given) == 0 || len(given) > maxReviewers {
		return extracted{}, invalid("review: want approved (true or false) and 1 to %d reviewers", maxReviewers)
	}
	var names []string
	for _, r := range given {
		name, ok := r.(string)
		if !ok || name == "" || text(name) != name {
			return extracted{}, invalid("review: reviewers are texts of at most %d bytes", maxText)
		}
		names = append(names, name)
	}
	reviewers, _ := distinct(names, maxReviewers)
	facts := map[string]any{"approved": approved, "reviewers": reviewers}
	for _, name := range []string{"url", "commit", "comment"} {
		facts[name] = text(str(m, name))
	}
	return extracted{
		facts: facts, predicateType: ownPredicate + TypeReview + ownVersion, madeAt: claimedTime(str(m, "at")),
	}, nil
}
