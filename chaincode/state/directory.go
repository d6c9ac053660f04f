package state

import (
	"encoding/base64"
	"strings"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state/packed"
)

// Places and tags, as pushes recorded them first, may stand many to a key
// (package packed): every repository has a directory of its own.

// Entry is a key and its value.
type Entry = packed.Entry

// Directory reads and adds the records of pushes in one transaction. It
// implements Reader over the peer's: what a push recorded is found wherever it
// stands, and all other keys are read as they are.
type Directory struct {
	records *packed.Records
	places  map[packed.Name]*Place // that were added
	tags    []addedTag
}

// addedTag is a tag that was added, and its record in its directory.
type addedTag struct {
	tag    *Tag
	record *packed.Record
}

// NewDirectory returns the directories of all repositories that r reads.
func NewDirectory(r Reader) *Directory {
	return &Directory{records: packed.New(r, pushes{}), places: map[packed.Name]*Place{}}
}

// Get implements Reader. A key of its own comes first.
func (d *Directory) Get(keys ...string) ([][]byte, error) { return d.records.Get(keys...) }

// Own returns the values of keys as they stand, nil for what is in a page. Of a
// tag that an image was pushed under nil means that it names the image still:
// what is in a page was set once, and changed never.
func (d *Directory) Own(keys ...string) ([][]byte, error) { return d.records.Own(keys...) }

// Unpacked returns the places that Get found in pages, under keys of their own. A
// transaction that writes them makes later acts about these images read what no push
// into their repository changes.
func (d *Directory) Unpacked() []Entry {
	var places []Entry
	for _, e := range d.records.Unpacked() {
		if objectType, _, _ := SplitKey(e.Key); objectType == TypePlace {
			places = append(places, e)
		}
	}
	return places
}

// Found is what Recorded found.
type Found struct {
	packed.Found
	directory *Directory
}

// Recorded finds what Get finds, at the price of a bucket for a name that was
// never recorded.
func (d *Directory) Recorded(keys ...string) (Found, error) {
	f, err := d.records.Find(keys...)
	return Found{f, d}, err
}

// Add takes the first record of the i-th key, which was not found: a *Place or
// a *Tag. Directory.Writes writes it.
func (f Found) Add(i int, record any) error {
	value, err := Encode(record)
	if err != nil {
		return err
	}
	r := &packed.Record{Value: value, Weight: 1}
	if err := f.Found.Add(i, r); err != nil {
		return err
	}
	switch record := record.(type) {
	case *Place:
		r.Pack, r.Weight = true, 1+len(record.Children)/childrenPerRecord
		f.directory.places[f.Name(i)] = record
	case *Tag:
		r.Pack = record.Moves == 1 // see Directory.Own
		r.With = packed.Name{Directory: f.Name(i).Directory, Kind: kindPlace, Text: string(record.Digest.Raw())}
		f.directory.tags = append(f.directory.tags, addedTag{record, r})
	default:
		return provenance.Errorf(provenance.Internal, "a %T is nothing that a push records", record)
	}
	return nil
}

// Writes returns what records all that was added. unique names the transaction's
// segment and no other: pages are called after it.
func (d *Directory) Writes(unique string) ([]Entry, error) {
	for _, t := range d.tags {
		place, added := d.places[t.record.With]
		t.record.Derived = added && *t.tag == firstTag(t.tag.Digest, place)
	}
	d.tags = nil
	return d.records.Writes(unique)
}

// firstTag is the record of a tag that was set once, by the push that recorded
// the image first: the place of the image says all of it.
func firstTag(d provenance.Digest, p *Place) Tag { return Tag{Digest: d, Moves: 1, At: p.At} }

// Unpack turns what a transaction wrote into the records it stands for: a page
// into its records under the keys of their own, a bucket into nothing, any
// other entry into itself. A reader of blocks needs no directory.
func Unpack(e Entry) ([]Entry, error) { return packed.Unpack(pushes{}, e) }

// childrenPerRecord is how many children of an index weigh as much as a record.
const childrenPerRecord = 8

// The kinds of record are protocol. The text of a place is the bare hash of its
// digest, that of a tag the tag.
const (
	kindPlace = 'p'
	kindTag   = 't'
)

// pushes is the codec of places and tags. A directory is named by host and
// repository with a NUL between them.
type pushes struct{}

// Name implements packed.Codec.
func (pushes) Name(key string) (packed.Name, bool) {
	objectType, a, ok := SplitKey(key)
	if !ok || len(a) != 3 {
		return packed.Name{}, false
	}
	// Host and repository stand in the key as they name a directory: it is cut out.
	first := len(objectType) + 2
	directory := key[first : first+len(a[0])+1+len(a[1])]
	switch objectType {
	case TypePlace:
		hash, err := base64.RawURLEncoding.Strict().DecodeString(a[0])
		return packed.Name{Directory: key[first+len(a[0])+1 : len(key)-1], Kind: kindPlace, Text: string(hash)}, err == nil
	case TypeTag:
		return packed.Name{Directory: directory, Kind: kindTag, Text: a[2]}, true
	case TypePage:
		return packed.Name{Directory: directory, Kind: packed.KindPage, Text: a[2]}, true
	case TypeBucket:
		return packed.Name{Directory: directory, Kind: packed.KindBucket, Text: a[2]}, true
	default:
		return packed.Name{}, false
	}
}

// Key implements packed.Codec.
func (pushes) Key(n packed.Name) string {
	host, repository, _ := strings.Cut(n.Directory, "\x00")
	switch n.Kind {
	case kindPlace:
		return Key(TypePlace, base64.RawURLEncoding.EncodeToString([]byte(n.Text)), host, repository)
	case kindTag:
		if strings.ContainsRune(n.Text, 0) { // it would be another key
			return ""
		}
		return Key(TypeTag, host, repository, n.Text)
	case packed.KindPage:
		return Key(TypePage, host, repository, n.Text)
	case packed.KindBucket:
		return Key(TypeBucket, host, repository, n.Text)
	default:
		return ""
	}
}

// Derive implements packed.Codec: a tag that was set once, by the push that recorded
// the image first, follows from the image's place.
func (pushes) Derive(from packed.Name, value []byte) (kind byte, derived []byte, err error) {
	if from.Kind != kindPlace {
		return 0, nil, provenance.Errorf(provenance.Internal, "nothing follows from a record of kind %q", from.Kind)
	}
	var p Place
	if err := p.UnmarshalBinary(value); err != nil {
		return 0, nil, err
	}
	d, err := provenance.DigestOfHash([]byte(from.Text))
	if err != nil {
		return 0, nil, err
	}
	derived, err = firstTag(d, &p).MarshalBinary()
	return kindTag, derived, err
}
