package cert

import "testing"

// One that is behind is waited for; who is ahead of the own peer, or says so, changes nothing.
func TestLevel(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		heights map[string]uint64
		want    uint64
		level   bool
	}{
		{map[string]uint64{"a": 7, "b": 7}, 7, true},
		{map[string]uint64{"a": 7, "b": 6}, 7, false},
		{map[string]uint64{"a": 7, "b": 1 << 60}, 7, true},
		{map[string]uint64{"a": 0}, 0, true},
		{nil, 7, true},
	} {
		if got := level(c.heights, c.want); got != c.level {
			t.Errorf("%v of %d: %t", c.heights, c.want, got)
		}
	}
}
