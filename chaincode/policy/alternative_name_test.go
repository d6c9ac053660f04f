package policy

import (
	"strings"
	"testing"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

const (
	forgeIssuer = "https://token.actions.githubusercontent.com"
	workflow    = "https://github.com/acme/app/.github/workflows/release.yml@refs/heads/main"
)

// lookAlikes are identities and issuers that look like the workflow's and are not.
var lookAlikes = []struct{ name, identity, issuer string }{
	{"host in capitals", "https://GitHub.com/acme/app/.github/workflows/release.yml@refs/heads/main", forgeIssuer},
	{"owner in capitals", "https://github.com/Acme/app/.github/workflows/release.yml@refs/heads/main", forgeIssuer},
	{"scheme in capitals", "HTTPS://github.com/acme/app/.github/workflows/release.yml@refs/heads/main", forgeIssuer},
	{"file in capitals", "https://github.com/acme/app/.github/workflows/Release.yml@refs/heads/main", forgeIssuer},
	{"http", "http://github.com/acme/app/.github/workflows/release.yml@refs/heads/main", forgeIssuer},
	{"another scheme", "git+https://github.com/acme/app/.github/workflows/release.yml@refs/heads/main", forgeIssuer},
	{"no scheme", "github.com/acme/app/.github/workflows/release.yml@refs/heads/main", forgeIssuer},
	{"trailing dot of the host", "https://github.com./acme/app/.github/workflows/release.yml@refs/heads/main", forgeIssuer},
	{"sub-domain", "https://www.github.com/acme/app/.github/workflows/release.yml@refs/heads/main", forgeIssuer},
	{"the host as a beginning", "https://github.com.evil.example/acme/app/.github/workflows/release.yml@refs/heads/main", forgeIssuer},
	{"the host as an end", "https://evilgithub.com/acme/app/.github/workflows/release.yml@refs/heads/main", forgeIssuer},
	{"a dot that is none", "https://githubxcom/acme/app/.github/workflows/release.yml@refs/heads/main", forgeIssuer},
	{"the default port", "https://github.com:443/acme/app/.github/workflows/release.yml@refs/heads/main", forgeIssuer},
	{"another port", "https://github.com:8443/acme/app/.github/workflows/release.yml@refs/heads/main", forgeIssuer},
	{"user-info", "https://github.com@evil.example/acme/app/.github/workflows/release.yml@refs/heads/main", forgeIssuer},
	{"user-info before the host", "https://acme@github.com/acme/app/.github/workflows/release.yml@refs/heads/main", forgeIssuer},
	{"another owner", "https://github.com/evil/app/.github/workflows/release.yml@refs/heads/main", forgeIssuer},
	{"an owner that begins so", "https://github.com/acme-evil/app/.github/workflows/release.yml@refs/heads/main", forgeIssuer},
	{"the owner as a repository", "https://github.com/evil/acme/app/.github/workflows/release.yml@refs/heads/main", forgeIssuer},
	{"a repository that begins so", "https://github.com/acme/app-evil/x/.github/workflows/release.yml@refs/heads/main", forgeIssuer},
	{"two slashes", "https://github.com//acme/app/.github/workflows/release.yml@refs/heads/main", forgeIssuer},
	{"two slashes within", "https://github.com/acme//.github/workflows/release.yml@refs/heads/main", forgeIssuer},
	{"trailing slash", workflow + "/", forgeIssuer},
	{"an escaped slash", "https://github.com/acme%2Fapp/.github/workflows/release.yml@refs/heads/main", forgeIssuer},
	{"an escaped letter", "https://github.com/%61cme/app/.github/workflows/release.yml@refs/heads/main", forgeIssuer},
	{"an escaped at sign", "https://github.com/acme/app/.github/workflows/release.yml%40refs/heads/main", forgeIssuer},
	{"dot segments", "https://github.com/acme/../evil/app/.github/workflows/release.yml@refs/heads/main", forgeIssuer},
	{"dot segments among workflows", "https://github.com/acme/app/.github/workflows/../workflows/release.yml@refs/heads/main", forgeIssuer},
	{"a dot segment", "https://github.com/acme/./.github/workflows/release.yml@refs/heads/main", forgeIssuer},
	{"a repository of two dots", "https://github.com/acme/../.github/workflows/release.yml@refs/heads/main", forgeIssuer},
	{"a backslash", `https://github.com/acme\evil/.github/workflows/release.yml@refs/heads/main`, forgeIssuer},
	{"a query", "https://github.com/acme/app/.github/workflows/release.yml?x@refs/heads/main", forgeIssuer},
	{"a fragment", workflow + "#x", forgeIssuer},
	{"a homoglyph", "https://github.com/\u0430cme/app/.github/workflows/release.yml@refs/heads/main", forgeIssuer},
	{"a homoglyph where the star is", "https://github.com/acme/\u0430pp/.github/workflows/release.yml@refs/heads/main", forgeIssuer},
	{"a full-width slash", "https://github.com/acme\uff0fapp/.github/workflows/release.yml@refs/heads/main", forgeIssuer},
	{"an invisible character", "https://github.com/acme/app\u200b/.github/workflows/release.yml@refs/heads/main", forgeIssuer},
	{"a line end", workflow + "\n", forgeIssuer},
	{"a line before", "x\n" + workflow, forgeIssuer},
	{"a space", workflow + " ", forgeIssuer},
	{"NUL", workflow + "\x00", forgeIssuer},
	{"no reference", "https://github.com/acme/app/.github/workflows/release.yml", forgeIssuer},
	{"a short reference", "https://github.com/acme/app/.github/workflows/release.yml@main", forgeIssuer},
	{"a tag of that name", "https://github.com/acme/app/.github/workflows/release.yml@refs/tags/main", forgeIssuer},
	{"a longer branch", workflow + "-evil", forgeIssuer},
	{"a branch below", workflow + "/evil", forgeIssuer},
	{"a branch that ends so", "https://github.com/acme/app/.github/workflows/evil.yml@refs/heads/x@refs/heads/main", forgeIssuer},
	{"a branch that names the workflow", "https://github.com/acme/app/.github/workflows/evil.yml@refs/heads/x/.github/workflows/release.yml@refs/heads/main", forgeIssuer},
	{"a workflow that begins so", "https://github.com/acme/app/.github/workflows/release.yml.evil@refs/heads/main", forgeIssuer},
	{"another workflow", "https://github.com/acme/app/.github/workflows/release.yaml@refs/heads/main", forgeIssuer},
	{"a workflow elsewhere", "https://github.com/acme/app/workflows/release.yml@refs/heads/main", forgeIssuer},
	{"a subject that says it", "x509.subject:" + workflow, forgeIssuer},
	{"an e-mail address", "release@acme.example", forgeIssuer},
	{"empty", "", forgeIssuer},
	{"no issuer", workflow, ""},
	{"an issuer with a slash", workflow, forgeIssuer + "/"},
	{"an issuer below", workflow, forgeIssuer + "/acme"},
	{"an issuer in capitals", workflow, "https://Token.actions.githubusercontent.com"},
	{"an issuer that begins so", workflow, forgeIssuer + ".evil.example"},
	{"an issuer by http", workflow, strings.Replace(forgeIssuer, "https", "http", 1)},
}

// TestLookAlikes: neither an exact entry nor a pattern accepts what merely looks like
// the workflow, whoever writes the certificate.
func TestLookAlikes(t *testing.T) {
	if len(lookAlikes) < 40 {
		t.Fatalf("%d identities", len(lookAlikes))
	}
	for _, identity := range []string{
		workflow,
		"https://github.com/acme/*/.github/workflows/release.yml@refs/heads/main",
		"https://github.com/acme/**/release.yml@refs/heads/main",
	} {
		rule := SignerRule{Identity: identity, Issuer: forgeIssuer}
		p, err := compilePattern(identity)
		if err != nil {
			t.Fatal(err)
		}
		signer := Signer{Kind: SignedByCertificate, Key: "sigstore", Identity: workflow, Issuer: forgeIssuer}
		if !rule.accepts(signer, p) {
			t.Errorf("%s does not accept the workflow", identity)
		}
		for _, c := range lookAlikes {
			signer.Identity, signer.Issuer = c.identity, c.issuer
			// A pattern over segments says what may stand there, an empty one too where it is "**".
			if strings.Contains(identity, "**") && (c.name == "two slashes within" || c.name == "a workflow elsewhere" || strings.HasPrefix(c.name, "a repository that begins")) {
				continue
			}
			if rule.accepts(signer, p) {
				t.Errorf("%s accepts %s: %q by %q", identity, c.name, c.identity, c.issuer)
			}
		}
	}
}

func TestNamePatterns(t *testing.T) {
	for _, c := range []struct {
		pattern, identity string
		want              bool
	}{
		{"https://ci.example/team/*/release", "https://ci.example/team/app/release", true},
		{"https://ci.example/team/*/release", "https://ci.example/team//release", false},
		{"https://ci.example/team/*/release", "https://ci.example/team/../release", false},
		{"https://ci.example/team/*/release", "https://ci.example/team/a:b/release", false},
		{"https://ci.example/team/v*", "https://ci.example/team/v", true},
		{"https://ci.example/team/v*", "https://ci.example/team/v1/x", false},
		{"https://ci.example/team/**", "https://ci.example/team/app/ci.yml@refs/tags/v1@x", true},
		{"https://ci.example/team/**", "https://ci.example/teamx/app", false},
		{"https://ci.example/team/**", "https://ci.example/team/%2e%2e/other", false},
		{"https://gitlab.com/acme/**", "https://gitlab.com/acme/group/app//.gitlab-ci.yml@refs/heads/main", true},
		{"https://gitlab.com/acme/app//.gitlab-ci.yml@refs/tags/*", "https://gitlab.com/acme/app//.gitlab-ci.yml@refs/tags/v1.0", true},
		{"https://gitlab.com/acme/app//.gitlab-ci.yml@refs/tags/*", "https://gitlab.com/acme/app//.gitlab-ci.yml@refs/tags/v1/0", false},
		{"https://github.com/acme/**@refs/heads/main", workflow, true},
		{"https://github.com/acme/**@refs/heads/main", "https://github.com/acme/app/.github/workflows/x.yml@refs/heads/x@refs/heads/main", false},
		{"https://ci.example:8443/team/*", "https://ci.example:8443/team/app", true},
		{"*@corp.example", "bob@corp.example", true},
		{"*@corp.example", "a@b@corp.example", false},
		{"*@corp.example", "@corp.example", false},
		{"*@corp.example", "bob@corp.example.evil.example", false},
		{"*@corp.example", "bob@sub.corp.example", false},
		{"*@corp.example", "bob@Corp.example", false},
		{"*@corp.example", "https://x/y@corp.example", false},
		{"*@corp.example", `"evil@x"@corp.example`, false},
		{"ci-*@corp.example", "ci-app@corp.example", true},
		{"*!corp.example", "bob!corp.example", true},
		{"*!corp.example", "bob@corp.example", false},
		{"*@corp.example", "bob!corp.example", false},
		{"spiffe://corp.example/ns/*/sa/ci", "spiffe://corp.example/ns/build/sa/ci", true},
		// These accept nobody: each could accept somebody its author did not think of.
		{"https://*.example/team/app", "https://ci.example/team/app", false},
		{"https://ci.example*/team", "https://ci.example/team", false},
		{"**", "bob@corp.example", false},
		{"**@refs/heads/main", workflow, false},
		{"https://github.com/**", workflow, false},
		{"https://github.com/*/app/.github/workflows/release.yml@refs/heads/main", workflow, false},
		{"https://github.com/acme**", workflow, false},
		{"*@gmail.com", "bob@gmail.com", false},
		{"*@*.example", "bob@corp.example", false},
		{"*@corp", "bob@corp", false},
	} {
		p, err := compilePattern(c.pattern)
		if err != nil {
			t.Errorf("%s: %v", c.pattern, err)
		} else if got := p.match(c.identity); got != c.want {
			t.Errorf("%s over %q: %v, want %v", c.pattern, c.identity, got, c.want)
		}
	}
}

// TestCheckNew: what could accept by accident does not come into force, and stands
// where it is in force already.
func TestCheckNew(t *testing.T) {
	parse := func(identity, issuer string) (Policy, error) {
		return Parse([]byte(`{"apiVersion":"waybill.dev/v1","kind":"ReleasePolicy","metadata":{"name":"team"},"spec":{"match":["reg.example/team/**"],"stages":[
		 {"name":"production","approvals":{"min":1},"evidence":[{"name":"scan","type":"vuln-scan","signers":[{"identity":"` + identity + `","issuer":"` + issuer + `"}]}]}]}}`))
	}
	for _, good := range []string{
		workflow, "https://github.com/acme/**", "https://github.com/acme/*/.github/workflows/release-*.yml@refs/tags/v*", "https://ci.example/**", "*@corp.example", "bob@gmail.com",
		"CN=build.*,O=Team", "*!corp.example", "https://buildkite.com/acme/*", "*@acme-build.iam.gserviceaccount.com", "1234-compute@developer.gserviceaccount.com", "spiffe://corp.example/ns/*/sa/ci", "https://ci.example:8443/team/*",
	} {
		p, err := parse(good, forgeIssuer)
		if err != nil {
			t.Fatalf("%s: %v", good, err)
		}
		if err := p.CheckNew(); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for bad, says := range map[string]string{
		"https://*/team/app": "scheme and host", "https://*.example/team": "scheme and host", "*://ci.example/team": "scheme and host", "https://ci.example*": "scheme and host",
		"https://CI.example/team/*": "scheme and host", "https://user@ci.example/*": "scheme and host", "urn:team:*": "scheme and host", "https:/ci.example/*": "scheme and host",
		"https://github.com/*/app": "anybody may have an account", "https://github.com/**": "anybody may have an account", "https://github.com/acme*/app": "anybody may have an account",
		"https://gitlab.com/*": "anybody may have an account", "https://ci.example/team**": "whole path segments", "https://ci.example/**.yml": "whole path segments",
		"https://buildkite.com/*": "anybody may have an account", "https://buildkite.com/**": "anybody may have an account", "https://dev.azure.com/*/app": "anybody may have an account",
		"https://g.codefresh.io/**": "anybody may have an account", "https://github.com:443/*/app": "anybody may have an account",
		"*@developer.gserviceaccount.com": "anybody may have an address", "*@cloudbuild.gserviceaccount.com": "anybody may have an address",
		"*@appspot.gserviceaccount.com": "anybody may have an address", "*@gcp-sa-cloudbuild.iam.gserviceaccount.com": "anybody may have an address",
		"ci-*@iam.gserviceaccount.com": "anybody may have an address", "*@protonmail.com": "anybody may have an address", "*@users.noreply.gitlab.com": "anybody may have an address",
		"*@gmail.com": "anybody may have an address", "*@*": "want a URI", "*@corp.*": "want a URI", "a*": "want a URI", "ci.example/team/*": "want a URI", "*@x@corp.example": "want a URI",
	} {
		p, err := parse(bad, forgeIssuer)
		if err != nil {
			t.Fatalf("%s: %v", bad, err)
		}
		if err := p.CheckNew(); provenance.CodeOf(err) != provenance.Invalid || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q", bad, err, says)
		}
	}
	p, err := parse(workflow, "https://*.example")
	if err != nil {
		t.Fatal(err)
	}
	if err := p.CheckNew(); provenance.CodeOf(err) != provenance.Invalid || !strings.Contains(err.Error(), "literally") {
		t.Errorf("an issuer with a star: %v", err)
	}
}

// FuzzNames: whatever stands where a star is, host, owner and reference are those of the pattern.
func FuzzNames(f *testing.F) {
	f.Add("app")
	f.Add("../evil")
	f.Add("app/.github/workflows/evil.yml@refs/heads/x")
	p, err := compilePattern("https://github.com/acme/*/.github/workflows/release.yml@refs/heads/main")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		name := "https://github.com/acme/" + text + "/.github/workflows/release.yml@refs/heads/main"
		if p.match(name) && (strings.ContainsAny(text, "/@:%\\?# \n\x00") || text == "" || text == "." || text == "..") {
			t.Errorf("%q matches", name)
		}
		_, _ = compilePattern(text)
	})
}
