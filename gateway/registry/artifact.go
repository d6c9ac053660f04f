package registry

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"hash"
	"io"
	"strings"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// Limits of what is read of an artifact, in bytes and entries.
const (
	// MaxEnvelope is the largest signed envelope that is read whole.
	MaxEnvelope = 4 << 20
	// small is what takes no longer than a manifest.
	small = 64 << 10
	// MaxDocument is the largest document that is read to its hash.
	MaxDocument = 32 << 20
	// MaxLayers is how many layers of an artifact, or entries of an index, are looked at.
	MaxLayers = 256
)

// documentTime is how much longer a document may take than a manifest.
const documentTime = 4

// Descriptor names content of a repository (OCI image specification,
// descriptor.md). Annotations are the pusher's word.
type Descriptor struct {
	MediaType    string
	ArtifactType string
	Digest       provenance.Digest
	Size         int64
	Annotations  map[string]string
}

// Artifact is a small manifest with what hangs on it: a signature, an
// attestation, a document, or the index of a fallback tag.
type Artifact struct {
	Facts
	Annotations map[string]string
	Layers      []Descriptor // of a manifest
	Manifests   []Descriptor // of an index
}

// Artifact fetches a manifest by digest with its layers' descriptors, or has it from a
// ManifestBytes of the last minute. Errors are Manifest's; one with more than MaxLayers layers or entries is Invalid.
func (c *Client) Artifact(ctx context.Context, repo provenance.Repository, d provenance.Digest) (Artifact, error) {
	if err := checkNames(repo, d); err != nil {
		return Artifact{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	body, contentType, err := c.fetchOnce(ctx, repo, d)
	if err != nil {
		return Artifact{}, err
	}
	a, err := readArtifact(body, contentType, d)
	if err != nil {
		return Artifact{}, provenance.Wrap(provenance.Invalid, err, "artifact %s", c.image(repo, d.String()))
	}
	return a, nil
}

// fetchOnce is fetch, or what was fetched a moment ago and hashed then.
func (c *Client) fetchOnce(ctx context.Context, repo provenance.Repository, d provenance.Digest) ([]byte, string, error) {
	if m, ok := c.recent.take(recentKey{repo, d}, c.now()); ok {
		return m.body, m.contentType, nil
	}
	return c.fetch(ctx, repo, d)
}

func checkNames(repo provenance.Repository, d provenance.Digest) error {
	if _, err := provenance.ParseRepository(string(repo)); err != nil {
		return err
	}
	if d.IsZero() {
		return provenance.Errorf(provenance.Invalid, "content of %s: no digest", repo)
	}
	return nil
}

// descriptor and the lists of them are what is kept of a document beside its facts.
type descriptor struct {
	MediaType    string            `json:"mediaType"`
	Digest       string            `json:"digest"`
	Size         int64             `json:"size"`
	ArtifactType string            `json:"artifactType"`
	Annotations  map[string]string `json:"annotations"`
}

func readArtifact(body []byte, contentType string, self provenance.Digest) (Artifact, error) {
	if err := checkAnnotated(body); err != nil {
		return Artifact{}, err
	}
	facts, err := readFacts(body, contentType, self)
	if err != nil {
		return Artifact{}, err
	}
	var m struct {
		Layers      []descriptor      `json:"layers"`
		Manifests   []descriptor      `json:"manifests"`
		Annotations map[string]string `json:"annotations"`
	}
	if err := json.Unmarshal(body, &m); err != nil {
		return Artifact{}, provenance.Wrap(provenance.Invalid, err, "not an artifact")
	}
	a := Artifact{Facts: facts, Annotations: m.Annotations}
	if a.Layers, err = describe(m.Layers, MaxLayers); err == nil {
		a.Manifests, err = describe(m.Manifests, MaxLayers)
	}
	if err != nil {
		return Artifact{}, err
	}
	return a, nil
}

// describe returns nil for no list, so that an index is told from an image.
func describe(list []descriptor, most int) ([]Descriptor, error) {
	if list == nil {
		return nil, nil
	}
	if len(list) > most {
		return nil, bad("%d entries, at most %d are read", len(list), most)
	}
	out := make([]Descriptor, len(list))
	for i, d := range list {
		digest, err := provenance.ParseDigest(d.Digest)
		if err != nil {
			return nil, err
		}
		out[i] = Descriptor{MediaType: d.MediaType, ArtifactType: d.ArtifactType, Digest: digest, Size: d.Size, Annotations: d.Annotations}
	}
	return out, nil
}

// Blob fetches a blob whole: at most MaxEnvelope bytes, which have
// hashed to the descriptor's digest and are as many as it says. Errors are Manifest's; a larger one is
// Invalid, and nothing of it is fetched when the descriptor says so.
func (c *Client) Blob(ctx context.Context, repo provenance.Repository, d Descriptor) ([]byte, error) {
	if d.Size > MaxEnvelope {
		return nil, provenance.Errorf(provenance.Invalid, "blob %s is of %d bytes: at most %d are read whole", c.image(repo, d.Digest.String()), d.Size, MaxEnvelope)
	}
	timeout := c.timeout
	if d.Size > small {
		timeout *= documentTime
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	resp, what, err := c.blob(ctx, repo, d.Digest, min(max(d.Size+1, small), MaxEnvelope))
	if err != nil {
		return nil, err
	}
	defer resp.Close() //nolint:errcheck // what counts was read
	body, err := io.ReadAll(resp)
	if err != nil {
		return nil, classify(err, "read "+what)
	}
	if !d.Digest.Matches(body) {
		return nil, provenance.Errorf(provenance.Invalid, "%s: the registry sent other bytes", what)
	}
	if int64(len(body)) != d.Size {
		return nil, provenance.Errorf(provenance.Invalid, "%s has %d bytes and was described as %d", what, len(body), d.Size)
	}
	return body, nil
}

// Document streams a blob of at most MaxDocument bytes to w and returns the
// hex sha256 of it, which is the digest's where that is a sha256. What w got
// may be believed only when the error is nil.
func (c *Client) Document(ctx context.Context, repo provenance.Repository, d provenance.Digest, w io.Writer) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, documentTime*c.timeout)
	defer cancel()
	resp, what, err := c.blob(ctx, repo, d, MaxDocument)
	if err != nil {
		return "", err
	}
	defer resp.Close() //nolint:errcheck // what counts was read
	sum := sha256.New()
	prefix, check := hasher(d)
	if _, err := io.Copy(io.MultiWriter(sum, check, w), resp); err != nil {
		return "", classify(err, "read "+what)
	}
	if prefix+hex.EncodeToString(check.Sum(nil)) != d.String() {
		return "", provenance.Errorf(provenance.Invalid, "%s: the registry sent other bytes", what)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

func (c *Client) blob(ctx context.Context, repo provenance.Repository, d provenance.Digest, limit int64) (io.ReadCloser, string, error) {
	if err := checkNames(repo, d); err != nil {
		return nil, "", err
	}
	what := "blob " + c.image(repo, d.String())
	resp, err := c.do(ctx, repo, call{path: "/blobs/" + d.String(), limit: limit, what: what})
	if err != nil {
		return nil, what, err
	}
	return resp.Body, what, nil
}

// Resolve returns the digest of what a tag names now, by the bytes' own hash.
// Errors are Manifest's.
func (c *Client) Resolve(ctx context.Context, repo provenance.Repository, tag provenance.Tag) (provenance.Digest, error) {
	_, _, d, err := c.tagged(ctx, repo, tag)
	return d, err
}

func (c *Client) tagged(ctx context.Context, repo provenance.Repository, tag provenance.Tag) ([]byte, string, provenance.Digest, error) {
	if _, err := provenance.ParseRepository(string(repo)); err != nil {
		return nil, "", provenance.Digest{}, err
	}
	if _, err := provenance.ParseTag(string(tag)); err != nil {
		return nil, "", provenance.Digest{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	body, contentType, err := c.manifest(ctx, repo, string(tag))
	if err != nil {
		return nil, "", provenance.Digest{}, err
	}
	return body, contentType, provenance.SHA256Of(body), nil
}

// hasher returns the hash that makes d's digests.
func hasher(d provenance.Digest) (prefix string, h hash.Hash) {
	if strings.HasPrefix(d.String(), "sha512:") {
		return "sha512:", sha512.New()
	}
	return "sha256:", sha256.New()
}
