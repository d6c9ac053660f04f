package policy

import (
	"crypto/x509/pkix"
	"os"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// subject is the identity of a certificate with this subject and no
// alternative name, as package evidence writes it.
func subject(n pkix.Name) string {
	var parsed pkix.Name
	sequence := n.ToRDNSequence()
	parsed.FillFromRDNSequence(&sequence)
	return subjectPrefix + parsed.String()
}

func TestSubjects(t *testing.T) {
	build := pkix.Name{CommonName: "build.linux", Organization: []string{"Team, Inc"}, Country: []string{"DE"}}
	for _, c := range []struct {
		pattern, identity string
		want              bool
	}{
		{`CN=build.*`, subject(build), true},
		{`cn=build.*`, subject(build), true},
		{`x509.subject:CN=build.*`, subject(build), true},
		{`CN=build.linux`, subject(build), true},
		{`CN=build.*,O=Team\, Inc,C=DE`, subject(build), true},
		{`C=DE, O=Team\2c Inc , CN=build.*`, subject(build), true},
		{`CN=build.*+C=DE`, subject(build), true},
		{`CN=build`, subject(build), false},
		{`CN=uild.*`, subject(build), false},
		{`CN=BUILD.*`, subject(build), false},
		{`CN=build.*,O=Team`, subject(build), false},
		{`CN=build.*,OU=ci`, subject(build), false},
		{`O=Team*`, subject(build), true},
		{`C=*,O=Team*`, subject(build), true},
		// Whoever writes another attribute cannot write a CN with it.
		{`CN=build.*`, subject(pkix.Name{CommonName: "evil", Organization: []string{"x,CN=build.evil"}}), false},
		{`CN=build.*`, subject(pkix.Name{CommonName: "evil", Organization: []string{`x\,CN=build.evil`}}), false},
		{`CN=build.*`, subject(pkix.Name{CommonName: "evil", Organization: []string{"x+CN=build.evil"}}), false},
		{`CN=build.*`, subject(pkix.Name{CommonName: "evil", Organization: []string{"x\x00,CN=build.evil"}}), false},
		{`CN=build.*`, subject(pkix.Name{Organization: []string{"x", "CN=build.evil"}}), false},
		{`CN=build.*`, subject(pkix.Name{Organization: []string{`x",CN="build.evil`}}), false},
		{`O=Team,CN=build.*`, subject(pkix.Name{CommonName: "build.x", Organization: []string{"Team", "Other"}}), false},
		{`O=Team,O=*,CN=build.*`, subject(pkix.Name{CommonName: "build.x", Organization: []string{"Team", "Other"}}), true},
		// A star stays within an attribute, and within a path segment.
		{`CN=build.*`, subject(pkix.Name{CommonName: "build.a,O=Team"}), true},
		{`CN=build.*,O=Team`, subject(pkix.Name{CommonName: "build.a,O=Team"}), false},
		{`CN=build.*`, subject(pkix.Name{CommonName: "build.a/b"}), false},
		{`CN=build.**`, subject(pkix.Name{CommonName: "build.a/b"}), true},
		{`CN=build.**`, subject(pkix.Name{CommonName: "build.", Organization: []string{"evil"}}), true},
		{`CN=build.**,O=Team`, subject(pkix.Name{CommonName: "build.", Organization: []string{"evil"}}), false},
		{`CN=build.\*`, subject(pkix.Name{CommonName: "build.*"}), true},
		{`CN=build.\*`, subject(pkix.Name{CommonName: "build.x"}), false},
		{`CN=\#0c03`, subject(pkix.Name{CommonName: "#0c03"}), true},
		{`CN=#0c03`, subject(pkix.Name{CommonName: "#0c03"}), false},
		{`CN=\ a\ `, subject(pkix.Name{CommonName: " a "}), true},
		{`CN=a`, subject(pkix.Name{CommonName: " a "}), false},
		// A subject is no alternative name, and the reverse.
		{`CN=build.*`, `CN=build.linux`, false},
		{`https://ci.example/**`, `https://ci.example/a`, true},
		{`*@ci.example`, subject(pkix.Name{CommonName: "a@ci.example"}), false},
		{`**=build.linux**`, subject(build), false},
		{`CN=build.*`, subjectPrefix, false},
		{`CN=build.*`, subjectPrefix + `CN=build.x,`, false},
		{`CN=build.*`, subjectPrefix + `CN=build.x\`, false},
		{`CN=build.*`, subjectPrefix + `CN=build.x;CN=y`, false},
	} {
		p, err := compilePattern(c.pattern)
		if err != nil {
			t.Errorf("%s: %v", c.pattern, err)
		} else if got := p.match(c.identity); got != c.want {
			t.Errorf("%s over %q: %v, want %v", c.pattern, c.identity, got, c.want)
		}
	}
	for _, bad := range []string{`CN=*`, `CN=**,O=*`, `CN=`, `CN= `, `CN=a,`, `CN=a,b`, `CN=a,email=b`, `x509.subject:email=a`, `x509.subject:`, `CN="a"`, `CN=a;O=b`, `CN=a\`, `CN=a\x`, `CN=<a>`, "CN=\xff"} {
		if _, err := compilePattern(bad); provenance.CodeOf(err) != provenance.Invalid {
			t.Errorf("%s: %v, want it refused", bad, err)
		}
	}
}

// TestDocumentedPolicy runs the example of docs/policy.md: it is a policy, and
// its line about Notation's certificates accepts what it says it accepts.
func TestDocumentedPolicy(t *testing.T) {
	text, err := os.ReadFile("../../docs/policy.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "```yaml\n")
	example, _, found := strings.Cut(rest, "```\n")
	if !found {
		t.Fatal("no example in docs/policy.md")
	}
	doc, err := yaml.YAMLToJSON([]byte(example))
	if err != nil {
		t.Fatal(err)
	}
	p, err := Parse(doc)
	if err != nil {
		t.Fatal(err)
	}
	stage, _ := p.Stage("production")
	ran := false
	for _, e := range stage.Evidence {
		for _, s := range e.Signers {
			if s.Root == "" || s.Identity == "" {
				continue
			}
			ran = true
			if s.Identity != "CN=build.*,O=Vendor Ltd" {
				t.Errorf("the documented identity is %s", s.Identity)
			}
			pattern, err := compilePattern(s.Identity)
			if err != nil {
				t.Fatal(err)
			}
			by := func(n pkix.Name) bool {
				return s.accepts(Signer{Kind: SignedByCertificate, MSP: s.Org, Key: s.Root, Identity: subject(n)}, pattern)
			}
			if !by(pkix.Name{CommonName: "build.linux", Organization: []string{"Vendor Ltd"}, Country: []string{"GB"}}) {
				t.Error("the documented identity accepts no such certificate")
			}
			if by(pkix.Name{CommonName: "deploy", Organization: []string{"Vendor Ltd", "CN=build.linux"}}) || by(pkix.Name{CommonName: "build.linux", Organization: []string{"Other Ltd"}}) {
				t.Error("the documented identity accepts another certificate")
			}
		}
	}
	if !ran {
		t.Error("docs/policy.md shows no identity below a root")
	}
}

// FuzzSubjects: no text in one attribute matches a pattern over another.
func FuzzSubjects(f *testing.F) {
	f.Add("x,CN=build.evil", "evil")
	f.Add(`x\`, "+CN=build.evil")
	p, err := compilePattern("CN=build.*")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, organization, unit string) {
		for _, cn := range []string{"", "evil"} {
			n := pkix.Name{CommonName: cn, Organization: []string{organization}, OrganizationalUnit: []string{unit}}
			if id := subject(n); p.match(id) {
				t.Errorf("%q matches", id)
			}
			if n.CommonName = "build.x"; !p.match(subject(n)) && !strings.Contains(organization+unit, "\x00") {
				t.Errorf("%q does not match", subject(n))
			}
		}
		_, _ = compilePattern(organization + "=" + unit)
	})
}
