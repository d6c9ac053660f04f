package queue

import (
	"cmp"
	"slices"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// taskModel is the list in memory: what the tables must come to, said without
// tables, and slowly.
type taskModel struct {
	limits  taskLimits
	height  uint64
	last    int64
	tasks   map[int64]*Task
	running map[int64]bool // true: woken meanwhile
	turn    int64
	turns   map[taskPlace]int64
}

type taskPlace struct {
	host       provenance.Host
	repository provenance.Repository
}

func placeOf(t Task) taskPlace { return taskPlace{t.Host, t.Repository} }

func sameTask(a, b Task) bool {
	return a.Kind == b.Kind && placeOf(a) == placeOf(b) && a.Digest == b.Digest && a.Subject == b.Subject
}

func newTaskModel(limits taskLimits) *taskModel {
	return &taskModel{limits: limits, tasks: map[int64]*Task{}, running: map[int64]bool{}, turns: map[taskPlace]int64{}}
}

func (m *taskModel) note(b TaskBlock) {
	if b.Height <= m.height {
		return
	}
	m.height = b.Height
	m.add(b.Tasks)
	for id, t := range m.tasks {
		pushed := slices.Contains(b.Subjects, t.Subject)
		if woken, tried := m.running[id]; tried {
			m.running[id] = woken || b.Keys || pushed
		} else if t.Wants == WantsKey && b.Keys || t.Wants == WantsSubject && pushed {
			m.wake(t)
		}
	}
}

func (m *taskModel) wake(t *Task) {
	if t.Dead {
		t.Dead, t.Attempts = false, 0
	}
	t.Due, t.Wants = time.Time{}, ""
}

func (m *taskModel) add(tasks []Task) {
	for _, t := range tasks {
		known := false
		for _, old := range m.tasks {
			if sameTask(*old, t) {
				m.wake(old)
				known = true
			}
		}
		if !known {
			m.last++
			t.ID = m.last
			m.tasks[t.ID] = &t
		}
	}
	if len(tasks) == 0 {
		return
	}
	waiting, _ := m.counts()
	for range waiting - m.limits.waiting {
		m.worst(func(t *Task) bool { _, tried := m.running[t.ID]; return !t.Dead && !tried },
			func(a, b *Task) int { return cmp.Or(b.Attempts-a.Attempts, int(a.ID-b.ID)) }).Dead = true
	}
	m.forget()
}

func (m *taskModel) forget() {
	_, dead := m.counts()
	for range dead - m.limits.dead {
		t := m.worst(func(t *Task) bool { return t.Dead }, func(a, b *Task) int { return int(a.ID - b.ID) })
		delete(m.tasks, t.ID)
	}
}

// worst is the first in order of one of the places that have most.
func (m *taskModel) worst(counts func(*Task) bool, order func(a, b *Task) int) *Task {
	held, most := map[taskPlace][]*Task{}, 0
	for _, t := range m.tasks {
		if counts(t) {
			held[placeOf(*t)] = append(held[placeOf(*t)], t)
			most = max(most, len(held[placeOf(*t)]))
		}
	}
	var firsts []*Task
	for _, of := range held {
		if len(of) == most {
			firsts = append(firsts, slices.MinFunc(of, order))
		}
	}
	return slices.MinFunc(firsts, order)
}

// ready lists what may be taken: of the places whose turn is longest ago the
// task that was due first.
func (m *taskModel) ready(now time.Time, ready Ready) []int64 {
	first := map[taskPlace]*Task{}
	oldest := int64(-1)
	for id, t := range m.tasks {
		hosts, done := ready[t.Kind]
		if _, tried := m.running[id]; tried || t.Dead || !done || slices.Contains(hosts, t.Host) || t.Due.After(now) {
			continue
		}
		p := placeOf(*t)
		if old := first[p]; old == nil || t.Due.Before(old.Due) || t.Due.Equal(old.Due) && t.ID < old.ID {
			first[p] = t
		}
		if oldest < 0 || m.turns[p] < oldest {
			oldest = m.turns[p]
		}
	}
	var ids []int64
	for p, t := range first {
		if m.turns[p] == oldest {
			ids = append(ids, t.ID)
		}
	}
	return ids
}

func (m *taskModel) take(id int64) {
	m.turn++
	m.turns[placeOf(*m.tasks[id])] = m.turn
	m.running[id] = false
}

func (m *taskModel) free() { clear(m.running) }

func (m *taskModel) end(id int64) (t *Task, woken bool) {
	woken = m.running[id]
	delete(m.running, id)
	return m.tasks[id], woken
}

func (m *taskModel) again(id int64, a Attempt) {
	t, woken := m.end(id)
	if a.Counts {
		t.Attempts++
	}
	t.Due, t.Wants, t.Reason = a.Due, a.Wants, a.Reason
	if woken {
		m.wake(t)
	}
}

func (m *taskModel) deadLetter(id int64, wants, reason string) {
	t, woken := m.end(id)
	t.Attempts++
	if woken && wants != "" {
		m.wake(t)
		return
	}
	t.Dead, t.Wants, t.Reason = true, wants, reason
	m.forget()
}

func (m *taskModel) retry(ids ...int64) (n int) {
	for id, t := range m.tasks {
		if t.Dead && (len(ids) == 0 || slices.Contains(ids, id)) {
			m.wake(t)
			n++
		}
	}
	return n
}

func (m *taskModel) counts() (waiting, dead int64) {
	for _, t := range m.tasks {
		if t.Dead {
			dead++
		} else {
			waiting++
		}
	}
	return waiting, dead
}
