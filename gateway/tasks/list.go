package tasks

import (
	"cmp"
	"log/slog"
	"slices"
	"sort"
	"sync"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

const (
	maxWaiting = 20_000 // tasks that wait; one of the repository with most of them gives way
	maxDead    = 10_000 // tasks set aside; in the same way one is forgotten, with an error in the log
	// DeadBase keeps the ids of tasks apart from those of the queue's dead letters.
	DeadBase = int64(1) << 40
)

// The kinds of tasks.
const (
	Collect = "collect" // an artifact may be evidence
	Witness = "witness" // another organisation's push may be seen by ourselves
	Prove   = "prove"   // an image recorded by its digest alone may be proven
)

// What wakes a task before it is due, and brings it back when it was set aside.
const (
	ForSubject = "subject" // a push of its subject
	ForKey     = "key"     // new trust material
)

// Task is one thing to do about one manifest.
type Task struct {
	ID         int64                 `json:"id"`
	Kind       string                `json:"kind"`
	Host       provenance.Host       `json:"host"`
	Repository provenance.Repository `json:"repository"`
	Digest     provenance.Digest     `json:"digest"` // of the manifest
	Tag        provenance.Tag        `json:"tag,omitempty"`
	Subject    provenance.Digest     `json:"subject,omitzero"` // of an artifact
	Noted      time.Time             `json:"noted"`
	Attempts   int                   `json:"attempts,omitempty"`
	Due        time.Time             `json:"due,omitzero"`
	Wants      string                `json:"wants,omitempty"`
	Reason     string                `json:"reason,omitempty"`
	Dead       bool                  `json:"dead,omitempty"`
}

// same tells whether two tasks are about the same thing.
func (t Task) key() Task {
	return Task{Kind: t.Kind, Host: t.Host, Repository: t.Repository, Digest: t.Digest, Subject: t.Subject}
}

func (t Task) wanting(what string) Task {
	t.Wants = what
	return t
}

// List is the durable list of tasks. Its file is written as a whole, the
// height with the tasks of all blocks below it: a crash between two writes
// goes back to the older height, and notes the same tasks again.
type List struct {
	path string
	log  *slog.Logger
	// arrived receives after tasks came or were woken; several may share one receipt.
	arrived chan struct{}

	mu      sync.Mutex
	height  uint64
	last    int64
	tasks   map[int64]*Task
	keys    map[Task]int64
	running map[int64]bool // true: what the task may wait for came meanwhile
	waiting int
	turn    uint64
	turns   map[taskPlace]uint64 // when each had its last
	changed bool                 // since the last save
	saved   uint64
}

// insert puts a task in; the lock is held, or the list is not shared yet.
func (w *List) insert(t Task) {
	w.last = max(w.last, t.ID)
	w.tasks[t.ID], w.keys[t.key()] = &t, t.ID
	if !t.Dead {
		w.waiting++
	}
}

// Height is the number of blocks whose tasks are noted.
func (w *List) Height() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.height
}

// note takes the tasks of one block, and wakes those that wait for something
// in it. A task that is on the list stays as it is, but is due now.
func (w *List) note(height uint64, tasks []Task, wakes func(Task) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.height = max(w.height, height)
	woken := len(tasks) > 0
	w.add(tasks)
	if wakes != nil {
		for id, t := range w.tasks {
			if _, busy := w.running[id]; busy {
				w.running[id] = w.running[id] || wakes(t.wanting(ForSubject)) || wakes(t.wanting(ForKey))
			} else if t.Wants != "" && wakes(*t) {
				w.wake(t)
				woken = true
			}
		}
	}
	if woken {
		w.changed = true
		w.announce()
	}
}

// Add adds tasks that another one led to.
func (w *List) Add(tasks []Task) {
	w.note(0, tasks, nil)
}

func (w *List) add(tasks []Task) {
	for _, t := range tasks {
		if id, known := w.keys[t.key()]; known {
			w.wake(w.tasks[id])
			continue
		}
		w.last++
		t.ID, t.Noted = w.last, time.Now().UTC()
		w.insert(t)
	}
	w.giveWay()
}

func (w *List) wake(t *Task) {
	if t.Dead {
		t.Dead, t.Attempts, t.Noted = false, 0, time.Now().UTC()
		w.waiting++
	}
	t.Due, t.Wants = time.Time{}, ""
}

// taskPlace is whose tasks compete: those who may push to one repository.
type taskPlace struct {
	host       provenance.Host
	repository provenance.Repository
}

func (t Task) place() taskPlace { return taskPlace{t.Host, t.Repository} }

// giveWay sets aside waiting tasks of the repositories that have most of them,
// so that whoever floods one keeps out nobody else's. Of those it is the ones that
// were tried most often, and among equals the oldest: one registry that is gone
// must not keep the others waiting.
func (w *List) giveWay() {
	excess := w.excess(w.waiting-maxWaiting, func(t *Task) bool {
		_, busy := w.running[t.ID]
		return !t.Dead && !busy
	}, func(a, b *Task) int { return cmp.Or(b.Attempts-a.Attempts, int(a.ID-b.ID)) })
	for _, t := range excess {
		w.kill(t, t.Wants, "too many tasks wait, most of them of this repository; last: "+t.Reason)
	}
	w.forget()
}

// forget drops tasks that were set aside, the oldest of the repositories that
// have most of them.
func (w *List) forget() {
	dead := len(w.tasks) - w.waiting
	for _, t := range w.excess(dead-maxDead, func(t *Task) bool { return t.Dead }, func(a, b *Task) int { return int(a.ID - b.ID) }) {
		w.log.Error("too many tasks are set aside; the oldest of the repository with most of them is forgotten", slog.String("kind", t.Kind), //nolint:sloglint // no request is behind it
			slog.String("registry", string(t.Host)), slog.String("repository", string(t.Repository)), slog.String("digest", t.Digest.String()))
		delete(w.keys, t.key())
		delete(w.tasks, t.ID)
	}
}

// excess returns as many tasks as are too many, of the places that have most of
// those that count; of each the first in order.
func (w *List) excess(many int, counts func(*Task) bool, order func(a, b *Task) int) (out []*Task) {
	if many <= 0 {
		return nil
	}
	held, most := map[taskPlace][]*Task{}, 0
	for _, t := range w.tasks {
		if counts(t) {
			held[t.place()] = append(held[t.place()], t)
			most = max(most, len(held[t.place()]))
		}
	}
	// The least that every place may keep so that no more than many go.
	keep := sort.Search(most, func(level int) bool {
		n := 0
		for _, of := range held {
			n += max(0, len(of)-level)
		}
		return n <= many
	})
	var next []*Task // one more of each place that keeps as much
	for _, of := range held {
		slices.SortFunc(of, order)
		n := max(0, len(of)-keep)
		if out = append(out, of[:n]...); n < len(of) && len(of)-n == keep {
			next = append(next, of[n])
		}
	}
	slices.SortFunc(next, order)
	return append(out, next[:min(many-len(out), len(next))]...)
}

func (w *List) announce() {
	select {
	case w.arrived <- struct{}{}:
	default:
	}
}

// sooner tells which of two due tasks goes first: that of the repository whose
// turn is longer ago, or of one repository the one that was due earlier.
func (w *List) sooner(a, b *Task) bool {
	if x, y := w.turns[a.place()], w.turns[b.place()]; x != y {
		return x < y
	}
	return a.Due.Before(b.Due) || a.Due.Equal(b.Due) && a.ID < b.ID
}

// Take hands out a task that is due and whose registry is not held, of each
// repository in turn, and otherwise tells how long to wait for one.
func (w *List) Take(now time.Time, held func(Task) time.Time) (t Task, ok bool, wait time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	wait = time.Minute
	var first *Task
	for id, t := range w.tasks {
		if _, busy := w.running[id]; t.Dead || busy {
			continue
		}
		due := t.Due
		if until := held(*t); until.After(due) {
			due = until
		}
		if due.After(now) {
			wait = min(wait, due.Sub(now))
		} else if first == nil || w.sooner(t, first) {
			first = t
		}
	}
	if first == nil {
		return Task{}, false, wait
	}
	if len(w.turns) > 2*maxWaiting {
		w.turns = nil
	}
	if w.turns == nil {
		w.turns = map[taskPlace]uint64{}
	}
	w.turn++
	w.turns[first.place()] = w.turn
	w.running[first.ID] = false
	return *first, true, 0
}

// done removes a task.
func (w *List) done(t Task) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.running, t.ID)
	if held := w.tasks[t.ID]; held != nil {
		if !held.Dead {
			w.waiting--
		}
		delete(w.tasks, t.ID)
		delete(w.keys, held.key())
	}
	w.changed = true
}

// again puts a task back until due. An attempt counts unless nothing was
// learnt about the task itself.
func (w *List) again(t Task, due time.Time, counts bool, wants, reason string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	stirred := w.running[t.ID]
	delete(w.running, t.ID)
	if held := w.tasks[t.ID]; held != nil && !held.Dead {
		if counts {
			held.Attempts++
		}
		held.Due, held.Wants, held.Reason = due.UTC(), wants, reason
		if stirred {
			w.wake(held)
		}
	}
	w.changed = true
}

// GiveUp sets a task aside for an operator.
func (w *List) GiveUp(t Task, wants, reason string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	stirred := w.running[t.ID]
	delete(w.running, t.ID)
	if held := w.tasks[t.ID]; held != nil && !held.Dead {
		held.Attempts++
		if stirred && wants != "" {
			w.wake(held)
		} else {
			w.kill(held, wants, reason)
			w.forget()
		}
	}
	w.changed = true
}

func (w *List) kill(t *Task, wants, reason string) {
	t.Dead, t.Wants, t.Reason = true, wants, reason
	w.waiting--
	w.log.Warn("task set aside", slog.String("kind", t.Kind), slog.String("registry", string(t.Host)), slog.String("repository", string(t.Repository)), //nolint:sloglint // no request is behind it
		slog.String("digest", t.Digest.String()), slog.String("reason", reason))
}

// deadOf lists tasks set aside, with ids above after, oldest first.
func (w *List) deadOf(after int64, limit int) []Task {
	var out []Task
	for _, t := range w.tasks {
		if t.Dead && t.ID > after {
			out = append(out, *t)
		}
	}
	slices.SortFunc(out, func(a, b Task) int { return int(a.ID - b.ID) })
	return out[:min(limit, len(out))]
}

// Dead lists the tasks set aside whose id is above after, oldest first.
func (w *List) Dead(after int64, limit int) []Task {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.deadOf(after, limit)
}

// Retry brings tasks back, all of them when no id is given, and counts them.
func (w *List) Retry(ids ...int64) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, t := range w.tasks {
		if t.Dead && (len(ids) == 0 || slices.Contains(ids, t.ID)) {
			w.wake(t)
			n++
		}
	}
	w.changed = w.changed || n > 0
	w.announce()
	return n
}

// Counts returns how many tasks wait and how many were set aside.
func (w *List) Counts() (waiting, dead int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return int64(w.waiting), int64(len(w.tasks) - w.waiting)
}
