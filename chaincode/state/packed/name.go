package packed

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"strconv"
)

// Name is what a record is found by.
type Name struct {
	// Directory is the directory that knows the record. Every directory should have
	// one writer: each record that is added changes it.
	Directory string
	Kind      byte
	Text      string
}

// The kinds that the package keeps for itself; those of records are others.
const (
	// KindBucket is a bucket of a directory; Text is its number in hex.
	KindBucket = 0
	// KindPage is a page of a directory; Text is its id in base64url.
	KindPage = 1
	// KindDerived stands in a page for a record that Codec.Derive makes. It is protocol.
	KindDerived = 'f'
)

// Codec is what the owner of the records says of them. All of it is protocol.
type Codec interface {
	// Name takes the key of a record or of a page apart; ok is false for any other key.
	Name(key string) (n Name, ok bool)
	// Key is the key of its own that a name has; "" for a name that is none.
	Key(n Name) string
	// Derive returns the kind and the value of the record that follows from another,
	// where one may: a page then holds no value of it.
	Derive(from Name, value []byte) (kind byte, derived []byte, err error)
}

// name is a Name on its way to its record; directory is nil for a key of another kind.
type name struct {
	*directory
	Name
	fingerprint uint64
}

// member is a Name within its directory.
type member struct {
	kind byte
	text string
}

func (n Name) member() member { return member{n.Kind, n.Text} }

// address is the bucket of a name whose directory was opened.
func (n name) address() uint64 { return address(n.fingerprint, n.count()) }

// fingerprint is what a bucket knows a name by: the first bits of its SHA-256.
func (n Name) fingerprint() uint64 {
	sum := sha256.Sum256(append([]byte{n.Kind}, n.Text...))
	return binary.BigEndian.Uint64(sum[:]) >> (64 - fingerprintBits)
}

func (d *directory) bucketKey(n uint64) string {
	return d.codec.Key(Name{Directory: d.id, Kind: KindBucket, Text: strconv.FormatUint(n, 16)})
}

func (d *directory) pageKey(id pageID) string {
	return d.codec.Key(Name{Directory: d.id, Kind: KindPage, Text: base64.RawURLEncoding.EncodeToString(id[:])})
}
