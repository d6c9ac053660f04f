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

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state/packed"
)

// textCodec has keys kind:directory:text, and records of kind s and d, of which a d may
// follow from the s whose text it has as value.
type textCodec struct{}

func (textCodec) Name(key string) (packed.Name, bool) {
	parts := strings.SplitN(key, ":", 3)
	kind, ok := map[string]byte{"s": 's', "d": 'd', "bucket": packed.KindBucket, "page": packed.KindPage}[parts[0]]
	if !ok || len(parts) != 3 {
		return packed.Name{}, false
	}
	return packed.Name{Directory: parts[1], Kind: kind, Text: parts[2]}, true
}

func (textCodec) Key(n packed.Name) string {
	kind, ok := map[byte]string{'s': "s", 'd': "d", packed.KindBucket: "bucket", packed.KindPage: "page"}[n.Kind]
	if !ok {
		return ""
	}
	return kind + ":" + n.Directory + ":" + n.Text
}

func (textCodec) Derive(from packed.Name, _ []byte) (byte, []byte, error) {
	if from.Kind != 's' {
		return 0, nil, errors.New("nothing follows from it")
	}
	return 'd', []byte(from.Text), nil
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
func (l ledger) write(t testing.TB, unique string, records map[string][]byte) []packed.Entry {
	t.Helper()
	keys := slices.Sorted(maps.Keys(records))
	all := packed.New(l, textCodec{})
	found, err := all.Find(keys...)
	if err != nil {
		t.Fatal(err)
	}
	var writes []packed.Entry
	for i, k := range keys {
		if found.Values[i] != nil {
			writes = append(writes, packed.Entry{Key: k, Value: records[k]})
			continue
		}
		r := &packed.Record{Value: records[k], Pack: true, Weight: 1}
		if n := found.Name(i); n.Kind == 'd' {
			r.With, r.Derived = packed.Name{Directory: n.Directory, Kind: 's', Text: string(records[k])}, true
		}
		if err := found.Add(i, r); err != nil {
			t.Fatal(err)
		}
	}
	more, err := all.Writes(unique)
	if err != nil {
		t.Fatal(err)
	}
	writes = append(writes, more...)
	for _, e := range writes {
		l[e.Key] = e.Value
	}
	return writes
}

// Whatever is added, in whatever batches, is found again, by a reader of the writes
// alone as well.
func TestAgainstAMap(t *testing.T) {
	for seed := range uint64(6) {
		r := rand.New(rand.NewPCG(seed, 1))
		l, want, unpacked := ledger{}, map[string][]byte{}, map[string][]byte{}
		key := func() string {
			return fmt.Sprintf("%s:%d:%d", []string{"s", "d"}[r.IntN(2)], r.IntN(1+int(seed)%3), r.IntN(2000))
		}
		for tx := range 30 {
			records := map[string][]byte{}
			for range 1 + r.IntN([]int{3, 100, 500}[r.IntN(3)]) {
				k := key()
				records[k] = fmt.Appendf(nil, "%d", r.IntN(2000))
				if kind, rest, _ := strings.Cut(k, ":"); kind == "s" && r.IntN(2) == 0 {
					directory, text, _ := strings.Cut(rest, ":")
					records["d:"+directory+":of "+text] = []byte(text)
				}
			}
			for _, e := range l.write(t, fmt.Sprint("tx ", tx), records) {
				entries, err := packed.Unpack(textCodec{}, e)
				if err != nil {
					t.Fatal(err)
				}
				for _, e := range entries {
					unpacked[e.Key] = e.Value
				}
			}
			maps.Copy(want, records)
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
		}
		if n := len(all.Unpacked()); n != inPages || n == 0 || n == len(want) {
			t.Errorf("%d records of %d are in pages, and Get names %d", inPages, len(want), n)
		}
		for _, e := range all.Unpacked() {
			if l[e.Key] != nil || !bytes.Equal(e.Value, want[e.Key]) {
				t.Errorf("%q comes out of a page as %q, want %q", e.Key, e.Value, want[e.Key])
			}
		}
	}
}

// Two names with one fingerprint, found by trying, are two names.
func TestNamesWithOneFingerprint(t *testing.T) {
	var one, other string
	seen := map[uint64]string{}
	for i := 0; one == ""; i++ {
		name := packed.Name{Directory: "x", Kind: 's', Text: fmt.Sprint(i)}
		key := textCodec{}.Key(name)
		if before, ok := seen[name.Fingerprint()]; ok {
			one, other = before, key
		}
		seen[name.Fingerprint()] = key
	}
	l := ledger{}
	l.write(t, "tx 1", map[string][]byte{one: []byte("1")})
	found, err := packed.New(l, textCodec{}).Find(one, other)
	if err != nil || string(found.Values[0]) != "1" || found.Values[1] != nil {
		t.Fatalf("%q, %v", found.Values, err)
	}
	l.write(t, "tx 2", map[string][]byte{other: []byte("7")})
	l.write(t, "tx 3", map[string][]byte{one: []byte("2")})
	got, err := packed.New(l, textCodec{}).Get(one, other)
	if err != nil || string(got[0]) != "2" || string(got[1]) != "7" {
		t.Fatalf("%q, %v", got, err)
	}
}

// Names may be chosen so that they all hash into one bucket. It gets long, but
// the directory has no more buckets than names, and everything is found.
func TestNamesChosenForOneBucket(t *testing.T) {
	l, n, first := ledger{}, 0, ""
	for i := 0; n < 600; i++ {
		name := packed.Name{Directory: "x", Kind: 's', Text: fmt.Sprint(i)}
		if name.Address(1<<8) != 5 {
			continue
		}
		key := textCodec{}.Key(name)
		if n == 0 {
			first = key
		}
		l.write(t, fmt.Sprint("tx ", i), map[string][]byte{key: []byte("1")})
		n++
	}
	all := packed.New(l, textCodec{})
	if found, err := all.Find(first); err != nil || found.Values[0] == nil {
		t.Fatal(found, err)
	}
	if count := all.Buckets("x"); count < 8 || count > uint64(n) {
		t.Errorf("%d buckets for %d names", count, n)
	}
}

// A page that is gone is damage: its names must not become new ones.
func TestPageThatIsGone(t *testing.T) {
	l, records := ledger{}, map[string][]byte{}
	for i := range packed.PackFrom {
		records[fmt.Sprint("s:x:", i)] = []byte("1")
	}
	l.write(t, "tx", records)
	for key := range l {
		if strings.HasPrefix(key, "page:") {
			delete(l, key)
		}
	}
	if _, err := packed.New(l, textCodec{}).Get("s:x:1"); provenance.CodeOf(err) != provenance.Internal {
		t.Errorf("Get: %v", err)
	}
	if _, err := packed.New(l, textCodec{}).Find("s:x:1"); provenance.CodeOf(err) != provenance.Internal {
		t.Errorf("Find: %v", err)
	}
}

// Pages have short names; one that is taken is not taken again.
func TestPageNamesThatAreTaken(t *testing.T) {
	l, all := ledger{}, map[string][]byte{}
	for part := range 3 {
		records := map[string][]byte{}
		for i := range 200 {
			records[fmt.Sprint("s:x:", part, "-", i)] = fmt.Append(nil, part, i)
		}
		l.write(t, "the same", records)
		maps.Copy(all, records)
	}
	keys := slices.Sorted(maps.Keys(all))
	got, err := packed.New(l, textCodec{}).Get(keys...)
	if err != nil {
		t.Fatal(err)
	}
	for i, k := range keys {
		if !bytes.Equal(got[i], all[k]) {
			t.Errorf("%q is %q, want %q", k, got[i], all[k])
		}
	}
}

// Bytes that no writer wrote are an error, and no panic.
func FuzzPages(f *testing.F) {
	l, records := ledger{}, map[string][]byte{}
	for i := range packed.PackFrom {
		records[fmt.Sprint("s:x:", i)] = fmt.Append(nil, i%7)
		records[fmt.Sprint("d:x:of ", i)] = fmt.Append(nil, i)
	}
	for _, e := range l.write(f, "tx", records) {
		f.Add(e.Value)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if read, reread := packed.RereadBucket(b); read == nil && reread != nil {
			t.Errorf("a bucket that was read is not readable: %v", reread)
		}
		_, _ = packed.New(ledger{"bucket:x:0": b}, textCodec{}).Get("s:x:1")
		entries, err := packed.Unpack(textCodec{}, packed.Entry{Key: "page:x:AAAAAA", Value: b})
		if err != nil {
			return
		}
		for _, e := range entries {
			if n, ok := (textCodec{}).Name(e.Key); !ok || n.Kind == packed.KindPage || n.Kind == packed.KindBucket {
				t.Errorf("a page holds %q", e.Key)
			}
		}
	})
}
