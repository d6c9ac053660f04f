package packed_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state/packed"
)

// textCodec has keys kind:directory:text, and records of kind s and d, of which a d may
// follow from the s whose text its value begins with; what comes after is the rest.
type textCodec struct{}

func (textCodec) Name(key string) (packed.Name, bool) {
	parts := strings.SplitN(key, ":", 3)
	kind, ok := map[string]byte{"s": 's', "d": 'd', "head": packed.KindHead, "run": packed.KindChunk, "page": packed.KindPage}[parts[0]]
	if !ok || len(parts) != 3 {
		return packed.Name{}, false
	}
	return packed.Name{Directory: parts[1], Kind: kind, Text: parts[2]}, true
}

func (textCodec) Key(n packed.Name) string {
	kind, ok := map[byte]string{'s': "s", 'd': "d", packed.KindHead: "head", packed.KindChunk: "run", packed.KindPage: "page"}[n.Kind]
	if !ok {
		return ""
	}
	return kind + ":" + n.Directory + ":" + n.Text
}

func (textCodec) Derive(from packed.Name, _ []byte, text string, with []byte) (packed.Name, []byte, error) {
	n := packed.Name{Directory: from.Directory, Kind: 'd', Text: text}
	if from.Kind != 's' {
		return n, nil, errors.New("nothing follows from it")
	}
	if text == "" {
		n.Text = "of " + from.Text
	}
	return n, append([]byte(from.Text), with...), nil
}

// ledger is a state as a peer has it.
type ledger map[string][]byte

func (l ledger) Get(keys ...string) ([][]byte, error) {
	values := make([][]byte, len(keys))
	for i, k := range keys {
		values[i] = l[k]
	}
	return values, nil
}

// write runs one transaction and returns what it wrote.
func (l ledger) write(t testing.TB, records map[string][]byte) []packed.Entry {
	t.Helper()
	keys := slices.Sorted(maps.Keys(records))
	all := packed.New(l, textCodec{})
	found, err := all.Find(keys...)
	if err != nil {
		t.Fatal(err)
	}
	var writes []packed.Entry
	for i, k := range keys {
		if found.Own(i) {
			writes = append(writes, packed.Entry{Key: k, Value: records[k]})
			continue
		}
		r := &packed.Record{Value: records[k], Weight: 1}
		if n := found.Name(i); n.Kind == 'd' {
			text, rest, _ := strings.Cut(string(records[k]), "+")
			r.With, r.Derived = packed.Name{Directory: n.Directory, Kind: 's', Text: text}, true
			if len(text) < len(records[k]) {
				r.Rest = []byte("+" + rest)
			}
		}
		if err := found.Add(i, r); err != nil {
			t.Fatal(err)
		}
	}
	more, err := all.Writes(time.Unix(1_700_000_000+rand.Int64N(60), 0)) // no clock only goes forward
	if err != nil {
		t.Fatal(err)
	}
	writes = append(writes, more...)
	l.apply(t, writes)
	return writes
}

func (l ledger) apply(t testing.TB, writes []packed.Entry) {
	t.Helper()
	written := map[string]bool{}
	for _, e := range writes {
		if written[e.Key] {
			t.Fatalf("%q is written twice", e.Key)
		}
		written[e.Key] = true
		if e.Value == nil {
			if l[e.Key] == nil {
				t.Fatalf("%q is removed and was not there", e.Key)
			}
			delete(l, e.Key)
			continue
		}
		if strings.HasPrefix(e.Key, "page:") && l[e.Key] != nil || strings.HasPrefix(e.Key, "run:") && l[e.Key] != nil {
			t.Fatalf("%q is changed", e.Key)
		}
		l[e.Key] = e.Value
	}
}

// materialize gives keys of their own to what is in pages of some keys.
func (l ledger) materialize(t testing.TB, keys ...string) {
	t.Helper()
	all := packed.New(l, textCodec{})
	if _, err := all.Get(keys...); err != nil {
		t.Fatal(err)
	}
	l.apply(t, all.Unpacked())
}

// Whatever is added or changed, in whatever batches, is found again, by a reader of
// the writes alone as well, which is told what had an earlier version.
func TestAgainstAMap(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(seed, 1))
			l, want, unpacked := ledger{}, map[string][]byte{}, map[string][]byte{}
			names := []int{300, 2000, 20000}[seed%3]
			key := func() string {
				return fmt.Sprintf("%s:%d:%d", []string{"s", "d"}[r.IntN(2)], r.IntN(1+int(seed)%3), r.IntN(names))
			}
			for tx := range 60 {
				records := map[string][]byte{}
				for range 1 + r.IntN([]int{3, 100, 900}[r.IntN(3)]) {
					k := key()
					records[k] = fmt.Appendf(nil, "%d", r.IntN(2000))
					if kind, rest, _ := strings.Cut(k, ":"); kind == "s" && r.IntN(2) == 0 {
						directory, text, _ := strings.Cut(rest, ":")
						records["d:"+directory+":of "+text] = []byte(text + []string{"", "+more", "+still more"}[r.IntN(3)])
					}
				}
				for _, e := range l.write(t, records) {
					entries, err := packed.Unpack(textCodec{}, e)
					if err != nil {
						t.Fatal(err)
					}
					for _, e := range entries {
						if n, _ := (textCodec{}).Name(e.Key); e.Value != nil && l[e.Key] == nil && n.Kind > packed.KindChunk && e.Changed != (unpacked[e.Key] != nil) {
							t.Fatalf("tx %d: %q had an earlier version: %v", tx, e.Key, !e.Changed)
						}
						if e.Value != nil {
							unpacked[e.Key] = e.Value
						}
					}
				}
				maps.Copy(want, records)
				if keys := slices.Sorted(maps.Keys(records)); r.IntN(3) == 0 {
					l.materialize(t, keys[:1+len(keys)/10]...)
				}
			}
			if diff := cmp.Diff(want, unpacked); diff != "" {
				t.Fatalf("a reader of the writes alone (+) sees other records:\n%s", diff)
			}
			keys := append(slices.Sorted(maps.Keys(want)), "s:0:never", "d:9:never", "of another kind")
			all := packed.New(l, textCodec{})
			got, err := all.Get(keys...)
			if err != nil {
				t.Fatal(err)
			}
			found, err := packed.New(l, textCodec{}).Find(keys...)
			if err != nil {
				t.Fatal(err)
			}
			inPages := 0
			for i, k := range keys {
				if !bytes.Equal(got[i], want[k]) || !bytes.Equal(found.Values[i], want[k]) {
					t.Fatalf("%q is %q and %q, want %q", k, got[i], found.Values[i], want[k])
				}
				if want[k] != nil && l[k] == nil {
					inPages++
				}
				if found.Own(i) != (l[k] != nil) {
					t.Fatalf("%q has a key of its own: %v", k, l[k] != nil)
				}
			}
			if n := len(all.Unpacked()); n != inPages || n == 0 || n == len(want) {
				t.Errorf("%d records of %d are in pages, and Get names %d", inPages, len(want), n)
			}
			for _, e := range all.Unpacked() {
				if l[e.Key] != nil || !bytes.Equal(e.Value, want[e.Key]) {
					t.Errorf("%q comes out of a page as %q, want %q", e.Key, e.Value, want[e.Key])
				}
			}
		})
	}
}

// Two names with one fingerprint, found by trying, are two names.
func TestNamesWithOneFingerprint(t *testing.T) {
	var one, other string
	seen := map[uint32]string{}
	for i := 0; one == ""; i++ {
		name := packed.Name{Directory: "x", Kind: 's', Text: fmt.Sprint(i)}
		key := textCodec{}.Key(name)
		if before, ok := seen[name.Fingerprint()]; ok {
			one, other = before, key
		}
		seen[name.Fingerprint()] = key
	}
	l := ledger{}
	l.write(t, map[string][]byte{one: []byte("1")})
	found, err := packed.New(l, textCodec{}).Find(one, other)
	if err != nil || string(found.Values[0]) != "1" || found.Values[1] != nil {
		t.Fatalf("%q, %v", found.Values, err)
	}
	l.write(t, map[string][]byte{other: []byte("7")})
	l.write(t, map[string][]byte{one: []byte("2")})
	got, err := packed.New(l, textCodec{}).Get(one, other)
	if err != nil || string(got[0]) != "2" || string(got[1]) != "7" {
		t.Fatalf("%q, %v", got, err)
	}
}

// A page or a chunk that is gone is damage: its names must not become new ones.
func TestDamage(t *testing.T) {
	for _, prefix := range []string{"page:", "run:"} {
		l, records := ledger{}, map[string][]byte{}
		for i := range 100 {
			records[fmt.Sprint("s:x:", i)] = []byte("1")
		}
		l.write(t, records)
		for key := range l {
			if strings.HasPrefix(key, prefix) {
				delete(l, key)
			}
		}
		if _, err := packed.New(l, textCodec{}).Get("s:x:1"); provenance.CodeOf(err) != provenance.Internal {
			t.Errorf("Get without %s: %v", prefix, err)
		}
		if _, err := packed.New(l, textCodec{}).Find("s:x:1"); provenance.CodeOf(err) != provenance.Internal {
			t.Errorf("Find without %s: %v", prefix, err)
		}
	}
}

// Bytes that no writer wrote are an error, and no panic.
func FuzzPages(f *testing.F) {
	l, records := ledger{}, map[string][]byte{}
	for i := range 100 {
		records[fmt.Sprint("s:x:", i)] = fmt.Append(nil, i%7)
		records[fmt.Sprint("d:x:of ", i)] = fmt.Append(nil, i, []string{"", "+more"}[i%2])
	}
	for range 2 {
		for _, e := range l.write(f, records) {
			f.Add(e.Value)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if read, reread := packed.RereadHead(b); read == nil && reread != nil {
			t.Errorf("a head that was read is not readable: %v", reread)
		}
		if read, reread := packed.RereadChunk(b); read == nil && reread != nil {
			t.Errorf("a chunk that was read is not readable: %v", reread)
		}
		_, _ = packed.New(ledger{"head:x:": b}, textCodec{}).Get("s:x:1")
		_, _ = packed.New(ledger{"head:x:": l["head:x:"], "page:x:000000000000": b}, textCodec{}).Get("s:x:1")
		entries, err := packed.Unpack(textCodec{}, packed.Entry{Key: "page:x:000000000000", Value: b})
		if err != nil {
			return
		}
		for _, e := range entries {
			if n, ok := (textCodec{}).Name(e.Key); !ok || n.Kind != 's' && n.Kind != 'd' {
				t.Errorf("a page holds %q", e.Key)
			}
		}
	})
}
