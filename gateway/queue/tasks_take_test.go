package queue

import (
	"testing"
)

// Several tasks are taken in one commit: at most so many, of each kind at most what is
// said, of the repositories in turn, and none of them twice.
func TestTakeSome(t *testing.T) {
	onBackends(t, func(t *testing.T, create creator) {
		q := open(t, create(t), Options{Lanes: 1})
		all := append(someTasks("a", 0, 20), someTasks("b", 0, 20)...)
		for _, x := range someTasks("c", 0, 10) {
			x.Kind = "witness"
			all = append(all, x)
		}
		noteBlock(t, q, TaskBlock{Height: 1, Tasks: all})
		seen, kinds, places := map[int64]bool{}, map[string]int{}, map[string]int{}
		take := func(of map[string]int, most, want int) {
			t.Helper()
			clear(kinds)
			clear(places)
			taken, _, err := q.Tasks().TakeSome(t.Context(), Ready{"collect": nil, "witness": nil}, of, most)
			if err != nil || len(taken) != want {
				t.Fatalf("%d taken, want %d: %v", len(taken), want, err)
			}
			for _, x := range taken {
				if seen[x.ID] {
					t.Errorf("task %d twice", x.ID)
				}
				seen[x.ID] = true
				kinds[x.Kind]++
				places[string(x.Repository)]++
			}
		}
		take(map[string]int{"collect": 100, "witness": 3}, 9, 9)
		if kinds["witness"] != 3 || places["a"] != 3 || places["b"] != 3 {
			t.Errorf("of %v from %v", kinds, places)
		}
		take(map[string]int{"collect": 1, "witness": 2}, 64, 3)
		take(map[string]int{"collect": 100, "witness": 100}, 64, 38)
		take(map[string]int{"collect": 100, "witness": 100}, 64, 0)
	})
}
