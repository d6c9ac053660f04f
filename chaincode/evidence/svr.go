package evidence

const svrPredicate = "https://in-toto.io/attestation/svr/"

// svrFacts reads an in-toto simple verification result (in-toto/attestation,
// spec/predicates/svr.md): the properties that a verifier found to hold of the
// subject. It lists what passed alone, so one without properties says nothing and
// is refused.
func svrFacts(m map[string]any) (extracted, error) {
	facts := map[string]any{"verifier": str(m, "verifier", "id")}
	if err := wholeTexts("svr", facts, "verifier"); err != nil {
		return extracted{}, err
	}
	var err error
	if facts["properties"], err = wholeList("svr", m["properties"], maxLevels); err != nil {
		return extracted{}, err
	}
	madeAt := claimedTime(str(m, "timeCreated"))
	if madeAt.IsZero() {
		return extracted{}, invalid("svr: timeCreated %q", clip(str(m, "timeCreated")))
	}
	if facts["policies"], err = svrPolicies(m); err != nil {
		return extracted{}, err
	}
	return extracted{facts: facts, predicateType: svrPredicate + "v0.1", madeAt: madeAt}, nil
}

// svrPolicies reads what verifiers add: the policies they verified against, by URI
// or else by name.
func svrPolicies(m map[string]any) ([]any, error) {
	given := list(m, "verifier", "policies")
	if one := object(m, "verifier", "policy"); one != nil {
		given = append(given, one)
	}
	names := []any{}
	for _, p := range given {
		name := str(p, "uri")
		if name == "" {
			name = str(p, "name")
		}
		names = append(names, name)
	}
	if len(names) == 0 {
		return names, nil
	}
	return wholeList("svr", names, maxPolicies)
}
