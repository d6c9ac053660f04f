package lab

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
)

const (
	manifestType = "application/vnd.oci.image.manifest.v1+json"
	emptyType    = "application/vnd.oci.empty.v1+json"
)

// PushBlob uploads the two bytes "{}" to a repository: the config and layer of
// every image that PushImage makes (OCI image specification, "Guidance for an
// empty descriptor").
func (l *Lab) PushBlob(ctx context.Context, repo string) error {
	resp, err := l.request(ctx, http.MethodPost, fmt.Sprintf("http://%s/v2/%s/blobs/uploads/", l.Registry, repo), "", nil, http.StatusAccepted)
	if err != nil {
		return err
	}
	location, err := resp.Location()
	if err != nil {
		return err
	}
	q := location.Query()
	q.Set("digest", hash([]byte("{}")))
	location.RawQuery = q.Encode()
	_, err = l.request(ctx, http.MethodPut, location.String(), "application/octet-stream", []byte("{}"), http.StatusCreated)
	return err
}

// PushImage puts a manifest that no other name has, and returns its digest.
func (l *Lab) PushImage(ctx context.Context, repo, tag, name string) (string, error) {
	empty := map[string]any{"mediaType": emptyType, "digest": hash([]byte("{}")), "size": 2}
	manifest, err := json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": manifestType, "config": empty, "layers": []any{empty}, "annotations": map[string]string{"name": name},
	})
	if err != nil {
		return "", err
	}
	_, err = l.request(ctx, http.MethodPut, fmt.Sprintf("http://%s/v2/%s/manifests/%s", l.Registry, repo, url.PathEscape(tag)), manifestType, manifest, http.StatusCreated)
	return hash(manifest), err
}

func (l *Lab) request(ctx context.Context, method, target, contentType string, body []byte, want int) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }() // read to its end below
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != want {
		return nil, fmt.Errorf("%s %s: %s: %s", method, target, resp.Status, text)
	}
	return resp, nil
}

func hash(b []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(b)) }
