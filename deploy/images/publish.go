package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// The kinds of document beside an image.
const (
	kindSBOM       = "sbom"
	kindProvenance = "provenance"
)

// artifact is a document that refers to an image: an OCI manifest with a subject.
type artifact struct {
	kind     string
	content  []byte // for people and for waybill attest
	manifest []byte
	blobs    [][]byte // what the manifest names
	typ      string
}

// refer makes the artifact of a document. Of provenance that is the whole statement, while content
// is its predicate.
func refer(subject v1.Descriptor, kind, mediaType string, content, stored []byte, annotations map[string]string) (artifact, error) {
	nothing := []byte("{}")
	config, err := blob("application/vnd.oci.empty.v1+json", nothing)
	if err != nil {
		return artifact{}, err
	}
	body, err := blob(mediaType, stored)
	if err != nil {
		return artifact{}, err
	}
	manifest, err := json.Marshal(v1.Manifest{
		SchemaVersion: 2, MediaType: types.OCIManifestSchema1, ArtifactType: mediaType,
		Config: config, Layers: []v1.Descriptor{body}, Subject: &subject, Annotations: annotations,
	})
	return artifact{kind: kind, content: content, manifest: manifest, blobs: [][]byte{nothing, stored}, typ: mediaType}, err
}

func blob(mediaType string, content []byte) (v1.Descriptor, error) {
	digest, size, err := v1.SHA256(bytes.NewReader(content))
	return v1.Descriptor{MediaType: types.MediaType(mediaType), Digest: digest, Size: size}, err
}

// RawManifest and MediaType make an artifact something that can be pushed.
func (a artifact) RawManifest() ([]byte, error) { return a.manifest, nil }

// MediaType is that of the manifest.
func (a artifact) MediaType() (types.MediaType, error) { return types.OCIManifestSchema1, nil }

// index lists the images of several platforms.
func index(images []image) v1.ImageIndex {
	list := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, img := range images {
		platform := img.platform
		list = mutate.AppendManifests(list, mutate.IndexAddendum{Add: img.Image, Descriptor: v1.Descriptor{Platform: &platform}})
	}
	return list
}

// writeLayout replaces a folder by an OCI layout: what the tag names, and what refers to it.
func writeLayout(dir, tag string, images []image) error {
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	out, err := layout.Write(dir, empty.Index)
	if err != nil {
		return err
	}
	ref := layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": tag})
	if len(images) == 1 {
		err = out.AppendImage(images[0].Image, ref)
	} else {
		err = out.AppendIndex(index(images), ref)
	}
	if err != nil {
		return err
	}
	for _, img := range images {
		for _, a := range img.referrers {
			for _, content := range append(a.blobs, a.manifest) {
				digest, _, err := v1.SHA256(bytes.NewReader(content))
				if err != nil {
					return err
				}
				if err := out.WriteBlob(digest, io.NopCloser(bytes.NewReader(content))); err != nil {
					return err
				}
			}
			d, err := blob(string(types.OCIManifestSchema1), a.manifest)
			if err != nil {
				return err
			}
			d.ArtifactType = a.typ
			if err := out.AppendDescriptor(d); err != nil {
				return err
			}
		}
	}
	return nil
}

// push sends the images first and then what refers to them, and returns the repository.
func push(ctx context.Context, o options, program string, images []image) (string, error) {
	var opts []name.Option
	if o.insecure {
		opts = append(opts, name.Insecure)
	}
	repo, err := name.NewRepository(o.push+"/"+program, opts...)
	if err != nil {
		return "", err
	}
	client := []remote.Option{remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain)}
	if len(images) == 1 {
		err = remote.Write(repo.Tag(o.tag), images[0].Image, client...)
	} else {
		err = remote.WriteIndex(repo.Tag(o.tag), index(images), client...)
	}
	if err != nil {
		return "", err
	}
	for _, img := range images {
		for _, a := range img.referrers {
			for _, content := range a.blobs {
				if err := remote.WriteLayer(repo, static.NewLayer(content, types.MediaType(a.typ)), client...); err != nil {
					return "", fmt.Errorf("%s: %w", a.kind, err)
				}
			}
			digest, _, err := v1.SHA256(bytes.NewReader(a.manifest))
			if err != nil {
				return "", err
			}
			if err := remote.Put(repo.Digest(digest.String()), a, client...); err != nil {
				return "", fmt.Errorf("%s: %w", a.kind, err)
			}
		}
	}
	return repo.Name(), nil
}
