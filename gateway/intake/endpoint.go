package intake

import (
	"crypto/sha256"
	"errors"
	"net/http"
	"regexp"
	"strings"
	"sync/atomic"
	"time"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
)

var connectorName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// endpoint is a connector, ready to serve.
type endpoint struct {
	Connector
	format   format
	secrets  secrets
	tokens   *tokens  // nil where the connector knows no tokens
	patterns []string // over host/repository, as policy.Match wants them
	slots    chan struct{}
	weight   atomic.Int64 // of the bodies being served, in bytes
	dedup    dedup
	pulls    coalescer
}

// problems gathers what is wrong with one connector.
type problems struct {
	connector string
	wrong     []error
}

func (r *problems) add(text string, args ...any) {
	r.wrong = append(r.wrong, provenance.Errorf(provenance.Invalid, "connector %q: "+text, append([]any{r.connector}, args...)...))
}

func newEndpoint(c Connector, concurrency int) (*endpoint, error) {
	s := &endpoint{Connector: c, slots: make(chan struct{}, concurrency)}
	r := &problems{connector: c.Name}
	if !connectorName.MatchString(c.Name) {
		r.add("the name wants lower-case letters, digits and '-', at most 63")
	}
	known := false
	if s.format, known = formatOf(c.Kind); !known {
		r.add("kind %q is not known; want one of %s", c.Kind, strings.Join(Kinds(), ", "))
	}
	if host, err := provenance.ParseHost(string(c.Host)); err != nil || host != c.Host {
		r.add("host %q is not a canonical registry host", c.Host)
	}
	s.checkSecrets(r)
	if known {
		s.checkOptions(r)
	}
	for _, p := range c.Repositories {
		pattern := string(c.Host) + "/" + p
		if err := policy.CheckPattern(pattern); err != nil {
			r.add("repositories: %v", err)
		}
		s.patterns = append(s.patterns, pattern)
	}
	return s, errors.Join(r.wrong...)
}

func (s *endpoint) checkSecrets(r *problems) {
	want := s.format.secret != 0 || s.format.sign != nil || s.format.parse == nil
	switch n := len(s.Secrets); {
	case !want && n > 0:
		r.add("kind %s presents tokens and has no secrets", s.Kind)
	case n > 2 || want && n < 1 && !(s.format.tokens && s.OIDC.configured()):
		r.add("%d secrets; want one, or two while rotating", n)
	}
	for i, secret := range s.Secrets {
		if len(secret) < minSecret || len(secret) > maxSecret {
			r.add("secret %d has %d bytes; want %d to %d", i+1, len(secret), minSecret, maxSecret)
		}
		for _, b := range secret {
			if b <= ' ' || b > '~' {
				r.add("secret %d holds a character that does not survive in a header", i+1)
				break
			}
			if s.format.secret&inURL != 0 && !isUnreserved(b) {
				r.add("secret %d holds a character that does not survive in an address; want letters, digits, '-', '.', '_', '~'", i+1)
				break
			}
		}
		s.secrets = append(s.secrets, sha256.Sum256(secret))
	}
}

// checkOptions looks at the settings that only some kinds have. One that a kind
// does not read is refused: it would look like a protection that is not there.
func (s *endpoint) checkOptions(r *problems) {
	f := s.format
	switch {
	case s.OIDC.configured() && !f.tokens:
		r.add("kind %s does not present tokens: oidc is not for it", s.Kind)
	case s.OIDC.configured() || f.tokens && f.secret == 0:
		var err error
		if s.tokens, err = newTokens(s.OIDC); err != nil {
			r.add("oidc: %v", err)
		}
	}
	if f.check != nil {
		if err := f.check(&s.Connector); err != nil {
			r.add("%s", textOf(err))
		}
	}
	if len(s.Origins) > 0 && !f.origins {
		r.add("events of kind %s name no origin that could be checked", s.Kind)
	}
	if s.OwnActor != "" && !f.actors {
		r.add("events of kind %s name no actor", s.Kind)
	}
	if s.Pulls != "" && s.Pulls != PullsChannel && s.Pulls != PullsPrivate && s.Pulls != PullsOff {
		r.add("pulls %q: want %s, %s, %s, or nothing", s.Pulls, PullsChannel, PullsPrivate, PullsOff)
	}
	if s.TypePrefix != "" && !f.typed {
		r.add("the events of kind %s have no type prefix of the operator's choice", s.Kind)
	}
	if len(s.Prefixes) > 0 && !f.prefixes {
		r.add("kind %s has no storage repositories to map", s.Kind)
	}
	if f.mapped && len(s.Prefixes) == 0 {
		r.add("kind %s names storage repositories: want a prefix for each, \"\" where host and port alone tell the repository", s.Kind)
	}
	for key, prefix := range s.Prefixes {
		if _, err := provenance.ParseRepository(prefix); prefix != "" && err != nil {
			r.add("prefix of %q: %s", key, textOf(err))
		}
	}
}

// admitted tells whether the request carries the secret or a token.
func (s *endpoint) admitted(r *http.Request, inPath string, now time.Time) bool {
	if s.tokens != nil && inPath == "" && s.tokens.admit(r.Header, now) {
		return true
	}
	return len(s.secrets) > 0 && s.secrets.admit(r, inPath, s.format.secret)
}

// allows tells whether the sender may speak of a repository.
func (s *endpoint) allows(repo provenance.Repository) bool {
	for _, p := range s.patterns {
		if policy.Match(p, s.Host, repo) >= 0 {
			return true
		}
	}
	return len(s.patterns) == 0
}

// isUnreserved tells the characters that no client, proxy or log escapes
// (RFC 3986, section 2.3).
func isUnreserved(b byte) bool {
	return b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9' || strings.IndexByte("-._~", b) >= 0
}
