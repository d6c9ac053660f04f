package registry

import (
	"bytes"
	"encoding/json"
	"io"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// The media types of manifests this program reads. Docker schema 1 is not
// among them: its digest does not cover all of its bytes.
const (
	ociManifest    = "application/vnd.oci.image.manifest.v1+json"
	ociIndex       = "application/vnd.oci.image.index.v1+json"
	dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	dockerIndex    = "application/vnd.docker.distribution.manifest.list.v2+json"
)

func mediaTypes() []string { return []string{ociManifest, ociIndex, dockerManifest, dockerIndex} }

const (
	maxDepth = 32 // levels of JSON; a real manifest has five
	// maxTokens bounds the parts of a document: names, values, brackets. Read into
	// records, four megabytes of "{}," would become hundreds; 10,000 layers with
	// annotations are 150,000 parts.
	maxTokens = 250_000
	maxText   = 255
)

// emptyJSON is the digest of "{}", the stand-in for a config or a layer that
// an artifact does not have (OCI image specification, "Guidance for an empty
// descriptor").
const emptyJSON = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"

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
}

type descriptor struct {
	MediaType    string            `json:"mediaType"`
	Digest       string            `json:"digest"`
	Size         int64             `json:"size"`
	Data         json.RawMessage   `json:"data"`
	ArtifactType string            `json:"artifactType"`
	Annotations  map[string]string `json:"annotations"`
}

type manifest struct {
	SchemaVersion int           `json:"schemaVersion"`
	MediaType     string        `json:"mediaType"`
	ArtifactType  string        `json:"artifactType"`
	Config        *descriptor   `json:"config"`
	Layers        *[]descriptor `json:"layers"`
	Manifests     *[]descriptor `json:"manifests"`
	Subject       *descriptor   `json:"subject"`
	FSLayers      any           `json:"fsLayers"` // schema 1

	Annotations map[string]string `json:"annotations"`
}

// parseManifest reads bytes already known to hash to self. Every error is
// Invalid. Layers are checked, not kept: any number of them, none included.
func parseManifest(body []byte, contentType string, self provenance.Digest) (Facts, error) {
	_, facts, err := readManifest(body, contentType, self)
	return facts, err
}

// readManifest returns the manifest beside its facts.
func readManifest(body []byte, contentType string, self provenance.Digest) (manifest, Facts, error) {
	var m manifest
	if err := checkJSON(body); err != nil {
		return m, Facts{}, err
	}
	if err := json.Unmarshal(body, &m); err != nil {
		return m, Facts{}, provenance.Wrap(provenance.Invalid, err, "not a manifest")
	}
	facts, err := m.facts(contentType, self)
	if err != nil {
		return m, Facts{}, err
	}
	facts.Size = int64(len(body))
	return m, facts, nil
}

func (m manifest) facts(contentType string, self provenance.Digest) (Facts, error) {
	facts := Facts{MediaType: m.MediaType}
	if facts.MediaType == "" {
		facts.MediaType = contentType // OCI lets a manifest leave it out
	}
	if contentType != "" && contentType != facts.MediaType {
		return Facts{}, bad("it calls itself %.80q and was sent as %.80q", m.MediaType, contentType)
	}
	if !slices.Contains(mediaTypes(), facts.MediaType) {
		return Facts{}, bad("media type %.80q is not one this program reads", facts.MediaType)
	}
	if m.SchemaVersion != 2 || m.FSLayers != nil {
		return Facts{}, bad("schema version %d; only 2 is read", m.SchemaVersion)
	}
	isIndex := facts.MediaType == ociIndex || facts.MediaType == dockerIndex
	if isIndex && (m.Manifests == nil || m.Layers != nil || m.Config != nil) || !isIndex && (m.Manifests != nil || m.Layers == nil || m.Config == nil) {
		return Facts{}, bad("an image has a config and layers, an index has manifests, and neither has the other's")
	}
	var err error
	if isIndex {
		facts.Children, err = children(*m.Manifests, self)
	} else {
		facts.Config, err = configOf(m, self)
	}
	if err != nil {
		return Facts{}, err
	}
	if m.Subject != nil {
		if facts.Subject, err = m.Subject.check("subject", self); err != nil {
			return Facts{}, err
		}
	}
	if facts.ArtifactType, err = artifactType(m); err != nil {
		return Facts{}, err
	}
	return facts, nil
}

func bad(format string, args ...any) error {
	return provenance.Errorf(provenance.Invalid, format, args...)
}

// check reads a descriptor. Its digest cannot be self's: no content holds its
// own hash, so bytes that say so are no registry's.
func (d *descriptor) check(what string, self provenance.Digest) (provenance.Digest, error) {
	digest, err := provenance.ParseDigest(d.Digest)
	if err != nil {
		return digest, provenance.Wrap(provenance.Invalid, err, "%s", what)
	}
	if digest == self {
		return digest, bad("%s refers to the manifest itself", what)
	}
	if d.Size < 0 {
		return digest, bad("%s has the size %d", what, d.Size)
	}
	if len(d.Data) > 0 && string(d.Data) != "null" {
		var data []byte
		if err := json.Unmarshal(d.Data, &data); err != nil {
			return digest, bad("%s has data that is not base64", what)
		}
		if int64(len(data)) != d.Size || !digest.Matches(data) {
			return digest, bad("%s has data that is not what its digest and size say", what)
		}
	}
	return digest, nil
}

func children(list []descriptor, self provenance.Digest) ([]provenance.Digest, error) {
	if len(list) > provenance.MaxChildren {
		return nil, bad("%d manifests in one index, at most %d", len(list), provenance.MaxChildren)
	}
	var out []provenance.Digest
	for i := range list {
		digest, err := list[i].check("manifests", self)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(out, digest) {
			out = append(out, digest)
		}
	}
	return out, nil
}

func configOf(m manifest, self provenance.Digest) (provenance.Digest, error) {
	config, err := m.Config.check("config", self)
	if err != nil {
		return config, err
	}
	for i := range *m.Layers {
		layer, err := (*m.Layers)[i].check("layers", self)
		if err != nil {
			return config, err
		}
		if layer == config && layer.String() != emptyJSON {
			return config, bad("a layer is the config as well")
		}
	}
	return config, nil
}

func artifactType(m manifest) (string, error) {
	out := m.ArtifactType
	if out == "" && m.Config != nil {
		switch m.Config.MediaType {
		case "application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json", "application/vnd.oci.empty.v1+json":
		default:
			out = m.Config.MediaType
		}
	}
	if out != "" && (len(out) > maxText || !mediaTypeName.MatchString(out)) {
		return "", bad("artifact type %.80q is not a media type", out)
	}
	return out, nil
}

// checkJSON refuses what two readers could read differently: a key twice in an
// object (letter case folded, as encoding/json does), anything after the
// document, bytes that are not UTF-8, nesting past maxDepth, and more parts than maxTokens.
func checkJSON(body []byte) error {
	if !utf8.Valid(body) {
		return bad("not valid UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	type level struct {
		keys map[string]struct{} // nil in a list
		key  bool                // a key comes next
	}
	var open []level
	for n := 0; ; n++ {
		token, err := dec.Token()
		if err != nil {
			return provenance.Wrap(provenance.Invalid, err, "not JSON")
		}
		if n == maxTokens {
			return bad("made of more than %d parts", maxTokens)
		}
		top := len(open) - 1
		if text, ok := token.(string); ok && top >= 0 && open[top].key {
			folded := fold(text)
			if _, twice := open[top].keys[folded]; twice {
				return bad("the key %.80q stands twice in one object", text)
			}
			open[top].keys[folded] = struct{}{}
			open[top].key = false
			continue
		}
		switch token {
		case json.Delim('{'):
			open = append(open, level{keys: map[string]struct{}{}, key: true})
		case json.Delim('['):
			open = append(open, level{})
		case json.Delim('}'), json.Delim(']'):
			open = open[:top]
		}
		if len(open) > maxDepth {
			return bad("nested deeper than %d", maxDepth)
		}
		if token == json.Delim('{') || token == json.Delim('[') {
			continue
		}
		// A value has ended.
		if len(open) == 0 {
			break
		}
		if in := &open[len(open)-1]; in.keys != nil {
			in.key = true
		}
	}
	if _, err := dec.Token(); err != io.EOF {
		return bad("more follows after the document")
	}
	return nil
}

// fold maps strings that differ in case only to one. Upper first: the Kelvin
// sign and the long s have upper-case letters of ASCII or fold down to them.
func fold(s string) string { return strings.ToLower(strings.ToUpper(s)) }
