package sigstore_test

import (
	"strings"
	"testing"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/test/sigstore"
)

// likeness is a certificate that could pass for the one which a rule names, to a reader
// in a hurry or to a careless comparison.
type likeness struct {
	what string
	id   sigstore.Identity
}

func uri(u string) sigstore.Identity { return sigstore.Identity{URI: u, Issuer: issuer} }

// likenesses lists, by rule, who is right and who only looks like it.
func likenesses() []struct {
	rule    string
	right   []sigstore.Identity
	strange []likeness
} {
	by := func(i string) sigstore.Identity { return sigstore.Identity{URI: workflow, Issuer: i} }
	const glob = "https://git.example/team/*/.ci/release.yml@refs/tags/v*"
	person := sigstore.Identity{Email: "release@team.example", Issuer: "https://accounts.example"}
	email := func(e, i string) sigstore.Identity { return sigstore.Identity{Email: e, Issuer: i} }
	return []struct {
		rule    string
		right   []sigstore.Identity
		strange []likeness
	}{
		{byJob, []sigstore.Identity{job()}, []likeness{
			{"more behind it", uri(workflow + "x")},
			{"another branch", uri(strings.Replace(workflow, "main", "mains", 1))},
			{"a tag of the branch's name", uri(strings.Replace(workflow, "heads", "tags", 1))},
			{"another case", uri(strings.Replace(workflow, "team", "Team", 1))},
			{"another case of the host", uri(strings.Replace(workflow, "git.example", "GIT.example", 1))},
			{"a longer host", uri(strings.Replace(workflow, "git.example", "git.example.evil", 1))},
			{"a host that ends alike", uri(strings.Replace(workflow, "git.example", "notgit.example", 1))},
			{"a user in front of another host", uri(strings.Replace(workflow, "git.example", "git.example@evil", 1))},
			{"a port", uri(strings.Replace(workflow, "git.example", "git.example:443", 1))},
			{"without TLS", uri(strings.Replace(workflow, "https", "http", 1))},
			{"a fork", uri(strings.Replace(workflow, "team", "teem", 1))},
			{"the team's name as a repository", uri(strings.Replace(workflow, "team/app", "evil/team/app", 1))},
			{"a dot segment", uri(strings.Replace(workflow, "team/app", "evil/../team/app", 1))},
			{"a segment that is empty", uri(strings.Replace(workflow, "team/app", "team//app", 1))},
			{"an escape", uri(strings.Replace(workflow, "team/app", "team%2Fapp", 1))},
			{"a query", uri(workflow + "?x=1")},
			{"a fragment", uri(workflow + "#main")},
			{"a slash at the end", uri(workflow + "/")},
			{"another workflow of the repository", uri(strings.Replace(workflow, "release", "pull-request", 1))},
			{"a workflow of a folder below", uri(strings.Replace(workflow, ".ci/", ".ci/evil/", 1))},
			{"another issuer", by("https://token.evil.example")},
			{"the issuer with a slash", by(issuer + "/")},
			{"the issuer without TLS", by(strings.Replace(issuer, "https", "http", 1))},
			{"the issuer in another case", by(strings.ToUpper(issuer))},
			{"a longer issuer", by(issuer + ".evil")},
			{"an enterprise below the issuer", by(issuer + "/evil")},
			{"no issuer", by("")},
			{"an address of the same text", email(workflow, issuer)},
			{"a user name of the same text", sigstore.Identity{Other: workflow, Issuer: issuer}},
		}},
		{`{"identity":"` + glob + `","issuer":"` + issuer + `"}`, []sigstore.Identity{
			uri("https://git.example/team/app/.ci/release.yml@refs/tags/v1.0"), uri("https://git.example/team/web/.ci/release.yml@refs/tags/v2"),
		}, []likeness{
			{"a star over two segments", uri("https://git.example/team/app/evil/.ci/release.yml@refs/tags/v1.0")},
			{"a star over nothing", uri("https://git.example/team//.ci/release.yml@refs/tags/v1.0")},
			{"another reference in the star", uri("https://git.example/team/x@y/.ci/release.yml@refs/tags/v1.0")},
			{"more than the last star", uri("https://git.example/team/app/.ci/release.yml@refs/tags/v1/0")},
			{"a second reference", uri("https://git.example/team/app/.ci/release.yml@refs/tags/v1@refs/heads/x")},
			{"a query in the star", uri("https://git.example/team/app/.ci/release.yml@refs/tags/v1?x")},
			{"a fragment in the star", uri("https://git.example/team/app/.ci/release.yml@refs/tags/v1#x")},
			{"a dot segment in the star", uri("https://git.example/team/../.ci/release.yml@refs/tags/v1.0")},
			{"an escape in the star", uri("https://git.example/team/a%2Fb/.ci/release.yml@refs/tags/v1.0")},
		}},
		{`{"identity":"release@team.example","issuer":"https://accounts.example"}`, []sigstore.Identity{person}, []likeness{
			{"an address below", email("release@team.example.evil", person.Issuer)},
			{"a tag in the address", email("release+x@team.example", person.Issuer)},
			{"another case of the address", email("Release@team.example", person.Issuer)},
			{"an address that ends alike", email("evil-release@team.example", person.Issuer)},
			{"the address by another issuer", email(person.Email, issuer)},
			{"a URI of the address", sigstore.Identity{URI: "mailto:release@team.example", Issuer: person.Issuer}},
			{"a user of that domain", sigstore.Identity{Other: "release!team.example", Issuer: person.Issuer}},
		}},
		{`{"identity":"*@team.example","issuer":"https://accounts.example"}`, []sigstore.Identity{person, email("other@team.example", person.Issuer)}, []likeness{
			{"nobody of the domain", email("@team.example", person.Issuer)},
			{"a domain below it", email("a@evil.team.example", person.Issuer)},
			{"a domain behind it", email("a@team.example.evil", person.Issuer)},
			{"two domains", email("a@evil@team.example", person.Issuer)},
			{"a domain that ends alike", email("a@evilteam.example", person.Issuer)},
			{"a URI that ends alike", sigstore.Identity{URI: "https://evil.example/a@team.example", Issuer: person.Issuer}},
		}},
	}
}

// TestLikenesses: whoever only looks like the one that a rule names is refused, or is on
// the ledger and satisfies nothing. Whoever is right then satisfies it.
func TestLikenesses(t *testing.T) {
	n, recorded := 0, 0
	for _, group := range likenesses() {
		w := newWorld(t, group.rule)
		s := w.sigstore("public")
		w.share("public", s.TrustedRoot())
		with := sigstore.Evidence{V1: true, Stamp: true}
		for _, l := range group.strange {
			n++
			bundle, err := s.Attest(l.id, tested("PASSED", n), with)
			if err != nil {
				t.Errorf("%s: %v", l.what, err)
				continue
			}
			_, refusal := w.bring("", "public", bundle)
			if refusal == nil {
				recorded++
			}
			if got := w.outcome(); got != policy.Unmet {
				t.Errorf("%s: %s (%v)", l.what, got, refusal)
			}
		}
		for _, id := range group.right {
			right := newWorld(t, group.rule)
			right.share("public", s.TrustedRoot())
			right.now = w.now
			if _, err := right.bring("", "public", w.attest(s, id, with)); err != nil {
				t.Errorf("%+v: %v", id, err)
			}
			right.expect(id.URI+id.Email, policy.Satisfied)
		}
	}
	if n < 40 || recorded < n/2 {
		t.Errorf("%d likenesses, %d of them on the ledger: it is rules that were to be tried, by 40 at least", n, recorded)
	}
	t.Logf("%d likenesses, %d of them on the ledger", n, recorded)
}
