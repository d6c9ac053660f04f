package oracle

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/waybill-dev/waybill/chaincode/evidence"
	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// sample is a bundle about a digest, below a trusted root, at a time. Who signed it is
// a rule's question, and asked of neither.
type sample struct {
	name         string
	bundle, root []byte
	digest       string // of the artifact, as sha256:…
	now          time.Time
}

func hexOf(artifact []byte) string {
	sum := sha256.Sum256(artifact)
	return hex.EncodeToString(sum[:])
}

func digestOf(artifact []byte) string { return "sha256:" + hexOf(artifact) }

// ours is the contract's verdict.
func (s sample) ours() error {
	digest, err := provenance.ParseDigest(s.digest)
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
	pb := &protobundle.Bundle{}
	if err := protojson.Unmarshal(s.bundle, pb); err != nil {
		return err
	}
	// A chain in a bundle of version 0.3 is an option of theirs, as private authorities need it.
	var chains []bundle.Option
	if version, err := (&bundle.Bundle{Bundle: pb}).Version(); err == nil && version == "v0.3" {
		chains = append(chains, bundle.AllowCertificateChain())
	}
	b, err := bundle.NewBundle(pb, chains...)
	if err != nil {
		return err
	}
	algorithm, text, _ := strings.Cut(s.digest, ":")
	digest, err := hex.DecodeString(text)
	if err != nil {
		return err
	}
	result, err := v.Verify(b, verify.NewPolicy(verify.WithArtifactDigest(algorithm, digest), verify.WithoutIdentitiesUnsafe()))
	if err == nil && result.Signature != nil && result.Signature.Certificate == nil {
		return errors.New("a key's: the root vouches for certificates")
	}
	return err
}

// stricter lists why ours may refuse what theirs takes. Each entry is a text of ours.
func stricter() []struct{ pattern, why string } {
	return []struct{ pattern, why string }{
		{`after this transaction`, "theirs knows no transaction: what is signed later than it is refused here"},
		{`want base64|not base64|is no base64|is not well-formed|want a JSON object|duplicate|is no JSON|is there twice`,
			"one form: no line ends in base64, every member there and of its kind, numbers that are not negative"},
		{`a root of its own`, "a bundle brings no root: the suite demands it, where theirs does not look"},
		{`has no inclusion (proof|promise)`, "every entry has what its version demands, not one of several"},
		{`the bundle says .*, its body`, "an entry's kind is said twice, and is the same"},
		{`of another signature, certificate or content`, "the body of a Rekor v2 entry is compared to the byte; theirs makes it anew and does not look at it"},
		{`the promise is not by|its proof|its checkpoint`,
			"an entry of a known log that does not verify refuses the whole, where theirs passes it over; the signer of a v1 checkpoint is named as its log is"},
		{`no time of signing`, "a timestamp is refused that has more, or less, than RFC 3161 and RFC 5816 say; theirs does not look there"},
		{`was not trusted at`, "a Rekor v2 log, or a v1 log without a promise, has a window as well; theirs looks at that of promises"},
		{`root: .*trusted root: `, "a trusted root is checked whole before it is voted on: ids are of their keys, windows begin and do not end before, chains are chains, nothing is there twice"},
		{`the message signed is`, "the algorithm of a message's digest is named"},
		{`^evidence: statement: |predicate`, "the statement is one that facts can be taken from"},
		{`alternative name|names nobody|malformed issuer|two issuers|its claim `, "an identity is one name, and what is said of it is text"},
		{`^evidence: certificate: |certificates: `, "all certificates that came along can be read"},
		{`mediaType`, "versions 0.1 to 0.3 and no other"},
		{`its key is not of a kind|public key: `, "keys are ECDSA P-256 or P-384, Ed25519, or RSA of 2048 bits or more"},
		{`of \d+ bytes: at most|: at most \d+`, "bounds"},
		{`has members that are not known`, "no member but those of its version"},
	}
}

// older names the one thing that ours takes and theirs does not: entries of Rekor v1 of
// kinds that were written before dsse was. They are bound to the same certificate and
// the same payload, and hashedrekord and intoto 0.0.2 to the same signature; decision 19
// says why they count.
func older(theirs string) string {
	for text, name := range map[string]string{
		"transparency log rekor v1 entry is not a dsse_v001 or intoto_v002 entry": "hashedrekord 0.0.1 over an envelope",
		"intoto implementation for version '0.0.1' not found":                     "intoto 0.0.1",
	} {
		if strings.Contains(theirs, text) {
			return name
		}
	}
	return ""
}

// withoutIdle is the sample without what decides nothing: entries of logs that the root
// does not know, which ours asks to be about the same signature and no more, where
// theirs reads them whole; and the key id of an envelope's signature, which DSSE calls a
// hint, and theirs compares with that of a certificate, which has none.
func (s sample) withoutIdle() sample {
	var b map[string]any
	var root struct {
		Tlogs []struct{ LogID struct{ KeyID string } }
	}
	if json.Unmarshal(s.bundle, &b) != nil || json.Unmarshal(s.root, &root) != nil {
		return s
	}
	material, _ := b["verificationMaterial"].(map[string]any)
	entries, _ := material["tlogEntries"].([]any)
	known := []any{}
	for _, e := range entries {
		entry, _ := e.(map[string]any)
		id, _ := entry["logId"].(map[string]any)
		for _, l := range root.Tlogs {
			if l.LogID.KeyID == id["keyId"] {
				known = append(known, e)
				break
			}
		}
	}
	if material != nil && len(known) < len(entries) {
		material["tlogEntries"] = known
	}
	envelope, _ := b["dsseEnvelope"].(map[string]any)
	signatures, _ := envelope["signatures"].([]any)
	for _, e := range signatures {
		if signature, ok := e.(map[string]any); ok {
			delete(signature, "keyid")
		}
	}
	text, err := json.Marshal(b)
	if err == nil {
		s.bundle = text
	}
	return s
}

// compare returns what is wrong with the two verdicts, or "", and which reason was needed.
func (s sample) compare() (wrong, reason string, took bool) {
	ours, theirs := s.ours(), s.theirs()
	switch {
	case ours == nil && theirs == nil:
		return "", "", true
	case ours != nil && theirs != nil:
		return "", "", false
	case ours == nil && s.withoutIdle().theirs() == nil:
		return "", "what decides nothing here", true
	case ours == nil && older(theirs.Error()) != "":
		return "", older(theirs.Error()), true
	case ours == nil:
		return fmt.Sprintf("LOOSER: theirs refuses: %v", theirs), "", true
	}
	text := strings.TrimPrefix(ours.Error(), "WB_INVALID: ")
	for _, r := range stricter() {
		if regexp.MustCompile(r.pattern).MatchString(text) {
			return "", r.pattern, false
		}
	}
	return "stricter without a reason: " + text, "", false
}
