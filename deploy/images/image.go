package main

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// image is one platform's image with what says how it came to be.
type image struct {
	v1.Image
	platform  v1.Platform
	digest    v1.Hash
	referrers []artifact
}

// make builds, packs, writes and, if asked, pushes a program's images.
func (p program) make(ctx context.Context, o options, work string) ([]result, error) {
	var images []image
	for _, platform := range o.platforms {
		img, err := p.image(ctx, o, platform, work)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", platform, err)
		}
		images = append(images, img)
	}
	var results []result
	for _, img := range images {
		r := result{Name: p.name, Platform: img.platform.String(), Digest: img.digest.String()}
		for _, a := range img.referrers {
			name := fmt.Sprintf("%s-%s.%s.json", p.name, strings.ReplaceAll(img.platform.String(), "/", "-"), a.kind)
			if err := os.WriteFile(filepath.Join(o.out, name), a.content, 0o644); err != nil {
				return nil, err
			}
			if a.kind == kindSBOM {
				r.SBOM = name
			} else {
				r.Evidence = name
			}
		}
		results = append(results, r)
	}
	if err := writeLayout(filepath.Join(o.out, p.name), o.tag, images); err != nil {
		return nil, err
	}
	if o.push == "" {
		return results, nil
	}
	where, err := push(ctx, o, p.name, images)
	if err != nil {
		return nil, fmt.Errorf("push: %w", err)
	}
	for i := range results {
		results[i].Image = where + "@" + results[i].Digest
	}
	return results, nil
}

func (p program) image(ctx context.Context, o options, platform v1.Platform, work string) (image, error) {
	below, err := base(p.web)
	if err != nil {
		return image{}, err
	}
	var binaries []file
	var infos []*buildinfo.BuildInfo
	for _, b := range p.built {
		content, err := b.build(ctx, o, platform, work)
		if err != nil {
			return image{}, err
		}
		info, err := buildinfo.Read(bytes.NewReader(content))
		if err != nil {
			return image{}, fmt.Errorf("build information of %s: %w", b.pkg, err)
		}
		infos = append(infos, info)
		binaries = append(binaries, named(content, b.paths)...)
	}
	img, err := p.assemble(o, platform, below, binaries)
	if err != nil {
		return image{}, err
	}
	digest, err := img.Digest()
	if err != nil {
		return image{}, err
	}
	made := image{Image: img, platform: platform, digest: digest}
	subject, err := descriptor(img)
	if err != nil {
		return image{}, err
	}
	if made.referrers, err = p.documents(o, platform, subject, infos); err != nil {
		return image{}, err
	}
	return made, nil
}

// named is one binary under each of its names.
func named(content []byte, paths []string) []file {
	paths = slices.Sorted(slices.Values(paths))
	first := strings.TrimPrefix(paths[0], "/")
	files := []file{{name: first, mode: 0o755, content: content}}
	for _, p := range paths[1:] {
		files = append(files, file{name: strings.TrimPrefix(p, "/"), mode: 0o755, link: first})
	}
	return files
}

// assemble makes an image of two layers, what seldom changes below what does.
func (p program) assemble(o options, platform v1.Platform, layers ...[]file) (v1.Image, error) {
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	for i, files := range layers {
		l, err := layer(files, o.created)
		if err != nil {
			return nil, err
		}
		img, err = mutate.Append(img, mutate.Addendum{Layer: l, MediaType: types.OCILayer, History: v1.History{
			Created: v1.Time{Time: o.created}, CreatedBy: "waybill images", Comment: []string{"base", p.name}[i],
		}})
		if err != nil {
			return nil, err
		}
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.Created = v1.Time{Time: o.created}
	config.OS, config.Architecture, config.Variant = platform.OS, platform.Architecture, platform.Variant
	config.Config = v1.Config{
		User: fmt.Sprintf("%d:%d", nobody, nobody), WorkingDir: "/",
		Env:        append([]string{"PATH=/usr/bin", "HOME=" + data}, p.env...),
		Entrypoint: p.entry, Cmd: p.args, StopSignal: "SIGTERM",
		ExposedPorts: map[string]struct{}{}, Labels: p.labels(o),
	}
	for _, port := range p.ports {
		config.Config.ExposedPorts[port] = struct{}{}
	}
	return mutate.ConfigFile(img, config)
}

func (p program) labels(o options) map[string]string {
	labels := map[string]string{
		"org.opencontainers.image.title": p.name, "org.opencontainers.image.description": p.title,
		"org.opencontainers.image.version": o.version, "org.opencontainers.image.source": o.origin,
		"org.opencontainers.image.licenses": "Apache-2.0",
	}
	if o.commit != "" {
		labels["org.opencontainers.image.revision"] = o.commit
	}
	return labels
}

// descriptor is what others name an image by.
func descriptor(img v1.Image) (v1.Descriptor, error) {
	raw, err := img.RawManifest()
	if err != nil {
		return v1.Descriptor{}, err
	}
	digest, err := img.Digest()
	return v1.Descriptor{MediaType: types.OCIManifestSchema1, Digest: digest, Size: int64(len(raw))}, err
}
