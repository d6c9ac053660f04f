package registry

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// maxPages bounds the pages of one list of referrers.
const maxPages = 16

// FallbackTag is the tag under which an index lists the referrers of subject
// where the registry has no referrers API: "sha256-" and the hash (OCI
// distribution specification, "Referrers Tag Schema").
func FallbackTag(subject provenance.Digest) provenance.Tag {
	algorithm, sum, _ := strings.Cut(subject.String(), ":")
	return provenance.Tag(algorithm + "-" + sum[:min(len(sum), 64)])
}

// Referrers lists what refers to an image of a repository, by the registry's
// referrers API, or by the fallback tag where it has none. The list is the
// registry's word and at most MaxLayers long: each entry proves itself when it
// is fetched. A registry that knows nothing of the image answers with an empty
// list.
func (c *Client) Referrers(ctx context.Context, repo provenance.Repository, subject provenance.Digest) ([]Descriptor, error) {
	if err := checkNames(repo, subject); err != nil {
		return nil, err
	}
	list, supported, err := c.referrersAPI(ctx, repo, subject)
	if err != nil || supported {
		return list, err
	}
	body, contentType, d, err := c.tagged(ctx, repo, FallbackTag(subject))
	switch provenance.CodeOf(err) {
	case "":
	case provenance.NotFound:
		return nil, nil
	default:
		return nil, err
	}
	a, err := readArtifact(body, contentType, d)
	if err != nil {
		return nil, provenance.Wrap(provenance.Invalid, err, "referrers of %s", c.image(repo, subject.String()))
	}
	return a.Manifests, nil
}

// ListedReferrers is Referrers by the registry's API alone; supported is false
// where it has none, and keeps its list under the fallback tag, if at all.
func (c *Client) ListedReferrers(ctx context.Context, repo provenance.Repository, subject provenance.Digest) (list []Descriptor, supported bool, err error) {
	if err := checkNames(repo, subject); err != nil {
		return nil, false, err
	}
	return c.referrersAPI(ctx, repo, subject)
}

// referrersAPI asks the API. supported is false when the registry has none.
func (c *Client) referrersAPI(ctx context.Context, repo provenance.Repository, subject provenance.Digest) (list []Descriptor, supported bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, documentTime*c.timeout)
	defer cancel()
	what := "referrers of " + c.image(repo, subject.String())
	request := call{path: "/referrers/" + subject.String(), accept: []string{ociIndex}, what: what, status: []int{http.StatusOK, http.StatusNotFound, http.StatusMethodNotAllowed}}
	for range maxPages {
		resp, err := c.do(ctx, repo, request)
		if err != nil {
			return nil, true, err
		}
		body, err := readBody(resp, what)
		_ = resp.Body.Close()
		if err != nil {
			return nil, true, err
		}
		if resp.StatusCode != http.StatusOK {
			return nil, len(list) > 0, nil
		}
		mediaType, err := contentType(resp, what)
		if err != nil {
			return nil, true, err
		}
		// A list has no digest of its own: the zero one equals nothing in it.
		page, err := readArtifact(body, mediaType, provenance.Digest{})
		if err != nil || page.MediaType != ociIndex {
			return nil, true, provenance.Errorf(provenance.Invalid, "%s: not a list: %v", what, err)
		}
		list = append(list, page.Manifests...)
		if len(list) > MaxLayers {
			return nil, true, provenance.Errorf(provenance.Invalid, "%s: more than %d of them", what, MaxLayers)
		}
		if request.url = next(resp); request.url == nil {
			return list, true, nil
		}
	}
	return nil, true, provenance.Errorf(provenance.Invalid, "%s: more than %d pages", what, maxPages)
}

// next returns where the following page is, nil on the last. The guard has the
// say about whether it may be asked for.
func next(resp *http.Response) *url.URL {
	for _, link := range resp.Header.Values("Link") {
		target, parameters, ok := strings.Cut(strings.TrimPrefix(strings.TrimSpace(link), "<"), ">")
		if !ok || !strings.Contains(strings.ReplaceAll(parameters, " ", ""), `rel="next"`) {
			continue
		}
		if u, err := resp.Request.URL.Parse(target); err == nil {
			return u
		}
	}
	return nil
}
