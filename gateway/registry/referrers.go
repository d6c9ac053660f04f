package registry

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

const (
	// MaxReferrers is how many referrers of one image are taken; the rest is left
	// out, and the list says so.
	MaxReferrers = 10_000
	maxPages     = 1000 // of one list of referrers
)

// Referrers is what a registry lists of one image: its word, for each entry
// proves itself when it is fetched.
type Referrers struct {
	List []Descriptor // each once
	// Complete is false where the list was cut at MaxReferrers: there are more.
	Complete bool
	// Supported is false where the registry has no referrers API, and keeps its
	// list under the fallback tag, if at all.
	Supported bool
}

// FallbackTag is the tag under which an index lists the referrers of subject
// where the registry has no referrers API: "sha256-" and the hash (OCI
// distribution specification, "Referrers Tag Schema").
func FallbackTag(subject provenance.Digest) provenance.Tag {
	algorithm, sum, _ := strings.Cut(subject.String(), ":")
	return provenance.Tag(algorithm + "-" + sum[:min(len(sum), 64)])
}

// Referrers lists what refers to an image of a repository, by the registry's
// referrers API, or by the fallback tag where it has none. A registry that knows
// nothing of the image answers with an empty list. Errors are Manifest's.
func (c *Client) Referrers(ctx context.Context, repo provenance.Repository, subject provenance.Digest) (Referrers, error) {
	found, err := c.ListedReferrers(ctx, repo, subject, nil)
	if err != nil || found.Supported {
		return found, err
	}
	found.Complete = true
	body, contentType, d, err := c.tagged(ctx, repo, FallbackTag(subject))
	switch provenance.CodeOf(err) {
	case "":
	case provenance.NotFound:
		return found, nil
	default:
		return Referrers{}, err
	}
	a, err := readArtifact(body, contentType, d)
	if err != nil {
		return Referrers{}, provenance.Wrap(provenance.Invalid, err, "referrers of %s", c.image(repo, subject.String()))
	}
	found.List = a.Manifests
	return found, nil
}

// ListedReferrers is Referrers by the registry's API alone, page by page to the
// end. pace, nil for none, is asked before each following page. An error that
// comes with Supported is about this image's list; without, the API itself did
// not answer as one.
func (c *Client) ListedReferrers(ctx context.Context, repo provenance.Repository, subject provenance.Digest, pace Pace) (Referrers, error) {
	if err := checkNames(repo, subject); err != nil {
		return Referrers{}, err
	}
	request := referrersOf(c, repo, subject)
	what := request.what
	var out Referrers
	have, idle := map[provenance.Digest]bool{}, 0
	for n := range maxPages {
		if n > 0 && pace != nil {
			if err := pace(ctx); err != nil {
				return Referrers{Supported: true}, provenance.Wrap(provenance.Unavailable, err, "%s", what)
			}
		}
		page, answered, following, err := c.referrersPage(ctx, repo, request)
		out.Supported = out.Supported || answered
		if err != nil || !answered {
			return Referrers{Supported: out.Supported}, err
		}
		idle++
		for _, entry := range page {
			if have[entry.Digest] {
				continue
			}
			if len(out.List) == MaxReferrers {
				return out, nil
			}
			have[entry.Digest], idle = true, 0
			out.List = append(out.List, entry)
		}
		switch {
		case following == nil:
			out.Complete = true
			return out, nil
		case idle > maxIdle:
			return Referrers{Supported: true}, provenance.Errorf(provenance.Invalid, "%s: its pages lead in circles", what)
		}
		request.url = following
	}
	return out, nil
}

func referrersOf(c *Client, repo provenance.Repository, subject provenance.Digest) call {
	return call{
		path: "/referrers/" + subject.String(), accept: []string{ociIndex}, what: "referrers of " + c.image(repo, subject.String()),
		status: []int{http.StatusOK, http.StatusNotFound, http.StatusMethodNotAllowed},
	}
}

// referrersPage asks for one page. answered is false when the registry has no such API.
func (c *Client) referrersPage(ctx context.Context, repo provenance.Repository, request call) (page []Descriptor, answered bool, following *url.URL, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	resp, err := c.do(ctx, repo, request)
	if err != nil {
		return nil, false, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := readBody(resp, request.what)
	if resp.StatusCode != http.StatusOK {
		return nil, false, nil, err
	}
	var mediaType string
	if err == nil {
		mediaType, err = contentType(resp, request.what)
	}
	if err != nil {
		return nil, true, nil, err
	}
	if page, err = readReferrers(body, mediaType); err != nil {
		return nil, true, nil, provenance.Errorf(provenance.Invalid, "%s: not a list: %v", request.what, err)
	}
	return page, true, next(resp), nil
}

// readReferrers reads a page of the list. It has the form of an index and is
// none: nothing names it by its digest, and it may have more entries.
func readReferrers(body []byte, mediaType string) ([]Descriptor, error) {
	if err := checkAnnotated(body); err != nil {
		return nil, err
	}
	var page struct {
		SchemaVersion int          `json:"schemaVersion"`
		MediaType     string       `json:"mediaType"`
		Manifests     []descriptor `json:"manifests"`
	}
	if err := json.Unmarshal(body, &page); err != nil {
		return nil, provenance.Wrap(provenance.Invalid, err, "not an index")
	}
	if page.MediaType == "" {
		page.MediaType = mediaType // OCI lets a list leave it out
	}
	if page.SchemaVersion != 2 || page.MediaType != ociIndex || mediaType != "" && mediaType != ociIndex || page.Manifests == nil {
		return nil, bad("want an index of schema version 2 with manifests, as %s", ociIndex)
	}
	return describe(page.Manifests, maxValues)
}

// next returns where the following page is, nil on the last. The transport has the
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
