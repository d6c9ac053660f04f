package intake

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

const (
	typeManifest = "application/vnd.oci.image.manifest.v1+json"
	typeIndex    = "application/vnd.oci.image.index.v1+json"
	typeDocker   = "application/vnd.docker.distribution.manifest.v2+json"
	typeList     = "application/vnd.docker.distribution.manifest.list.v2+json"
	typeLayer    = "application/vnd.oci.image.layer.v1.tar+gzip"
	typeConfig   = "application/vnd.oci.image.config.v1+json"
)

// client speaks the registry's API as whoever may push could: nothing is
// checked before it is sent.
type client struct {
	t    *testing.T
	base string
}

type object = map[string]any

// call sends a request and returns the answer's status, 0 where there was none.
func (c *client) call(method, path string, body []byte, headers ...string) int {
	code, _ := c.answer(method, path, body, headers...)
	return code
}

func (c *client) answer(method, path string, body []byte, headers ...string) (int, http.Header) {
	c.t.Helper()
	address := path
	if strings.HasPrefix(path, "/") {
		address = c.base + path
	}
	r, err := http.NewRequestWithContext(c.t.Context(), method, address, bytes.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			r.Host = headers[i+1]
		}
		r.Header[http.CanonicalHeaderKey(headers[i])] = []string{headers[i+1]}
	}
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return 0, nil
	}
	defer func() { _ = res.Body.Close() }()
	_, _ = io.Copy(io.Discard, res.Body)
	return res.StatusCode, res.Header
}

func (c *client) put(path, mediaType string, body []byte) int {
	c.t.Helper()
	return c.call(http.MethodPut, path, body, "Content-Type", mediaType)
}

// blob uploads bytes under a digest and returns it. The registry says no to
// algorithms it does not know, which is an oddity as well.
func (c *client) blob(repo, algorithm string, body []byte) string {
	c.t.Helper()
	digest := algorithm + ":" + sum(algorithm, body)
	_, h := c.answer(http.MethodPost, "/v2/"+repo+"/blobs/uploads/", nil)
	location, err := url.Parse(h.Get("Location"))
	if err != nil {
		c.t.Fatal(err)
	}
	q := location.Query()
	q.Set("digest", digest)
	location.RawQuery = q.Encode()
	c.call(http.MethodPut, location.String(), body, "Content-Type", "application/octet-stream")
	return digest
}

func sum(algorithm string, b []byte) string {
	switch algorithm {
	case "sha384":
		s := sha512.Sum384(b)
		return hex.EncodeToString(s[:])
	case "sha512":
		s := sha512.Sum512(b)
		return hex.EncodeToString(s[:])
	}
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

func digestOf(b []byte) string { return "sha256:" + sum("sha256", b) }

// image is a manifest whose blobs are uploaded; change may spoil it.
func (c *client) image(repo string, change func(m object)) []byte {
	c.t.Helper()
	config, layer := []byte(`{"os":"linux","architecture":"amd64"}`), []byte("a layer")
	c.blob(repo, "sha256", config)
	c.blob(repo, "sha256", layer)
	m := object{
		"schemaVersion": 2, "mediaType": typeManifest,
		"config": object{"mediaType": typeConfig, "digest": digestOf(config), "size": len(config)},
		"layers": []any{object{"mediaType": typeLayer, "digest": digestOf(layer), "size": len(layer)}},
	}
	if change != nil {
		change(m)
	}
	return encode(c.t, m)
}

func encode(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// layer is the first layer of a manifest.
func layer(m object) object { return m["layers"].([]any)[0].(object) }

// raw puts a text that json.Marshal would not write in the place of a mark.
func raw(b []byte, mark, text string) []byte {
	return bytes.ReplaceAll(b, []byte(mark), []byte(text))
}
