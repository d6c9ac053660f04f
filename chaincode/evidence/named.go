package evidence

import (
	"strings"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// imageNames are the digests by which a document names the image that it is about,
// beside the statement that carries it.
type imageNames struct {
	manifests []provenance.Digest // of manifests and indexes
	configs   []provenance.Digest // image ids: of configs, or of what a container engine made of it
}

// maxNames bounds how many digests of a document are looked at.
const maxNames = 64

// manifest notes the digest in an image reference, a package URL or a text that is
// a digest; others name nothing.
func (n *imageNames) manifest(names ...string) { note(&n.manifests, names) }

// config notes an image id.
func (n *imageNames) config(names ...string) { note(&n.configs, names) }

func note(into *[]provenance.Digest, names []string) {
	for _, name := range names {
		for _, alg := range []string{"sha256", "sha512"} {
			value := digestIn("@"+name, alg)
			if strings.Contains(name, "@") {
				value = digestIn(name, alg)
			}
			if d, err := provenance.ParseDigest(alg + ":" + value); err == nil && len(*into) < maxNames {
				*into = append(*into, d)
			}
		}
	}
}

// check refuses a document that names images, and of them none that is the subject
// or known to go with it: the index that lists it, an image that it lists, its
// config. Digests of another algorithm than the subject's cannot be compared.
func (n imageNames) check(subject provenance.Digest, known []provenance.Digest) error {
	alg, _ := split(subject)
	fits := func(d provenance.Digest) bool {
		for _, k := range known {
			if d == k {
				return true
			}
		}
		return d == subject
	}
	var other provenance.Digest
	for _, d := range n.manifests {
		if fits(d) {
			return nil
		}
		if a, _ := split(d); a == alg {
			other = d
		}
	}
	for _, d := range n.configs {
		if fits(d) {
			return nil
		}
	}
	if !other.IsZero() {
		return invalid("the document is about %s and not %s", other.Short(), subject.Short())
	}
	return nil
}
