package state

import (
	"encoding/base64"
	"encoding/binary"
	"strings"
	"time"

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

// Unpacked returns what Get found in pages, under keys of their own. A transaction
// that writes them makes later acts about these images read what no push into their
// repository changes.
func (d *Directory) Unpacked() []Entry { return d.records.Unpacked() }

// Found is what Recorded found.
type Found struct {
	packed.Found
	directory *Directory
}

// Recorded finds what Get finds, at the price of the directory for a name that was
// never recorded.
func (d *Directory) Recorded(keys ...string) (Found, error) {
	f, err := d.records.Find(keys...)
	return Found{f, d}, err
}

// Add takes the first record of the i-th key, or a later version where the key was
// not found as it is: a *Place or a *Tag. Directory.Writes writes it.
func (f Found) Add(i int, record any) error { return f.add(i, record, false) }

// AddOwn is Add of a place that gets a key of its own, however many are added with it.
func (f Found) AddOwn(i int, record any) error { return f.add(i, record, true) }

func (f Found) add(i int, record any, own bool) error {
	value, err := Encode(record)
	if err != nil {
		return err
	}
	r := &packed.Record{Value: value, Weight: 1, Own: own}
	if err := f.Found.Add(i, r); err != nil {
		return err
	}
	switch record := record.(type) {
	case *Place:
		r.Weight = 1 + len(record.Children)/childrenPerRecord
		f.directory.places[f.Name(i)] = record
	case *Tag:
		r.With = packed.Name{Directory: f.Name(i).Directory, Kind: kindPlace, Text: string(record.Digest.Raw())}
		f.directory.tags = append(f.directory.tags, addedTag{record, r})
	default:
		return provenance.Errorf(provenance.Internal, "a %T is nothing that a push records", record)
	}
	return nil
}

// Writes returns what records all that was added, in a transaction of that time.
func (d *Directory) Writes(now time.Time) ([]Entry, error) {
	for _, t := range d.tags {
		place, added := d.places[t.record.With]
		if t.record.Derived = added && place.At.Equal(t.tag.At); t.record.Derived {
			t.record.Rest = t.tag.rest()
		}
	}
	d.tags = nil
	return d.records.Writes(now)
}

// rest is what the place of an image does not say of a tag that its push set;
// nothing where the tag was set for the first time.
func (t Tag) rest() []byte {
	if t.Previous.IsZero() && t.Moves == 1 {
		return nil
	}
	return binary.AppendUvarint(t.Previous.AppendBinary(nil), t.Moves)
}

// tagOf is the tag that the push of an image set, with what rest returned.
func tagOf(d provenance.Digest, p *Place, rest []byte) (Tag, error) {
	t := Tag{Digest: d, Moves: 1, At: p.At}
	if len(rest) == 0 {
		return t, nil
	}
	from := readerOf(rest)
	t.Previous, t.Moves = from.digest(), from.Uvarint()
	return t, from.End("tag")
}

// Unpack turns what a transaction wrote into the records it stands for: a page
// into its records under the keys of their own, what finds them into nothing, any
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
	directory, last := key[first:first+len(a[0])+1+len(a[1])], key[first+len(a[0])+1:len(key)-1]
	switch objectType {
	case TypePlace:
		hash, err := base64.RawURLEncoding.Strict().DecodeString(a[0])
		return packed.Name{Directory: last, Kind: kindPlace, Text: string(hash)}, err == nil
	case TypeTag:
		return packed.Name{Directory: directory, Kind: kindTag, Text: a[2]}, true
	case TypePage:
		return packed.Name{Directory: last, Kind: packed.KindPage, Text: a[0]}, true
	case TypeDirectory:
		return packed.Name{Directory: directory, Kind: packed.KindHead, Text: a[2]}, true
	case TypeRun:
		return packed.Name{Directory: last, Kind: packed.KindChunk, Text: a[0]}, true
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
		return Key(TypePage, n.Text, host, repository)
	case packed.KindHead:
		return Key(TypeDirectory, host, repository, n.Text)
	case packed.KindChunk:
		return Key(TypeRun, n.Text, host, repository)
	default:
		return ""
	}
}

// Derive implements packed.Codec: a tag that the push of an image set follows from
// the image's place, and from what it named before. Its name is the place's first tag.
func (pushes) Derive(from packed.Name, value []byte, text string, with []byte) (n packed.Name, derived []byte, err error) {
	n = packed.Name{Directory: from.Directory, Kind: kindTag, Text: text}
	if from.Kind != kindPlace {
		return n, nil, provenance.Errorf(provenance.Internal, "nothing follows from a record of kind %q", from.Kind)
	}
	var p Place
	if err := p.UnmarshalBinary(value); err != nil {
		return n, nil, err
	}
	if text == "" && len(p.Tags) > 0 {
		n.Text = string(p.Tags[0])
	}
	d, err := provenance.DigestOfHash([]byte(from.Text))
	if err != nil {
		return n, nil, err
	}
	t, err := tagOf(d, &p, with)
	if err != nil {
		return n, nil, err
	}
	derived, err = t.MarshalBinary()
	return n, derived, err
}
