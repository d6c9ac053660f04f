package recordtest

import (
	"fmt"
	"net/http"
)

// ManifestOf is an image manifest that no other repository has.
func ManifestOf(repo string) []byte {
	return fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"digest":"sha256:%064x","size":2},"layers":[],"annotations":{"of":%q}}`, 7, repo)
}

// SendManifest answers a request for a manifest.
func SendManifest(w http.ResponseWriter, body []byte) {
	w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
	_, _ = w.Write(body)
}
