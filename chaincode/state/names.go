package state

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"strconv"
)

// home is the repository a directory is of.
type home struct{ host, repository string }

func (h home) bucketKey(n uint64) string {
	return Key(TypeBucket, h.host, h.repository, strconv.FormatUint(n, 16))
}

func (h home) leafKey(id leafID) string {
	return Key(TypeLeaf, h.host, h.repository, base64.RawURLEncoding.EncodeToString(id[:]))
}

// name is what a record of a push is found by.
type name struct {
	*shelf
	member
	mark uint64
}

// address is the bucket of a name whose shelf was opened.
func (n name) address() uint64 { return address(n.mark, n.count()) }

// member is a record of a push among those of its repository.
type member struct {
	kind byte
	text string // the bare hash of a place's digest, or the tag
}

// The kinds are protocol.
const (
	kindPlace = 'p'
	kindTag   = 't'
	// kindFirstTag is a tag in a leaf that its image's place says all of.
	kindFirstTag = 'f'
)

// splitMember tells what record of a push, and of which repository, a key is
// of; ok is false for any other key.
func splitMember(key string) (h home, m member, ok bool) {
	objectType, a, ok := SplitKey(key)
	if !ok || len(a) != 3 {
		return home{}, member{}, false
	}
	switch objectType {
	case TypePlace:
		hash, err := base64.RawURLEncoding.Strict().DecodeString(a[0])
		return home{a[1], a[2]}, member{kindPlace, string(hash)}, err == nil
	case TypeTag:
		return home{a[0], a[1]}, member{kindTag, a[2]}, true
	default:
		return home{}, member{}, false
	}
}

// mark is what a bucket knows a member by: the first bits of its SHA-256.
func (m member) mark() uint64 {
	sum := sha256.Sum256(append([]byte{m.kind}, m.text...))
	return binary.BigEndian.Uint64(sum[:]) >> (64 - markBits)
}

// key is the key of its own that a member has in a repository.
func (m member) key(h home) string {
	if m.kind == kindTag {
		return Key(TypeTag, h.host, h.repository, m.text)
	}
	return Key(TypePlace, base64.RawURLEncoding.EncodeToString([]byte(m.text)), h.host, h.repository)
}
