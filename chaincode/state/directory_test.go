package state

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// peer is a state as a peer has it; it counts what is read and written.
type peer struct {
	state          map[string][]byte
	reads, written int
	bytes          int
}

func (p *peer) Get(keys ...string) ([][]byte, error) {
	p.reads += len(keys)
	values := make([][]byte, len(keys))
	for i, k := range keys {
		values[i] = p.state[k]
	}
	return values, nil
}

func (p *peer) write(e Entry) {
	p.state[e.Key] = e.Value
	p.written++
	p.bytes += len(e.Key) + len(e.Value)
}

// record runs one transaction that writes records as record:Segment does, and
// returns what it wrote.
func (p *peer) record(t *testing.T, unique string, records map[string]any) []Entry {
	t.Helper()
	keys := slices.Sorted(maps.Keys(records))
	d := NewDirectory(p)
	found, err := d.Recorded(keys...)
	if err != nil {
		t.Fatal(err)
	}
	var writes []Entry
	for i, k := range keys {
		if found.Values[i] != nil {
			writes = append(writes, Entry{Key: k, Value: encoded(t, records[k])})
		} else if err := found.Add(i, records[k]); err != nil {
			t.Fatal(err)
		}
	}
	packed, err := d.Writes(unique)
	if err != nil {
		t.Fatal(err)
	}
	writes = append(writes, packed...)
	for _, e := range writes {
		p.write(e)
	}
	return writes
}

func newPeer() *peer { return &peer{state: map[string][]byte{}} }

const regHost = provenance.Host("reg.example")

func imageOfNumber(i int) provenance.Digest {
	return provenance.SHA256Of(fmt.Appendf(nil, "image %d", i))
}

// minute keeps times apart.
func minute(n int) time.Time { return time.UnixMilli(1_772_442_845_000 + 60_000*int64(n)).UTC() }

func encoded(t testing.TB, record any) []byte {
	t.Helper()
	b, err := Encode(record)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// pushed adds the records of a push of a new image under a new tag.
func pushed(records map[string]any, repo provenance.Repository, image int, tag provenance.Tag, at time.Time) {
	d := imageOfNumber(image)
	records[PlaceKey(d, regHost, repo)] = &Place{MediaType: "application/vnd.oci.image.manifest.v1+json", Size: 1187, Actor: "ci", MSP: "VendorMSP", At: at, Tags: []provenance.Tag{tag}}
	records[TagKey(regHost, repo, tag)] = &Tag{Digest: d, Moves: 1, At: at}
}

func placeKey(i int, repo provenance.Repository) string {
	return PlaceKey(imageOfNumber(i), regHost, repo)
}

// Whatever is recorded, in whatever batches, is found again through the
// directory and by a reader of the writes alone.
func TestDirectoryAgainstAMap(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(seed, 1))
			p, want, unpacked := newPeer(), map[string][]byte{}, map[string][]byte{}
			repo := func() provenance.Repository {
				return provenance.Repository(fmt.Sprintf("team/app-%d", r.IntN(1+int(seed)%4)))
			}
			tag := func() provenance.Tag { return provenance.Tag(fmt.Sprintf("v%d", r.IntN(3000))) }
			key := func() string {
				d := imageOfNumber(r.IntN(3000))
				if r.IntN(2) == 0 {
					return TagKey(regHost, repo(), tag())
				}
				return PlaceKey(d, regHost, repo())
			}
			for tx := range 40 {
				values := map[string]any{}
				for range 1 + r.IntN([]int{3, 200, 900}[r.IntN(3)]) {
					at, d := minute(r.IntN(500)), imageOfNumber(r.IntN(3000))
					switch r.IntN(4) {
					case 0:
						values[TagKey(regHost, repo(), tag())] = &Tag{Digest: d, Previous: imageOfNumber(r.IntN(9)), Moves: uint64(r.IntN(3)), At: at}
					case 1:
						values[PlaceKey(d, regHost, repo())] = &Place{MSP: "A", At: at, Deleted: r.IntN(2) == 0, Size: r.Int64N(5000), Children: []provenance.Digest{d}}
					default:
						pushed(values, repo(), r.IntN(3000), tag(), at)
					}
				}
				for _, e := range p.record(t, fmt.Sprintf("segment %d", tx), values) {
					entries, err := Unpack(e)
					if err != nil {
						t.Fatal(err)
					}
					for _, e := range entries {
						unpacked[e.Key] = e.Value
					}
				}
				for k, v := range values {
					want[k] = encoded(t, v)
				}

				keys := []string{MembersKey(), key(), key()}
				for range 50 {
					keys = append(keys, key())
				}
				for k := range values {
					keys = append(keys, k)
				}
				recorded := func(keys ...string) ([][]byte, error) {
					found, err := NewDirectory(p).Recorded(keys...)
					return found.Values, err
				}
				for name, get := range map[string]func(...string) ([][]byte, error){"Get": NewDirectory(p).Get, "Recorded": recorded} {
					got, err := get(keys...)
					if err != nil {
						t.Fatal(err)
					}
					for i, k := range keys {
						if string(got[i]) != string(want[k]) {
							t.Fatalf("after %d transactions %s(%q) is %x, want %x", tx+1, name, k, got[i], want[k])
						}
					}
				}
			}
			for k, v := range want {
				// LoadFacts relies on it.
				if _, m, _ := splitMember(k); m.kind == kindTag && p.state[k] == nil {
					var tag Tag
					if err := Decode(v, &tag); err != nil || tag.Moves != 1 {
						t.Errorf("%q has no key of its own and was set %d times, %v", k, tag.Moves, err)
					}
				}
			}
			if diff := cmp.Diff(want, unpacked); diff != "" {
				t.Errorf("a reader of the writes alone (+) sees other records:\n%s", diff)
			}
		})
	}
}

// Two names with one mark, found by trying, are two names.
func TestNamesWithOneMark(t *testing.T) {
	one, other := TagKey(regHost, "app", "v544770"), TagKey(regHost, "app", "v551184")
	_, a, _ := splitMember(one)
	_, b, _ := splitMember(other)
	if a.mark() != b.mark() || a == b {
		t.Fatalf("%x and %x: the tags do not collide", a.mark(), b.mark())
	}
	p := newPeer()
	value := func(moves int) *Tag { return &Tag{Digest: imageOfNumber(moves), Moves: uint64(moves)} }
	p.record(t, "s1", map[string]any{one: value(1)})
	found, err := NewDirectory(p).Recorded(one, other)
	if err != nil || !bytes.Equal(found.Values[0], encoded(t, value(1))) || found.Values[1] != nil {
		t.Fatalf("%x, %v", found.Values, err)
	}
	p.record(t, "s2", map[string]any{other: value(7)})
	p.record(t, "s3", map[string]any{one: value(2)})
	got, err := NewDirectory(p).Get(one, other)
	if err != nil || !bytes.Equal(got[0], encoded(t, value(2))) || !bytes.Equal(got[1], encoded(t, value(7))) {
		t.Fatalf("%x, %v", got, err)
	}
}

// Names may be chosen so that they all hash into one bucket. It gets long, but
// the directory has no more buckets than names, and everything is found.
func TestNamesChosenForOneBucket(t *testing.T) {
	p, n := newPeer(), 0
	for i := 0; n < 600; i++ {
		key := placeKey(i, "app")
		if _, m, _ := splitMember(key); address(m.mark(), 1<<8) == 5 {
			p.record(t, fmt.Sprint("segment ", i), map[string]any{key: &Place{MSP: "A"}})
			n++
		}
	}
	d := NewDirectory(p)
	if _, err := d.Get(placeKey(0, "app")); err != nil {
		t.Fatal(err)
	}
	if count := d.shelves[home{string(regHost), "app"}].count(); count < 8 || count > uint64(n) {
		t.Errorf("%d buckets for %d names", count, n)
	}
}

// What a push costs in keys is why the directory is there.
func TestKeysPerPush(t *testing.T) {
	p := newPeer()
	pushes := func(from, n, repositories int) map[string]any {
		values := map[string]any{}
		for i := from; i < from+n; i++ {
			repo := provenance.Repository(fmt.Sprintf("app-%d", i%repositories))
			pushed(values, repo, i, provenance.Tag(fmt.Sprintf("v%d", i)), minute(i))
		}
		return values
	}
	for s := range 10 { // 2,500 images a repository, 1,250 a segment
		if s == 9 {
			p.reads, p.written, p.bytes = 0, 0, 0
		}
		p.record(t, fmt.Sprint("segment ", s), pushes(5000*s, 5000, 4))
	}
	t.Logf("5,000 pushes into 4 repositories of 11,250 images: %d keys read, %d written, %d bytes", p.reads, p.written, p.bytes)
	if p.reads > 5000 || p.written > 5000 || p.bytes > 5000*250 {
		t.Error("want less than a key read, a key written and 250 bytes a push")
	}
	p.reads, p.written, p.bytes = 0, 0, 0
	for i := range 100 {
		p.record(t, fmt.Sprint("single ", i), pushes(60000+i, 1, 4))
	}
	t.Logf("100 single pushes: %d keys read, %d written, %d bytes", p.reads, p.written, p.bytes)
	if p.reads > 450 || p.written > 450 || p.bytes > 100*1800 {
		t.Error("want some four keys read, three written and 1,800 bytes a push")
	}
}

func TestDirectoryRefusesOtherKeys(t *testing.T) {
	p := newPeer()
	p.record(t, "segment", map[string]any{TagKey(regHost, "app", "1.0"): &Tag{Moves: 2}})
	keys := []string{MembersKey(), SegmentKey(regHost, "VendorMSP", "l", 1), Key(TypePlace, "not base64!", "h", "r"), Key(TypeTag, "h"), "", TagKey(regHost, "app", "1.0")}
	found, err := NewDirectory(p).Recorded(keys...)
	if err != nil {
		t.Fatal(err)
	}
	for i, key := range keys {
		if err := found.Add(i, &Tag{}); provenance.CodeOf(err) != provenance.Internal {
			t.Errorf("Add(%q): %v", key, err)
		}
	}
}
