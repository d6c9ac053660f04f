package signer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"unicode"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// maxAnswer bounds what a service answers.
const maxAnswer = 1 << 20

// request is one question to a service.
type request struct {
	method    string
	address   *url.URL
	bearer    string
	mediaType string
}

// client follows nobody: a token or a signature goes where it was sent, or nowhere.
func client() *http.Client {
	return &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// send returns the body of a 2xx answer. Another one is an error with the first of its
// words; who cannot be reached, or is busy, is Unavailable.
func (r request) send(ctx context.Context, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, r.method, r.address.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "waybill")
	if r.bearer != "" {
		req.Header.Set("Authorization", "Bearer "+r.bearer)
	}
	if body != nil {
		req.Header.Set("Content-Type", r.mediaType)
	}
	response, err := client().Do(req)
	if err != nil {
		var failed *url.Error // names the address with its query, in which a secret may be
		if errors.As(err, &failed) {
			err = failed.Err
		}
		return nil, provenance.Errorf(provenance.Unavailable, "%s: %s", r.address.Host, err)
	}
	defer func() { _ = response.Body.Close() }() // only read from
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, provenance.Errorf(provenance.Unavailable, "%s: %s", r.address.Host, err)
	case len(answer) > maxAnswer:
		return nil, fmt.Errorf("%s answered more than %d bytes", r.address.Host, maxAnswer)
	case response.StatusCode/100 != 2:
		code := provenance.Invalid
		if response.StatusCode >= 500 || response.StatusCode == http.StatusTooManyRequests {
			code = provenance.Unavailable
		}
		return nil, provenance.Errorf(code, "%s%s answered %d: %s", r.address.Host, r.address.Path, response.StatusCode, words(answer))
	}
	return answer, nil
}

// json sends a value and reads one.
func (r request) json(ctx context.Context, ask, answer any) error {
	var body []byte
	if ask != nil {
		var err error
		if body, err = json.Marshal(ask); err != nil {
			return err
		}
		r.mediaType = "application/json"
	}
	text, err := r.send(ctx, body)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, answer); err != nil {
		return fmt.Errorf("%s answered no JSON that is known: %s", r.address.Host, words(text))
	}
	return nil
}

// words is a foreign answer for a person: one short line.
func words(answer []byte) string {
	const most = 200
	text := strings.ToValidUTF8(string(answer[:min(len(answer), 4*most)]), "")
	text = strings.Join(strings.FieldsFunc(text, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }), " ")
	if runes := []rune(text); len(runes) > most {
		text = string(runes[:most]) + "…"
	}
	return text
}

func loopback(host string) bool {
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}
