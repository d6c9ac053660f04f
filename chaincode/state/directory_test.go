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

// record runs one transaction that writes values as record:Segment does, and
// returns what it wrote.
func (p *peer) record(t *testing.T, unique string, values map[string][]byte) []Entry {
	t.Helper()
	keys := slices.Sorted(maps.Keys(values))
	d := NewDirectory(p)
	before, err := d.Recorded(keys...)
	if err != nil {
		t.Fatal(err)
	}
	var writes []Entry
	for i, k := range keys {
		if before[i] != nil {
			writes = append(writes, Entry{Key: k, Value: values[k]})
		} else if err := d.Add(k, values[k]); err != nil {
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

func placeKey(i int, repo provenance.Repository) string {
	return PlaceKey(provenance.SHA256Of(fmt.Appendf(nil, "image %d", i)), regHost, repo)
}

// Whatever is recorded, in whatever batches, is found again through the
// directory and by a reader of the writes alone.
func TestDirectoryAgainstAMap(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(seed, 1))
			p, want, unpacked := newPeer(), map[string][]byte{}, map[string][]byte{}
			key := func() string {
				repo := provenance.Repository(fmt.Sprintf("team/app-%d", r.IntN(1+int(seed)%4)))
				d := provenance.SHA256Of(fmt.Appendf(nil, "image %d", r.IntN(3000)))
				switch r.IntN(3) {
				case 0:
					return TagKey(regHost, repo, provenance.Tag(fmt.Sprintf("v%d", r.IntN(3000))))
				case 1:
					return ParentsKey(d, regHost, repo)
				default:
					return PlaceKey(d, regHost, repo)
				}
			}
			for tx := range 40 {
				values := map[string][]byte{}
				for range 1 + r.IntN([]int{3, 200, 900}[r.IntN(3)]) {
					values[key()] = fmt.Appendf(nil, "value %d %d", tx, r.IntN(1<<30))
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
				maps.Copy(want, values)

				keys := []string{MembersKey(), key(), key()}
				for range 50 {
					keys = append(keys, key())
				}
				for k := range values {
					keys = append(keys, k)
				}
				for name, get := range map[string]func(...string) ([][]byte, error){"Get": NewDirectory(p).Get, "Recorded": NewDirectory(p).Recorded} {
					got, err := get(keys...)
					if err != nil {
						t.Fatal(err)
					}
					for i, k := range keys {
						if string(got[i]) != string(want[k]) {
							t.Fatalf("after %d transactions %s(%q) is %q, want %q", tx+1, name, k, got[i], want[k])
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

// Two names with one mark, found by trying, are two names.
func TestNamesWithOneMark(t *testing.T) {
	one, other := TagKey(regHost, "app", "v544770"), TagKey(regHost, "app", "v551184")
	a, _ := nameOf(one)
	b, _ := nameOf(other)
	if a.mark != b.mark || a == b {
		t.Fatalf("%x and %x: the tags do not collide", a.mark, b.mark)
	}
	p := newPeer()
	p.record(t, "s1", map[string][]byte{one: []byte("one")})
	if got, err := NewDirectory(p).Recorded(one, other); err != nil || string(got[0]) != "one" || got[1] != nil {
		t.Fatalf("%q, %v", got, err)
	}
	p.record(t, "s2", map[string][]byte{other: []byte("other")})
	p.record(t, "s3", map[string][]byte{one: []byte("moved")})
	got, err := NewDirectory(p).Get(one, other)
	if err != nil || string(got[0]) != "moved" || string(got[1]) != "other" {
		t.Fatalf("%q, %v", got, err)
	}
}

// Names may be chosen so that they all hash into one bucket. It gets long, but
// the directory has no more buckets than names, and everything is found.
func TestNamesChosenForOneBucket(t *testing.T) {
	p, n := newPeer(), 0
	for i := 0; n < 600; i++ {
		key := placeKey(i, "app")
		if m, _ := nameOf(key); address(m.mark, 1<<8) == 5 {
			p.record(t, fmt.Sprint("segment ", i), map[string][]byte{key: []byte("v")})
			n++
		}
	}
	d := NewDirectory(p)
	if _, err := d.Get(placeKey(0, "app")); err != nil {
		t.Fatal(err)
	}
	if count := d.count(home{string(regHost), "app"}); count < 8 || count > uint64(n) {
		t.Errorf("%d buckets for %d names", count, n)
	}
}

// What a push costs in keys is why the directory is there.
func TestKeysPerPush(t *testing.T) {
	p := newPeer()
	pushes := func(from, n, repositories int) map[string][]byte {
		values := map[string][]byte{}
		for i := from; i < from+n; i++ {
			repo := provenance.Repository(fmt.Sprintf("app-%d", i%repositories))
			values[placeKey(i, repo)] = make([]byte, 50)
			values[TagKey(regHost, repo, provenance.Tag(fmt.Sprintf("v%d", i)))] = make([]byte, 41)
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
	if p.reads > 5000 || p.written > 5000 || p.bytes > 5000*600 {
		t.Error("want less than a key read, a key written and 600 bytes a push")
	}
	p.reads, p.written, p.bytes = 0, 0, 0
	for i := range 100 {
		p.record(t, fmt.Sprint("single ", i), pushes(60000+i, 1, 4))
	}
	t.Logf("100 single pushes: %d keys read, %d written, %d bytes", p.reads, p.written, p.bytes)
	if p.reads > 400 || p.written > 400 || p.bytes > 100*2500 {
		t.Error("want at most four keys read, four written and 2,500 bytes a push")
	}
}

// Every name is in the bucket of its address, whatever the number of buckets.
func TestAddress(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	for range 2000 {
		mark, n := r.Uint64()>>(64-markBits), 1+r.Uint64N(1<<12)
		before, after := address(mark, n), address(mark, n+1)
		if before >= n || (after != before && (after != n || before != splitOf(n))) {
			t.Fatalf("mark %x is in bucket %d of %d and in %d of %d, which splits bucket %d", mark, before, n, after, n+1, splitOf(n))
		}
	}
}

// The golden file is protocol: every peer must write the same bytes.
func TestDirectoryGolden(t *testing.T) {
	p := newPeer()
	values := map[string][]byte{}
	for i := range 70 {
		values[placeKey(i, "app")] = fmt.Appendf(nil, "place %d", i)
	}
	values[TagKey(regHost, "app", "1.0")] = []byte("tag")
	values[ParentsKey(provenance.SHA256Of([]byte("child")), regHost, "app")] = []byte("parents")
	var lines []string
	for _, e := range p.record(t, "segment", values) {
		lines = append(lines, strings.ReplaceAll(e.Key, "\x00", "/")+" "+hex.EncodeToString(e.Value))
	}
	got, golden := strings.Join(lines, "\n")+"\n", filepath.Join("testdata", "directory-v1.hex")
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("the encoding changed (-want +got):\n%s", diff)
	}
}

func TestDirectoryRefusesOtherKeys(t *testing.T) {
	d := NewDirectory(newPeer())
	for _, key := range []string{MembersKey(), SegmentKey(regHost, "l", 1), Key(TypePlace, "not base64!", "h", "r"), Key(TypeTag, "h"), ""} {
		if err := d.Add(key, []byte("v")); provenance.CodeOf(err) != provenance.Internal {
			t.Errorf("Add(%q): %v", key, err)
		}
	}
}

// Bytes that no contract wrote are an error, and no panic.
func FuzzDirectory(f *testing.F) {
	golden, err := os.ReadFile(filepath.Join("testdata", "directory-v1.hex"))
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
		var found bucket
		if err := found.UnmarshalBinary(b); err == nil {
			again := bucket{}
			if err := again.UnmarshalBinary(found.encode()); err != nil {
				t.Errorf("a bucket that was read is not readable: %v", err)
			}
		}
		p := newPeer()
		p.state[home{string(regHost), "app"}.bucketKey(0)] = b
		_, _ = NewDirectory(p).Get(TagKey(regHost, "app", "1.0"))
		if entries, err := Unpack(Entry{Key: home{string(regHost), "app"}.leafKey(leafID{}), Value: b}); err == nil {
			for _, e := range entries {
				if _, ok := nameOf(e.Key); !ok {
					t.Errorf("a leaf holds %q", e.Key)
				}
			}
		}
	})
}
