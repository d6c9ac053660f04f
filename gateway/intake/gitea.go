package intake

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// KindGitea is the kind of connector that reads the package webhooks of Gitea and
// Forgejo, as far as they are about containers.
const KindGitea = "gitea"

func giteaFormat() format {
	return format{
		kind: KindGitea, parse: parseGitea, types: isJSON, actors: true,
		sign: &signature{header: "X-Gitea-Signature", also: "X-Forgejo-Signature", hash: sha256.New},
	}
}

type giteaUser struct {
	Login string `json:"login"`
}

// giteaPackage is a version of a package: of a container, a tag or a digest.
type giteaPackage struct {
	Owner     giteaUser `json:"owner"`
	Type      string    `json:"type"`
	Name      string    `json:"name"`
	Version   string    `json:"version"`
	CreatedAt string    `json:"created_at"` // of the version: each push makes a new one
}

// parseGitea reads a delivery. Its content key is the signed body, which names the
// version by a number that no other push has; the delivery's id in the headers is not
// signed. A tag is reported without its digest.
func parseGitea(m message) (batch, error) {
	for _, name := range []string{"X-Gitea-Event", "X-Forgejo-Event"} {
		if event := m.header.Get(name); event != "" && event != "package" {
			return ignoring(ignoredOther), nil // a push to a source repository, and what else the hook was set up for
		}
	}
	var in struct {
		Action  string        `json:"action"`
		Package *giteaPackage `json:"package"`
		Sender  giteaUser     `json:"sender"`
	}
	const want = `{"action":…,"package":{"owner":…,"type":…,"name":…,"version":…}}, a package webhook of Gitea or Forgejo`
	if err := decode(m.raw, &in, want); err != nil {
		return batch{}, err
	}
	if err := marked(want, in.Action != "", in.Package != nil); err != nil {
		return batch{}, err
	}
	p := in.Package
	if p.Type == "" {
		return batch{}, provenance.Errorf(provenance.Invalid, "body: want %s", want)
	}
	if p.Type != "container" {
		return ignoring(ignoredOther), nil
	}
	body, err := hashJSON(m.raw)
	if err != nil {
		return batch{}, err
	}
	c := report{
		id: m.id("body", hex.EncodeToString(body[:])), actor: in.Sender.Login,
		// The registry knows lower case only, whatever the owner's spelling.
		repository: value{"package.name", strings.ToLower(p.Owner.Login) + "/" + p.Name}, reference: value{"package.version", p.Version},
	}
	out := newBatch()
	switch in.Action {
	case "created":
		c.action, c.resolve, c.at = provenance.Push, true, p.CreatedAt
		err = out.add(m, c, body)
	case "deleted":
		c.action = provenance.Delete // of a tag, where version is one
		err = out.add(m, c, body)
	default:
		out.addUnknown(m, c, body)
	}
	if err != nil {
		return batch{}, err
	}
	return out, nil
}
