package queue

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

var collecting = Ready{"collect": nil}

func imageOf(n int) provenance.Digest { return provenance.SHA256Of(fmt.Append(nil, "image ", n)) }

func aTask(repo string, n int) Task {
	return Task{Kind: "collect", Host: testHost, Repository: provenance.Repository(repo), Digest: provenance.SHA256Of(fmt.Append(nil, n)), Subject: imageOf(0)}
}

func someTasks(repo string, from, to int) (out []Task) {
	for n := from; n < to; n++ {
		out = append(out, aTask(repo, n))
	}
	return out
}

func noteBlock(t *testing.T, q *Queue, b TaskBlock) {
	t.Helper()
	if err := q.Tasks().Note(t.Context(), b); err != nil {
		t.Fatal(err)
	}
}

func take(t *testing.T, q *Queue) (Task, bool) {
	t.Helper()
	task, ok, _, err := q.Tasks().Take(t.Context(), collecting)
	if err != nil {
		t.Fatal(err)
	}
	return task, ok
}

func taskCounts(t *testing.T, q *Queue) (waiting, dead int64) {
	t.Helper()
	waiting, dead, err := q.Tasks().Counts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return waiting, dead
}

// allTasks reads the table as it is.
func allTasks(t *testing.T, q *Queue) map[int64]Task {
	t.Helper()
	rows, err := q.readers.QueryContext(t.Context(), selectTasks)
	tasks, err := scanTasks(rows, err)
	if err != nil {
		t.Fatal(err)
	}
	out := map[int64]Task{}
	for _, one := range tasks {
		out[one.ID] = one
	}
	return out
}

// Tasks and height stand or fall together, and what was lost is noted again.
func TestTasksAreOneTransaction(t *testing.T) {
	onBackends(t, func(t *testing.T, create creator) {
		path := create(t)
		q := open(t, path, Options{Lanes: 1})
		noteBlock(t, q, TaskBlock{Height: 5, Tasks: someTasks("a", 0, 3)})
		broken := errors.New("the power is gone")
		fault := func() error { return broken }
		if err := q.writer.between(t.Context(), func() error { q.writer.commitFault = fault; return nil }); err != nil {
			t.Fatal(err)
		}
		if err := q.Tasks().Note(t.Context(), TaskBlock{Height: 8, Tasks: someTasks("a", 3, 5)}); err == nil {
			t.Fatal("noted without a commit")
		}
		if got := q.Tasks().Height(); got != 5 {
			t.Fatalf("height %d after a commit that failed", got)
		}
		crash(t, q)
		q = open(t, path, Options{Lanes: 1})
		if waiting, _ := taskCounts(t, q); waiting != 3 || q.Tasks().Height() != 5 {
			t.Fatalf("height %d, %d wait", q.Tasks().Height(), waiting)
		}
		noteBlock(t, q, TaskBlock{Height: 8, Tasks: someTasks("a", 2, 5)}) // one is known
		noteBlock(t, q, TaskBlock{Height: 8, Tasks: someTasks("a", 5, 9)}) // the block was noted
		if waiting, _ := taskCounts(t, q); waiting != 5 || q.Tasks().Height() != 8 {
			t.Fatalf("height %d, %d wait", q.Tasks().Height(), waiting)
		}
	})
}

// A channel on which nothing is asked of us costs no commit for each block; its
// height is saved all the same when the gateway ends.
func TestBlocksWithoutTasksWriteNothing(t *testing.T) {
	onBackends(t, func(t *testing.T, create creator) {
		path := create(t)
		q := open(t, path, Options{Lanes: 1})
		commits := 0
		if err := q.writer.between(t.Context(), func() error { q.writer.commitFault = func() error { commits++; return nil }; return nil }); err != nil {
			t.Fatal(err)
		}
		for n := range uint64(1000) {
			noteBlock(t, q, TaskBlock{Height: n + 1, Subjects: []provenance.Digest{imageOf(int(n))}, Keys: n%10 == 0})
		}
		if most := 10; commits > most { // a replica's heartbeats
			t.Errorf("%d commits for a thousand blocks", commits)
		}
		crash(t, q)
		q = open(t, path, Options{Lanes: 1})
		if got := q.Tasks().Height(); got != 1000 {
			t.Errorf("height %d", got)
		}
	})
}

// Whoever floods one repository keeps out nobody else's tasks: not from the list,
// not from those set aside, and not from their turn.
func TestTaskFlood(t *testing.T) {
	q := open(t, createFile(t), Options{Lanes: 1})
	limits := taskLimits{waiting: 4000, dead: 2000, places: 8000}
	q.tasks.limits = limits
	add := func(tasks ...Task) {
		t.Helper()
		if err := q.Tasks().Add(t.Context(), tasks); err != nil {
			t.Fatal(err)
		}
	}
	add(aTask("quiet", 1))
	tried, _ := take(t, q)
	if err := q.Tasks().Again(t.Context(), tried, Attempt{Due: time.Now().Add(time.Hour), Counts: true, Reason: "gone"}); err != nil {
		t.Fatal(err)
	}
	add(someTasks("flood", 0, int(limits.waiting+limits.dead)+10)...)
	add(aTask("quiet", 2))
	if waiting, dead := taskCounts(t, q); waiting != limits.waiting || dead != limits.dead {
		t.Errorf("%d wait, %d are set aside", waiting, dead)
	}
	letters, err := q.Tasks().DeadLetters(t.Context(), 0, int(limits.dead))
	if err != nil || len(letters) != int(limits.dead) {
		t.Fatalf("%d dead, %v", len(letters), err)
	}
	for _, d := range letters {
		if d.Repository == "quiet" {
			t.Errorf("the flood set aside %+v", d)
		}
	}
	first, _ := take(t, q)
	second, _ := take(t, q)
	if first.Repository != "quiet" && second.Repository != "quiet" {
		t.Errorf("the flood had two turns before another repository: %+v, %+v", first, second)
	}
	start := time.Now()
	if _, ok := take(t, q); !ok || time.Since(start) > time.Second {
		t.Errorf("taken: %t, after %s", ok, time.Since(start))
	}
}

// What one replica notes the other does not note again, each task is in one
// pair of hands, and those of a dead replica go to the other.
func TestReplicasShareTasks(t *testing.T) {
	url := createSchema(t)
	a, b := open(t, url, Options{Lanes: 2, LaneTTL: testTTL}), open(t, url, Options{Lanes: 2, LaneTTL: testTTL})
	block := TaskBlock{Height: 7, Tasks: someTasks("a", 0, 10)}
	noteBlock(t, a, block)
	mine := map[int64]*Queue{}
	var last Task
	for n := range 10 {
		q := []*Queue{a, b}[n%2]
		task, ok := take(t, q)
		if !ok || mine[task.ID] != nil {
			t.Fatalf("taken: %t, task %d twice", ok, task.ID)
		}
		mine[task.ID] = q
		if q == a {
			last = task
			continue
		}
		if err := b.Tasks().Done(t.Context(), task); err != nil {
			t.Fatal(err)
		}
	}
	noteBlock(t, b, block) // it comes to the same block later
	if waiting, _ := taskCounts(t, b); waiting != 5 || b.Tasks().Height() != 7 {
		t.Fatalf("height %d, %d wait: done ones were noted again", b.Tasks().Height(), waiting)
	}
	if _, ok := take(t, b); ok {
		t.Fatal("a task in another's hands was handed out")
	}
	a.cancel() // as one that is paused: it does not say any more that it lives
	var stolen Task
	until(t, "the dead one's tasks are free", func() (ok bool) { stolen, ok = take(t, b); return ok })
	// The paused one goes on with what it had: it changes nothing.
	for id, q := range mine {
		if q == a && id == stolen.ID {
			last.ID = id
		}
	}
	if err := errors.Join(a.Tasks().Done(t.Context(), last), a.Tasks().DeadLetter(t.Context(), last, "", "late"), a.Tasks().Again(t.Context(), last, Attempt{})); err != nil {
		t.Fatal(err)
	}
	if waiting, dead := taskCounts(t, b); waiting != 5 || dead != 0 {
		t.Errorf("%d wait, %d dead: a replica changed a task that it has lost", waiting, dead)
	}
	if err := b.Tasks().Done(t.Context(), stolen); err != nil {
		t.Fatal(err)
	}
	if waiting, _ := taskCounts(t, b); waiting != 4 {
		t.Errorf("%d wait", waiting)
	}
	// One that ends politely leaves its tasks to the others at once.
	if _, ok := take(t, b); !ok {
		t.Fatal("nothing to take")
	}
	crash(t, b)
	until(t, "the other has them", func() bool { _, ok := take(t, a); return ok })
}

// When a task is due, and how long until then, is told.
func TestTakeTellsTheWait(t *testing.T) {
	onBackends(t, func(t *testing.T, create creator) {
		q := open(t, create(t), Options{Lanes: 1})
		wait := func(ready Ready) time.Duration {
			t.Helper()
			_, ok, wait, err := q.Tasks().Take(t.Context(), ready)
			if ok || err != nil {
				t.Fatalf("taken: %t, %v", ok, err)
			}
			return wait
		}
		if got := wait(collecting); got != maxWait {
			t.Errorf("nothing there: %s", got)
		}
		noteBlock(t, q, TaskBlock{Height: 1, Tasks: someTasks("a", 0, 1)})
		select {
		case <-q.Tasks().Arrived():
		default:
			t.Error("nothing was announced")
		}
		wait(Ready{"witness": nil})
		wait(Ready{"collect": {testHost}})
		wait(nil)
		task, _ := take(t, q)
		if err := q.Tasks().Again(t.Context(), task, Attempt{Due: time.Now().Add(10 * time.Second), Reason: "bell \a\x1b[2J"}); err != nil {
			t.Fatal(err)
		}
		if got := wait(collecting); got > 10*time.Second || got < 5*time.Second {
			t.Errorf("due in ten seconds: %s", got)
		}
		for _, got := range allTasks(t, q) {
			if err := provenance.CheckText("reason", got.Reason, 500); err != nil || got.Due.IsZero() {
				t.Errorf("%+v: %v", got, err)
			}
		}
	})
}
