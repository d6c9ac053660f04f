package state

import (
	"encoding/base64"
	"encoding/binary"
	"slices"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// Places and tags are the two records a push writes. Every peer stores, hashes
// and ships each of their bytes, so their values are binary: about 50 bytes
// instead of 330 and 150 of JSON. Everything else is written rarely and is JSON.
//
// A value opens with its version; no JSON record opens with that byte. Texts
// are a varint length and the bytes, times are milliseconds since 1970 (0 for
// the zero time) as zig-zag varints, digests are those of a segment.
const compactVersion = 1

// mediaTypes have numbers, which are protocol: only ever append. Number 0 is
// any other type, written out.
func mediaTypes() []string {
	return []string{
		"",
		"application/vnd.oci.image.manifest.v1+json",
		"application/vnd.oci.image.index.v1+json",
		"application/vnd.docker.distribution.manifest.v2+json",
		"application/vnd.docker.distribution.manifest.list.v2+json",
	}
}

// MarshalBinary implements encoding.BinaryMarshaler.
func (p Place) MarshalBinary() ([]byte, error) {
	flags := byte(0)
	for bit, set := range []bool{p.Deleted, p.Proven, p.TagsCut, len(p.Nested) > 0} {
		if set {
			flags |= 1 << bit
		}
	}
	b := []byte{compactVersion, flags}
	code := slices.Index(mediaTypes(), p.MediaType)
	switch {
	case p.MediaType == "": // number 0 and an empty text
		b = append(b, 0, 0)
	case code < 0:
		b = appendText(append(b, 0), p.MediaType)
	default:
		b = append(b, byte(code))
	}
	b = appendText(b, p.ArtifactType)
	b = binary.AppendVarint(b, p.Size)
	b = p.Config.AppendBinary(b)
	b = p.Subject.AppendBinary(b)
	b = binary.AppendUvarint(b, uint64(len(p.Children)))
	for _, c := range p.Children {
		b = c.AppendBinary(b)
	}
	if len(p.Nested) > 0 {
		b = binary.AppendUvarint(b, uint64(len(p.Nested)))
		for _, c := range p.Nested { // by its place among the children
			at := slices.Index(p.Children, c)
			if at < 0 {
				return nil, provenance.Errorf(provenance.Internal, "a place nests %s, which it does not list", c.Short())
			}
			b = binary.AppendUvarint(b, uint64(at))
		}
	}
	b = appendText(appendText(b, p.Actor), p.MSP)
	b = appendTime(b, p.At)
	b = binary.AppendUvarint(b, uint64(len(p.Tags)))
	for _, t := range p.Tags {
		b = appendText(b, string(t))
	}
	return b, nil
}

// UnmarshalBinary implements encoding.BinaryUnmarshaler.
func (p *Place) UnmarshalBinary(b []byte) error {
	d := reader{rest: b}
	d.version()
	flags := d.byte()
	*p = Place{Deleted: flags&1 != 0, Proven: flags&2 != 0, TagsCut: flags&4 != 0}
	d.bad = d.bad || flags > 15
	if code := int(d.byte()); code > 0 && code < len(mediaTypes()) {
		p.MediaType = mediaTypes()[code]
	} else {
		p.MediaType = d.text()
		d.bad = d.bad || code != 0
	}
	p.ArtifactType = d.text()
	p.Size = d.varint()
	p.Config, p.Subject = d.digest(), d.digest()
	for n := d.count(provenance.MaxChildren); n > 0 && !d.bad; n-- {
		p.Children = append(p.Children, d.digest())
	}
	if flags&8 != 0 {
		p.nested(&d)
	}
	p.Actor, p.MSP = d.text(), d.text()
	p.At = d.time()
	for n := d.count(MaxPlaceTags); n > 0 && !d.bad; n-- {
		p.Tags = append(p.Tags, provenance.Tag(d.text()))
	}
	return d.end("place")
}

// nested reads which of the children are indexes: at least one, in their order.
func (p *Place) nested(d *reader) {
	n := d.count(len(p.Children))
	d.bad = d.bad || n == 0
	for last := -1; n > 0 && !d.bad; n-- {
		at := d.count(len(p.Children) - 1)
		// Each child stands there once; a second of it would be written as the first.
		if at <= last || d.bad || slices.Index(p.Children, p.Children[at]) != at {
			d.bad = true
			return
		}
		p.Nested, last = append(p.Nested, p.Children[at]), at
	}
}

// MarshalBinary implements encoding.BinaryMarshaler.
func (t Tag) MarshalBinary() ([]byte, error) {
	b := t.Digest.AppendBinary([]byte{compactVersion})
	b = t.Previous.AppendBinary(b)
	b = binary.AppendUvarint(b, t.Moves)
	return appendTime(b, t.At), nil
}

// UnmarshalBinary implements encoding.BinaryUnmarshaler.
func (t *Tag) UnmarshalBinary(b []byte) error {
	d := reader{rest: b}
	d.version()
	*t = Tag{Digest: d.digest(), Previous: d.digest()}
	t.Moves = d.uvarint()
	t.At = d.time()
	return d.end("tag")
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendTime(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return binary.AppendVarint(b, 0)
	}
	return binary.AppendVarint(b, t.UnixMilli())
}

// reader reads from the front and remembers the first failure.
type reader struct {
	rest []byte
	bad  bool
}

func (d *reader) version() { d.bad = d.byte() != compactVersion }

func (d *reader) byte() byte {
	if d.bad || len(d.rest) == 0 {
		d.bad = true
		return 0
	}
	b := d.rest[0]
	d.rest = d.rest[1:]
	return b
}

func (d *reader) skip(n int) {
	if n <= 0 {
		d.bad = true
		return
	}
	d.rest = d.rest[n:]
}

func (d *reader) uvarint() uint64 {
	v, n := binary.Uvarint(d.rest)
	d.skip(n)
	return v
}

func (d *reader) varint() int64 {
	v, n := binary.Varint(d.rest)
	d.skip(n)
	return v
}

func (d *reader) count(limit int) int {
	v := d.uvarint()
	if v > uint64(limit) {
		d.bad = true
		return 0
	}
	return int(v)
}

func (d *reader) text() string {
	n := d.count(len(d.rest))
	if d.bad || n > len(d.rest) {
		d.bad = true
		return ""
	}
	s := string(d.rest[:n])
	d.rest = d.rest[n:]
	return s
}

func (d *reader) digest() provenance.Digest {
	digest, rest, err := provenance.CutDigest(d.rest)
	if err != nil {
		d.bad = true
		return provenance.Digest{}
	}
	d.rest = rest
	return digest
}

func (d *reader) time() time.Time {
	ms := d.varint()
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

func (d *reader) end(what string) error {
	if d.bad || len(d.rest) != 0 {
		return provenance.Errorf(provenance.Internal, "a %s record is damaged or of another version", what)
	}
	return nil
}

// digestAttribute is a digest as it stands in the key of a place: the bare hash
// in base64url, 43 characters instead of 71. Its length tells the algorithm.
func digestAttribute(d provenance.Digest) string {
	return base64.RawURLEncoding.EncodeToString(d.Raw())
}
