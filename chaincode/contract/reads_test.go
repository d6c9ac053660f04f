package contract

import (
	"fmt"
	"slices"
	"testing"

	"github.com/waybill-dev/waybill/chaincode/state"
)

// counted counts the calls that reach the peer and the keys of each.
type counted struct{ calls [][]string }

func (c *counted) Get(keys ...string) ([][]byte, error) {
	c.calls = append(c.calls, keys)
	values := make([][]byte, len(keys))
	for i, k := range keys {
		if k[0] != '-' { // what is not there
			values[i] = []byte("value of " + k)
		}
	}
	return values, nil
}

func TestRemembered(t *testing.T) {
	check := func(t *testing.T, r state.Reader, keys ...string) {
		t.Helper()
		values, err := r.Get(keys...)
		if err != nil || len(values) != len(keys) {
			t.Fatalf("%d values for %d keys, %v", len(values), len(keys), err)
		}
		for i, k := range keys {
			if want := "value of " + k; k[0] == '-' && values[i] != nil || k[0] != '-' && string(values[i]) != want {
				t.Errorf("%s is %q", k, values[i])
			}
		}
	}
	t.Run("what was read, and what was not there, is not asked again", func(t *testing.T) {
		peer := &counted{}
		r := &remembered{peer: peer, seen: map[string][]byte{}}
		check(t, r, "a", "-b")
		check(t, r, "-b", "c", "a", "c")
		check(t, r, "a", "-b", "c")
		if len(peer.calls) != 2 || slices.Contains(peer.calls[1], "a") || slices.Contains(peer.calls[1], "-b") {
			t.Errorf("asked %v", peer.calls)
		}
	})
	t.Run("beyond the bound everything is read all the same", func(t *testing.T) {
		peer := &counted{}
		r := &remembered{peer: peer, seen: map[string][]byte{}}
		var many []string
		for i := range 3 * maxRemembered {
			many = append(many, fmt.Sprint("key", i))
		}
		check(t, r, "a")
		check(t, r, many...)
		check(t, r, append([]string{"a"}, many...)...)
		check(t, r, append([]string{"a"}, many...)...)
		if len(r.seen) > maxRemembered {
			t.Errorf("%d keys remembered, want %d at most", len(r.seen), maxRemembered)
		}
	})
}

// A round trip to the peer is the price of a read: an act makes as few as it can.
func TestActsReadNoKeyTwice(t *testing.T) {
	l := network(t)
	for _, c := range []struct {
		who   string
		act   []string
		trips int
	}{
		{"admin@VendorMSP", []string{"member:Grant", "robot-1", "auditor"}, 2},
		{"admin@VendorMSP", []string{"member:Revoke", "robot-1", "auditor"}, 2},
		{"admin@VendorMSP", []string{"context:Set", "frozen", "true"}, 2},
		{"admin@VendorMSP", []string{"member:TakeBack", "robot-1", "2020-01-01T00:00:00Z", "lost"}, 2},
	} {
		l.asked, l.trips = nil, 0
		if _, writes, err := l.invoke(c.who, nil, c.act...); err != nil || len(writes) == 0 {
			t.Fatalf("%v: %v, %d writes", c.act, err, len(writes))
		}
		if l.trips != c.trips {
			t.Errorf("%v: %d round trips, want %d", c.act, l.trips, c.trips)
		}
		asked := slices.Sorted(slices.Values(l.asked))
		if len(slices.Compact(asked)) != len(l.asked) {
			t.Errorf("%v: a key is asked twice among %q", c.act, l.asked)
		}
	}
}
