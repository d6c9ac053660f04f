package registry

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// catalogueTransport is logged in for the catalogue. It is made anew for each
// listing: its token is of no use for anything else.
func (c *Client) catalogueTransport(ctx context.Context) (http.RoundTripper, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	return transport.NewWithContext(ctx, c.registry, c.auth, c.base, []string{c.registry.Scope(transport.CatalogScope)})
}

// getCatalogue is do for the one address that belongs to no repository.
func getCatalogue(ctx context.Context, tr http.RoundTripper, address *url.URL, what string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address.String(), http.NoBody)
	if err != nil {
		return nil, provenance.Wrap(provenance.Invalid, err, "%s", what)
	}
	client := http.Client{Transport: tr, CheckRedirect: checkRedirect}
	resp, err := client.Do(req)
	if err != nil {
		return nil, withoutCatalogue(err, what)
	}
	if err := transport.CheckError(resp, http.StatusOK, http.StatusBadRequest); err != nil {
		_ = resp.Body.Close()
		return nil, withoutCatalogue(err, what)
	}
	if why := tampered(resp); why != "" {
		_ = resp.Body.Close()
		return nil, provenance.Errorf(provenance.Invalid, "%s: %s", what, why)
	}
	return resp, nil
}

// withoutCatalogue gives a failure the code that Catalogue promises: public
// registries refuse their catalogue in every way HTTP knows.
func withoutCatalogue(err error, what string) error {
	var answer *transport.Error
	if errors.As(err, &answer) {
		switch answer.StatusCode {
		case http.StatusUnauthorized, http.StatusForbidden:
			return provenance.Wrap(provenance.Forbidden, err, "fetch %s", what)
		case http.StatusNotFound, http.StatusGone, http.StatusMethodNotAllowed, http.StatusNotImplemented:
			return provenance.Wrap(provenance.NotFound, err, "fetch %s", what)
		}
	}
	return classify(err, "fetch "+what)
}
