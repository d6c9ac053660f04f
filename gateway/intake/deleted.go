package intake

import (
	"crypto/sha256"
	"strings"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// addDeleted adds a deletion as its sender reports it. Without a tag, the image is
// deleted. With one it says no more than that the tag went; where it names the image
// as well, that may be gone with its last tag: whether it is, the registry is asked
// before it is recorded (delivery.IfGone).
func (b *batch) addDeleted(m message, c report, body [sha256.Size]byte) error {
	c.action = provenance.Delete
	tag := c.tag
	if c.reference.text != "" && !strings.Contains(c.reference.text, ":") {
		tag = c.reference
	}
	if tag.text == "" {
		return b.add(m, c, body)
	}
	c.action = provenance.TagDelete
	before := len(b.events)
	if err := b.add(m, c, body); err != nil || c.digest.text == "" || len(b.events) == before {
		return err
	}
	c.action, c.id = provenance.Delete, m.id(c.id.String(), "image")
	return b.add(m, c, body)
}
