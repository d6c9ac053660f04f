package queue

import (
	"errors"
	"runtime"
	"sync"
	"testing"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// Callers that share a commit share the lock of the list: one that is refused after it
// had the lock, and what it wrote, is nobody else's; and of two that note one block the
// second finds it noted.
func TestTasksShareACommit(t *testing.T) {
	onBackends(t, func(t *testing.T, create creator) {
		q := open(t, create(t), Options{Lanes: 1})
		noteBlock(t, q, TaskBlock{Height: 1, Tasks: someTasks("a", 0, 4)})
		done, _ := take(t, q)
		late, _ := take(t, q)
		refused := provenance.Errorf(provenance.Invalid, "refused")
		list := q.Tasks()
		calls := []func() error{
			func() error {
				return list.write(t.Context(), 1, func(w *taskWrite) error {
					if err := w.saveHeight(9); err != nil {
						return err
					}
					if err := w.add(someTasks("b", 0, 1)); err != nil {
						return err
					}
					return refused
				})
			},
			func() error { return list.Note(t.Context(), TaskBlock{Height: 2, Tasks: someTasks("a", 3, 6)}) },
			func() error { return list.Done(t.Context(), done) },
			// The task is done by now: noted again it would come back.
			func() error { return list.Note(t.Context(), TaskBlock{Height: 2, Tasks: []Task{done}}) },
			func() error { return list.Done(t.Context(), late) },
		}
		errs := together(t, q, calls)
		for i, err := range errs {
			if want := map[bool]error{true: refused}[i == 0]; !errors.Is(err, want) {
				t.Errorf("call %d: %v, want %v", i, err, want)
			}
		}
		if waiting, dead := taskCounts(t, q); waiting != 4 || dead != 0 || list.Height() != 2 {
			t.Errorf("%d wait and %d are dead at height %d, want 4, 0 and 2", waiting, dead, list.Height())
		}
		var places int64
		if err := q.readers.QueryRowContext(t.Context(), `SELECT coalesce(sum(waiting), 0) FROM task_places`).Scan(&places); err != nil || places != 4 {
			t.Errorf("repositories count %d tasks, %v", places, err)
		}
	})
}

// together makes calls that the writer takes in their order, in one transaction.
func together(t *testing.T, q *Queue, calls []func() error) []error {
	t.Helper()
	errs := make([]error, len(calls))
	var wg sync.WaitGroup
	err := q.writer.between(t.Context(), func() error {
		for i, call := range calls {
			wg.Go(func() { errs[i] = call() })
			for len(q.writer.ops) <= i {
				runtime.Gosched()
			}
		}
		return nil
	})
	wg.Wait()
	if err != nil {
		t.Fatal(err)
	}
	return errs
}
