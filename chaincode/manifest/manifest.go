// Package manifest reads what an image manifest or an index says of itself,
// from its bytes and from nothing else. It is pure, builds nothing of what it
// does not return, and reads every document as all JSON parsers must: the
// contract derives from it the facts that decide, on every endorsing peer.
//
// Source: OCI image specification v1.1, manifest.md and image-index.md; Docker
// image manifest version 2, schema 2.
package manifest

import (
	"encoding/base64"
	"regexp"
	"slices"
	"strings"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/strictjson"
)

// The media types of manifests this package reads. Docker schema 1 is not
// among them: its digest does not cover all of its bytes.
const (
	OCIManifest    = "application/vnd.oci.image.manifest.v1+json"
	OCIIndex       = "application/vnd.oci.image.index.v1+json"
	DockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	DockerIndex    = "application/vnd.docker.distribution.manifest.list.v2+json"
)

// MediaTypes lists them.
func MediaTypes() []string { return []string{OCIManifest, OCIIndex, DockerManifest, DockerIndex} }

// IsIndex tells whether a media type is that of an index.
func IsIndex(mediaType string) bool { return mediaType == OCIIndex || mediaType == DockerIndex }

// emptyJSON is the digest of "{}", the stand-in for a config or a layer that
// an artifact does not have (OCI image specification, "Guidance for an empty
// descriptor").
const emptyJSON = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"

const maxText = 255

// RFC 6838, section 4.2.
var mediaTypeName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}$`)

// Facts are what a manifest says, from bytes that hash to its digest.
type Facts struct {
	MediaType string
	// ArtifactType is the manifest's own, or else the type of its config
	// where that is not an ordinary image's.
	ArtifactType string
	Size         int64             // of the manifest, in bytes
	Config       provenance.Digest // of an image
	Subject      provenance.Digest // of a referrer
	// Children are the manifests of an index, each once, in its order; at
	// most provenance.MaxChildren.
	Children []provenance.Digest
	// Nested are those of Children that the index calls indexes, or gives no type:
	// what they list in turn is in their bytes.
	Nested []provenance.Digest
}

// Read reads bytes that must hash to self and were served as contentType, ""
// where that is not known: then the document has to say its type, or have the
// one shape that the OCI types of images and indexes have. Every error is
// Invalid. Layers are checked, not kept: any number of them, none included.
func Read(body []byte, contentType string, self provenance.Digest) (Facts, error) {
	if !self.Matches(body) {
		return Facts{}, bad("its bytes do not hash to %s", self.Short())
	}
	return read(body, contentType, self)
}

// Hashed is Read, of no known type, for bytes that the caller hashed to self.
func Hashed(body []byte, self provenance.Digest) (Facts, error) { return read(body, "", self) }

func read(body []byte, contentType string, self provenance.Digest) (Facts, error) {
	if len(body) > provenance.MaxManifest {
		return Facts{}, bad("a manifest of %d bytes: at most %d", len(body), provenance.MaxManifest)
	}
	r, err := strictjson.NewReader(body, strictjson.Limits{
		Bytes: provenance.MaxManifest, Depth: maxDepth, String: provenance.MaxManifest, Name: provenance.MaxManifest, Names: maxNames,
		ExactNames: true, // of annotations; those that decide are checked here
	})
	if err != nil {
		return Facts{}, err
	}
	d := document{Reader: r, self: self}
	if err := d.read(); err != nil {
		return Facts{}, err
	}
	return d.facts(contentType, int64(len(body)))
}

const (
	maxDepth = 32   // levels of JSON that are read; a real manifest has five
	maxNames = 1024 // of one object; annotations are some dozens
)

// document is a manifest while it is read.
type document struct {
	*strictjson.Reader
	self provenance.Digest

	version                   int64
	mediaType, artifactType   string
	config, subject           descriptor
	layers, manifests         bool // there are lists of that name
	schema1                   bool
	children, nested          []provenance.Digest
	layerIsConfig, configSeen bool
	layerDigests              []provenance.Digest // until the config is known, which may come after them
}

type descriptor struct {
	set       bool
	mediaType string
	digest    provenance.Digest
}

// Names that decide. Another spelling of one is refused: parsers without
// regard to case would read it.
var (
	documentNames   = []string{"schemaVersion", "mediaType", "artifactType", "config", "layers", "manifests", "subject", "fsLayers"} //nolint:gochecknoglobals // a constant table
	descriptorNames = []string{"mediaType", "digest", "size", "data", "artifactType"}                                                //nolint:gochecknoglobals // a constant table
)

func (d *document) read() error {
	err := d.Object(func(name []byte) error {
		var err error
		switch string(name) {
		case "schemaVersion":
			d.version, err = d.Integer()
		case "mediaType":
			d.mediaType, err = d.Text()
		case "artifactType":
			d.artifactType, err = d.Text()
		case "config":
			d.config, err = d.descriptor("config")
			d.configSeen = err == nil && d.config.set
		case "subject":
			d.subject, err = d.descriptor("subject")
		case "layers":
			d.layers, err = d.list(d.layer)
		case "manifests":
			d.manifests, err = d.list(d.child)
		case "fsLayers":
			d.schema1 = true
			err = d.Skip()
		default:
			err = d.unknown(name, documentNames)
		}
		return err
	})
	if err != nil {
		return err
	}
	return d.End()
}

// unknown passes over a member whose name is none of those that decide.
func (d *document) unknown(name []byte, deciding []string) error {
	for _, known := range deciding {
		if strings.EqualFold(string(name), known) {
			return bad("the name %.80q stands for %q", name, known)
		}
	}
	return d.Skip()
}

// list reads a list and tells whether there is one: "null" is none.
func (d *document) list(entry func() error) (bool, error) {
	if d.Null() {
		return false, nil
	}
	return true, d.List(entry)
}

// maxLayers bounds the layers that are remembered until the config is known.
const maxLayers = 10_000

func (d *document) layer() error {
	layer, err := d.descriptor("layers")
	if err == nil && !layer.set {
		return bad("layers has an entry that is null")
	}
	if err != nil || layer.digest.String() == emptyJSON {
		return err
	}
	if d.configSeen {
		d.layerIsConfig = d.layerIsConfig || layer.digest == d.config.digest
		return nil
	}
	if len(d.layerDigests) >= maxLayers {
		return bad("more than %d layers before its config", maxLayers)
	}
	d.layerDigests = append(d.layerDigests, layer.digest)
	return nil
}

func (d *document) child() error {
	child, err := d.descriptor("manifests")
	if err == nil && !child.set {
		return bad("manifests has an entry that is null")
	}
	if err == nil && (child.mediaType == "" || IsIndex(child.mediaType)) && !slices.Contains(d.nested, child.digest) {
		d.nested = append(d.nested, child.digest)
	}
	if err != nil || slices.Contains(d.children, child.digest) {
		return err
	}
	if len(d.children) >= provenance.MaxChildren {
		return bad("more than %d manifests in one index", provenance.MaxChildren)
	}
	d.children = append(d.children, child.digest)
	return nil
}

// descriptor reads a descriptor; "null" is none. Its digest cannot be self's:
// no content holds its own hash, so bytes that say so are no registry's.
func (d *document) descriptor(what string) (descriptor, error) {
	if d.Null() {
		return descriptor{}, nil
	}
	out := descriptor{set: true}
	var text, data string
	var size int64
	err := d.Object(func(name []byte) error {
		var err error
		switch string(name) {
		case "mediaType":
			out.mediaType, err = d.Text()
		case "digest":
			text, err = d.Text()
		case "size":
			size, err = d.Integer()
		case "data":
			if !d.Null() {
				data, err = d.Text()
			}
		case "artifactType":
			_, err = d.Text()
		default:
			err = d.unknown(name, descriptorNames)
		}
		return err
	})
	if err != nil {
		return out, err
	}
	if out.digest, err = provenance.ParseDigest(text); err != nil {
		return out, provenance.Wrap(provenance.Invalid, err, "%s", what)
	}
	switch {
	case out.digest == d.self:
		return out, bad("%s refers to the manifest itself", what)
	case size < 0:
		return out, bad("%s has the size %d", what, size)
	case data == "":
		return out, nil
	}
	content, err := base64.StdEncoding.DecodeString(data)
	if err != nil {
		return out, bad("%s has data that is not base64", what)
	}
	if int64(len(content)) != size || !out.digest.Matches(content) {
		return out, bad("%s has data that is not what its digest and size say", what)
	}
	return out, nil
}

func (d *document) facts(contentType string, size int64) (Facts, error) {
	f := Facts{MediaType: d.mediaType, Size: size, Children: d.children, Nested: d.nested, Subject: d.subject.digest}
	if f.MediaType == "" {
		f.MediaType = contentType // OCI lets a manifest leave it out
	}
	if f.MediaType == "" {
		// Of the types that are read here only OCI's may leave it out, and their shapes differ.
		if f.MediaType = OCIManifest; d.manifests {
			f.MediaType = OCIIndex
		}
	}
	switch isIndex := IsIndex(f.MediaType); {
	case contentType != "" && contentType != f.MediaType:
		return Facts{}, bad("it calls itself %.80q and was sent as %.80q", d.mediaType, contentType)
	case !slices.Contains(MediaTypes(), f.MediaType):
		return Facts{}, bad("media type %.80q is not one this program reads", f.MediaType)
	case d.version != 2 || d.schema1:
		return Facts{}, bad("schema version %d; only 2 is read", d.version)
	case isIndex && (!d.manifests || d.layers || d.config.set), !isIndex && (d.manifests || !d.layers || !d.config.set):
		return Facts{}, bad("an image has a config and layers, an index has manifests, and neither has the other's")
	case !isIndex:
		f.Config = d.config.digest
		if d.layerIsConfig || f.Config.String() != emptyJSON && slices.Contains(d.layerDigests, f.Config) {
			return Facts{}, bad("a layer is the config as well")
		}
	}
	f.ArtifactType = d.artifactType
	if f.ArtifactType == "" && d.config.set {
		switch d.config.mediaType {
		case "application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json", "application/vnd.oci.empty.v1+json":
		default:
			f.ArtifactType = d.config.mediaType
		}
	}
	if f.ArtifactType != "" && (len(f.ArtifactType) > maxText || !mediaTypeName.MatchString(f.ArtifactType)) {
		return Facts{}, bad("artifact type %.80q is not a media type", f.ArtifactType)
	}
	return f, nil
}

func bad(format string, args ...any) error {
	return provenance.Errorf(provenance.Invalid, format, args...)
}
