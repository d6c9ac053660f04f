package intake

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"math/big"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

const (
	testAudience = "https://gw.example.net/hooks/gar"
	testEmail    = "pubsub@p1.iam.gserviceaccount.com"
)

// testKey makes one key for all tests: they take long to make.
var testKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

func issuerKey(t testing.TB) *rsa.PrivateKey {
	t.Helper()
	key, err := testKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func jwk(kid string, key *rsa.PublicKey) map[string]string {
	return map[string]string{"kty": "RSA", "alg": "RS256", "use": "sig", "kid": kid, "n": b64(key.N.Bytes()), "e": b64(big.NewInt(int64(key.E)).Bytes())}
}

func jwks(t testing.TB, keys ...map[string]string) []byte {
	t.Helper()
	raw, err := json.Marshal(map[string]any{"keys": keys})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func testOIDC(t testing.TB) OIDC {
	set := jwks(t, map[string]string{"kty": "EC", "kid": "ec"}, jwk("k1", &issuerKey(t).PublicKey))
	return OIDC{Audience: testAudience, Claims: map[string]string{"email": testEmail}, Keys: func() ([]byte, error) { return set, nil }}
}

func goodClaims() map[string]any {
	now := received().Unix()
	return map[string]any{
		"iss": "https://accounts.google.com", "aud": testAudience, "azp": "1134", "sub": "1134", "email": testEmail, "email_verified": true, "iat": now - 60, "exp": now + 3540,
	}
}

// token signs what it is given, sense or not.
func token(t testing.TB, header, claims any) string {
	t.Helper()
	var parts [2]string
	for i, v := range []any{header, claims} {
		raw, ok := v.(string)
		if !ok {
			b, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			raw = string(b)
		}
		parts[i] = b64([]byte(raw))
	}
	signed := parts[0] + "." + parts[1]
	sum := sha256.Sum256([]byte(signed))
	code, err := rsa.SignPKCS1v15(rand.Reader, issuerKey(t), crypto.SHA256, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return signed + "." + b64(code)
}

func rs256() map[string]any { return map[string]any{"alg": "RS256", "kid": "k1", "typ": "JWT"} }

func bearer(token string) http.Header { return http.Header{"Authorization": {"Bearer " + token}} }

func TestTokens(t *testing.T) {
	check, err := newTokens(testOIDC(t))
	if err != nil {
		t.Fatal(err)
	}
	good := token(t, rs256(), goodClaims())
	with := func(change func(map[string]any)) string {
		c := goodClaims()
		change(c)
		return token(t, rs256(), c)
	}
	now := received().Unix()
	held := map[string]string{
		"good":                good,
		"audience of several": with(func(c map[string]any) { c["aud"] = []string{"x", testAudience} }),
		"just expired":        with(func(c map[string]any) { c["exp"] = now - 30 }),
		"clock behind":        with(func(c map[string]any) { c["iat"] = now + 30 }),
		"no iat":              with(func(c map[string]any) { delete(c, "iat") }),
	}
	for name, text := range held {
		if !check.admit(bearer(text), received()) {
			t.Errorf("%s: refused", name)
		}
	}
	parts := strings.Split(good, ".")
	header := func(change func(map[string]any)) string {
		h := rs256()
		change(h)
		return token(t, h, goodClaims())
	}
	refused := map[string]string{
		"empty": "", "one part": parts[0], "two parts": parts[0] + "." + parts[1], "four parts": good + ".x", "no signature": parts[0] + "." + parts[1] + ".",
		"padding": good + "=", "huge": good + strings.Repeat("a", maxToken), "claims swapped": parts[0] + "." + b64([]byte(`{"iss":"https://accounts.google.com"}`)) + "." + parts[2],
		"alg none": header(func(h map[string]any) { h["alg"] = "none" }), "alg HS256": header(func(h map[string]any) { h["alg"] = "HS256" }),
		"alg RS512": header(func(h map[string]any) { h["alg"] = "RS512" }), "no alg": header(func(h map[string]any) { delete(h, "alg") }),
		"no kid": header(func(h map[string]any) { delete(h, "kid") }), "other kid": header(func(h map[string]any) { h["kid"] = "k2" }),
		"crit":         header(func(h map[string]any) { h["crit"] = []string{"exp"} }),
		"header twins": token(t, `{"alg":"RS256","kid":"k1","kid":"k1"}`, goodClaims()), "claim twins": token(t, rs256(), `{"aud":"a","aud":"b"}`),
		"claims are a list": token(t, rs256(), []string{}),
		"issuer":            with(func(c map[string]any) { c["iss"] = "https://accounts.google.com.evil.example" }), "no issuer": with(func(c map[string]any) { delete(c, "iss") }),
		"audience": with(func(c map[string]any) { c["aud"] = testAudience + "/" }), "no audience": with(func(c map[string]any) { delete(c, "aud") }),
		"audiences": with(func(c map[string]any) { c["aud"] = []string{"x"} }), "audience number": with(func(c map[string]any) { c["aud"] = 7 }),
		"expired": with(func(c map[string]any) { c["exp"] = now - 61 }), "no expiry": with(func(c map[string]any) { delete(c, "exp") }),
		"expiry text": with(func(c map[string]any) { c["exp"] = "9999999999" }),
		"from later":  with(func(c map[string]any) { c["iat"] = now + 120 }), "not before": with(func(c map[string]any) { c["nbf"] = now + 120 }),
		"email": with(func(c map[string]any) { c["email"] = "x" + testEmail }), "no email": with(func(c map[string]any) { delete(c, "email") }),
		"not verified": with(func(c map[string]any) { c["email_verified"] = false }), "verified text": with(func(c map[string]any) { c["email_verified"] = "true" }),
	}
	for name, text := range refused {
		if check.admit(bearer(text), received()) {
			t.Errorf("%s: admitted", name)
		}
	}
	for name, h := range map[string]http.Header{
		"none": {}, "basic": {"Authorization": {"Basic " + good}}, "bare": {"Authorization": {good}}, "twice": {"Authorization": {"Bearer " + good, "Bearer " + good}},
	} {
		if check.admit(h, received()) {
			t.Errorf("header %s: admitted", name)
		}
	}
}

// The issuer changes its keys; the operator's file follows, the gateway too.
func TestKeysAgain(t *testing.T) {
	key, asked := &issuerKey(t).PublicKey, 0
	set := jwks(t, jwk("old", key))
	o := testOIDC(t)
	o.Keys = func() ([]byte, error) { asked++; return set, nil }
	check, err := newTokens(o)
	if err != nil {
		t.Fatal(err)
	}
	at := received()
	h := bearer(token(t, rs256(), goodClaims()))
	if check.admit(h, at) || check.admit(h, at.Add(time.Second)) || asked != 2 {
		t.Errorf("unknown key: asked %d times, want once at the start and once more", asked)
	}
	set = []byte("{") // half a file
	if check.admit(h, at.Add(keysAgain)) || asked != 3 {
		t.Errorf("broken file: asked %d times", asked)
	}
	set = jwks(t, jwk("old", key), jwk("k1", key))
	if !check.admit(h, at.Add(2*keysAgain)) || asked != 4 {
		t.Errorf("new key is not found; asked %d times", asked)
	}
}

func TestNewTokensRefuses(t *testing.T) {
	key := &issuerKey(t).PublicKey
	for name, change := range map[string]func(*OIDC){
		"audience": func(o *OIDC) { o.Audience = "" },
		"claims":   func(o *OIDC) { o.Claims = nil },
		"no keys":  func(o *OIDC) { o.Keys = nil },
		"no file":  func(o *OIDC) { o.Keys = func() ([]byte, error) { return nil, errors.New("gone") } },
	} {
		o := testOIDC(t)
		change(&o)
		if _, err := newTokens(o); provenance.CodeOf(err) != provenance.Invalid {
			t.Errorf("%s: %v, want Invalid", name, err)
		}
	}
	good := jwk("k1", key)
	with := func(field, value string) []byte {
		k := maps.Clone(good)
		k[field] = value
		return jwks(t, k)
	}
	for name, document := range map[string][]byte{
		"empty": nil, "not JSON": []byte("-----BEGIN"), "a list": []byte("[]"), "no keys": []byte(`{"keys":[]}`), "twice": jwks(t, good, good),
		"certificate map": []byte(`{"k1":"-----BEGIN CERTIFICATE-----"}`), "other kind": with("kty", "oct"), "for encryption": with("use", "enc"),
		"other algorithm": with("alg", "RS512"), "no id": with("kid", ""), "modulus": with("n", "!"), "short": with("n", b64(key.N.Bytes()[:128])),
		"long": with("n", b64(append([]byte{1}, make([]byte, 1<<11)...))), "even exponent": with("e", b64([]byte{4})), "exponent 1": with("e", b64([]byte{1})),
		"no exponent": with("e", ""), "huge exponent": with("e", b64([]byte{1, 0, 0, 0, 1})), "huge": append(jwks(t, good), make([]byte, maxKeySet)...),
	} {
		if keys, err := readKeys(document); provenance.CodeOf(err) != provenance.Invalid || keys != nil {
			t.Errorf("%s: %d keys, %v; want Invalid", name, len(keys), err)
		}
	}
}
