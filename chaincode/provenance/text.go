package provenance

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of the manifests that travel with a segment, in bytes.
const (
	// MaxManifest is the largest manifest that is recorded from its bytes: what the
	// OCI distribution specification asks every registry to accept ("Pushing
	// manifests": at least 4 megabytes).
	MaxManifest = 4 << 20
	// MaxManifests bounds those of one segment together.
	MaxManifests = 8 << 20
)

// MaxText is the longest text of an event, in bytes.
const MaxText = maxText

// CheckText refuses text that people could not read as it stands, or that a
// reader would refuse: what is not UTF-8, is longer than limit bytes, or holds a
// control character (Unicode's Cc), a line or paragraph separator, or a mark
// that turns the direction of what follows (U+202A to U+202E, U+2066 to
// U+2069). what names the text in the error, which is Invalid.
func CheckText(what, s string, limit int) error {
	if len(s) > limit {
		return Errorf(Invalid, "%s: %d bytes, want at most %d", what, len(s), limit)
	}
	if !utf8.ValidString(s) {
		return Errorf(Invalid, "%s: not UTF-8", what)
	}
	for _, r := range s {
		if unreadable(r) {
			return Errorf(Invalid, "%s: holds the character %U, which would change how the rest is read", what, r)
		}
	}
	return nil
}

// CleanText makes text that CheckText accepts: what is refused there stands as
// U+FFFD, one for each bad byte or character, and the text ends with the last
// character that is whole within limit bytes. Text that passes is returned as it is.
func CleanText(s string, limit int) string {
	if CheckText("", s, limit) == nil {
		return s
	}
	var out strings.Builder
	for _, r := range s { // a byte that is no UTF-8 comes as U+FFFD
		if unreadable(r) {
			r = utf8.RuneError
		}
		if out.Len()+utf8.RuneLen(r) > limit {
			break
		}
		out.WriteRune(r)
	}
	return out.String()
}

// unreadable tells a character that is none, or that changes how others are shown.
func unreadable(r rune) bool {
	switch {
	case unicode.IsControl(r), r == '\u2028', r == '\u2029', r >= '\u202a' && r <= '\u202e', r >= '\u2066' && r <= '\u2069':
		return true
	}
	return false
}
