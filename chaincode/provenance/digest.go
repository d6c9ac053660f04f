package provenance

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"strings"
)

// Digest names content by its hash: "sha256:" or "sha512:" and the lower-case
// hexadecimal hash, the two registered algorithms of the OCI image
// specification (descriptor.md, "Registered Algorithms"). Digests of the same
// bytes under two algorithms are two names; nothing crosses between them.
// The zero Digest is empty and prints as "".
type Digest struct{ text string }

const (
	sha256Prefix = "sha256:"
	sha512Prefix = "sha512:"
)

// ParseDigest reads a digest. It returns an Invalid error for any other
// algorithm, a wrong length, or anything but lower-case hexadecimal.
func ParseDigest(s string) (Digest, error) {
	size := 0
	switch {
	case strings.HasPrefix(s, sha256Prefix):
		size = len(sha256Prefix) + 2*sha256.Size
	case strings.HasPrefix(s, sha512Prefix):
		size = len(sha512Prefix) + 2*sha512.Size
	default:
		return Digest{}, Errorf(Invalid, "digest %q: want sha256: or sha512: and lower-case hex", clip(s))
	}
	if len(s) != size || !isLowerHex(s[len(sha256Prefix):]) {
		return Digest{}, Errorf(Invalid, "digest %q: want %d lower-case hex digits after the algorithm", clip(s), size-len(sha256Prefix))
	}
	return Digest{text: s}, nil
}

// SHA256Of returns the sha256 digest of b.
func SHA256Of(b []byte) Digest {
	sum := sha256.Sum256(b)
	return Digest{text: sha256Prefix + hex.EncodeToString(sum[:])}
}

// Matches tells whether b hashes to d.
func (d Digest) Matches(b []byte) bool {
	if strings.HasPrefix(d.text, sha512Prefix) {
		sum := sha512.Sum512(b)
		return d.text[len(sha512Prefix):] == hex.EncodeToString(sum[:])
	}
	return !d.IsZero() && SHA256Of(b) == d
}

// String returns "algorithm:hex", or "" for the zero Digest.
func (d Digest) String() string { return d.text }

// IsZero tells whether d is empty.
func (d Digest) IsZero() bool { return d.text == "" }

// Short returns the algorithm and the first 12 digits, for people.
func (d Digest) Short() string {
	if len(d.text) < len(sha256Prefix)+12 {
		return d.text
	}
	return d.text[:len(sha256Prefix)+12]
}

// Raw returns the bare hash: 32 bytes of a sha256, 64 of a sha512, none of the zero Digest.
func (d Digest) Raw() []byte {
	if d.IsZero() {
		return nil
	}
	raw, _ := hex.DecodeString(d.text[len(sha256Prefix):]) // a Digest holds valid hex by construction
	return raw
}

// DigestOfHash is the digest whose Raw hash is given: its length tells the
// algorithm. It returns an Invalid error for any other length.
func DigestOfHash(hash []byte) (Digest, error) {
	switch len(hash) {
	case sha256.Size:
		return Digest{text: sha256Prefix + hex.EncodeToString(hash)}, nil
	case sha512.Size:
		return Digest{text: sha512Prefix + hex.EncodeToString(hash)}, nil
	default:
		return Digest{}, Errorf(Invalid, "a hash of %d bytes: want %d or %d", len(hash), sha256.Size, sha512.Size)
	}
}

// AppendBinary writes one byte (0 none, 1 sha256, 2 sha512) and the raw hash.
func (d Digest) AppendBinary(b []byte) []byte {
	switch {
	case d.IsZero():
		return append(b, 0)
	case strings.HasPrefix(d.text, sha256Prefix):
		b = append(b, 1)
	default:
		b = append(b, 2)
	}
	b, _ = hex.AppendDecode(b, []byte(d.text[len(sha256Prefix):])) // as in Raw
	return b
}

// CutDigest reads a digest that AppendBinary wrote off the front of b.
func CutDigest(b []byte) (d Digest, rest []byte, err error) {
	if len(b) == 0 {
		return Digest{}, nil, Errorf(Invalid, "a digest is missing")
	}
	prefix, n := sha256Prefix, sha256.Size
	switch b[0] {
	case 0:
		return Digest{}, b[1:], nil
	case 1:
	case 2:
		prefix, n = sha512Prefix, sha512.Size
	default:
		return Digest{}, nil, Errorf(Invalid, "a digest is of an unknown algorithm")
	}
	if len(b) <= n {
		return Digest{}, nil, Errorf(Invalid, "a digest is truncated")
	}
	return Digest{text: prefix + hex.EncodeToString(b[1:1+n])}, b[1+n:], nil
}

// MarshalText implements encoding.TextMarshaler.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.text), nil }

// UnmarshalText implements encoding.TextUnmarshaler; empty text is the zero Digest.
func (d *Digest) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*d = Digest{}
		return nil
	}
	parsed, err := ParseDigest(string(b))
	if err != nil {
		return err
	}
	*d = parsed
	return nil
}

func isLowerHex(s string) bool {
	for i := range len(s) {
		if (s[i] < '0' || s[i] > '9') && (s[i] < 'a' || s[i] > 'f') {
			return false
		}
	}
	return true
}

// clip keeps a hostile value out of logs and error texts.
func clip(s string) string {
	const limit = 80
	if len(s) > limit {
		return s[:limit] + "…"
	}
	return s
}
