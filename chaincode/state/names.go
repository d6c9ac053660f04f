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

// name is what a record of a push is found by, taken out of its key.
type name struct {
	home
	member
	// mark is what a bucket knows it by: the first bits of its SHA-256.
	mark uint64
}

// member is a record of a push among those of its repository.
type member struct {
	kind byte
	text string // the bare hash of a place's digest, the tag, the digest of a parents' child
}

// The kinds are protocol.
const (
	kindPlace   = 'p'
	kindTag     = 't'
	kindParents = 'c'
)

// nameOf tells what record of a push a key is of; ok is false for any other key.
func nameOf(key string) (n name, ok bool) {
	objectType, a, ok := SplitKey(key)
	if !ok || len(a) != 3 {
		return name{}, false
	}
	switch objectType {
	case TypePlace:
		hash, err := base64.RawURLEncoding.Strict().DecodeString(a[0])
		if err != nil {
			return name{}, false
		}
		n = name{home: home{a[1], a[2]}, member: member{kindPlace, string(hash)}}
	case TypeParents:
		n = name{home: home{a[1], a[2]}, member: member{kindParents, a[0]}}
	case TypeTag:
		n = name{home: home{a[0], a[1]}, member: member{kindTag, a[2]}}
	default:
		return name{}, false
	}
	sum := sha256.Sum256(append([]byte{n.kind}, n.text...))
	n.mark = binary.BigEndian.Uint64(sum[:]) >> (64 - markBits)
	return n, true
}

// key is the key of its own that a member has in a repository.
func (m member) key(h home) string {
	switch m.kind {
	case kindTag:
		return Key(TypeTag, h.host, h.repository, m.text)
	case kindParents:
		return Key(TypeParents, m.text, h.host, h.repository)
	default:
		return Key(TypePlace, base64.RawURLEncoding.EncodeToString([]byte(m.text)), h.host, h.repository)
	}
}
