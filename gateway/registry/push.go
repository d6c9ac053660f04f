package registry

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// PrivateAnnotation on an artifact or a layer of it, "true", asks that what its
// documents list stays off the ledger.
const PrivateAnnotation = "dev.waybill.evidence/private"

// Referrer is an artifact to push: one blob that says something about Subject.
type Referrer struct {
	Subject      provenance.Digest
	ArtifactType string
	// MediaType is the blob's; empty means ArtifactType.
	MediaType   string
	Blob        []byte
	Annotations map[string]string
}

// Push puts a referrer into the repository of its subject and returns its
// digest. Where the registry does not keep referrers itself, the index under
// FallbackTag is rewritten too; two who do that at once may lose one entry of
// it (the OCI distribution specification says so), so it is read again and
// repaired. Pushing the same again changes nothing. Errors are Manifest's; a
// subject that is not in the repository is NotFound.
func (c *Client) Push(ctx context.Context, repo provenance.Repository, r Referrer) (provenance.Digest, error) {
	if err := checkNames(repo, r.Subject); err != nil {
		return provenance.Digest{}, err
	}
	if len(r.Blob) == 0 || len(r.Blob) > MaxDocument || !mediaTypeName.MatchString(r.ArtifactType) {
		return provenance.Digest{}, provenance.Errorf(provenance.Invalid, "referrer of type %.80q with %d bytes: want a media type and 1 to %d bytes", r.ArtifactType, len(r.Blob), MaxDocument)
	}
	subject, err := c.Manifest(ctx, repo, r.Subject)
	if err != nil {
		return provenance.Digest{}, err
	}
	if r.MediaType == "" {
		r.MediaType = r.ArtifactType
	}
	manifest, err := r.manifest(subject)
	if err != nil {
		return provenance.Digest{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*documentTime*c.timeout)
	defer cancel()
	for _, blob := range [][]byte{r.Blob, []byte("{}")} {
		if err := c.upload(ctx, repo, blob); err != nil {
			return provenance.Digest{}, err
		}
	}
	d := provenance.SHA256Of(manifest)
	kept, err := c.putManifest(ctx, repo, d.String(), ociManifest, manifest)
	if err != nil {
		return provenance.Digest{}, err
	}
	if kept {
		return d, nil
	}
	if _, answered, _, err := c.referrersPage(ctx, repo, referrersOf(c, repo, r.Subject)); err != nil || answered {
		return d, err
	}
	return d, c.addToFallback(ctx, repo, r, d, int64(len(manifest)))
}

// wireDescriptor and wireManifest are written; descriptor and manifest are read.
type wireDescriptor struct {
	MediaType    string            `json:"mediaType"`
	ArtifactType string            `json:"artifactType,omitempty"`
	Digest       provenance.Digest `json:"digest"`
	Size         int64             `json:"size"`
	Annotations  map[string]string `json:"annotations,omitempty"`
}

type wireManifest struct {
	SchemaVersion int               `json:"schemaVersion"`
	MediaType     string            `json:"mediaType"`
	ArtifactType  string            `json:"artifactType,omitempty"`
	Config        *wireDescriptor   `json:"config,omitempty"`
	Layers        []wireDescriptor  `json:"layers,omitempty"`
	Subject       *wireDescriptor   `json:"subject,omitempty"`
	Annotations   map[string]string `json:"annotations,omitempty"`
}

// wireIndex keeps the entries of others as they are.
type wireIndex struct {
	SchemaVersion int               `json:"schemaVersion"`
	MediaType     string            `json:"mediaType"`
	Manifests     []json.RawMessage `json:"manifests"`
	Annotations   map[string]string `json:"annotations,omitempty"`
}

func (r Referrer) manifest(subject Facts) ([]byte, error) {
	empty := []byte("{}")
	b, err := json.Marshal(wireManifest{
		SchemaVersion: 2, MediaType: ociManifest, ArtifactType: r.ArtifactType,
		Config:      &wireDescriptor{MediaType: "application/vnd.oci.empty.v1+json", Digest: provenance.SHA256Of(empty), Size: int64(len(empty))},
		Layers:      []wireDescriptor{{MediaType: r.MediaType, Digest: provenance.SHA256Of(r.Blob), Size: int64(len(r.Blob))}},
		Subject:     &wireDescriptor{MediaType: subject.MediaType, Digest: r.Subject, Size: subject.Size},
		Annotations: r.Annotations,
	})
	if err != nil {
		return nil, provenance.Wrap(provenance.Internal, err, "write referrer")
	}
	return b, nil
}

// upload puts a blob that is not there yet: one POST for the place, one PUT.
func (c *Client) upload(ctx context.Context, repo provenance.Repository, blob []byte) error {
	d := provenance.SHA256Of(blob)
	what := "blob " + c.image(repo, d.String())
	resp, err := c.do(ctx, repo, call{method: http.MethodHead, path: "/blobs/" + d.String(), push: true, what: what, status: []int{http.StatusOK, http.StatusNotFound}})
	if err != nil {
		return err
	}
	_ = resp.Body.Close()
	if resp.StatusCode == http.StatusOK {
		return nil
	}
	resp, err = c.do(ctx, repo, call{method: http.MethodPost, path: "/blobs/uploads/", push: true, what: what, status: []int{http.StatusAccepted}})
	if err != nil {
		return err
	}
	_ = resp.Body.Close()
	place, err := resp.Request.URL.Parse(resp.Header.Get("Location"))
	if err != nil || resp.Header.Get("Location") == "" {
		return provenance.Errorf(provenance.Invalid, "push %s: the registry names no place for it", what)
	}
	query := place.Query()
	query.Set("digest", d.String())
	place.RawQuery = query.Encode()
	resp, err = c.do(ctx, repo, call{
		method: http.MethodPut, url: place, push: true, body: blob, contentType: "application/octet-stream", what: what, status: []int{http.StatusCreated},
	})
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// putManifest puts a manifest and tells whether the registry lists its subject's referrers by itself.
func (c *Client) putManifest(ctx context.Context, repo provenance.Repository, reference, mediaType string, manifest []byte) (kept bool, err error) {
	resp, err := c.do(ctx, repo, call{
		method: http.MethodPut, path: "/manifests/" + reference, push: true, body: manifest, contentType: mediaType,
		what: "manifest " + c.image(repo, reference), status: []int{http.StatusCreated},
	})
	if err != nil {
		return false, err
	}
	return resp.Header.Get("OCI-Subject") != "", resp.Body.Close()
}

// addToFallback adds a referrer to the index under the fallback tag, and looks again
// whether another writer's index took its place meanwhile.
func (c *Client) addToFallback(ctx context.Context, repo provenance.Repository, r Referrer, d provenance.Digest, size int64) error {
	entry, err := json.Marshal(wireDescriptor{MediaType: ociManifest, ArtifactType: r.ArtifactType, Digest: d, Size: size, Annotations: r.Annotations})
	if err != nil {
		return provenance.Wrap(provenance.Internal, err, "write referrers")
	}
	tag := FallbackTag(r.Subject)
	for range 4 {
		index := wireIndex{SchemaVersion: 2, MediaType: ociIndex}
		body, contentType, self, err := c.tagged(ctx, repo, tag)
		switch provenance.CodeOf(err) {
		case "":
			held, err := readArtifact(body, contentType, self)
			if err != nil || held.MediaType != ociIndex {
				return provenance.Errorf(provenance.Conflict, "tag %s of %s is not a list of referrers: %v", tag, repo, err)
			}
			if slices.ContainsFunc(held.Manifests, func(e Descriptor) bool { return e.Digest == d }) {
				return nil
			}
			if err := json.Unmarshal(body, &index); err != nil {
				return provenance.Wrap(provenance.Invalid, err, "referrers of %s", c.image(repo, r.Subject.String()))
			}
		case provenance.NotFound:
		default:
			return err
		}
		index.MediaType, index.Manifests = ociIndex, append(index.Manifests, entry)
		b, err := json.Marshal(index)
		if err != nil {
			return provenance.Wrap(provenance.Internal, err, "write referrers")
		}
		if _, err := c.putManifest(ctx, repo, string(tag), ociIndex, b); err != nil {
			return err
		}
	}
	return provenance.Errorf(provenance.Conflict, "tag %s of %s: others keep writing it; push again", tag, repo)
}
