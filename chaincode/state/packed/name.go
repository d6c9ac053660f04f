package packed

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
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
	// KindHead is the head of a directory; Text is empty.
	KindHead = 0
	// KindPage is a page of a directory; Text is its number, in hex, so that texts sort
	// as they were written.
	KindPage = 1
	// KindChunk is a chunk of a run; Text is the numbers of both.
	KindChunk = 2
	// KindDerived stands in a page for a record that Codec.Derive makes, KindDerivedWith
	// for one that it makes with something more. They are protocol.
	KindDerived     = 'f'
	KindDerivedWith = 'g'
)

// Codec is what the owner of the records says of them. All of it is protocol.
type Codec interface {
	// Name takes the key of a record or of a page apart; ok is false for any other key.
	Name(key string) (n Name, ok bool)
	// Key is the key of its own that a name has; "" for a name that is none.
	Key(n Name) string
	// Derive returns the name and the value of the record that follows from another,
	// where one may: a page then holds no value of it but with, and no text where it
	// is the one that follows. Both may be empty.
	Derive(from Name, value []byte, text string, with []byte) (n Name, derived []byte, err error)
}

// fingerprintBits is how much of a name's hash its directory keeps: another name looks
// alike five times in a million among 20,000 names, and five in a thousand among
// twenty million. The price is the reading of a page that does not hold it.
const fingerprintBits = 32

// name is a Name on its way to its record; directory is nil for a key of another kind.
type name struct {
	*directory
	Name
	fingerprint uint32
}

// member is a Name within its directory.
type member struct {
	kind byte
	text string
}

func (n Name) member() member { return member{n.Kind, n.Text} }

// fingerprint is what a directory knows a name by: the first bits of its SHA-256.
func (n Name) fingerprint() uint32 {
	sum := sha256.Sum256(append([]byte{n.Kind}, n.Text...))
	return binary.BigEndian.Uint32(sum[:])
}

func (d *directory) headKey() string { return d.codec.Key(Name{Directory: d.id, Kind: KindHead}) }

func (d *directory) pageKey(n uint64) string {
	return d.codec.Key(Name{Directory: d.id, Kind: KindPage, Text: fmt.Sprintf("%012x", n)})
}

func (d *directory) chunkKey(c chunkOf) string {
	return d.codec.Key(Name{Directory: d.id, Kind: KindChunk, Text: fmt.Sprintf("%012x.%04x", c.run, c.chunk)})
}
