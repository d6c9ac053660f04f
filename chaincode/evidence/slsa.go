package evidence

import "strconv"

// provenanceFacts reads a SLSA provenance predicate, v0.2 or v1
// (slsa.dev/spec): who built, how, from which source, with which parameters.
func provenanceFacts(m map[string]any) (extracted, error) {
	var facts map[string]any
	found := extracted{predicateType: "https://slsa.dev/provenance/v1"}
	parameters := map[string]any{}
	if def := object(m, "buildDefinition"); def != nil {
		built := source1(def)
		facts = map[string]any{
			"builder":      str(m, "runDetails", "builder", "id"),
			"buildType":    str(def, "buildType"),
			"sourceUri":    built.uri,
			"sourceCommit": built.commit,
		}
		flatten("", object(def, "externalParameters"), parameters)
		found.madeAt = claimedTime(str(m, "runDetails", "metadata", "finishedOn"))
	} else {
		found.predicateType = "https://slsa.dev/provenance/v0.2"
		built := source02(m)
		facts = map[string]any{
			"builder":      str(m, "builder", "id"),
			"buildType":    str(m, "buildType"),
			"sourceUri":    built.uri,
			"sourceCommit": built.commit,
		}
		flatten("", object(m, "invocation", "parameters"), parameters)
		if entry := str(m, "invocation", "configSource", "entryPoint"); entry != "" {
			flatten("", map[string]any{"entryPoint": entry}, parameters)
		}
		found.madeAt = claimedTime(str(m, "metadata", "buildFinishedOn"))
	}
	// A builder cut to fit would be another builder: too long is refused.
	for _, name := range []string{"builder", "buildType", "sourceUri", "sourceCommit"} {
		if s, _ := facts[name].(string); text(s) != s {
			return extracted{}, invalid("provenance: %s is longer than %d bytes or has control characters", name, maxText)
		}
	}
	kind, _ := facts["buildType"].(string)
	// BuildKit has no id unless it is given one; a rule about the builder then fails.
	if kind == "" || facts["builder"] == "" && builderOf(kind) != buildKit {
		return extracted{}, invalid("provenance: builder id and build type are missing")
	}
	facts["parameters"] = parameters
	found.facts = facts
	return found, nil
}

// flatten writes small parameters as texts under dotted names, in order, until
// there are maxParameter of them. Longer texts and lists are left out.
func flatten(prefix string, m map[string]any, into map[string]any) {
	for _, name := range sortedNames(m) {
		value := ""
		switch v := m[name].(type) {
		case string:
			value = v
		case bool:
			value = strconv.FormatBool(v)
		case int64:
			value = strconv.FormatInt(v, 10)
		case map[string]any:
			flatten(prefix+name+".", v, into)
			continue
		default:
			continue
		}
		if key := prefix + name; len(into) < maxParameter && text(value) == value && text(key) == key {
			into[key] = value
		}
	}
}
