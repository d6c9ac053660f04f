// Package evidence verifies what is said about an image and signed: cosign
// signatures, Sigstore bundles, DSSE attestations, Notation signatures, and
// plain documents that a person vouches for with the transaction that carries
// them. From what verifies it takes the facts that release rules judge.
//
// The package is pure: no ledger, no clock, no network, no randomness, no
// floating point, so every endorsing peer finds the same. Its rules:
//
//   - The signature is checked over the very bytes of the envelope; the facts
//     come from the same bytes, never from a second copy.
//   - What a document is follows from what was signed (payloadType and
//     predicateType); the submitter cannot rename it. Only a plain document,
//     which its submitter vouches for, is what the submitter says.
//   - One key, one answer: an envelope may carry up to 8 DSSE signatures and is
//     verified when at least one is by the given key. It counts for that key
//     alone; key ids inside an envelope are hints and decide nothing.
//   - An ECDSA signature (r, s) has a twin (r, n-s) that verifies as well, and
//     JSON may be spaced in many ways. ID names the bytes of one envelope, not
//     the statement, so a twin is a second piece of evidence of the same
//     signer. Rules count distinct signers, never pieces: nothing is gained.
//   - The subject must be the image, by digest, under the image's own
//     algorithm. A subject that also gives another algorithm is refused: the
//     ledger cannot compare it, and all algorithms given must agree.
//   - Base64 is standard, padded and canonical (JWS: URL alphabet, unpadded); in DSSE and
//     bundles it may be of either alphabet, padded or not.
//   - Certificates below a certificate root must be valid at the time of the transaction: one
//     that lives ten minutes must reach the ledger within them. Below a trusted root they
//     must have been valid when the root's logs and timestamp authorities say that they
//     signed (package sigstore); under every other key those add no trust and are not read.
//     Withdrawing a key is the contract's business: it keeps withdrawn keys away from Verify.
//   - A signature over the bare image manifest (sign-blob) verifies by the
//     image's digest, so Ed25519 in its plain form and P-384 with SHA-384, which
//     need the bytes or another hash of them, cannot be checked and are refused.
package evidence
