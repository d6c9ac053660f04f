package e2e

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/ledger"
)

// manifestOf is the manifest of an image that holds nothing but its name.
func manifestOf(name string) []byte {
	return fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":%q,"size":2},"layers":[],"annotations":{"name":%q}}`,
		provenance.SHA256Of([]byte("{}")), name)
}

// imageOf is the digest of that image.
func imageOf(name string) provenance.Digest { return provenance.SHA256Of(manifestOf(name)) }

// record records a segment, once, with the manifests that its pushes are of: what
// is recorded without them cannot be released.
func record(ctx context.Context, gateway *ledger.Client, host, lane string, seq int, manifests [][]byte, events ...provenance.Event) error {
	segment, err := provenance.EncodeSegment(events)
	if err != nil {
		return err
	}
	transient := map[string][]byte{"segment": segment}
	for _, m := range manifests {
		transient["manifests"] = append(binary.AppendUvarint(transient["manifests"], uint64(len(m))), m...)
	}
	sum := sha256.Sum256(segment)
	_, err = gateway.SubmitTransient(ctx, transient, "record:Segment", host, lane, strconv.Itoa(seq), hex.EncodeToString(sum[:]))
	return err
}

// approval are the arguments of promotion:Approve by who has seen a verdict.
func approval(image []string, v policy.Verdict, reason string) []string {
	ref, hash := "", ""
	if v.Policy != nil {
		ref, hash = fmt.Sprintf("%s@%d", v.Policy.Name, v.Policy.Version), v.Policy.Hash
	}
	return append(slices.Clone(image), strconv.Itoa(v.Attempt), ref, hash, v.EvidenceSet, reason)
}

// own has a majority agree that the vendor owns a registry.
func (c *consortium) own(host string) {
	c.t.Helper()
	for _, who := range []string{"vendor/admin", "security/admin", "platform/admin"} {
		c.propose(who, "registry", fmt.Sprintf(`{"host":%q,"namespace":"","owner":"VendorMSP","kind":"distribution"}`, host))
	}
	c.settle()
}
