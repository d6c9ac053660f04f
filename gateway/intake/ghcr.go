package intake

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// KindGHCR is the kind of connector that reads GitHub's webhooks about packages
// of the GitHub Container Registry: events registry_package and package.
const KindGHCR = "ghcr"

func ghcrFormat() format {
	return format{
		kind: KindGHCR, parse: parseGHCR, types: isJSON, wide: true, actors: true,
		sign: &signature{header: "X-Hub-Signature-256", prefix: "sha256=", hash: sha256.New},
	}
}

// githubPackage is the object of both events.
type githubPackage struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
	Ecosystem string `json:"ecosystem"`
	Type      string `json:"package_type"`
	UpdatedAt string `json:"updated_at"`
	Owner     struct {
		Login string `json:"login"`
	} `json:"owner"`
	Version struct {
		Version  string `json:"version"`
		Metadata struct {
			Tag struct {
				Name string `json:"name"` // "" for the children of an index
			} `json:"tag"`
			Manifest struct {
				Digest string `json:"digest"`
			} `json:"manifest"`
		} `json:"container_metadata"`
	} `json:"package_version"`
}

// parseGHCR reads a delivery. Its content key is the body, not the delivery's
// id: GitHub signs the body alone, so somebody who replayed a body under a new
// id could move a tag back. A redelivery has the same body and is a duplicate
// either way.
func parseGHCR(m message) (batch, error) {
	event, err := githubHeader(m, "X-Github-Event")
	if err != nil {
		return batch{}, err
	}
	delivery, err := githubHeader(m, "X-Github-Delivery")
	if err != nil {
		return batch{}, err
	}
	if err := wellFormed(m.raw); err != nil {
		return batch{}, err
	}
	if event != "registry_package" && event != "package" {
		return ignoring(ignoredOther), nil // ping, and what else the hook was set up for
	}
	var in struct {
		Action          string         `json:"action"`
		Package         *githubPackage `json:"package"`
		RegistryPackage *githubPackage `json:"registry_package"`
		Sender          struct {
			Login string `json:"login"`
		} `json:"sender"`
	}
	const want = `{"action":…,"package" or "registry_package":{…}}, a GitHub delivery about a package`
	if err := decodeChecked(m.raw, &in, want); err != nil {
		return batch{}, err
	}
	p, field := in.RegistryPackage, "registry_package"
	if event == "package" {
		p, field = in.Package, "package"
	}
	if p == nil || in.Action == "" {
		return batch{}, provenance.Errorf(provenance.Invalid, "body: want %s", want)
	}
	if p.Ecosystem == "" && p.Type == "" { // others have an event of this name too, as Gitea
		return batch{}, provenance.Errorf(provenance.Invalid, "%s.package_type: is missing", field)
	}
	if !p.isImage() {
		return ignoring(ignoredOther), nil
	}
	body, err := hashJSON(m.raw)
	if err != nil {
		return batch{}, err
	}
	if err := m.dedup.once(delivery, body, m.now); err != nil {
		return batch{}, err
	}
	c := p.report(field)
	c.id, c.actor = m.id("body", hex.EncodeToString(body[:])), in.Sender.Login
	out := newBatch()
	if in.Action == "published" || in.Action == "updated" || in.Action == "create" { // as it was called in its first year
		err = out.add(m, c, body)
	} else {
		out.addUnknown(m, c, body)
	}
	if err != nil {
		return batch{}, err
	}
	return out, nil
}

func (p *githubPackage) isImage() bool {
	for _, s := range []string{p.Ecosystem, p.Type} {
		if strings.EqualFold(s, "container") || strings.EqualFold(s, "docker") {
			return true
		}
	}
	return false
}

func (p *githubPackage) report(field string) report {
	owner, at := p.Namespace, field+".package_version"
	if owner == "" {
		owner = p.Owner.Login
	}
	// GitHub keeps the owner's spelling; the registry knows lower case only.
	name := strings.ToLower(strings.TrimPrefix(owner+"/"+p.Name, "/"))
	digest := value{at + ".container_metadata.manifest.digest", p.Version.Metadata.Manifest.Digest}
	if digest.text == "" && strings.Contains(p.Version.Version, ":") {
		digest = value{at + ".version", p.Version.Version}
	}
	return report{
		action: provenance.Push, resolve: true, at: p.UpdatedAt,
		repository: value{field + ".name", name}, digest: digest,
		tag: value{at + ".container_metadata.tag.name", p.Version.Metadata.Tag.Name},
	}
}

// githubHeader reads one of the headers that stand beside the body.
func githubHeader(m message, name string) (string, error) {
	values := m.header.Values(name)
	if len(values) != 1 {
		return "", foreign("header %s: want it once", name)
	}
	return values[0], idText("header "+name, values[0])
}
