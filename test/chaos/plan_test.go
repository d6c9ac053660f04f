package chaos

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// A seed is a schedule, and no schedule breaks two organisations at once.
func TestSchedule(t *testing.T) {
	orgs := []string{"a", "b", "c", "d"}
	for seed := range uint64(50) {
		plan := schedule(seed, 5*time.Minute, orgs, []string{"a", "b"})
		if diff := cmp.Diff(plan, schedule(seed, 5*time.Minute, orgs, []string{"a", "b"}), cmp.AllowUnexported(strike{})); diff != "" {
			t.Fatalf("seed %d gives two schedules: %s", seed, diff)
		}
		if len(plan) < 40 {
			t.Errorf("seed %d: %d strikes in five minutes", seed, len(plan))
		}
		for _, kind := range []string{"gateway", "registry", "peer", "orderer", "chaincode"} {
			if n := countKills(plan, kind); n < 2 {
				t.Errorf("seed %d kills %d times a %s in five minutes", seed, n, kind)
			}
		}
		until := map[string]time.Duration{}
		for _, s := range plan {
			if s.at < until[s.scope] || s.at > 5*time.Minute || s.what == "" || s.sig == 0 {
				t.Errorf("seed %d: %s, and its scope is down until %s", seed, s, until[s.scope])
			}
			until[s.scope] = s.at + s.out
			if s.scope == theNetwork {
				until[s.scope] += quiet
			}
		}
	}
	one, two := schedule(1, time.Minute, orgs, orgs), schedule(2, time.Minute, orgs, orgs)
	if cmp.Equal(one, two, cmp.AllowUnexported(strike{})) {
		t.Error("two seeds give one schedule")
	}
}

func countKills(plan []strike, kind string) int {
	n := 0
	for _, s := range plan {
		if s.kills(kind) {
			n++
		}
	}
	return n
}
