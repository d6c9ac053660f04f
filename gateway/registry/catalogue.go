package registry

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/waybill-dev/waybill/chaincode/manifest"
	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// Limits of a list of names.
const (
	// MaxListed is how many names of one list are taken; the rest is left out,
	// and the listing says so.
	MaxListed = 200_000
	// pageSize is how many names one answer is asked for. It is what
	// distribution 3 grants at most, unless it is told otherwise.
	pageSize    = 1000
	maxPageSize = 100_000 // where a registry cuts its pages and does not say so
	maxAnswers  = 10_000  // of one list
	maxIdle     = 16      // answers in a row that bring nothing new
	maxQuery    = 4 << 10 // bytes of the address of a following page
)

// Pace is asked before each request of a call that makes many.
type Pace func(ctx context.Context) error

// Listing is a list of names as a registry gave it, sorted, each once.
type Listing[T ~string] struct {
	Names []T
	// Complete is false where the list was cut: by MaxListed, or by a registry
	// that does not tell how to go on. What is not in it may be there all the same.
	Complete bool
	// Odd counts names that no reference can have; they are left out.
	Odd int
}

// Catalogue lists the registry's repositories ("_catalog" of the distribution
// API: an extension, with pages as for tags). Errors: NotFound where the
// registry has none, Forbidden where it does not show it to us, Invalid where
// its pages lead in circles or elsewhere, Unavailable for all else.
func (c *Client) Catalogue(ctx context.Context, pace Pace) (Listing[provenance.Repository], error) {
	what := "catalogue of " + c.registry.RegistryStr()
	tr, err := c.catalogueTransport(ctx)
	if err != nil {
		return Listing[provenance.Repository]{}, withoutCatalogue(err, what)
	}
	l := listReader[provenance.Repository]{
		client: c, path: "/v2/_catalog", what: what, parse: provenance.ParseRepository, refusal: provenance.NotFound,
		ask: func(ctx context.Context, address *url.URL) (*http.Response, error) {
			return getCatalogue(ctx, tr, address, what)
		},
	}
	return l.read(ctx, pace)
}

// Tags lists the tags of a repository (OCI distribution specification,
// "Listing Tags"). Errors are Catalogue's; NotFound says that the registry
// knows no such repository, or does not show it to us.
func (c *Client) Tags(ctx context.Context, repo provenance.Repository, pace Pace) (Listing[provenance.Tag], error) {
	if _, err := provenance.ParseRepository(string(repo)); err != nil {
		return Listing[provenance.Tag]{}, err
	}
	what := "tags of " + c.registry.RegistryStr() + "/" + string(repo)
	l := listReader[provenance.Tag]{
		client: c, path: "/v2/" + string(repo) + "/tags/list", what: what, parse: provenance.ParseTag, refusal: provenance.Invalid,
		ask: func(ctx context.Context, address *url.URL) (*http.Response, error) {
			return c.do(ctx, repo, call{url: address, what: what, status: []int{http.StatusOK, http.StatusBadRequest}})
		},
	}
	return l.read(ctx, pace)
}

// Named returns the digest a registry says a tag names, zero where it does not
// say (or says that there is no such tag, without words: a HEAD has no body).
// It is the registry's word: Resolve hashes the bytes. Errors are Unavailable.
func (c *Client) Named(ctx context.Context, repo provenance.Repository, tag provenance.Tag) (provenance.Digest, error) {
	var none provenance.Digest
	if _, err := provenance.ParseRepository(string(repo)); err != nil {
		return none, err
	}
	if _, err := provenance.ParseTag(string(tag)); err != nil {
		return none, err
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	resp, err := c.do(ctx, repo, call{
		method: http.MethodHead, path: "/manifests/" + string(tag), accept: manifest.MediaTypes(), what: "manifest " + c.image(repo, string(tag)),
		status: []int{http.StatusOK, http.StatusBadRequest, http.StatusNotFound, http.StatusGone, http.StatusMethodNotAllowed, http.StatusNotAcceptable, http.StatusNotImplemented},
	})
	if err != nil {
		return none, err
	}
	_ = resp.Body.Close()
	said := resp.Header.Values("Docker-Content-Digest")
	if resp.StatusCode != http.StatusOK || len(said) != 1 {
		return none, nil
	}
	d, err := provenance.ParseDigest(said[0])
	if err != nil {
		return none, nil // a digest we cannot read is none
	}
	return d, nil
}

// Served fetches a manifest by digest and returns the digest of the bytes that
// came: d itself, or another where the registry lies. What the bytes say is not
// looked at. Errors: NotFound in the registry's own words, Invalid for an
// answer that cannot be read whole, Unavailable for all else.
func (c *Client) Served(ctx context.Context, repo provenance.Repository, d provenance.Digest) (provenance.Digest, error) {
	if err := checkNames(repo, d); err != nil {
		return provenance.Digest{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	body, _, err := c.manifest(ctx, repo, d.String())
	if err != nil || d.Matches(body) {
		return d, err
	}
	return provenance.SHA256Of(body), nil
}

// listReader reads one list of names, page by page.
type listReader[T ~string] struct {
	client  *Client
	path    string
	what    string
	ask     func(ctx context.Context, address *url.URL) (*http.Response, error)
	parse   func(string) (T, error)
	refusal provenance.Code // of a registry that answers 400, whatever it is asked

	have map[T]bool
	odd  map[string]bool
}

// listPage is one page.
type listPage struct {
	names int // in it
	fresh int // not seen before
	last  string
	next  *url.URL
	wrong bool // 400: the registry does not like our page size
}

// read goes through the pages. The ways a registry ends a list early without
// saying so are known: a full page without a link is followed by a question for
// what comes after its last name, and where that brings the same again, for
// more at once.
func (l *listReader[T]) read(ctx context.Context, pace Pace) (Listing[T], error) {
	l.have, l.odd = map[T]bool{}, map[string]bool{}
	size, idle := pageSize, 0
	address := l.address(size, "")
	for range maxAnswers {
		page, err := l.page(ctx, pace, address)
		if size > pageSize && provenance.CodeOf(err) == provenance.Invalid {
			return l.listing(false), nil // too much at once
		}
		if err != nil {
			return Listing[T]{}, err
		}
		if idle++; page.fresh > 0 {
			idle = 0
		}
		switch {
		case page.wrong && size == pageSize && len(l.have) == 0:
			size = 0 // as many as it likes, then
			address = l.address(size, "")
		case page.wrong && len(l.have) == 0:
			return Listing[T]{}, provenance.Errorf(l.refusal, "%s: the registry does not answer this question", l.what)
		case page.wrong:
			return l.listing(false), nil
		case len(l.have) >= MaxListed:
			return l.listing(false), nil
		case page.next != nil && idle > maxIdle:
			return Listing[T]{}, provenance.Errorf(provenance.Invalid, "%s: the pages go on and bring nothing new", l.what)
		case page.next != nil:
			address = page.next
		case page.names == 0 || size == 0 || page.names < size:
			return l.listing(true), nil
		case page.fresh > 0:
			address = l.address(size, page.last)
		case size < maxPageSize:
			size *= 10
			address = l.address(size, "")
		default:
			return l.listing(false), nil
		}
	}
	return l.listing(false), nil
}

func (l *listReader[T]) address(size int, last string) *url.URL {
	query := url.Values{}
	if size > 0 {
		query.Set("n", strconv.Itoa(size))
	}
	if last != "" {
		query.Set("last", last)
	}
	return &url.URL{Scheme: l.client.registry.Scheme(), Host: l.client.registry.RegistryStr(), Path: l.path, RawQuery: query.Encode()}
}

func (l *listReader[T]) listing(complete bool) Listing[T] {
	out := Listing[T]{Names: make([]T, 0, len(l.have)), Complete: complete, Odd: len(l.odd)}
	for name := range l.have {
		out.Names = append(out.Names, name)
	}
	slices.Sort(out.Names)
	return out
}

// page asks for one page and takes its names.
func (l *listReader[T]) page(ctx context.Context, pace Pace, address *url.URL) (listPage, error) {
	if pace != nil {
		if err := pace(ctx); err != nil {
			return listPage{}, provenance.Wrap(provenance.Unavailable, err, "%s", l.what)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, l.client.timeout)
	defer cancel()
	resp, err := l.ask(ctx, address)
	if err != nil {
		return listPage{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode == http.StatusBadRequest {
		return listPage{wrong: true}, nil
	}
	body, err := readBody(resp, l.what)
	if err != nil {
		return listPage{}, err
	}
	page, err := readNames(body)
	if err != nil {
		return listPage{}, provenance.Wrap(provenance.Invalid, err, "%s", l.what)
	}
	out := listPage{names: len(page)}
	for _, text := range page {
		name, err := l.parse(text)
		out.last = max(out.last, text) // some give no order
		switch {
		case err != nil && !l.odd[text] && len(l.odd) < MaxListed:
			l.odd[text] = true
			out.fresh++
		case err == nil && !l.have[name] && len(l.have) < MaxListed:
			l.have[name] = true
			out.fresh++
		}
	}
	out.next, err = l.following(resp, address)
	return out, err
}

// following checks where a page sends its reader on to: the same list of the
// same registry, or nowhere. The transport would refuse another host as well.
func (l *listReader[T]) following(resp *http.Response, asked *url.URL) (*url.URL, error) {
	u := next(resp)
	switch {
	case u == nil:
		return nil, nil
	case u.Scheme != asked.Scheme || u.Host != asked.Host || u.User != nil:
		return nil, provenance.Errorf(provenance.Invalid, "%s: the next page is said to be at %.80q, another host", l.what, u.Redacted())
	case u.Path != l.path || len(u.RawQuery) > maxQuery:
		return nil, provenance.Errorf(provenance.Invalid, "%s: the next page is said to be at %.80q, which is another list", l.what, u.Redacted())
	}
	u.Fragment = ""
	return u, nil
}

// readNames reads an answer of either list. "tags" may be null (distribution,
// for a repository whose last tag was deleted).
func readNames(body []byte) ([]string, error) {
	if err := checkJSON(body); err != nil {
		return nil, err
	}
	var page struct {
		Repositories []string `json:"repositories"`
		Tags         []string `json:"tags"`
	}
	if err := json.Unmarshal(body, &page); err != nil || body[0] != '{' {
		return nil, bad("want an object with a list of names")
	}
	return append(page.Repositories, page.Tags...), nil
}
