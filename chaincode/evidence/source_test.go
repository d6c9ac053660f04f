package evidence

import (
	"fmt"
	"testing"
)

// TestSources: each build type says by itself which repository is the source; what
// several say is not known.
func TestSources(t *testing.T) {
	const (
		a, b   = "3f2a1c0b9d8e7f6a5b4c3d2e1f0a9b8c7d6e5f4a", "4a3f2a1c0b9d8e7f6a5b4c3d2e1f0a9b8c7d6e5f"
		app    = "git+https://git.example/team/app.git"
		rules  = "git+https://git.example/team/rules"
		ci     = "https://ci.team.example/make@v1"
		chains = "https://tekton.dev/chains/v2/slsa-tekton"
	)
	dep := func(name, uri, alg, value string) m { return m{"name": name, "uri": uri, "digest": m{alg: value}} }
	v1 := func(buildType string, parameters m, deps ...any) m {
		return m{"buildDefinition": m{"buildType": buildType, "externalParameters": parameters, "resolvedDependencies": deps}, "runDetails": m{"builder": m{"id": "b"}}}
	}
	v02 := func(buildType string, invocation m, materials ...any) m {
		return m{"builder": m{"id": "b"}, "buildType": buildType, "invocation": invocation, "materials": materials}
	}
	config := func(uri, commit string) m { return m{"configSource": m{"uri": uri, "digest": m{"sha1": commit}}} }
	tasks := func(document m, invocations ...m) m {
		var all []any
		for _, invocation := range invocations {
			all = append(all, m{"invocation": invocation})
		}
		document["buildConfig"] = m{"tasks": all}
		return document
	}
	hints := m{"CHAINS-GIT_URL": `"https://git.example/team/app"`, "CHAINS-GIT_COMMIT": a}
	for name, c := range map[string]struct {
		document    m
		uri, commit string
	}{
		"one dependency":           {v1(ci, m{}, dep("", app, "gitCommit", a)), app, a},
		"two repositories":         {v1(ci, m{}, dep("", app, "gitCommit", a), dep("", rules, "gitCommit", b)), "", ""},
		"two commits":              {v1(ci, m{}, dep("", app, "gitCommit", a), dep("", app+"@refs/heads/x", "gitCommit", b)), app, ""},
		"no repository":            {v1(ci, m{}, dep("", "https://example.com/a.jar", "sha1", a)), "", ""},
		"asked for":                {v1(ci, m{"source": app}, dep("", rules, "gitCommit", b), dep("", "https://git.example/team/app", "sha1", a)), app, a},
		"asked for, elsewhere":     {v1(ci, m{"source": app}, dep("", rules, "gitCommit", b)), app, ""},
		"asked for twice":          {v1(ci, m{"source": app, "configSource": m{"uri": rules}}, dep("", app, "gitCommit", a)), "", ""},
		"with its digest":          {v1(ci, m{"source": m{"uri": app, "digest": m{"gitCommit": a}}}, dep("", app, "gitCommit", a)), app, a},
		"tekton":                   {v1(chains, m{}, dep("pipeline", rules, "sha1", b), dep("inputs/result", app, "sha1", a)), app, a},
		"tekton, other word":       {v1(chains, m{}, dep("task", rules, "sha1", b), dep("input/result", app, "sha1", a)), app, a},
		"tekton, the same twice":   {v1(chains, m{}, dep("inputs/result", app, "sha1", a), dep("inputs/result", app, "sha1", a)), app, a},
		"tekton, two inputs":       {v1(chains, m{}, dep("inputs/result", rules, "sha1", b), dep("inputs/result", app, "sha1", a)), "", ""},
		"tekton, no input":         {v1(chains, m{"source": rules}, dep("pipeline", rules, "sha1", b)), "", ""},
		"tekton, image as input":   {v1(chains, m{}, dep("inputs/result", "pkg:oci/base", "sha256", otherHex), dep("inputs/result", app, "sha1", a)), app, a},
		"buildkit, remote":         {v1("https://github.com/moby/buildkit/blob/master/x.md", m{"configSource": m{"uri": app, "digest": m{"sha1": a}}}, dep("", rules, "sha1", b)), app, a},
		"buildkit, local":          {v1("https://github.com/moby/buildkit/blob/master/x.md", m{"configSource": m{"path": "Dockerfile"}}, dep("", rules, "sha1", b)), "", ""},
		"cloud build":              {v1("https://cloud.google.com/build/gcb-buildtypes/google-worker/v1", m{"buildConfigSource": m{"repository": rules}}, dep("", app, "gitCommit", a)), app, a},
		"gitlab":                   {v1("https://docs.gitlab.com/ci/x", m{"source": "https://git.example/team/app"}, dep("", "https://git.example/team/app", "sha256", a)), "https://git.example/team/app", a},
		"v0.2 configuration":       {v02(ci, config(app, a), dep("", rules, "sha1", b)), app, a},
		"v0.2 materials":           {v02(ci, m{}, dep("", app, "sha1", a), dep("", "pkg:docker/go", "sha256", otherHex)), app, a},
		"v0.2 two materials":       {v02(ci, m{}, dep("", rules, "sha1", b), dep("", app, "sha1", a)), "", ""},
		"v0.2 buildkit, local":     {v02("https://mobyproject.org/buildkit@v1", m{"configSource": m{"entryPoint": "Dockerfile"}}, dep("", app, "sha1", a)), "", ""},
		"v0.2 tekton, pipeline":    {v02("tekton.dev/v1beta1/TaskRun", config(rules, b), dep("", rules+".git", "sha1", b), dep("", app, "sha1", a)), app, a},
		"v0.2 tekton, only it":     {v02("tekton.dev/v1/PipelineRun", config(rules, b), dep("", rules, "sha1", b)), "", ""},
		"v0.2 tekton, by hint":     {v02("tekton.dev/v1/PipelineRun", m{"parameters": hints}, dep("", rules, "sha1", b), dep("", app, "sha1", a)), app, a},
		"v0.2 tekton, a task's":    {tasks(v02("tekton.dev/v1/PipelineRun", m{}, dep("", rules, "sha1", b), dep("", app, "sha1", a)), config(rules, b), m{}), app, a},
		"v0.2 tekton, tasks alone": {tasks(v02("tekton.dev/v1/PipelineRun", m{}, dep("", rules, "sha1", b)), m{}, config(rules+".git", b)), "", ""},
		"v0.2 tekton, two, no one": {v02("tekton.dev/v1/PipelineRun", m{}, dep("", rules, "sha1", b), dep("", app, "sha1", a)), "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			facts, _, _, err := Extract(TypeProvenance, toJSON(t, c.document), 0)
			if err != nil || facts["sourceUri"] != c.uri || facts["sourceCommit"] != c.commit {
				t.Errorf("%q %q %v, want %q %q", facts["sourceUri"], facts["sourceCommit"], err, c.uri, c.commit)
			}
		})
	}
}

// TestNoBuilder: BuildKit alone may have no id, and then it is an empty one.
func TestNoBuilder(t *testing.T) {
	for buildType, ok := range map[string]bool{
		"https://mobyproject.org/buildkit@v1": true, "https://github.com/moby/buildkit/blob/master/docs/attestations/slsa-definitions.md": true,
		"https://mobyproject.org/buildkit-like": false, "https://github.com/moby/buildkitten": false, "https://ci.team.example/": false, "": false,
	} {
		for _, document := range []string{
			`{"builder":{"id":""},"buildType":%q}`, `{"buildDefinition":{"buildType":%q},"runDetails":{"builder":{"id":""}}}`, `{"buildDefinition":{"buildType":%q}}`,
		} {
			facts, _, _, err := Extract(TypeProvenance, fmt.Appendf(nil, document, buildType), 0)
			if ok != (err == nil) || ok && facts["builder"] != "" {
				t.Errorf("%s %s: %v %v", document, buildType, facts, err)
			}
		}
	}
}
