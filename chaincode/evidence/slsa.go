package evidence

import (
	"cmp"
	"strconv"
	"strings"
)

// provenanceFacts reads a SLSA provenance predicate, v0.2 or v1
// (slsa.dev/spec): who built, how, from which source, with which parameters.
func provenanceFacts(m map[string]any) (extracted, error) {
	var facts map[string]any
	found := extracted{predicateType: "https://slsa.dev/provenance/v1"}
	parameters := map[string]any{}
	if def := object(m, "buildDefinition"); def != nil {
		uri, commit := sourceV1(def)
		facts = map[string]any{
			"builder":      str(m, "runDetails", "builder", "id"),
			"buildType":    str(def, "buildType"),
			"sourceUri":    uri,
			"sourceCommit": commit,
		}
		flatten("", object(def, "externalParameters"), parameters)
		found.madeAt = claimedTime(str(m, "runDetails", "metadata", "finishedOn"))
	} else {
		found.predicateType = "https://slsa.dev/provenance/v0.2"
		uri, commit := sourceV02(m)
		facts = map[string]any{
			"builder":      str(m, "builder", "id"),
			"buildType":    str(m, "buildType"),
			"sourceUri":    uri,
			"sourceCommit": commit,
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
	if facts["builder"] == "" || facts["buildType"] == "" {
		return extracted{}, invalid("provenance: builder id and build type are missing")
	}
	facts["parameters"] = parameters
	found.facts = facts
	return found, nil
}

// sourceV1 finds the source of a v1 build in what the builder was asked for,
// and its commit in the dependency of the same place.
func sourceV1(def map[string]any) (uri, commit string) {
	p := object(def, "externalParameters")
	uri = cmp.Or(
		str(p, "source"), str(p, "source", "uri"), str(p, "source", "repository"),
		str(p, "workflow", "repository"), // GitHub Actions, slsa-framework/github-actions-buildtypes
		str(p, "configSource", "uri"),    // BuildKit
	)
	commit = cmp.Or(gitCommit(object(p, "source", "digest")), gitCommit(object(p, "configSource", "digest")))
	var commits []string
	for _, dep := range list(def, "resolvedDependencies") {
		c := gitCommit(object(dep, "digest"))
		if c == "" {
			continue
		}
		if commit == "" && uri != "" && place(str(dep, "uri")) == place(uri) {
			commit = c
		}
		if uri == "" && len(commits) == 0 && strings.HasPrefix(str(dep, "uri"), "git+") {
			uri = str(dep, "uri")
			commit = cmp.Or(commit, c)
		}
		commits = append(commits, c)
	}
	if commit == "" && len(commits) == 1 {
		commit = commits[0]
	}
	return uri, commit
}

func sourceV02(m map[string]any) (uri, commit string) {
	uri = str(m, "invocation", "configSource", "uri")
	commit = gitCommit(object(m, "invocation", "configSource", "digest"))
	for _, material := range list(m, "materials") {
		c := gitCommit(object(material, "digest"))
		if uri == "" && strings.HasPrefix(str(material, "uri"), "git+") {
			uri = str(material, "uri")
		}
		if commit == "" && c != "" && place(str(material, "uri")) == place(uri) {
			commit = c
		}
	}
	return uri, commit
}

// gitCommit reads a commit out of a digest set: gitCommit, or sha1 as v0.2 has it.
func gitCommit(digest map[string]any) string {
	return cmp.Or(str(digest, "gitCommit"), str(digest, "sha1"))
}

// place is a source URI without what differs between its spellings: the git+
// prefix, the ref after '@' or '#', and .git.
func place(uri string) string {
	uri = strings.TrimPrefix(uri, "git+")
	uri, _, _ = strings.Cut(uri, "#")
	if i := strings.LastIndexByte(uri, '@'); i > strings.LastIndexByte(uri, '/') || i > 0 && strings.Contains(uri[i:], "refs/") {
		uri = uri[:i]
	}
	return strings.TrimSuffix(uri, ".git")
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
