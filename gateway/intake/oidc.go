package intake

import (
	"crypto/rsa"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// OIDC says which OpenID Connect tokens a sender presents as Authorization:
// Bearer. Tokens are checked here, offline: nothing is asked of their issuer.
type OIDC struct {
	// Issuers are the values that "iss" may have; empty means Google's
	// "https://accounts.google.com".
	Issuers []string
	// Audience is the value that "aud" must have, chosen when the sender was set up.
	Audience string
	// Claims are further claims and their exact values, at least one: for Google
	// {"email": "<service account>"}, for Azure {"appid": …, "tid": …}. Without
	// one, whoever can get a token from that issuer could be the sender. Where
	// "email" is named, "email_verified" must be true as well.
	Claims map[string]string
	// Keys returns the issuer's key set, a JWKS document (RFC 7517). It is asked
	// at the start and again, at most once a minute, when a token names a key
	// that is not in it: an operator renews the file, the gateway finds it.
	Keys func() ([]byte, error)
}

func (o OIDC) configured() bool { return o.Audience != "" || o.Keys != nil || len(o.Claims) > 0 }

const (
	googleIssuer = "https://accounts.google.com"
	maxToken     = 8 << 10
	tokenLeeway  = time.Minute // how far the issuer's clock may be from ours
	keysRefresh  = time.Minute // how often the key set is asked for at most
)

// tokens checks tokens against one configuration.
type tokens struct {
	OIDC
	mu    sync.Mutex
	keys  map[string]*rsa.PublicKey // by key id; replaced, never changed
	asked time.Time
}

func newTokens(o OIDC) (*tokens, error) {
	t := &tokens{OIDC: o}
	if len(t.Issuers) == 0 {
		t.Issuers = []string{googleIssuer}
	}
	var wrong []error
	if o.Audience == "" {
		wrong = append(wrong, provenance.Errorf(provenance.Invalid, "the audience is missing"))
	}
	if len(o.Claims) == 0 {
		wrong = append(wrong, provenance.Errorf(provenance.Invalid, "want at least one claim that names the sender, as email or appid"))
	}
	if o.Keys == nil {
		return nil, errors.Join(append(wrong, provenance.Errorf(provenance.Invalid, "the issuer's key set is missing"))...)
	}
	document, err := o.Keys()
	if err != nil {
		return nil, errors.Join(append(wrong, provenance.Wrap(provenance.Invalid, err, "key set"))...)
	}
	if t.keys, err = readKeys(document); err != nil {
		wrong = append(wrong, err)
	}
	return t, errors.Join(wrong...)
}

// admit tells whether the request presents exactly one token that holds now.
func (t *tokens) admit(h http.Header, now time.Time) bool {
	values := h.Values("Authorization")
	if len(values) != 1 || len(values[0]) > maxToken {
		return false
	}
	scheme, token, ok := strings.Cut(values[0], " ")
	return ok && strings.EqualFold(scheme, "Bearer") && t.verify(token, now)
}

// verify checks a token in its compact form (RFC 7515, section 7.1). RS256 is
// the only algorithm: the token does not choose how it is checked, nor what has
// to be understood to check it ("crit", "b64" of RFC 7797).
func (t *tokens) verify(token string, now time.Time) bool {
	signed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		return false
	}
	header := signed.Signatures[0].Protected
	_, critical := header.ExtraHeaders["crit"]
	_, unencoded := header.ExtraHeaders["b64"]
	if header.KeyID == "" || critical || unencoded {
		return false
	}
	key := t.key(header.KeyID, now)
	if key == nil {
		return false
	}
	payload, err := signed.Verify(key)
	if err != nil {
		return false
	}
	var (
		standard jwt.Claims
		all      map[string]any
	)
	if decodeStrict(payload, &standard, "claims") != nil || decodeStrict(payload, &all, "claims") != nil {
		return false
	}
	return slices.Contains(t.Issuers, standard.Issuer) && t.current(standard, now) && t.named(all)
}

// current tells whether a token is for us and of now. One without an end is not.
func (t *tokens) current(c jwt.Claims, now time.Time) bool {
	want := jwt.Expected{AnyAudience: jwt.Audience{t.Audience}, Time: now}
	return c.Expiry != nil && c.ValidateWithLeeway(want, tokenLeeway) == nil
}

// named tells whether the further claims are the sender's.
func (t *tokens) named(claims map[string]any) bool {
	for name, want := range t.Claims {
		if value, ok := claims[name].(string); !ok || value != want {
			return false
		}
		if verified, _ := claims["email_verified"].(bool); name == "email" && !verified {
			return false
		}
	}
	return true
}

// key finds a key, and asks for the key set anew when it is not there.
func (t *tokens) key(id string, now time.Time) *rsa.PublicKey {
	t.mu.Lock()
	defer t.mu.Unlock()
	if key := t.keys[id]; key != nil {
		return key
	}
	if now.Sub(t.asked) < keysRefresh { // strangers' tokens must not keep us reading
		return nil
	}
	t.asked = now
	document, err := t.Keys()
	if err != nil {
		return nil
	}
	keys, err := readKeys(document)
	if err != nil {
		return nil // half a file, perhaps: the next token asks again
	}
	t.keys = keys
	return t.keys[id]
}
