package signer

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// maxToken bounds an identity token.
const maxToken = 16 << 10

// Token returns the identity token that is at hand: that of a file, if one is named,
// SIGSTORE_ID_TOKEN (as GitLab's jobs have it), or, in a GitHub Actions job that may ask
// for one, GitHub's for the audience sigstore.
func Token(ctx context.Context, file string, getenv func(string) string) (string, error) {
	if file != "" {
		text, err := readFile(file, maxToken)
		if err != nil {
			return "", fmt.Errorf("read the identity token: %w", err)
		}
		return strings.TrimSpace(string(text)), nil
	}
	if token := strings.TrimSpace(getenv("SIGSTORE_ID_TOKEN")); token != "" {
		return token, nil
	}
	if ask := getenv("ACTIONS_ID_TOKEN_REQUEST_URL"); ask != "" {
		return githubToken(ctx, ask, getenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN"))
	}
	return "", provenance.Errorf(provenance.NotFound, "no identity token is at hand")
}

func githubToken(ctx context.Context, address, secret string) (string, error) {
	u, err := parseURL(address)
	if err != nil {
		return "", fmt.Errorf("ACTIONS_ID_TOKEN_REQUEST_URL: %w", err)
	}
	query := u.Query()
	query.Set("audience", "sigstore")
	u.RawQuery = query.Encode()
	var answer struct {
		Value string `json:"value"`
	}
	r := request{method: http.MethodGet, address: u, bearer: secret}
	if err := r.json(ctx, nil, &answer); err != nil {
		return "", fmt.Errorf("ask GitHub for an identity token: %w", err)
	}
	return answer.Value, nil
}

// subject is what a token's bearer signs to show that the key is theirs: the e-mail
// address where there is one, else the subject. The token is not verified: whoever
// certifies does that.
func subject(token string) (string, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 || len(token) > maxToken {
		return "", provenance.Errorf(provenance.Invalid, "the identity token is no JWT")
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	var claims struct {
		Email string `json:"email"`
		Sub   string `json:"sub"`
	}
	if err != nil || json.Unmarshal(text, &claims) != nil {
		return "", provenance.Errorf(provenance.Invalid, "the identity token is no JWT")
	}
	if claims.Email != "" {
		return claims.Email, nil
	}
	if claims.Sub == "" {
		return "", provenance.Errorf(provenance.Invalid, "the identity token names nobody")
	}
	return claims.Sub, nil
}

// parseURL reads the address of a service: https, or http on this machine.
func parseURL(address string) (*url.URL, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())) {
		return nil, provenance.Errorf(provenance.Invalid, "address %q: want https://…", address)
	}
	return u, nil
}
