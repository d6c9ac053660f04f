package policy

import (
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// What stars stand for: characters that are part of a name, as RFC 3986 has them
// without "!" and "*", so that none opens a segment, a reference, a query or an
// escape. A closing "**" is the rest, reference included.
const (
	nameChars = `A-Za-z0-9._~$&'()+,;=\-`
	starText  = `[` + nameChars + `]`
	pathText  = `[` + nameChars + `/]`
	restText  = `[` + nameChars + `/@]`
)

// namePrefix is what a pattern over URIs starts with: scheme and host are literal,
// and end where the path starts.
var namePrefix = regexp.MustCompile(`^[a-z][a-z0-9+.-]*://([a-z0-9][a-z0-9.-]*)(?::[0-9]+)?/`)

// domainName is what follows the "@" or "!" of the other patterns.
var domainName = regexp.MustCompile(`^[a-z0-9-]+(\.[a-z0-9-]+)+$`)

// Where anybody may have an account: the path starts with whose it is, and an
// address says nothing of where its owner works.
var (
	sharedForges = []string{ //nolint:gochecknoglobals // a constant
		"github.com", "gitlab.com", "bitbucket.org", "codeberg.org", "gitea.com", "gitee.com", "git.sr.ht", "salsa.debian.org", "pagure.io", "framagit.org",
		"dev.azure.com", "buildkite.com", "g.codefresh.io", "huggingface.co", "issuer.enforce.dev",
	}
	sharedMail = []string{ //nolint:gochecknoglobals // a constant
		"gmail.com", "googlemail.com", "outlook.com", "hotmail.com", "live.com", "msn.com", "yahoo.com", "icloud.com", "me.com", "mac.com", "aol.com",
		"proton.me", "protonmail.com", "pm.me", "fastmail.com", "zoho.com", "gmx.de", "gmx.net", "gmx.com", "web.de", "mail.com", "mail.ru", "yandex.ru", "yandex.com", "qq.com", "163.com",
		"users.noreply.github.com", "users.noreply.gitlab.com",
	}
)

// compileName compiles an accepted alternative name: a URI, an e-mail address or, as
// NAME!DOMAIN, a user. Without a star it is compared byte by byte. A pattern that
// accidentalName finds fault with accepts nobody; CheckNew refuses it.
func compileName(source string) (*pattern, error) {
	switch {
	case !utf8.ValidString(source):
		return nil, provenance.Errorf(provenance.Invalid, "identity %q is not UTF-8", clip(source, 80))
	case !strings.Contains(source, "*"):
		return &pattern{exact: source}, nil
	case accidentalName(source) != "":
		return &pattern{}, nil
	}
	return &pattern{glob: globName(source)}, nil
}

// matchName tells whether the pattern accepts an alternative name. A name with a dot
// segment says less than what it looks like, and no pattern accepts it.
func (p *pattern) matchName(name string) bool {
	if p.exact != "" {
		return name == p.exact
	}
	return p.glob != nil && p.glob.MatchString(name) &&
		!slices.ContainsFunc(strings.FieldsFunc(name, func(c rune) bool { return c == '/' || c == '@' }), func(s string) bool { return s == "." || s == ".." })
}

// accidentalName says how a pattern over alternative names could accept one that its
// author did not think of, or "".
func accidentalName(source string) string {
	if at := strings.Index(source, "**"); at >= 0 && !wholeStars(source) {
		return `"**" stands for whole path segments, as in https://ci.example/team/** or https://ci.example/team/**@refs/heads/main`
	}
	if strings.Contains(source, ":") {
		prefix := namePrefix.FindStringSubmatch(source)
		if prefix == nil {
			return "scheme and host of a URI stand before the first star in full and in lower case, as in https://ci.example/team/*"
		}
		owner, _, _ := strings.Cut(source[len(prefix[0]):], "/")
		if slices.Contains(sharedForges, prefix[1]) && (strings.Contains(owner, "*") || owner == "") {
			return "anybody may have an account on " + prefix[1] + ": name whose it is, as in https://" + prefix[1] + "/NAME/**"
		}
		return ""
	}
	at := strings.LastIndexAny(source, "@!")
	if at <= 0 || strings.ContainsAny(source[:at], "/@!") || !domainName.MatchString(source[at+1:]) {
		return "want a URI as https://ci.example/team/*, an address as *@ci.example, or attributes of a subject as CN=build.*"
	}
	if sharedDomain(source[at+1:]) {
		return "anybody may have an address at " + source[at+1:] + ": name whose it is"
	}
	return ""
}

// sharedDomain tells whether anybody may have an address at a domain. Google's service
// accounts have a domain of their project's, or share one by what made them.
func sharedDomain(domain string) bool {
	if of, service := strings.CutSuffix(domain, "gserviceaccount.com"); service {
		project, own := strings.CutSuffix(of, ".iam.")
		return !own || strings.HasPrefix(project, "gcp-sa-")
	}
	return slices.Contains(sharedMail, domain)
}

// wholeStars tells whether every run of two stars or more is a whole segment.
func wholeStars(source string) bool {
	for i := 0; i < len(source); {
		end := i
		for end < len(source) && source[end] == '*' {
			end++
		}
		if end-i > 1 && !whole(source, i, end) {
			return false
		}
		i = max(end, i+1)
	}
	return true
}

// whole tells whether the stars from i to end are all there is of a segment.
func whole(source string, i, end int) bool {
	return (i == 0 || strings.IndexByte("/@", source[i-1]) >= 0) && (end == len(source) || strings.IndexByte("/@!", source[end]) >= 0)
}

// globName compiles a pattern, anchored at both ends. Where stars are all there is of
// a segment they stand for something.
func globName(source string) *regexp.Regexp {
	var b strings.Builder
	b.WriteString(`\A`)
	for i := 0; i < len(source); {
		end := i
		for end < len(source) && (source[end] == '*') == (source[i] == '*') {
			end++
		}
		if source[i] != '*' {
			b.WriteString(regexp.QuoteMeta(source[i:end]))
			i = end
			continue
		}
		switch {
		case end-i == 1:
			b.WriteString(starText)
		case end < len(source):
			b.WriteString(pathText)
		default:
			b.WriteString(restText)
		}
		if whole(source, i, end) {
			b.WriteByte('+')
		} else {
			b.WriteByte('*')
		}
		i = end
	}
	b.WriteString(`\z`)
	return regexp.MustCompile(b.String()) // of valid UTF-8, quoted: cannot fail
}

// CheckNew refuses what a policy may not come into force with, although one that is
// in force may have it: an identity that could accept by accident, which accepts
// nobody, and an issuer that looks like a pattern, which is none.
func (p Policy) CheckNew() error {
	for _, s := range p.Spec.Stages {
		for _, e := range s.Evidence {
			for i, r := range e.Signers {
				at := func(format string, args ...any) error {
					return provenance.Errorf(provenance.Invalid, "policy %q: stage %q: evidence/%s: signers[%d]: "+format,
						append([]any{clip(p.Metadata.Name, 80), s.Name, e.Name, i}, args...)...)
				}
				if strings.Contains(r.Issuer, "*") {
					return at("issuer %q is compared literally: a star in it stands for a star", clip(r.Issuer, 80))
				}
				if r.Identity == "" || !strings.Contains(r.Identity, "*") || overSubjects(r.Identity) {
					continue
				}
				if why := accidentalName(r.Identity); why != "" {
					return at("identity %q could accept by accident: %s", clip(r.Identity, 80), why)
				}
			}
		}
	}
	return nil
}
