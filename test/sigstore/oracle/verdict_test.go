package oracle

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"

	"github.com/waybill-dev/waybill/chaincode/evidence"
	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// sample is a bundle about a digest, below a trusted root, at a time. Who signed it is
// a rule's question, and asked of neither.
type sample struct {
	name         string
	bundle, root []byte
	digest       string // hex SHA-256 of the artifact
	now          time.Time
}

func digestOf(artifact []byte) string {
	sum := sha256.Sum256(artifact)
	return hex.EncodeToString(sum[:])
}

// ours is the contract's verdict.
func (s sample) ours() error {
	digest, err := provenance.ParseDigest("sha256:" + s.digest)
	if err != nil {
		return err
	}
	key, err := evidence.ParseKey("root", string(evidence.TrustedRoot), string(s.root))
	if err != nil {
		return fmt.Errorf("root: %w", err)
	}
	_, err = evidence.Verify(evidence.Request{Subject: digest, Format: evidence.FormatBundle, Envelope: s.bundle, Now: s.now}, &key)
	return err
}

// theirs is the library's, with the same demands: what the root has, it asks for. A
// panic of it is a refusal.
func (s sample) theirs() (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	trusted, err := root.NewTrustedRootFromJSON(s.root)
	if err != nil {
		return fmt.Errorf("root: %w", err)
	}
	options := []verify.VerifierOption{verify.WithObserverTimestamps(1)}
	if len(trusted.CTLogs()) > 0 {
		options = append(options, verify.WithSignedCertificateTimestamps(1))
	}
	if len(trusted.RekorLogs()) > 0 {
		options = append(options, verify.WithTransparencyLog(1))
	}
	v, err := verify.NewVerifier(trusted, options...)
	if err != nil {
		return err
	}
	b := &bundle.Bundle{}
	if err := b.UnmarshalJSON(s.bundle); err != nil {
		return err
	}
	digest, err := hex.DecodeString(s.digest)
	if err != nil {
		return err
	}
	result, err := v.Verify(b, verify.NewPolicy(verify.WithArtifactDigest("sha256", digest), verify.WithoutIdentitiesUnsafe()))
	if err == nil && result.Signature != nil && result.Signature.Certificate == nil {
		return errors.New("a key's: the root vouches for certificates")
	}
	return err
}

// stricter lists why ours may refuse what theirs takes. Each entry is a text of ours.
var stricter = []struct{ pattern, why string }{
	{`in the future|after this transaction`, "theirs knows no transaction: what was signed later than it is refused here"},
}

// compare returns what is wrong with the two verdicts, or "", and which reason was needed.
func (s sample) compare() (wrong, reason string, took bool) {
	ours, theirs := s.ours(), s.theirs()
	switch {
	case ours == nil && theirs == nil:
		return "", "", true
	case ours != nil && theirs != nil:
		return "", "", false
	case ours == nil:
		return fmt.Sprintf("LOOSER: theirs refuses: %v", theirs), "", true
	}
	for _, r := range stricter {
		if regexp.MustCompile(r.pattern).MatchString(ours.Error()) {
			return "", r.pattern, false
		}
	}
	return "stricter without a reason: " + strings.TrimPrefix(ours.Error(), "WB_INVALID: "), "", false
}
