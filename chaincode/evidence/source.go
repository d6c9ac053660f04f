package evidence

import (
	"cmp"
	"slices"
	"strings"
)

// builders whose build types say otherwise than the rest what was built from which
// source. SLSA leaves that to each build type.
type builderKind int

const (
	anyBuilder builderKind = iota
	buildKit
	tekton
	cloudBuild
	witness
)

// builderOf knows a builder by its build type.
func builderOf(buildType string) builderKind {
	at := func(prefixes ...string) bool {
		return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(buildType, p) })
	}
	switch {
	case at("https://github.com/moby/buildkit/", "https://mobyproject.org/buildkit@"):
		return buildKit
	case at("https://tekton.dev/", "https://chains.tekton.dev/", "tekton.dev/"):
		return tekton
	case at("https://cloud.google.com/build/", "https://cloudbuild.googleapis.com/"):
		return cloudBuild
	case at("https://witness.dev/", "https://witness.testifysec.com/"):
		return witness
	}
	return anyBuilder
}

// source is a repository that something was built from, and the commit; "" is not known.
type source struct{ uri, commit string }

// sources are what a document names as its source. One is the source; of several
// nobody knows which.
type sources []source

func (s *sources) add(uri, commit string) {
	if uri != "" {
		*s = append(*s, source{uri, commit})
	}
}

// one returns the only source, in its first spelling, and its commit where that is
// one as well.
func (s sources) one() source {
	var found source
	commits := map[string]bool{}
	for _, c := range s {
		if found.uri == "" {
			found.uri = c.uri
		}
		if place(c.uri) != place(found.uri) {
			return source{}
		}
		if c.commit != "" {
			commits[c.commit] = true
			found.commit = c.commit
		}
	}
	if len(commits) > 1 {
		found.commit = ""
	}
	return found
}

// of leaves the sources that are at the same place as a repository.
func (s sources) of(uri string) sources {
	return slices.DeleteFunc(slices.Clone(s), func(c source) bool { return place(c.uri) != place(uri) })
}

// located returns the source that a document names expressly, with the commit that
// it or the dependency of the same place has.
func (s sources) located(named sources) source {
	found := named.one()
	if found.uri != "" && found.commit == "" && !named.disputed() {
		found.commit = s.of(found.uri).one().commit
	}
	return found
}

// disputed tells whether different commits are named.
func (s sources) disputed() bool {
	commits := map[string]bool{}
	for _, c := range s {
		if c.commit != "" {
			commits[c.commit] = true
		}
	}
	return len(commits) > 1
}

// source1 finds the source of a v1 build.
func source1(def map[string]any) source {
	p, deps := object(def, "externalParameters"), list(def, "resolvedDependencies")
	all, git := dependencies(deps), gitSources(deps)
	var named sources
	switch builderOf(str(def, "buildType")) {
	case tekton:
		// Of its dependencies those so named are what the run took in; the others are
		// the pipeline's and its tasks' own repositories.
		return gitSources(slices.DeleteFunc(slices.Clone(deps), func(d any) bool {
			name := str(d, "name")
			return !strings.HasPrefix(name, "inputs/") && !strings.HasPrefix(name, "input/")
		})).one()
	case cloudBuild: // buildConfigSource is where the configuration is, which may be elsewhere
		return git.one()
	case witness: // names the remotes
		for _, d := range deps {
			if commit := gitCommit(object(d, "digest")); commit != "" {
				named.add(cmp.Or(str(d, "uri"), str(d, "name")), commit)
			}
		}
		return named.one()
	case buildKit: // its dependencies are whatever the build fetched
		named.add(str(p, "configSource", "uri"), gitCommit(object(p, "configSource", "digest")))
		return all.located(named)
	case anyBuilder:
	}
	named.add(cmp.Or(str(p, "source"), str(p, "source", "uri"), str(p, "source", "repository")), gitCommit(object(p, "source", "digest")))
	named.add(str(p, "workflow", "repository"), "") // GitHub Actions
	named.add(str(p, "configSource", "uri"), gitCommit(object(p, "configSource", "digest")))
	if len(named) > 0 {
		return all.located(named)
	}
	return git.one()
}

// source02 finds the source of a v0.2 build.
func source02(m map[string]any) source {
	config := object(m, "invocation", "configSource")
	all, git := dependencies(list(m, "materials")), gitSources(list(m, "materials"))
	switch builderOf(str(m, "buildType")) {
	case tekton: // configSource is the pipeline's or a task's own repository
		var named sources
		tektonHints(object(m, "invocation", "parameters"), m, &named)
		if len(named) == 0 {
			own := map[string]bool{place(str(config, "uri")): true}
			for _, task := range list(m, "buildConfig", "tasks") {
				own[place(str(task, "invocation", "configSource", "uri"))] = true
			}
			named = slices.DeleteFunc(slices.Clone(git), func(c source) bool { return own[place(c.uri)] })
		}
		found := named.one()
		if same := all.of(found.uri); found.uri != "" && len(same) > 0 {
			found.uri = same[0].uri // as the materials spell it
			found.commit = cmp.Or(found.commit, same.one().commit)
		}
		return found
	case anyBuilder, buildKit, cloudBuild, witness:
	}
	var named sources
	if named.add(str(config, "uri"), gitCommit(object(config, "digest"))); len(named) > 0 {
		return all.located(named)
	}
	if builderOf(str(m, "buildType")) == buildKit {
		return source{}
	}
	return git.one()
}

// tektonHints reads the parameters and results by which Tekton Chains knows what a
// run took in (docs/slsa-provenance.md): the run's own, and those of its tasks.
func tektonHints(parameters map[string]any, m map[string]any, named *sources) {
	named.add(hinted(parameters, "CHAINS-GIT_URL"), hinted(parameters, "CHAINS-GIT_COMMIT"))
	for _, task := range list(m, "buildConfig", "tasks") {
		results := map[string]any{}
		for _, r := range list(task, "results") {
			if name := str(r, "name"); name != "" {
				results[name] = at(r, "value")
			}
		}
		named.add(hinted(results, "CHAINS-GIT_URL"), hinted(results, "CHAINS-GIT_COMMIT"))
	}
}

// hinted reads a hint; older versions wrote texts in quotation marks of their own.
func hinted(from map[string]any, name string) string {
	return strings.Trim(strings.TrimSpace(str(from, name)), `"`)
}

// dependencies are all of them, by which a commit is found.
func dependencies(deps []any) sources {
	var found sources
	for _, d := range deps {
		found.add(str(d, "uri"), gitCommit(object(d, "digest")))
	}
	return found
}

// gitSources are the dependencies that are git repositories.
func gitSources(deps []any) sources {
	var found sources
	for _, d := range deps {
		uri, digest := str(d, "uri"), object(d, "digest")
		repository, _, _ := strings.Cut(uri, "#")
		if strings.HasPrefix(uri, "git+") || strings.HasPrefix(uri, "git://") || strings.HasSuffix(repository, ".git") || has(digest, "gitCommit") {
			found.add(uri, gitCommit(digest))
		}
	}
	return found
}

// gitCommit reads a commit out of a digest set: gitCommit, sha1 as v0.2 has it, or
// what GitLab's runner writes under sha256 and is no sha256.
func gitCommit(digest map[string]any) string {
	if commit := cmp.Or(str(digest, "gitCommit"), str(digest, "sha1")); commit != "" {
		return commit
	}
	if odd := str(digest, "sha256"); len(odd) == len("3f2a1c0b9d8e7f6a5b4c3d2e1f0a9b8c7d6e5f4a") && strings.Trim(odd, "0123456789abcdef") == "" {
		return odd
	}
	return ""
}

// place is a source URI without what differs between its spellings: the git+
// prefix, the ref after '@' or '#', and .git.
func place(uri string) string {
	uri = strings.TrimPrefix(uri, "git+")
	uri, _, _ = strings.Cut(uri, "#")
	if i := strings.LastIndexByte(uri, '@'); i > strings.LastIndexByte(uri, '/') || i > 0 && strings.Contains(uri[i:], "refs/") {
		uri = uri[:i]
	}
	return strings.TrimSuffix(strings.TrimRight(uri, "@/"), ".git")
}
