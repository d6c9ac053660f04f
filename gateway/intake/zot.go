package intake

import (
	"strings"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// KindZot is the kind of connector that reads the events of zot's events
// extension: CloudEvents, in binary mode as zot sends them or structured.
const KindZot = "zot"

// zotSource is zot's default for its setting source, and what versions up to 2.1.20,
// which have no such setting, always say: it names no registry that could be another.
const zotSource = "zotregistry.dev"

// zotPrefix is zot's default for its setting typePrefix.
const zotPrefix = "zotregistry"

func zotFormat() format {
	return format{
		kind: KindZot, parse: parseZot, types: isJSONOrCloudEvent, secret: inHeader | inBasic, weak: weakHeader,
		wide: true, origins: true, actors: true, typed: true,
	}
}

// zotData is the data of zot's image events.
type zotData struct {
	Name      string `json:"name"`
	Reference string `json:"reference"` // a tag or a digest
	Digest    string `json:"digest"`
	Manifest  string `json:"manifest"` // the manifest's bytes, where the event has them
	Actor     struct {
		Name string `json:"name"`
	} `json:"actor"`
	Request struct {
		UserAgent string `json:"useragent"`
	} `json:"request"`
}

func parseZot(m message) (batch, error) {
	in, err := cloudEventOf(m)
	if err != nil {
		return batch{}, err
	}
	prefix := m.connector.TypePrefix
	if prefix == "" {
		prefix = zotPrefix
	}
	kind, ok := strings.CutPrefix(in.Type, prefix+".")
	if !ok {
		return batch{}, foreign("type %q: want an event of zot, %s.…", clipText(in.Type), prefix)
	}
	if in.Source != zotSource {
		if err := m.origin("source", in.Source); err != nil {
			return batch{}, err
		}
	}
	var data zotData
	if err := decodeChecked(in.Data, &data, "data of a zot event"); err != nil {
		return batch{}, err
	}
	c := report{
		id:         m.id(in.Source, in.ID),
		repository: value{"name", data.Name}, digest: value{"digest", data.Digest}, reference: value{"reference", data.Reference},
		actor: data.Actor.Name, agent: data.Request.UserAgent, at: in.Time,
	}
	out := newBatch()
	switch kind {
	case "image.updated":
		c.action = provenance.Push
		if err := data.honest(); err != nil {
			return batch{}, err
		}
		err = out.add(m, c, in.body)
	case "image.deleted":
		err = out.addDeleted(m, c, in.body)
	case "image.scanned", "image.lint_failed", "repository.created":
		out.ignored[ignoredOther]++
	default:
		out.addUnknown(m, c, in.body)
	}
	if err != nil {
		return batch{}, err
	}
	return out, nil
}

// honest compares the digest with the manifest's own bytes, where both are
// there: an event that contradicts itself was not made by zot.
func (d zotData) honest() error {
	digest, err := provenance.ParseDigest(d.Digest)
	if d.Manifest == "" || err != nil { // a malformed digest is refused with the other names
		return nil
	}
	if !digest.Matches([]byte(d.Manifest)) {
		return provenance.Errorf(provenance.Invalid, "manifest: does not hash to the digest beside it")
	}
	return nil
}
