package state

import (
	"encoding/base64"
	"encoding/binary"
	"slices"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state/packed"
)

// Places and tags are the two records a push writes. Every peer stores, hashes
// and ships each of their bytes, so their values are binary: about 50 bytes
// instead of 330 and 150 of JSON. Everything else is written rarely and is JSON.
//
// A value opens with its version; no JSON record opens with that byte. Texts
// are a varint length and the bytes (package packed), times are milliseconds since 1970 (0 for
// the zero time) as zig-zag varints, digests are those of a segment.

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
	b := []byte{packed.Version, flags}
	code := slices.Index(mediaTypes(), p.MediaType)
	switch {
	case p.MediaType == "": // number 0 and an empty text
		b = append(b, 0, 0)
	case code < 0:
		b = packed.AppendText(append(b, 0), p.MediaType)
	default:
		b = append(b, byte(code))
	}
	b = packed.AppendText(b, p.ArtifactType)
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
	b = packed.AppendText(packed.AppendText(b, p.Actor), p.MSP)
	b = appendTime(b, p.At)
	b = binary.AppendUvarint(b, uint64(len(p.Tags)))
	for _, t := range p.Tags {
		b = packed.AppendText(b, string(t))
	}
	return b, nil
}

// UnmarshalBinary implements encoding.BinaryUnmarshaler.
func (p *Place) UnmarshalBinary(b []byte) error {
	d := readerOf(b)
	d.Version()
	flags := d.Byte()
	*p = Place{Deleted: flags&1 != 0, Proven: flags&2 != 0, TagsCut: flags&4 != 0}
	d.Bad = d.Bad || flags > 15
	if code := int(d.Byte()); code > 0 && code < len(mediaTypes()) {
		p.MediaType = mediaTypes()[code]
	} else {
		p.MediaType = d.Text()
		d.Bad = d.Bad || code != 0
	}
	p.ArtifactType = d.Text()
	p.Size = d.Varint()
	p.Config, p.Subject = d.digest(), d.digest()
	for n := d.Count(provenance.MaxChildren); n > 0 && !d.Bad; n-- {
		p.Children = append(p.Children, d.digest())
	}
	if flags&8 != 0 {
		p.nested(&d)
	}
	p.Actor, p.MSP = d.Text(), d.Text()
	p.At = d.time()
	for n := d.Count(MaxPlaceTags); n > 0 && !d.Bad; n-- {
		p.Tags = append(p.Tags, provenance.Tag(d.Text()))
	}
	return d.End("place")
}

// nested reads which of the children are indexes: at least one, in their order.
func (p *Place) nested(d *reader) {
	n := d.Count(len(p.Children))
	d.Bad = d.Bad || n == 0
	for last := -1; n > 0 && !d.Bad; n-- {
		at := d.Count(len(p.Children) - 1)
		// Each child stands there once; a second of it would be written as the first.
		if at <= last || d.Bad || slices.Index(p.Children, p.Children[at]) != at {
			d.Bad = true
			return
		}
		p.Nested, last = append(p.Nested, p.Children[at]), at
	}
}

// MarshalBinary implements encoding.BinaryMarshaler.
func (t Tag) MarshalBinary() ([]byte, error) {
	b := t.Digest.AppendBinary([]byte{packed.Version})
	b = t.Previous.AppendBinary(b)
	b = binary.AppendUvarint(b, t.Moves)
	return appendTime(b, t.At), nil
}

// UnmarshalBinary implements encoding.BinaryUnmarshaler.
func (t *Tag) UnmarshalBinary(b []byte) error {
	d := readerOf(b)
	d.Version()
	*t = Tag{Digest: d.digest(), Previous: d.digest()}
	t.Moves = d.Uvarint()
	t.At = d.time()
	return d.End("tag")
}

func appendTime(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return binary.AppendVarint(b, 0)
	}
	return binary.AppendVarint(b, t.UnixMilli())
}

// reader reads a binary value.
type reader struct{ packed.Decoder }

func readerOf(b []byte) reader { return reader{packed.Decoder{Rest: b}} }

func (d *reader) digest() provenance.Digest {
	digest, rest, err := provenance.CutDigest(d.Rest)
	if err != nil {
		d.Bad = true
		return provenance.Digest{}
	}
	d.Rest = rest
	return digest
}

func (d *reader) time() time.Time {
	ms := d.Varint()
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// digestAttribute is a digest as it stands in the key of a place: the bare hash
// in base64url, 43 characters instead of 71. Its length tells the algorithm.
func digestAttribute(d provenance.Digest) string {
	return base64.RawURLEncoding.EncodeToString(d.Raw())
}
