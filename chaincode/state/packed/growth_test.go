package packed_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/waybill-dev/waybill/chaincode/state/packed"
)

// A name that changes for ever has one entry, give or take one for each run: what
// came before is left out when runs are merged.
func TestNameThatChangesForEver(t *testing.T) {
	l := ledger{}
	const times = 1000
	for i := range times {
		records := map[string][]byte{"s:x:hot": fmt.Append(nil, i), fmt.Sprint("s:x:", i): []byte("1")}
		for j := range packed.PackFrom {
			records[fmt.Sprint("s:other:", i, "-", j)] = []byte("1")
		}
		l.write(t, records)
	}
	all := packed.New(l, textCodec{})
	found, err := all.Find("s:x:hot", "s:x:17")
	if err != nil || string(found.Values[0]) != fmt.Sprint(times-1) || string(found.Values[1]) != "1" {
		t.Fatalf("%q, %v", found.Values, err)
	}
	var bytes int
	for k, v := range l {
		if strings.HasPrefix(k, "head:x") || strings.HasPrefix(k, "run:x") {
			bytes += len(v)
		}
	}
	if bytes > times*9 {
		t.Errorf("the directory of %d names has %d bytes", times+1, bytes)
	}
}

// What a record costs does not follow from how many there are: single ones and
// many at once, into a directory of some and one of a hundred times as many. No
// transaction merges more than its part.
func TestCostDoesNotGrow(t *testing.T) {
	l, n := ledger{}, 0
	add := func(many int) (written, bytes int) {
		records := map[string][]byte{}
		for range many {
			records[fmt.Sprint("s:x:", n)] = []byte("a value of a place, more or less as long as that of a real one")
			n++
		}
		for _, e := range l.write(t, records) {
			written, bytes = written+1, bytes+len(e.Key)+len(e.Value)
		}
		return written, bytes
	}
	single := func() (written, bytes, most int) {
		for range 400 {
			w, b := add(1)
			written, bytes, most = written+w, bytes+b, max(most, b)
		}
		return written, bytes, most
	}
	grow := func(to int) (written, bytes, most int) {
		for n < to {
			w, b := add(2500)
			written, bytes, most = written+w, bytes+b, max(most, b)
		}
		return written, bytes, most
	}
	grow(5_000)
	few, fewBytes, _ := single()
	_, _, _ = grow(20_000)
	from := n
	manyWritten, manyBytes, _ := grow(60_000)
	small := float64(manyBytes) / float64(n-from)
	_, _, most := grow(180_000)
	from = n
	lateWritten, lateBytes, _ := grow(220_000)
	large := float64(lateBytes) / float64(n-from)
	for range 4 { // what many left to be merged
		single()
	}
	late, lateSingle, mostSingle := single()
	runs, merges, _ := func() (int, int, int) {
		all := packed.New(l, textCodec{})
		if _, err := all.Find("s:x:1"); err != nil {
			t.Fatal(err)
		}
		return all.Runs("x")
	}()
	t.Logf("single: %d keys and %d bytes each, later %d and %d, at most %d; of 2,500: %.0f bytes and %d keys, later %.0f and %d, at most %d a transaction; %d runs, %d merges",
		few/400, fewBytes/400, late/400, lateSingle/400, mostSingle, small, manyWritten, large, lateWritten, most, runs, merges)
	if late > few+few/5 || lateSingle > 2*fewBytes {
		t.Errorf("a single record cost %d bytes, and costs %d", fewBytes/400, lateSingle/400)
	}
	if large > 2*small {
		t.Errorf("one of many cost %.0f bytes, and costs %.0f", small, large)
	}
	if most > 1<<20 || mostSingle > 64<<10 {
		t.Errorf("a transaction wrote %d bytes, one of a single record %d", most, mostSingle)
	}
	if runs+5*merges > 60 {
		t.Errorf("a lookup reads %d runs and %d merges", runs, merges)
	}
}

// Names may be chosen so that they all fall into one chunk. It grows to a bound, no
// transaction becomes large by it, and everything is found.
func TestNamesChosenForOneChunk(t *testing.T) {
	l, n, first, most := ledger{}, 0, "", 0
	records := map[string][]byte{}
	for i := 0; n < 30_000; i++ {
		name := packed.Name{Directory: "x", Kind: 's', Text: fmt.Sprint(i)}
		if name.Fingerprint()>>24 != 5 {
			continue
		}
		key := textCodec{}.Key(name)
		if n == 0 {
			first = key
		}
		records[key] = []byte("1")
		if n++; len(records) == 500 {
			bytes := 0
			for _, e := range l.write(t, records) {
				bytes += len(e.Value)
			}
			most = max(most, bytes)
			records = map[string][]byte{}
		}
	}
	all := packed.New(l, textCodec{})
	if found, err := all.Find(first); err != nil || found.Values[0] == nil {
		t.Fatal(found, err)
	}
	runs, merges, largest := all.Runs("x")
	t.Logf("%d runs, %d merges, %d entries in the largest chunk, %d bytes in the largest transaction", runs, merges, largest, most)
	if largest > packed.LargestChunk || most > 400<<10 || runs > 40 {
		t.Error("want a bound")
	}
}
