package contract

import (
	"encoding/binary"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/waybill-dev/waybill/chaincode/manifest"
	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// bodies are the manifests of images by digest, and the digests by the images'
// names in the tests.
var bodies = struct {
	sync.Mutex
	of    map[provenance.Digest][]byte
	named map[string]provenance.Digest
}{of: map[provenance.Digest][]byte{}, named: map[string]provenance.Digest{}}

// digestOf is the digest of the image of that name: of a manifest that says so.
func digestOf(name string) provenance.Digest {
	bodies.Lock()
	defer bodies.Unlock()
	if d, ok := bodies.named[name]; ok {
		return d
	}
	body := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":%q,"size":7},"layers":[]}`,
		manifest.OCIManifest, provenance.SHA256Of([]byte(name)))
	d := provenance.SHA256Of(body)
	bodies.of[d], bodies.named[name] = body, d
	return d
}

// index is the push of an index of that name that lists images.
func index(name string, children ...provenance.Digest) provenance.Event {
	var list []string
	for _, c := range children {
		list = append(list, fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":7}`, typeOf(c), c))
	}
	body := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"manifests":[%s],"annotations":{"name":%q}}`, manifest.OCIIndex, strings.Join(list, ","), name)
	d := provenance.SHA256Of(body)
	bodies.Lock()
	bodies.of[d], bodies.named[name] = body, d
	bodies.Unlock()
	e := push("", name)
	e.Children, e.MediaType = children, manifest.OCIIndex
	return e
}

// typeOf is what an image is, a manifest where nobody knows.
func typeOf(d provenance.Digest) string {
	bodies.Lock()
	defer bodies.Unlock()
	if f, err := manifest.Hashed(bodies.of[d], d); err == nil {
		return f.MediaType
	}
	return manifest.OCIManifest
}

// manifestsOf are the manifests of pushed images as they travel beside a segment.
func manifestsOf(events []provenance.Event) []byte {
	bodies.Lock()
	defer bodies.Unlock()
	var out []byte
	seen := map[provenance.Digest]bool{}
	for _, e := range events {
		if body, ok := bodies.of[e.Digest]; ok && e.Action == provenance.Push && !seen[e.Digest] {
			seen[e.Digest] = true
			out = append(binary.AppendUvarint(out, uint64(len(body))), body...)
		}
	}
	return out
}

func push(tag string, content string) provenance.Event {
	return provenance.Event{
		ID: provenance.NewEventID("test", "c", tag, content), Action: provenance.Push, Source: "distribution", Repository: repo, Tag: provenance.Tag(tag),
		Digest: digestOf(content), MediaType: manifest.OCIManifest, Size: 100, Actor: "ci",
		OccurredAt: time.UnixMilli(1772441945000).UTC(),
	}
}
