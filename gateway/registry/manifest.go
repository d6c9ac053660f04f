package registry

import (
	"encoding/json"
	"regexp"

	"github.com/waybill-dev/waybill/chaincode/manifest"
	"github.com/waybill-dev/waybill/chaincode/provenance"
)

const (
	ociManifest = manifest.OCIManifest
	ociIndex    = manifest.OCIIndex
)

// RFC 6838, section 4.2.
var mediaTypeName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}$`)

// Facts are what a manifest says, as the contract derives them from its bytes.
type Facts = manifest.Facts

// readFacts reads the bytes that a registry sent for self. The contract has to
// guess the type of a manifest that does not say it; here a registry sent it, and
// one that does not say it either is refused. Every error is Invalid.
func readFacts(body []byte, contentType string, self provenance.Digest) (Facts, error) {
	facts, err := manifest.Read(body, contentType, self)
	if err != nil || contentType != "" {
		return facts, err
	}
	var said struct {
		MediaType string `json:"mediaType"`
	}
	if err := json.Unmarshal(body, &said); err != nil || said.MediaType == "" {
		return Facts{}, bad("neither the manifest nor the registry says of what media type it is")
	}
	return facts, nil
}
