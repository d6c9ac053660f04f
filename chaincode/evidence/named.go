package evidence

import (
	"slices"
	"strings"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// ImageNames are the digests by which a document names the image that it is about,
// beside the statement that carries it.
type ImageNames struct {
	Manifests []string // of manifests and indexes
	Configs   []string // image ids: of configs, or what a container engine uses for them
}

// maxNames bounds how many digests of a document are looked at.
const maxNames = 64

// manifest notes digests of manifests, bare ones or those in references and package
// URLs; other texts name nothing.
func (n *ImageNames) manifest(names ...string) { note(&n.Manifests, names) }

// reference notes the digests in references. A bare digest in the place of a
// reference is an image id.
func (n *ImageNames) reference(names ...string) {
	for _, name := range names {
		if strings.Contains(name, "@") {
			n.manifest(name)
		} else {
			n.config(name)
		}
	}
}

// config notes an image id.
func (n *ImageNames) config(names ...string) { note(&n.Configs, names) }

func note(into *[]string, names []string) {
	for _, name := range names {
		if !strings.Contains(name, "@") {
			name = "@" + name
		}
		for _, alg := range []string{"sha256", "sha512"} {
			d, err := provenance.ParseDigest(alg + ":" + digestIn(name, alg))
			if err == nil && len(*into) < maxNames && !slices.Contains(*into, d.String()) {
				*into = append(*into, d.String())
			}
		}
	}
}

// check refuses names of images, none of which is the subject or known to go with
// it. Digests of another algorithm than the subject's cannot be compared.
func (n ImageNames) check(r Request) error {
	other := ""
	alg, _ := split(r.Subject)
	for _, name := range n.Manifests {
		if strings.HasPrefix(name, alg+":") {
			other = name
		}
	}
	if other == "" || slices.Contains(n.Manifests, r.Subject.String()) {
		return nil
	}
	if r.Known != nil {
		known, err := r.Known()
		if err != nil {
			return err
		}
		for _, d := range known {
			if slices.Contains(n.Manifests, d.String()) || slices.Contains(n.Configs, d.String()) {
				return nil
			}
		}
	}
	return invalid("the document is about %s and not %s", clip(other), r.Subject.Short())
}
