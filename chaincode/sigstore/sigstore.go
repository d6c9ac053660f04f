// Package sigstore verifies keyless evidence: a signature by a certificate that lives
// minutes, which a transparency log and a timestamp authority prove to have been made
// within them. What is trusted is a TrustedRoot, read once; the package knows no clock,
// no network and no other roots, and gives every endorsing peer the same answer.
package sigstore

import (
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// AnchorKind is what an authority of a trusted root does.
type AnchorKind string

// The kinds of authority.
const (
	CertificateAuthority AnchorKind = "certificate-authority"
	CTLog                AnchorKind = "ct-log"
	TransparencyLog      AnchorKind = "transparency-log"
	TimestampAuthority   AnchorKind = "timestamp-authority"
)

// Anchor is one authority of a trusted root and the time for which it is trusted; both
// ends belong to it, and a zero Until is open. ID is the hex sha256 over its kind and its
// key or certificates: the same authority has the same ID in every root.
type Anchor struct {
	ID          string
	Kind        AnchorKind
	Name        string
	From, Until time.Time
}

// Use is an anchor and the moment at which it vouched.
type Use struct {
	ID string    `json:"id"`
	At time.Time `json:"at"`
}

// Verified is whom a signature is by, and on whose word. Claims are Fulcio's extensions
// by their names. Times are the verified times of signing, sorted.
type Verified struct {
	Identity, Issuer string
	Claims           map[string]string
	Times            []time.Time
	Uses             []Use
}

// Material is a signature and what came with it.
type Material struct{}

// TrustedRoot is a trusted_root.json that was read.
type TrustedRoot struct{}

// ParseTrustedRoot reads a trusted root.
func ParseTrustedRoot(text []byte) (*TrustedRoot, error) {
	return nil, provenance.Errorf(provenance.Invalid, "sigstore: not yet")
}

// Canonical is the one form of the root in JSON.
func (r *TrustedRoot) Canonical() []byte { return nil }

// Anchors returns the root's authorities, sorted by ID.
func (r *TrustedRoot) Anchors() []Anchor { return nil }

// Verify verifies a signature.
func (r *TrustedRoot) Verify(m Material, now time.Time) (Verified, error) {
	return Verified{}, provenance.Errorf(provenance.Invalid, "sigstore: not yet")
}
