package oracle

import "testing"

// TestSamples: without any change, one verdict.
func TestSamples(t *testing.T) {
	took := 0
	for _, s := range samples(t) {
		wrong, _, ok := s.compare()
		if wrong != "" {
			t.Errorf("%s: %s", s.name, wrong)
		}
		if ok {
			took++
		}
	}
	t.Logf("%d samples taken by both", took)
}
