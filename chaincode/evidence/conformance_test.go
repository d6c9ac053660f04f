package evidence

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/sigstore/sigstoretest"
)

// whyRefused is the reason for which each case of the suite that should fail does.
func whyRefused() map[string]string {
	const other, unsigned = "of another signature, certificate or content", "is not signed by"
	const noTime, noNote = "no time of signing", "is no signed note"
	return map[string]string{
		"bundle-empty-certificate-chain": "carries no certificate", "bundle-from-wrong-instance": "no entry of a transparency log",
		"bundle-invalid-base64-signature": "want base64", "bundle-malformed-json": "string does not end",
		"bundle-negative-log-index": "not well-formed", "bundle-unknown-version": "mediaType", "bundle-with-root-cert": "a root of its own",
		"checkpoint-bad-keyhint": unsigned, "checkpoint-wrong-roothash": "another tree than its checkpoint",
		"dsse-invalid-sig": "not by its certificate", "dsse-mismatch-envelope": other, "dsse-mismatch-sig": other,
		"inclusion-proof-corrupted-hash": "does not lead to the log's tree", "incorrect-public-key": other,
		"integrated-time-in-future": "outside of the certificate's time", "intoto-expired-certificate": "outside of the certificate's time",
		"intoto-log-entry-mismatch": other, "intoto-missing-inclusion-proof": "no inclusion proof",
		"intoto-set-outside-signing-cert-validity":             "outside of the certificate's time",
		"intoto-tsa-timestamp-outside-cert-validity":           "no authority of the trusted root vouches",
		"invalid-checkpoint-signature":                         unsigned,
		"invalid-ct-key":                                       "none of its 1 certificate timestamps",
		"invalid-inclusion-proof":                              "not well-formed", // it lacks the checkpoint
		"managed-key-no-key":                                   "carries no certificate",
		"managed-key-wrong-key":                                "public key",
		"message-digest-mismatch":                              "the message signed is",
		"rekor2-checkpoint-missing-log-signature":              noNote,
		"rekor2-checkpoint-missing-origin":                     noNote,
		"rekor2-checkpoint-missing-root-hash":                  noNote,
		"rekor2-checkpoint-missing-size":                       noNote,
		"rekor2-checkpoint-no-matching-signature":              unsigned,
		"rekor2-dsse-invalid-sig":                              "not by its certificate",
		"rekor2-dsse-mismatch-envelope":                        other,
		"rekor2-dsse-mismatch-sig":                             other,
		"rekor2-no-inclusion-proof":                            "not well-formed",
		"rekor2-no-timestamp":                                  noTime,
		"rekor2-timestamp-outside-trust-root-tsa-validity":     noTime,
		"rekor2-timestamp-outside-tsa-cert-validity":           noTime,
		"rekor2-timestamp-payload-mismatch":                    noTime,
		"rekor2-timestamp-untrusted-tsa-with-embedded-cert":    noTime,
		"rekor2-timestamp-untrusted-tsa-without-embedded-cert": noTime,
		"rekor2-timestamp-with-incorrect-time":                 "no authority of the trusted root vouches",
		"set-invalid-signature":                                "the promise is not by",
		"signature-mismatch":                                   "not by its certificate",
		"trust-root-tlog-missing-validity-start":               "want validFor with a start",
		"wrong-hashedrekord-artifact":                          other, "wrong-hashedrekord-cert-and-sig": other, "wrong-hashedrekord-entry": other,
		"wrong-material": "the message signed is",
	}
}

// The client conformance suite of Sigstore, whole, years after its certificates ended.
func TestConformance(t *testing.T) {
	for _, c := range sigstoretest.Suite(t) {
		t.Run(c.Name, func(t *testing.T) {
			if strings.HasPrefix(c.Name, "rekor2-timestamp-with-incorrect-time") {
				// Its base64 is broken into lines, which is refused for itself.
				c.Bundle = joinLines(c.Bundle, `"signedTimestamp"`)
			}
			why, known := whyRefused()[strings.TrimSuffix(c.Name, "_fail")]
			if known != c.Fails {
				t.Fatalf("no reason is known why it fails, or one though it does not")
			}
			for _, later := range []time.Time{now, now.AddDate(20, 0, 0)} {
				result, err := conform(t, c, later)
				switch {
				case c.Fails && (err == nil || !strings.Contains(err.Error(), why)):
					t.Errorf("want refused with %q: %v, %+v", why, err, result)
				case !c.Fails && err != nil:
					t.Error(err)
				case !c.Fails && c.Key == "" && (result.Identity != c.Identity || result.Issuer != c.Issuer || len(result.Uses) < 3):
					t.Errorf("%+v", result)
				}
			}
		})
	}
}

// joinLines takes the line ends out of one member's text.
func joinLines(bundle []byte, member string) []byte {
	at := bytes.Index(bundle, []byte(member))
	end := at + len(member) + bytes.Index(bundle[at+len(member):], []byte("}"))
	return append(append(bytes.Clone(bundle[:at]), bytes.ReplaceAll(bundle[at:end], []byte(`\n`), nil)...), bundle[end:]...)
}

func conform(t *testing.T, c sigstoretest.Case, at time.Time) (Result, error) {
	t.Helper()
	kind, text := TrustedRoot, string(c.Root)
	if c.Key != "" {
		kind, text = PublicKey, c.Key
	}
	k, err := ParseKey("suite", string(kind), text)
	if err != nil {
		return Result{}, err
	}
	sum := sha256.Sum256(c.Artifact)
	return Verify(Request{Subject: digest(t, "sha256:"+hex.EncodeToString(sum[:])), Format: FormatBundle, Envelope: c.Bundle, Now: at}, &k)
}

// BenchmarkKeyless is what a bundle of each kind costs an endorsing peer, its root being read.
func BenchmarkKeyless(b *testing.B) {
	for _, c := range sigstoretest.Suite(b) {
		if c.Fails || c.Key != "" {
			continue
		}
		b.Run(c.Name, func(b *testing.B) {
			k, err := ParseKey("suite", string(TrustedRoot), string(c.Root))
			if err != nil {
				b.Fatal(err)
			}
			parsed, err := k.Parse()
			if err != nil {
				b.Fatal(err)
			}
			sum := sha256.Sum256(c.Artifact)
			r := Request{Subject: digest(b, "sha256:"+hex.EncodeToString(sum[:])), Format: FormatBundle, Envelope: c.Bundle, Now: now}
			for b.Loop() {
				if _, err := Signers(r, []*ParsedKey{parsed}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
