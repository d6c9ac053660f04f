package state

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// Leaves have short names; one that is taken is not taken again.
func TestLeafNamesThatAreTaken(t *testing.T) {
	p, first, second := newPeer(), map[string]any{}, map[string]any{}
	for i := range 100 {
		pushed(first, "app", i, provenance.Tag(fmt.Sprint("v", i)), minute(i))
		pushed(second, "app", 100+i, provenance.Tag(fmt.Sprint("v", 100+i)), minute(i))
	}
	p.record(t, "the same", first)
	p.record(t, "the same", second)
	maps.Copy(first, second)
	keys := slices.Sorted(maps.Keys(first))
	got, err := NewDirectory(p).Get(keys...)
	if err != nil {
		t.Fatal(err)
	}
	for i, k := range keys {
		if want := encoded(t, first[k]); !bytes.Equal(got[i], want) {
			t.Errorf("%q is %x, want %x", k, got[i], want)
		}
	}
}

// Looking a record up reads a leaf, whatever else is in it.
func TestLeavesStaySmall(t *testing.T) {
	p, records := newPeer(), map[string]any{}
	children := make([]provenance.Digest, provenance.MaxChildren)
	for i := range children {
		children[i] = imageOfNumber(-i)
	}
	for i := range 50 {
		records[placeKey(i, "app")] = &Place{Children: children, MSP: "A", At: minute(i)}
	}
	for _, e := range p.record(t, "segment", records) {
		if len(e.Value) > 40<<10 {
			t.Errorf("%q has %d bytes", e.Key, len(e.Value))
		}
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
	values := map[string]any{}
	for i := range 35 {
		pushed(values, "app", i, provenance.Tag(fmt.Sprintf("1.%d", i)), minute(i))
	}
	values[TagKey(regHost, "app", "latest")] = &Tag{Digest: imageOfNumber(3), Previous: imageOfNumber(2), Moves: 2, At: minute(3)}
	var lines []string
	few := map[string]any{}
	pushed(few, "app", 100, "few", minute(0))
	for _, e := range append(p.record(t, "segment", values), p.record(t, "segment of few", few)...) {
		lines = append(lines, strings.ReplaceAll(e.Key, "\x00", "/")+" "+hex.EncodeToString(e.Value))
	}
	golden(t, "directory-v1.hex", lines)
}

// A leaf that is gone is damage: its names must not become new ones.
func TestLeafThatIsGone(t *testing.T) {
	p, tag := newPeer(), TagKey(regHost, "app", "1.0")
	records := map[string]any{tag: &Tag{Moves: 1}}
	for i := range packFrom {
		records[placeKey(i, "app")] = &Place{MSP: "A"}
	}
	p.record(t, "segment", records)
	for key := range p.state {
		if strings.HasPrefix(key, "\x00"+TypeLeaf+"\x00") {
			delete(p.state, key)
		}
	}
	if _, err := NewDirectory(p).Get(tag); provenance.CodeOf(err) != provenance.Internal {
		t.Errorf("Get: %v", err)
	}
	if _, err := NewDirectory(p).Recorded(tag); provenance.CodeOf(err) != provenance.Internal {
		t.Errorf("Recorded: %v", err)
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
				if _, _, ok := splitMember(e.Key); !ok {
					t.Errorf("a leaf holds %q", e.Key)
				}
			}
		}
	})
}
