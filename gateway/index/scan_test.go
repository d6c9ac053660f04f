package index

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/block"
)

// TestScannerIsTheLedgers compares Get and Scan with the plain meaning of
// state.Scanner over random writes and deletes.
func TestScannerIsTheLedgers(t *testing.T) { onDatabases(t, testScannerIsTheLedgers) }

func testScannerIsTheLedgers(t *testing.T, create creator) {
	random := rand.New(rand.NewPCG(1, 2))
	words := []string{"", "a", "a\x01", "ab", "b", "\xff", "z"}
	word := func() string { return words[random.IntN(len(words))] }
	key := func() string { return state.Key("x"+word(), word(), word()) }
	c, x := newChain(t), create(t)
	for range 40 {
		var writes []block.Write
		for range 20 {
			writes = append(writes, block.Write{Key: key(), Value: []byte(word()), Delete: random.IntN(4) == 0})
		}
		if err := x.Apply(t.Context(), c.block(c.tx(0, "a@b", writes...))); err != nil {
			t.Fatal(err)
		}
		view(t, x, func(s *Snapshot) {
			for range 20 {
				keys := []string{key(), key(), state.Key("none"), key()}
				got, err := s.Get(keys...)
				if err != nil {
					t.Fatal(err)
				}
				for i, k := range keys {
					if want, held := c.state[k]; held != (got[i] != nil) || string(want) != string(got[i]) {
						t.Fatalf("Get(%q) = %q, want %q", k, got[i], want)
					}
				}
				limit, objectType, attributes := random.IntN(9)-1, "x"+word(), []string{word(), word()}[:random.IntN(3)]
				entries, err := s.Scan(limit, objectType, attributes...)
				if diff := cmp.Diff(scan(c.state, limit, objectType, attributes...), entries); diff != "" || err != nil {
					t.Fatalf("Scan(%d, %q, %q): %v %s", limit, objectType, attributes, err, diff)
				}
			}
		})
	}
}

func scan(held map[string][]byte, limit int, objectType string, attributes ...string) (entries []state.Entry) {
	var keys []string
	for k := range held {
		if strings.HasPrefix(k, state.Key(objectType, attributes...)) {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	for _, k := range keys[:max(0, min(limit, len(keys)))] {
		entries = append(entries, state.Entry{Key: k, Value: held[k]})
	}
	return entries
}

func TestGetOfManyKeys(t *testing.T) { onDatabases(t, testGetOfManyKeys) }

func testGetOfManyKeys(t *testing.T, create creator) {
	c, x := newChain(t), create(t)
	var writes []block.Write
	var keys []string
	for i := range 2*maxVariables + 7 {
		keys = append(keys, state.Key("k", fmt.Sprintf("%06d", i)))
		writes = append(writes, block.Write{Key: keys[i], Value: []byte(keys[i])})
	}
	if err := x.Apply(t.Context(), c.block(c.tx(0, "a@b", writes...))); err != nil {
		t.Fatal(err)
	}
	keys = append(keys, keys[0])
	view(t, x, func(s *Snapshot) {
		values, err := s.Get(keys...)
		if err != nil {
			t.Fatal(err)
		}
		for i, k := range keys {
			if string(values[i]) != k {
				t.Fatalf("key %d: %q, want %q", i, values[i], k)
			}
		}
		if none, err := s.Get(); len(none) != 0 || err != nil {
			t.Errorf("no keys: %q, %v", none, err)
		}
	})
}
