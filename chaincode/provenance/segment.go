package provenance

import (
	"encoding/binary"
	"time"
)

// Limits of a segment. Both keep a block small enough to prove.
const (
	MaxSegmentEvents = 5000
	MaxSegmentBytes  = 1 << 20
)

// The version that opens every encoded segment. Version 3 has two more texts
// per event, its address and user agent, and version 4 its blinded client
// besides. Each is written only where some event has what it adds: a list of
// events still has one encoding, and what an older gateway recorded, or an older
// chaincode must read, stays as it was. A decoder refuses any other version.
const (
	segmentVersion = 2
	segmentClients = 3
	segmentBlind   = 4
)

// EncodeSegment writes events compactly and deterministically: a version byte,
// tables of the distinct texts and of the distinct digests in order of first
// use, the count, then per event its 16-byte id, action byte, and varint
// indices into the tables (of digests plus one, 0 being none); times are
// zig-zag millisecond differences to the event before. The encoding of a list
// of events is unique, so its hash names it. A pull of an image that others of
// the segment pull too takes about 30 bytes.
func EncodeSegment(events []Event) ([]byte, error) {
	if len(events) == 0 || len(events) > MaxSegmentEvents {
		return nil, Errorf(Invalid, "segment of %d events: want 1 to %d", len(events), MaxSegmentEvents)
	}
	texts, digests := table[string]{index: map[string]uint64{}}, table[Digest]{index: map[Digest]uint64{}}
	body := make([]byte, 0, 64*len(events))
	last := int64(0)
	version := versionFor(events)
	names := checked{repositories: map[Repository]error{}, tags: map[Tag]error{}}
	for _, e := range events {
		if err := e.check(names); err != nil {
			return nil, err
		}
		body = append(append(body, e.ID[:]...), byte(e.Action))
		for _, text := range []string{e.Source, string(e.Repository), string(e.Tag), e.MediaType, e.ArtifactType, e.Actor} {
			body = binary.AppendUvarint(body, texts.add(text))
		}
		if version >= segmentClients {
			body = binary.AppendUvarint(body, texts.add(e.Address))
			body = binary.AppendUvarint(body, texts.add(e.UserAgent))
		}
		if version >= segmentBlind {
			body = digests.append(body, e.Blind)
		}
		body = digests.append(body, e.Digest)
		body = binary.AppendUvarint(body, uint64(e.Size))
		body = digests.append(body, e.Config)
		body = digests.append(body, e.Subject)
		body = binary.AppendUvarint(body, uint64(len(e.Children)))
		for _, c := range e.Children {
			body = digests.append(body, c)
		}
		at := e.OccurredAt.UnixMilli()
		body = binary.AppendVarint(body, at-last)
		last = at
	}
	out := binary.AppendUvarint([]byte{version}, uint64(len(texts.entries)))
	for _, text := range texts.entries {
		out = append(binary.AppendUvarint(out, uint64(len(text))), text...)
	}
	out = binary.AppendUvarint(out, uint64(len(digests.entries)))
	for _, d := range digests.entries {
		out = d.AppendBinary(out)
	}
	out = append(binary.AppendUvarint(out, uint64(len(events))), body...)
	if len(out) > MaxSegmentBytes {
		return nil, Errorf(Invalid, "segment of %d bytes: at most %d", len(out), MaxSegmentBytes)
	}
	return out, nil
}

// versionFor is the version that a list of events is written in.
func versionFor(events []Event) byte {
	version := byte(segmentVersion)
	for _, e := range events {
		if !e.Blind.IsZero() {
			return segmentBlind
		}
		if e.Address != "" || e.UserAgent != "" {
			version = segmentClients
		}
	}
	return version
}

func knownVersion(version byte) bool { return version >= segmentVersion && version <= segmentBlind }

// DecodeSegment reads what EncodeSegment wrote and nothing else: an unknown
// version, a truncated or trailing byte, or an encoding that EncodeSegment
// would not have produced is Invalid.
func DecodeSegment(b []byte) ([]Event, error) {
	if len(b) > MaxSegmentBytes {
		return nil, Errorf(Invalid, "segment of %d bytes: at most %d", len(b), MaxSegmentBytes)
	}
	d := decoder{rest: b}
	version := d.byte()
	if !knownVersion(version) {
		return nil, Errorf(Invalid, "segment version %d: this program reads versions %d to %d", version, segmentVersion, segmentBlind)
	}
	texts := make([]string, 0, 16)
	known := map[string]bool{}
	for n := d.count(len(b)); n > 0 && !d.bad; n-- {
		text := string(d.take(d.count(maxText)))
		d.bad = d.bad || known[text]
		known[text] = true
		texts = append(texts, text)
	}
	seen := map[Digest]bool{}
	for n := d.count(len(d.rest)); n > 0 && !d.bad; n-- {
		digest := d.digest()
		d.bad = d.bad || digest.IsZero() || seen[digest]
		seen[digest] = true
		d.digests = append(d.digests, digest)
	}
	names := checked{repositories: map[Repository]error{}, tags: map[Tag]error{}}
	n := d.count(MaxSegmentEvents)
	events := make([]Event, 0, min(n, len(d.rest)/24+1))
	last := int64(0)
	for ; n > 0 && !d.bad; n-- {
		e := Event{ID: d.id(), Action: Action(d.byte())}
		e.Source, e.Repository, e.Tag = d.text(texts), Repository(d.text(texts)), Tag(d.text(texts))
		e.MediaType, e.ArtifactType, e.Actor = d.text(texts), d.text(texts), d.text(texts)
		if version >= segmentClients {
			e.Address, e.UserAgent = d.text(texts), d.text(texts)
		}
		if version >= segmentBlind {
			e.Blind = d.reference()
		}
		e.Digest = d.reference()
		e.Size = int64(d.uvarint())
		e.Config, e.Subject = d.reference(), d.reference()
		for c := d.count(MaxChildren); c > 0 && !d.bad; c-- {
			e.Children = append(e.Children, d.reference())
		}
		last += d.varint()
		e.OccurredAt = time.UnixMilli(last).UTC()
		if d.bad {
			break
		}
		if err := e.check(names); err != nil {
			return nil, err
		}
		events = append(events, e)
	}
	if d.bad || len(d.rest) != 0 || len(events) == 0 || version != versionFor(events) || d.used != uint64(len(texts)) || d.named != uint64(len(d.digests)) {
		return nil, Errorf(Invalid, "segment is truncated, has bytes after its end, or is not in its canonical encoding")
	}
	return events, nil
}

// SegmentEvents returns how many events a segment says it holds, without
// reading them; Invalid where it cannot be one.
func SegmentEvents(b []byte) (int, error) {
	d := decoder{rest: b}
	version := d.byte()
	d.bad = !knownVersion(version)
	for n := d.count(len(b)); n > 0 && !d.bad; n-- {
		d.take(d.count(maxText))
	}
	for n := d.count(len(d.rest)); n > 0 && !d.bad; n-- {
		d.digest()
	}
	n := d.count(MaxSegmentEvents)
	if d.bad {
		return 0, Errorf(Invalid, "segment is truncated or of another version")
	}
	return n, nil
}

// table numbers the distinct values of a segment in order of first use.
type table[T comparable] struct {
	index   map[T]uint64
	entries []T
}

func (t *table[T]) add(v T) uint64 {
	i, ok := t.index[v]
	if !ok {
		i = uint64(len(t.entries))
		t.index[v] = i
		t.entries = append(t.entries, v)
	}
	return i
}

// append writes a value's number plus one, and 0 for the zero value.
func (t *table[T]) append(b []byte, v T) []byte {
	var zero T
	if v == zero {
		return append(b, 0)
	}
	return binary.AppendUvarint(b, t.add(v)+1)
}

// decoder reads from the front and remembers the first failure, so that the
// caller checks once per event instead of once per field. It accepts only what
// the encoder writes: shortest varints, and texts in the order of first use.
type decoder struct {
	rest    []byte
	used    uint64 // texts used so far
	digests []Digest
	named   uint64 // digests used so far
	bad     bool
}

func (d *decoder) take(n int) []byte {
	if d.bad || n < 0 || n > len(d.rest) {
		d.bad = true
		return nil
	}
	out := d.rest[:n]
	d.rest = d.rest[n:]
	return out
}

func (d *decoder) byte() byte {
	if b := d.take(1); len(b) == 1 {
		return b[0]
	}
	return 0
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.rest)
	if n <= 0 || (n > 1 && d.rest[n-1] == 0) {
		d.bad = true
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.rest)
	if n <= 0 || (n > 1 && d.rest[n-1] == 0) {
		d.bad = true
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

func (d *decoder) count(limit int) int {
	v := d.uvarint()
	if v > uint64(limit) {
		d.bad = true
		return 0
	}
	return int(v)
}

func (d *decoder) id() (id EventID) {
	copy(id[:], d.take(len(id)))
	return id
}

func (d *decoder) text(texts []string) string {
	i := d.uvarint()
	if i >= uint64(len(texts)) || i > d.used {
		d.bad = true
		return ""
	}
	if i == d.used {
		d.used++
	}
	return texts[i]
}

// reference reads a digest's number.
func (d *decoder) reference() Digest {
	i := d.uvarint()
	if i == 0 {
		return Digest{}
	}
	if i > uint64(len(d.digests)) || i > d.named+1 {
		d.bad = true
		return Digest{}
	}
	if i == d.named+1 {
		d.named++
	}
	return d.digests[i-1]
}

func (d *decoder) digest() Digest {
	digest, rest, err := CutDigest(d.rest)
	if err != nil {
		d.bad = true
		return Digest{}
	}
	d.rest = rest
	return digest
}
