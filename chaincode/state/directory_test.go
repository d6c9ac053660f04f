package state

import (
	"encoding/hex"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
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
	if e.Value == nil {
		delete(p.state, e.Key)
	}
	p.written++
	p.bytes += len(e.Key) + len(e.Value)
}

// record runs one transaction that writes records as record:Segment does, and
// returns what it wrote.
func (p *peer) record(t testing.TB, records map[string]any) []Entry {
	t.Helper()
	keys := slices.Sorted(maps.Keys(records))
	d := NewDirectory(p)
	found, err := d.Recorded(keys...)
	if err != nil {
		t.Fatal(err)
	}
	var writes []Entry
	for i, k := range keys {
		if found.Own(i) {
			writes = append(writes, Entry{Key: k, Value: encoded(t, records[k])})
		} else if err := found.Add(i, records[k]); err != nil {
			t.Fatal(err)
		}
	}
	packed, err := d.Writes(minute(p.written))
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
				for _, e := range p.record(t, values) {
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
			if diff := cmp.Diff(want, unpacked); diff != "" {
				t.Errorf("a reader of the writes alone (+) sees other records:\n%s", diff)
			}
		})
	}
}

// What a push costs in keys is why the directory is there: of many at once and of
// one, into new repositories and into large ones, under new tags and under tags that
// exist, of which each moves once or a few move for ever.
func TestKeysPerPush(t *testing.T) {
	p := newPeer()
	images, tagged := 0, map[string]Tag{}
	push := func(n, repositories int, tag func(i int) provenance.Tag) (keys, bytes, reads float64) {
		p.reads, p.written, p.bytes = 0, 0, 0
		values := map[string]any{}
		for range n {
			i := images
			images++
			repo := provenance.Repository(fmt.Sprintf("team/app-%d", i%repositories))
			name := tag(i)
			pushed(values, repo, i, name, minute(i))
			key := TagKey(regHost, repo, name)
			now := Tag{Digest: imageOfNumber(i), Previous: tagged[key].Digest, Moves: tagged[key].Moves + 1, At: minute(i)}
			values[key], tagged[key] = &now, now
		}
		p.record(t, values)
		return float64(p.written) / float64(n), float64(p.bytes) / float64(n), float64(p.reads) / float64(n)
	}
	fresh := func(i int) provenance.Tag { return provenance.Tag(fmt.Sprintf("v%d", i)) }
	old := func(i int) provenance.Tag { return provenance.Tag(fmt.Sprintf("v%d", i-20_000)) }
	latest := func(int) provenance.Tag { return "latest" }
	several := func(times, n, repositories int, tag func(int) provenance.Tag) (keys, bytes, reads float64) {
		for range times {
			k, b, r := push(n, repositories, tag)
			keys, bytes, reads = keys+k/float64(times), bytes+b/float64(times), reads+r/float64(times)
		}
		t.Logf("%5d pushes, %d repositories, %6d images: %.3f keys read, %.3f written, %.0f bytes a push", n, repositories, images, reads, keys, bytes)
		return keys, bytes, reads
	}
	firstKeys, firstBytes, _ := several(2, 5000, 4, fresh)
	_, firstSingle, _ := several(200, 1, 4, fresh)
	several(12, 5000, 4, fresh)
	keys, bytes, reads := several(12, 5000, 4, fresh)
	if keys > 1.5*firstKeys || bytes > 1.3*firstBytes || keys > 0.1 || reads > 0.5 || bytes > 140 {
		t.Errorf("a push of many: %.3f keys read, %.3f written, %.0f bytes", reads, keys, bytes)
	}
	movedKeys, movedBytes, _ := several(4, 5000, 4, old)
	if movedKeys > 1.3*keys || movedBytes > 1.6*bytes {
		t.Errorf("a push that moves a tag: %.3f keys, %.0f bytes", movedKeys, movedBytes)
	}
	hotKeys, hotBytes, _ := several(4, 5000, 4, latest)
	if hotKeys > keys || hotBytes > bytes {
		t.Errorf("a push that moves one of few tags: %.3f keys, %.0f bytes", hotKeys, hotBytes)
	}
	several(300, 1, 4, fresh) // what many left to be merged
	for what, tag := range map[string]func(int) provenance.Tag{"new": fresh, "old": old, "one": latest} {
		keys, bytes, _ := several(200, 1, 4, tag)
		if keys > 3.3 || bytes > 1.5*firstSingle || bytes > 700 {
			t.Errorf("a single push under a tag that is %s: %.1f keys, %.0f bytes", what, keys, bytes)
		}
	}
}

func TestDirectoryRefusesOtherKeys(t *testing.T) {
	p := newPeer()
	p.record(t, map[string]any{TagKey(regHost, "app", "1.0"): &Tag{Moves: 2}})
	d := NewDirectory(p)
	if _, err := d.Get(TagKey(regHost, "app", "1.0")); err != nil {
		t.Fatal(err)
	}
	for _, e := range d.Unpacked() {
		p.write(e)
	}
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

// Looking a record up reads a page, whatever else is in it.
func TestPagesStaySmall(t *testing.T) {
	p, records := newPeer(), map[string]any{}
	children := make([]provenance.Digest, provenance.MaxChildren)
	for i := range children {
		children[i] = imageOfNumber(-i)
	}
	for i := range 50 {
		records[placeKey(i, "app")] = &Place{Children: children, MSP: "A", At: minute(i)}
	}
	for _, e := range p.record(t, records) {
		if len(e.Value) > 40<<10 {
			t.Errorf("%q has %d bytes", e.Key, len(e.Value))
		}
	}
}

// The golden file is protocol: every peer must write the same bytes.
func TestDirectoryGolden(t *testing.T) {
	p := newPeer()
	values := map[string]any{}
	for i := range 35 {
		pushed(values, "app", i, provenance.Tag(fmt.Sprintf("1.%d", i)), minute(i))
	}
	values[TagKey(regHost, "app", "latest")] = &Tag{Digest: imageOfNumber(3), Previous: imageOfNumber(2), Moves: 2, At: minute(3)}
	var lines []string
	few := map[string]any{}
	pushed(few, "app", 100, "1.7", minute(0))
	few[TagKey(regHost, "app", "1.7")] = &Tag{Digest: imageOfNumber(100), Previous: imageOfNumber(7), Moves: 2, At: minute(0)}
	for _, e := range append(p.record(t, values), p.record(t, few)...) {
		lines = append(lines, strings.ReplaceAll(e.Key, "\x00", "/")+" "+hex.EncodeToString(e.Value))
	}
	golden(t, "directory-v3.hex", lines)
}

// Bytes that no contract wrote are an error, and no panic.
func FuzzDirectory(f *testing.F) {
	golden, err := os.ReadFile(filepath.Join("testdata", "directory-v3.hex"))
	if err != nil {
		f.Fatal(err)
	}
	for line := range strings.Lines(string(golden)) {
		_, text, _ := strings.Cut(strings.TrimSpace(line), " ")
		b, err := hex.DecodeString(text)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p := newPeer()
		p.state[Key(TypeDirectory, string(regHost), "app", "")] = b
		_, _ = NewDirectory(p).Get(TagKey(regHost, "app", "1.0"))
		if entries, err := Unpack(Entry{Key: Key(TypePage, "000000000000", string(regHost), "app"), Value: b}); err == nil {
			for _, e := range entries {
				if n, ok := (pushes{}).Name(e.Key); !ok || n.Kind != kindPlace && n.Kind != kindTag {
					t.Errorf("a page holds %q", e.Key)
				}
			}
		}
	})
}
