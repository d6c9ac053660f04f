package registry

import (
	"bytes"
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// call is one request to the registry, about one repository.
type call struct {
	method string   // "" is GET
	path   string   // below /v2/<repository>, with its query
	url    *url.URL // instead of path: where the registry sent an upload on to
	accept []string // media types
	// push asks for access to push.
	push        bool
	body        []byte
	contentType string
	limit       int64 // of the answer, in bytes; 0 is MaxManifest
	status      []int // those that are well; none is 200
	what        string
}

// do sends a request, logged in, and returns an answer with one of the
// statuses that are well. Its body is capped and must be closed.
func (c *Client) do(ctx context.Context, repo provenance.Repository, r call) (*http.Response, error) {
	access, doing := transport.PullScope, "fetch "
	if r.push {
		access, doing = transport.PushScope, "push "
	}
	tr, err := c.transport(ctx, repo, access)
	if err != nil {
		return nil, classify(err, "reach the registry for "+r.what)
	}
	if r.method == "" {
		r.method = http.MethodGet
	}
	address := c.registry.Scheme() + "://" + c.registry.RegistryStr() + "/v2/" + string(repo) + r.path
	if r.url != nil {
		address = r.url.String()
	}
	if r.limit > 0 {
		ctx = context.WithValue(ctx, limitKey{}, r.limit)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, address, bytes.NewReader(r.body))
	if err != nil {
		return nil, provenance.Wrap(provenance.Invalid, err, "%s", r.what)
	}
	if len(r.accept) > 0 {
		req.Header.Set("Accept", strings.Join(r.accept, ","))
	}
	if r.contentType != "" {
		req.Header.Set("Content-Type", r.contentType)
	}
	client := http.Client{Transport: tr, CheckRedirect: checkRedirect}
	resp, err := client.Do(req)
	if err != nil {
		return nil, classify(err, doing+r.what)
	}
	if len(r.status) == 0 {
		r.status = []int{http.StatusOK}
	}
	if err := transport.CheckError(resp, r.status...); err != nil {
		_ = resp.Body.Close()
		if resp.StatusCode == http.StatusUnauthorized {
			c.forget()
		}
		return nil, classify(err, doing+r.what)
	}
	if why := tampered(resp); why != "" {
		_ = resp.Body.Close()
		return nil, provenance.Errorf(provenance.Invalid, "%s: %s", r.what, why)
	}
	return resp, nil
}

// readBody reads an answer to its end.
func readBody(resp *http.Response, what string) ([]byte, error) {
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, classify(err, "read "+what)
	}
	if len(resp.Trailer) > 0 {
		return nil, provenance.Errorf(provenance.Invalid, "%s: the answer has trailers", what)
	}
	return body, nil
}

// contentType returns an answer's media type without parameters.
func contentType(resp *http.Response, what string) (string, error) {
	text := resp.Header.Get("Content-Type")
	if text == "" {
		return "", nil
	}
	mediaType, _, err := mime.ParseMediaType(text)
	if err != nil {
		return "", provenance.Wrap(provenance.Invalid, err, "%s: Content-Type", what)
	}
	return mediaType, nil
}

// tampered tells why an answer of 200 is not the plain thing we asked for.
func tampered(resp *http.Response) string {
	switch {
	case len(resp.Header.Values("Content-Encoding")) > 0:
		return "the answer is encoded, which nobody asked for"
	case len(resp.Header.Values("Content-Range")) > 0:
		return "the answer is a part"
	case len(resp.Header.Values("Content-Type")) > 1:
		return "the answer has two media types"
	case len(resp.Trailer) > 0:
		return "the answer has trailers"
	}
	return ""
}

// classify gives a failure its code.
func classify(err error, doing string) error {
	var coded *provenance.Error
	if errors.As(err, &coded) { // from our own transport
		return provenance.Wrap(coded.Code, err, "%s", doing)
	}
	var answer *transport.Error
	if errors.As(err, &answer) {
		switch answer.StatusCode {
		case http.StatusNotFound, http.StatusGone:
			// A proxy in front of a restarting registry says 404 as well, but
			// not in the registry's words; a push must not be taken for gone then.
			for _, diagnostic := range answer.Errors {
				switch diagnostic.Code {
				case transport.ManifestUnknownErrorCode, transport.BlobUnknownErrorCode, transport.NameUnknownErrorCode, "NOT_FOUND":
					return provenance.Wrap(provenance.NotFound, err, "%s", doing)
				}
			}
		case http.StatusBadRequest, http.StatusPartialContent:
			return provenance.Wrap(provenance.Invalid, err, "%s", doing)
		}
	}
	return provenance.Wrap(provenance.Unavailable, err, "%s", doing)
}
