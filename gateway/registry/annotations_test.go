package registry

import (
	"fmt"
	"testing"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// Whoever pushes a referrer chooses its annotations: names that differ by case alone hide
// neither it nor the others.
func TestAnnotationsInTwoCases(t *testing.T) {
	const twins = `{"Key":"1","key":"2","KEY":"3"}`
	a, b := provenance.SHA256Of([]byte("a")), provenance.SHA256Of([]byte("b"))
	list, err := readReferrers(fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"manifests":[{"mediaType":%[2]q,"digest":%[3]q,"size":1,"annotations":%[5]s},{"mediaType":%[2]q,"digest":%[4]q,"size":1}]}`,
		ociIndex, "application/vnd.oci.image.manifest.v1+json", a, b, twins), ociIndex)
	if err != nil || len(list) != 2 || list[0].Digest != a || list[1].Digest != b || len(list[0].Annotations) != 3 {
		t.Errorf("%+v, %v", list, err)
	}
	body := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":%q,"size":2},"layers":[{"mediaType":"text/plain","digest":%q,"size":1,"annotations":%s}],"annotations":%[4]s}`,
		"application/vnd.oci.image.manifest.v1+json", a, b, twins)
	artifact, err := readArtifact(body, "", provenance.SHA256Of(body))
	if err != nil || len(artifact.Layers) != 1 || len(artifact.Layers[0].Annotations) != 3 || len(artifact.Annotations) != 3 {
		t.Errorf("%+v, %v", artifact, err)
	}
	for _, exact := range []string{`{"schemaVersion":2,"schemaVersion":2}`, `{"a":{"b":1,"b":2}}`} {
		if checkAnnotated([]byte(exact)) == nil {
			t.Errorf("%s: one name twice", exact)
		}
	}
}
