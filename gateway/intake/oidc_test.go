package intake

import (
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

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
		"crit": header(func(h map[string]any) { h["crit"] = []string{"exp"} }), "crit of nothing": header(func(h map[string]any) { h["crit"] = []string{} }),
		"crit b64": header(func(h map[string]any) { h["crit"], h["b64"] = []string{"b64"}, true }), "b64 alone": header(func(h map[string]any) { h["b64"] = false }),
		"alg twins": token(t, `{"alg":"RS256","alg":"none","kid":"k1"}`, goodClaims()), "alg in another case": token(t, `{"Alg":"RS256","kid":"k1"}`, goodClaims()),
		"no header": token(t, ``, goodClaims()), "header is a list": token(t, `["RS256"]`, goodClaims()), "two headers": token(t, `{"alg":"RS256","kid":"k1"}{}`, goodClaims()),
		"alg null": header(func(h map[string]any) { h["alg"] = nil }), "alg a list": header(func(h map[string]any) { h["alg"] = []string{"RS256"} }),
		"alg rs256": header(func(h map[string]any) { h["alg"] = "rs256" }), "kid a number": header(func(h map[string]any) { h["kid"] = 1 }), "kid null": header(func(h map[string]any) { h["kid"] = nil }),
		"alg PS256": header(func(h map[string]any) { h["alg"] = "PS256" }), "alg ES256": header(func(h map[string]any) { h["alg"] = "ES256" }), "key of another kind": header(func(h map[string]any) { h["kid"] = "ec" }),
		"exp twins": token(t, rs256(), fmt.Sprintf(`{"exp":1,"Exp":%d}`, now+3540)), "claims are two": token(t, rs256(), `{}{}`), "claims are null": token(t, rs256(), `null`), "claims with U+0000": token(t, rs256(), `{"iss":"a\u0000"}`),
		"expiry null": with(func(c map[string]any) { c["exp"] = nil }), "expiry a list": with(func(c map[string]any) { c["exp"] = []int64{now + 60} }),
		"expiry huge": token(t, rs256(), `{"exp":1e300}`), "expired long ago": with(func(c map[string]any) { c["exp"] = 0 }), "expiry negative": with(func(c map[string]any) { c["exp"] = -now }),
		"iat text": with(func(c map[string]any) { c["iat"] = "now" }), "audience null": with(func(c map[string]any) { c["aud"] = nil }), "no audiences": with(func(c map[string]any) { c["aud"] = []string{} }),
		"audience within": with(func(c map[string]any) { c["aud"] = [][]string{{testAudience}} }), "issuers": with(func(c map[string]any) { c["iss"] = []string{googleIssuer} }),
		"email in a list": with(func(c map[string]any) { c["email"] = []string{testEmail} }), "email in another case": with(func(c map[string]any) { delete(c, "email"); c["Email"] = testEmail }),
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

// Tokens that are good but for how they are protected: with what is public, with
// a key that they bring along, or as another kind of object.
func TestForgedTokens(t *testing.T) {
	check, err := newTokens(testOIDC(t))
	if err != nil {
		t.Fatal(err)
	}
	claims, err := json.Marshal(goodClaims())
	if err != nil {
		t.Fatal(err)
	}
	public := &issuerKey(t).PublicKey
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	hs256 := func(secret []byte) string {
		signed := b64([]byte(`{"alg":"HS256","kid":"k1","typ":"JWT"}`)) + "." + b64(claims)
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte(signed))
		return signed + "." + b64(mac.Sum(nil))
	}
	serialize := func(s jose.Signer, err error, form func(*jose.JSONWebSignature) (string, error)) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		signed, err := s.Sign(claims)
		if err != nil {
			t.Fatal(err)
		}
		text, err := form(signed)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	compact := func(o *jose.JSONWebSignature) (string, error) { return o.CompactSerialize() }
	key := func(private any) any { return jose.JSONWebKey{Key: private, KeyID: "k1"} }
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	signer := func(alg jose.SignatureAlgorithm, private any, options *jose.SignerOptions) string {
		s, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key(private)}, options)
		return serialize(s, err, compact)
	}
	if !check.verify(signer(jose.RS256, issuerKey(t), nil), received()) {
		t.Fatal("the library's own token is refused: what follows shows nothing")
	}
	full := func() string {
		s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: key(issuerKey(t))}, nil)
		return serialize(s, err, func(o *jose.JSONWebSignature) (string, error) { return o.FullSerialize(), nil })
	}
	encrypted := func() string {
		e, err := jose.NewEncrypter(jose.A128GCM, jose.Recipient{Algorithm: jose.RSA_OAEP_256, Key: public, KeyID: "k1"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		o, err := e.Encrypt(claims)
		if err != nil {
			t.Fatal(err)
		}
		text, err := o.CompactSerialize()
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	for name, text := range map[string]string{
		"alg none, no signature":   b64([]byte(`{"alg":"none","kid":"k1"}`)) + "." + b64(claims) + ".",
		"HS256 with the key's PEM": hs256(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), "HS256 with the key's DER": hs256(der),
		"HS256 with the modulus": hs256(public.N.Bytes()), "HS256 with nothing": hs256(nil),
		"another RSA key": signer(jose.RS256, other, nil), "a key of its own": signer(jose.RS256, other, &jose.SignerOptions{EmbedJWK: true}),
		"PS256": signer(jose.PS256, issuerKey(t), nil), "RS384": signer(jose.RS384, issuerKey(t), nil),
		"unencoded":                 signer(jose.RS256, issuerKey(t), (&jose.SignerOptions{}).WithBase64(false)),
		"JSON instead of compact":   full(),
		"encrypted, five parts":     encrypted(),
		"a key set by address":      token(t, map[string]any{"alg": "RS256", "kid": "k9", "jku": "https://evil.example/keys"}, goodClaims()),
		"a path for a kid":          token(t, map[string]any{"alg": "RS256", "kid": "../../dev/null"}, goodClaims()),
		"a chain that is no chain":  token(t, map[string]any{"alg": "RS256", "kid": "k1", "x5c": []string{"!"}}, goodClaims()),
		"signature of all zeroes":   strings.Join(strings.Split(token(t, rs256(), goodClaims()), ".")[:2], ".") + "." + b64(make([]byte, 256)),
		"signature of one byte":     strings.Join(strings.Split(token(t, rs256(), goodClaims()), ".")[:2], ".") + "." + b64([]byte{1}),
		"a thousand claims, a twin": token(t, rs256(), `{"aud":"`+testAudience+`",`+strings.Repeat(`"a":1,`, 600)+`"b":2}`),
	} {
		if check.admit(bearer(text), received()) {
			t.Errorf("%s: admitted", name)
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
	if check.admit(h, at.Add(keysRefresh)) || asked != 3 {
		t.Errorf("broken file: asked %d times", asked)
	}
	set = jwks(t, jwk("old", key), jwk("k1", key))
	if !check.admit(h, at.Add(2*keysRefresh)) || asked != 4 {
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
		"too long": with("n", b64(append([]byte{0x80}, make([]byte, 512)...))), "no modulus": with("n", ""), "exponent padded": with("e", "AQAB="), "private": with("d", good["e"]),
		"exponent 2": with("e", b64([]byte{2})), "key is a list": []byte(`{"keys":[[]]}`), "key is null": []byte(`{"keys":[null]}`), "kid twins": []byte(`{"keys":[{"kid":"a","kid":"b"}]}`),
		"kty twins": []byte(`{"keys":[{"kty":"RSA","Kty":"oct"}]}`), "keys twice": []byte(`{"keys":[],"keys":[]}`),
		"no exponent": with("e", ""), "huge exponent": with("e", b64([]byte{1, 0, 0, 0, 1})), "huge": append(jwks(t, good), make([]byte, maxKeySet)...),
	} {
		if keys, err := readKeys(document); provenance.CodeOf(err) != provenance.Invalid || keys != nil {
			t.Errorf("%s: %d keys, %v; want Invalid", name, len(keys), err)
		}
	}
}
