package intake

import (
	"crypto/sha256"
	"encoding/hex"
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
	Domain string `json:"domain"`
	Type   string `json:"event_type"`
	Data   *struct {
		RepoKey   string `json:"repo_key"`
		Name      string `json:"name"` // of the file
		SHA256    string `json:"sha256"`
		ImageName string `json:"image_name"`
		Tag       string `json:"tag"`
	} `json:"data"`
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
	if in.Domain != "docker" || in.Data.Name != "" && in.Data.Name != "manifest.json" && in.Data.Name != "list.manifest.json" {
		return ignoring(ignoredOther), nil // files of other kinds, layers
	}
	repository, err := m.connector.stored(in.Data.RepoKey, in.Data.ImageName)
	if err != nil {
		return batch{}, err
	}
	body, err := hashJSON(m.raw)
	if err != nil {
		return batch{}, err
	}
	// The body holds neither id nor time.
	since := m.dedup.first(repository+"\x1f"+in.Data.Tag, body, m.now)
	c := report{
		id:         m.id("body", hex.EncodeToString(body[:]), since.Format(time.RFC3339Nano)),
		repository: value{"data.image_name", repository}, reference: value{"data.tag", in.Data.Tag},
	}
	if child, ok := strings.CutPrefix(in.Data.Tag, "sha256__"); ok {
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
		c.action = provenance.Delete
		if c.reference.text != "" && !strings.Contains(c.reference.text, ":") {
			c.action = provenance.TagDelete
		}
		err = out.add(m, c, body)
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
