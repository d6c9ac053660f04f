// Package sigstore verifies keyless evidence: a signature by a certificate that lives
// minutes, which a transparency log or a timestamp authority proves to have been made
// within them. What is trusted is a TrustedRoot, read once; the package knows no clock,
// no network and no other roots, and gives every endorsing peer the same answer. Its rules:
//
//   - A time counts when somebody of the root signed it: a Rekor log with its signed
//     entry timestamp, or a timestamp authority. The certificate's chain holds at every
//     one of them, by an authority that was trusted then; there is at least one, and none
//     is later than the transaction by more than 15 minutes.
//   - What the root has, it demands: with CT logs, a signed certificate timestamp of one;
//     with transparency logs, an entry of one. Without them, a timestamp.
//   - An entry's body says what the material says: the same signature by the same
//     certificate over the same bytes, whoever's log it is of. One entry of a log of the
//     root that does not verify refuses the whole; one of a log that the root does not
//     know is passed over, as is a timestamp of an unknown authority.
//   - Of the certificates that came along only the first counts, the signer's. Its chain
//     leads through what the root holds and nothing else, so that an authority taken from
//     the root is gone.
//   - Bounds come first, then reading, then cryptography. Refusals are texts of this
//     package: those of libraries may differ from build to build.
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

// trusted tells whether the anchor was trusted at a time.
func (a Anchor) trusted(at time.Time) bool {
	return !at.Before(a.From) && (a.Until.IsZero() || !at.After(a.Until))
}

// Use is an anchor and the moment at which it vouched.
type Use struct {
	ID string    `json:"id"`
	At time.Time `json:"at"`
}

// Verified is whom a signature is by, and on whose word. Claims are Fulcio's extensions
// by their names. Times are the verified times of signing, Uses all that was relied on,
// each sorted and named once.
type Verified struct {
	Identity, Issuer string
	Claims           map[string]string
	Times            []time.Time
	Uses             []Use
}

func invalid(format string, args ...any) error {
	return provenance.Errorf(provenance.Invalid, "evidence: "+format, args...)
}

// clip keeps a hostile value out of logs and error texts.
func clip(s string) string {
	const limit = 80
	if len(s) > limit {
		return s[:limit] + "…"
	}
	return s
}
