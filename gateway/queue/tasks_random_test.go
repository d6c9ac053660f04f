package queue

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// TestTasksAreTheModel does random things to the tables and to the list in
// memory, kills the process in between, and compares.
func TestTasksAreTheModel(t *testing.T) {
	onBackends(t, func(t *testing.T, create creator) {
		for seed := range uint64(4) {
			t.Run(fmt.Sprint(seed), func(t *testing.T) { tasksAreTheModel(t, create(t), seed) })
		}
	})
}

type taskWorld struct {
	t       *testing.T
	r       *rand.Rand
	q       *Queue
	model   *taskModel
	now     time.Time
	numbers map[int64]int64 // ids of the tables by those of the model
	taken   map[int64]Task  // by the model's id
}

func tasksAreTheModel(t *testing.T, where string, seed uint64) {
	limits := taskLimits{waiting: 12, dead: 6, places: 40}
	w := &taskWorld{t: t, r: rand.New(rand.NewPCG(seed, 1)), model: newTaskModel(limits), now: time.UnixMilli(1_700_000_000_000).UTC(), numbers: map[int64]int64{}, taken: map[int64]Task{}}
	reopen := func() {
		w.q = open(t, where, Options{Lanes: 1})
		w.q.tasks.limits, w.q.now = limits, func() time.Time { return w.now }
	}
	reopen()
	for step := range 150 {
		if w.r.IntN(25) == 0 {
			crash(t, w.q)
			w.model.free()
			clear(w.taken)
			reopen()
		}
		what := w.step()
		if !w.compare() {
			t.Fatalf("seed %d, step %d: after %s", seed, step, what)
		}
		w.now = w.now.Add(time.Duration(w.r.IntN(20)) * time.Second)
	}
}

func (w *taskWorld) tasks() (out []Task) {
	for range 1 + w.r.IntN(4) {
		one := aTask(fmt.Sprintf("r%d", w.r.IntN(4)), w.r.IntN(8))
		one.Subject, one.Kind = imageOf(w.r.IntN(3)), []string{"collect", "witness"}[w.r.IntN(2)]
		out = append(out, one)
	}
	return out
}

func (w *taskWorld) step() string {
	ctx, list := w.t.Context(), w.q.Tasks()
	check := func(err error) {
		w.t.Helper()
		if err != nil {
			w.t.Fatal(err)
		}
	}
	wants := []string{"", WantsKey, WantsSubject}[w.r.IntN(3)]
	switch w.r.IntN(9) {
	case 0, 1:
		b := TaskBlock{Height: w.model.height + uint64(w.r.IntN(2)), Tasks: w.tasks()}
		check(list.Note(ctx, b))
		w.model.note(b)
		return "note"
	case 2:
		b := TaskBlock{Height: w.model.height + 1, Keys: w.r.IntN(3) == 0, Subjects: []provenance.Digest{imageOf(w.r.IntN(3))}}
		check(list.Note(ctx, b))
		w.model.note(b)
		return "wake"
	case 3:
		tasks := w.tasks()
		check(list.Add(ctx, tasks))
		w.model.add(tasks)
		return "add"
	case 4:
		n, err := list.Retry(ctx)
		check(err)
		if want := w.model.retry(); n != want {
			w.t.Errorf("retried %d, want %d", n, want)
		}
		return "retry"
	case 5, 6:
		w.take()
		return "take"
	}
	for id, task := range w.taken { // any of them
		delete(w.taken, id)
		switch w.r.IntN(3) {
		case 0:
			check(list.Done(ctx, task))
			w.model.end(id)
			delete(w.model.tasks, id)
		case 1:
			a := Attempt{Due: w.now.Add(time.Duration(w.r.IntN(60)) * time.Second), Counts: w.r.IntN(2) == 0, Wants: wants, Reason: "no"}
			check(list.Again(ctx, task, a))
			w.model.again(id, a)
		case 2:
			check(list.DeadLetter(ctx, task, wants, "never"))
			w.model.deadLetter(id, wants, "never")
		}
		break
	}
	return "end"
}

func (w *taskWorld) take() {
	ready := Ready{"collect": nil, "witness": nil}
	if w.r.IntN(4) == 0 {
		ready["witness"] = []provenance.Host{"elsewhere.example", testHost}
	}
	task, ok, _, err := w.q.Tasks().Take(w.t.Context(), ready)
	if err != nil {
		w.t.Fatal(err)
	}
	may := w.model.ready(w.now, ready)
	if ok != (len(may) > 0) {
		w.t.Fatalf("taken: %t, the model offers %v", ok, may)
	}
	if !ok {
		return
	}
	for _, id := range may {
		if w.numbers[id] == task.ID {
			w.model.take(id)
			w.taken[id] = task
			return
		}
	}
	w.t.Fatalf("took %+v; the model offers %v", task, may)
}

// compare pairs the tasks by what they are about, since a server leaves gaps in
// its numbers.
func (w *taskWorld) compare() bool {
	left := allTasks(w.t, w.q)
	clear(w.numbers)
	for id, want := range w.model.tasks {
		for number, got := range left {
			if !sameTask(got, *want) {
				continue
			}
			w.numbers[id] = number
			if diff := cmp.Diff(*want, got, cmpopts.IgnoreFields(Task{}, "ID", "Noted", "Reason"), cmpopts.IgnoreUnexported(Task{}, provenance.Digest{})); diff != "" {
				w.t.Errorf("-want +got:\n%s", diff)
			}
			delete(left, number)
		}
	}
	// The order of numbers is the order of coming.
	ids := slices.Sorted(maps.Keys(w.numbers))
	if !slices.IsSortedFunc(ids, func(a, b int64) int { return int(w.numbers[a] - w.numbers[b]) }) {
		w.t.Errorf("ids in another order: %v", w.numbers)
	}
	waiting, dead := taskCounts(w.t, w.q)
	wantWaiting, wantDead := w.model.counts()
	var counted int64
	if err := w.q.readers.QueryRowContext(w.t.Context(), `SELECT coalesce(sum(waiting), 0) FROM task_places`).Scan(&counted); err != nil {
		w.t.Fatal(err)
	}
	if waiting != wantWaiting || dead != wantDead || counted != waiting || len(left) > 0 || len(w.numbers) != len(w.model.tasks) {
		w.t.Errorf("%d wait (%d counted by place) and %d are dead, want %d and %d; too much: %v", waiting, counted, dead, wantWaiting, wantDead, left)
	}
	return !w.t.Failed()
}
