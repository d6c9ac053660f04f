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
	indexType    = "application/vnd.oci.image.index.v1+json"
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
	manifest, err := imageManifest(name)
	if err != nil {
		return "", err
	}
	_, err = l.request(ctx, http.MethodPut, l.manifestURL(repo, tag), manifestType, manifest, http.StatusCreated)
	return hash(manifest), err
}

// PushIndex puts an index of images that PushImage made, by their names, and returns its digest.
func (l *Lab) PushIndex(ctx context.Context, repo, tag, name string, images ...string) (string, error) {
	list := []any{}
	for _, image := range images {
		manifest, err := imageManifest(image)
		if err != nil {
			return "", err
		}
		list = append(list, map[string]any{"mediaType": manifestType, "digest": hash(manifest), "size": len(manifest)})
	}
	index, err := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": indexType, "manifests": list, "annotations": map[string]string{"name": name}})
	if err != nil {
		return "", err
	}
	_, err = l.request(ctx, http.MethodPut, l.manifestURL(repo, tag), indexType, index, http.StatusCreated)
	return hash(index), err
}

// DeleteManifest deletes a manifest from the registry.
func (l *Lab) DeleteManifest(ctx context.Context, repo, digest string) error {
	_, err := l.request(ctx, http.MethodDelete, l.manifestURL(repo, digest), "", nil, http.StatusAccepted)
	return err
}

// Notify sends what somebody who has the connector's secret may send.
func (l *Lab) Notify(ctx context.Context, body string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, l.HookURL(), bytes.NewReader([]byte(body)))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/vnd.docker.distribution.events.v2+json")
	req.Header.Set("Authorization", "Bearer "+Secret)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // its status is all that counts
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("notification: %s", resp.Status)
	}
	return nil
}

func (l *Lab) manifestURL(repo, reference string) string {
	return fmt.Sprintf("http://%s/v2/%s/manifests/%s", l.Registry, repo, url.PathEscape(reference))
}

func imageManifest(name string) ([]byte, error) {
	empty := map[string]any{"mediaType": emptyType, "digest": hash([]byte("{}")), "size": 2}
	return json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": manifestType, "config": empty, "layers": []any{empty}, "annotations": map[string]string{"name": name},
	})
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
