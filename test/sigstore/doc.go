// Package sigstore is a Sigstore of one's own: a certificate authority as Fulcio is
// one, a certificate transparency log, transparency logs as Rekor v1 and v2 keep
// them, and an RFC 3161 timestamp authority. It signs what tests need at whatever
// time they say, rotates and ends its authorities, writes its trusted root, and
// answers the requests of real clients (Handler).
//
// It is a test's: its keys lie in memory, and it believes every token that it made.
package sigstore
