package main

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// sanitize makes text from a registry or another organisation safe to print for a
// person: controls and direction overrides, which can repaint a terminal or
// make a line read as another, are dropped; line breaks and tabs become spaces.
func sanitize(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case unsafeRune(r):
			return -1
		}
		return r
	}, s)
}

// sanitizeLines is sanitize for text of several lines.
func sanitizeLines(s string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && unsafeRune(r) {
			return -1
		}
		return r
	}, s)
}

// unsafeRune tells whether r is a C0 or C1 control, a bidirectional control, a
// line or paragraph separator, or no character at all.
func unsafeRune(r rune) bool {
	switch {
	case r < 0x20, r >= 0x7f && r <= 0x9f, r == utf8.RuneError:
		return true
	case r == 0x061c, r == 0x200e, r == 0x200f:
		return true
	case r >= 0x2028 && r <= 0x202e, r >= 0x2066 && r <= 0x2069:
		return true
	}
	return false
}

// escapeJSON writes hostile characters inside JSON strings as \u escapes: the
// value stays exact and a terminal stays safe. In indented JSON they can stand
// only inside strings; the line breaks between are kept.
func escapeJSON(b []byte) []byte {
	var out strings.Builder
	for _, r := range string(b) {
		if r != '\n' && r != utf8.RuneError && unsafeRune(r) {
			fmt.Fprintf(&out, `\u%04x`, r)
			continue
		}
		out.WriteRune(r)
	}
	return []byte(out.String())
}
