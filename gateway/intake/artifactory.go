package intake

import (
	"crypto/sha256"
	"encoding/hex"
	"path"
	"strings"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// KindArtifactory is the kind of connector that reads the predefined webhooks
// of JFrog Artifactory, domain docker. The webhook must sign its payloads
// (use_secret_for_signing); a plain secret in the header is not taken.
const KindArtifactory = "artifactory"

func artifactoryFormat() format {
	return format{
		kind: KindArtifactory, parse: parseArtifactory, types: isJSON, prefixes: true,
		sign: &signature{header: "X-JFrog-Event-Auth", hash: sha256.New},
	}
}

type artifactoryEvent struct {
	Domain string           `json:"domain"`
	Type   string           `json:"event_type"`
	Data   *artifactoryData `json:"data"`
}

type artifactoryData struct {
	RepoKey   string `json:"repo_key"`
	Path      string `json:"path"` // of the file within the storage repository
	Name      string `json:"name"` // of the file
	SHA256    string `json:"sha256"`
	ImageName string `json:"image_name"` // the last part of the image's path, in some versions all of it
	Tag       string `json:"tag"`
}

// isManifest tells the names under which manifests are filed; "" where the event names no file.
func isManifest(name string) bool {
	return name == "" || name == "manifest.json" || name == "list.manifest.json"
}

// image is the path of the image within its storage repository, and what it is
// filed under there: <image>/<tag>/manifest.json, or the folder <image>/<tag>.
func (d artifactoryData) image() (image, reference value, err error) {
	if d.Path == "" { // some versions leave it out
		return value{"data.image_name", d.ImageName}, value{"data.tag", d.Tag}, nil
	}
	folder, file := strings.TrimSuffix(d.Path, "/"), path.Base(d.Path)
	// A tag may be called manifest.json as well: then the path ends in it twice, or is the folder's.
	if isManifest(file) && (file != d.Tag || strings.HasSuffix(folder, "/"+file+"/"+file)) {
		folder = strings.TrimSuffix(folder, "/"+file)
	}
	i := strings.LastIndex(folder, "/")
	if i <= 0 {
		return image, reference, provenance.Errorf(provenance.Invalid, "data.path: %q: want the path of an image, its tag and the file", clipText(d.Path))
	}
	image, reference = value{"data.path", folder[:i]}, value{"data.tag", d.Tag}
	if d.Tag == "" {
		reference = value{"data.path", folder[i+1:]}
	}
	return image, reference, nil
}

func parseArtifactory(m message) (batch, error) {
	var in artifactoryEvent
	const want = `{"domain":…,"event_type":…,"data":{…}}, an Artifactory webhook`
	if err := decode(m.raw, &in, want); err != nil {
		return batch{}, err
	}
	if err := marked(want, in.Domain != "", in.Type != "", in.Data != nil); err != nil {
		return batch{}, err
	}
	if in.Domain != "docker" || !isManifest(in.Data.Name) && (in.Data.Tag == "" || in.Data.Name != in.Data.Tag) {
		return ignoring(ignoredOther), nil // files of other kinds, layers
	}
	image, reference, err := in.Data.image()
	if err != nil {
		return batch{}, err
	}
	repository, err := m.connector.stored(in.Data.RepoKey, image.text)
	if err != nil {
		return batch{}, err
	}
	body, err := hashJSON(m.raw)
	if err != nil {
		return batch{}, err
	}
	// The body holds neither id nor time.
	since := m.dedup.first(repository+"\x1f"+reference.text, body, m.now)
	c := report{
		id:         m.id("body", hex.EncodeToString(body[:]), since.Format(time.RFC3339Nano)),
		repository: value{image.field, repository}, reference: reference,
	}
	if child, ok := strings.CutPrefix(reference.text, "sha256__"); ok {
		c.reference.text = "sha256:" + child // how a child of an index is filed
	}
	if in.Data.SHA256 != "" {
		// The hash of the stored manifest file, which is what a digest is.
		c.digest = value{"data.sha256", "sha256:" + in.Data.SHA256}
	}
	out := newBatch()
	switch in.Type {
	case "pushed", "promoted": // promoted: repo_key is where it went
		c.action, c.resolve = provenance.Push, true
		err = out.add(m, c, body)
	case "deleted":
		err = out.addDeleted(m, c, body)
	default:
		out.addUnknown(m, c, body)
	}
	if err != nil {
		return batch{}, err
	}
	return out, nil
}

// stored is where an image of a storage repository is pulled from.
func (c *Connector) stored(key, image string) (string, error) {
	if len(c.Prefixes) == 0 {
		return key + "/" + image, nil
	}
	prefix, ok := c.Prefixes[key]
	if !ok {
		return "", ignore(ignoredOutside) // a webhook may carry them all
	}
	if prefix == "" {
		return image, nil
	}
	return prefix + "/" + image, nil
}
