package oracle

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The short form runs for so long. The long one is for WAYBILL_ORACLE (a duration), from
// WAYBILL_ORACLE_SEED on; 0 draws something new.
const short = 15 * time.Second

type tally struct {
	compared, taken int
	reasons         map[string]int
	wrong           map[string]int // by what it is; only the first of a kind is told
}

// detail is what differs between two cases of one kind.
var detail = regexp.MustCompile(`\(line \d+:\d+\)|"[^"]*"|[0-9a-f]{16,}|\d+`)

// TestOracle changes samples in one place or two and compares.
func TestOracle(t *testing.T) {
	length, seed := short, uint64(1)
	if text := os.Getenv("WAYBILL_ORACLE"); text != "" {
		var err error
		if length, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	if text := os.Getenv("WAYBILL_ORACLE_SEED"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		if seed = n; n == 0 {
			seed = uint64(time.Now().UnixNano()) //nolint:gosec // any number will do
		}
	}
	r := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // drawn again by its seed
	all := samples(t)
	documents := make([][2]any, len(all))
	var usable []int
	for i, s := range all {
		b, ok1 := decode(t, s.bundle)
		root, ok2 := decode(t, s.root)
		if documents[i] = [2]any{b, root}; ok1 && ok2 {
			usable = append(usable, i)
		}
	}
	sum := tally{reasons: map[string]int{}, wrong: map[string]int{}}
	try := func(what string, s sample) {
		wrong, reason, took := s.compare()
		sum.compared++
		if took {
			sum.taken++
		}
		if reason != "" {
			sum.reasons[reason]++
		}
		if wrong == "" {
			return
		}
		wrong = detail.ReplaceAllString(wrong, "…")
		if sum.wrong[wrong]++; sum.wrong[wrong] == 1 {
			t.Errorf("%s, %s:\n\t%s", s.name, what, wrong)
			keep(t, s, what)
		}
	}
	for end := time.Now().Add(length); time.Now().Before(end); {
		i, other := usable[r.IntN(len(usable))], usable[r.IntN(len(usable))]
		s := all[i]
		which := r.IntN(5) / 4 // mostly the bundle
		doc := documents[i][which]
		at := draw(r, doc)
		put := func(s sample, v any) sample {
			if which == 0 {
				s.bundle = encode(t, v)
			} else {
				s.root = encode(t, v)
			}
			return s
		}
		part := [2]string{"bundle", "root"}[which]
		choices := variants(r, get(doc, at), 2)
		names := slices.Sorted(maps.Keys(choices))
		for range 4 { // another place each time would be slower, and as good
			name := names[r.IntN(len(names))]
			changed := set(doc, at, choices[name])
			try(fmt.Sprintf("%s%s %s", part, at, name), put(s, changed))
			if second := draw(r, changed); r.IntN(4) == 0 {
				more := variants(r, get(changed, second), 1)
				names := slices.Sorted(maps.Keys(more))
				also := names[r.IntN(len(names))]
				try(fmt.Sprintf("%s%s %s and %s %s", part, at, name, second, also), put(s, set(changed, second, more[also])))
			}
		}
		if swapped := get(documents[other][which], at); swapped != nil {
			try(fmt.Sprintf("%s%s of %s", part, at, all[other].name), put(s, set(doc, at, swapped)))
		}
		if r.IntN(8) == 0 {
			foreign := s
			foreign.root = all[other].root
			try("below the root of "+all[other].name, foreign)
			early := s
			early.now = s.now.Add(-time.Duration(r.IntN(4*365*24)) * time.Hour)
			try("at "+early.now.String(), early)
		}
	}
	t.Logf("seed %d: %d compared, %d taken by both, stricter for a reason: %v", seed, sum.compared, sum.taken, sum.reasons)
	for wrong, n := range sum.wrong {
		t.Logf("%d times: %s", n, wrong)
	}
	if sum.taken < sum.compared/50 || sum.taken == sum.compared {
		t.Errorf("%d of %d taken: the samples say nothing", sum.taken, sum.compared)
	}
}

// draw picks a place of a document: deep ones as often as high ones.
func draw(r *rand.Rand, doc any) place {
	all := places(doc, nil)
	return all[r.IntN(len(all))]
}

// keep writes what both differ on where WAYBILL_ORACLE_KEEP says.
func keep(t *testing.T, s sample, what string) {
	t.Helper()
	dir := os.Getenv("WAYBILL_ORACLE_KEEP")
	if dir == "" {
		return
	}
	name := strings.Map(func(c rune) rune {
		if c == '/' || c == ' ' {
			return '-'
		}
		return c
	}, s.name+" "+what)
	name = filepath.Join(dir, name[:min(len(name), 120)])
	for suffix, text := range map[string][]byte{".bundle.json": s.bundle, ".root.json": s.root, ".digest": []byte(s.digest)} {
		if err := os.WriteFile(name+suffix, text, 0o600); err != nil {
			t.Error(err)
		}
	}
}
