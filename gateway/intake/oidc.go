package intake

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

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
	keysAgain    = time.Minute
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
	return ok && strings.EqualFold(scheme, "Bearer") && t.holds(token, now)
}

// holds checks a token in its compact form (RFC 7515, section 7.1). RS256 is
// the only algorithm: the token does not choose how it is checked.
func (t *tokens) holds(token string, now time.Time) bool {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return false
	}
	var header struct {
		Alg  string          `json:"alg"`
		Kid  string          `json:"kid"`
		Crit json.RawMessage `json:"crit"`
	}
	if !readPart(parts[0], &header) || header.Alg != "RS256" || header.Kid == "" || header.Crit != nil {
		return false
	}
	code, err := base64.RawURLEncoding.Strict().DecodeString(parts[2])
	if err != nil {
		return false
	}
	key := t.key(header.Kid, now)
	if key == nil {
		return false
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], code) != nil {
		return false
	}
	var claims map[string]any
	return readPart(parts[1], &claims) && t.claimed(claims, now)
}

func readPart(part string, into any) bool {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(part)
	return err == nil && decode(raw, into, "a token") == nil
}

func (t *tokens) claimed(claims map[string]any, now time.Time) bool {
	issuer, _ := claims["iss"].(string)
	if !slices.Contains(t.Issuers, issuer) {
		return false
	}
	switch audience := claims["aud"].(type) {
	case string:
		if audience != t.Audience {
			return false
		}
	case []any:
		if !slices.Contains(audience, any(t.Audience)) {
			return false
		}
	default:
		return false
	}
	expires, ok := claims["exp"].(float64)
	if !ok || now.Add(-tokenLeeway).Unix() >= int64(expires) {
		return false
	}
	for _, name := range []string{"iat", "nbf"} {
		if from, ok := claims[name].(float64); ok && now.Add(tokenLeeway).Unix() < int64(from) {
			return false
		}
	}
	for _, name := range slices.Sorted(maps.Keys(t.Claims)) {
		if value, ok := claims[name].(string); !ok || value != t.Claims[name] {
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
	if now.Sub(t.asked) < keysAgain { // strangers' tokens must not keep us reading
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
