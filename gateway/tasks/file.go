package tasks

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/statefile"
	"github.com/waybill-dev/waybill/gateway/wait"
)

// File holds what the gateway still has to do about blocks it followed. It
// is disposable: without it the chain is gone through again from block 0, and
// what was done before is found done.
const File = "work.json"

type workState struct {
	Height uint64 `json:"height"`
	Tasks  []Task `json:"tasks"`
}

// Open reads the list; a missing file is an empty one at height 0.
func Open(path string, log *slog.Logger) (*List, error) {
	w := &List{path: path, log: log, arrived: make(chan struct{}, 1), tasks: map[int64]*Task{}, keys: map[Task]int64{}, running: map[int64]bool{}}
	var s workState
	if err := statefile.Read(path, &s); err != nil {
		return nil, err
	}
	w.height, w.saved = s.Height, s.Height
	for _, t := range s.Tasks {
		w.insert(t)
	}
	return w, nil
}

// Keep saves the list now and then until ctx ends, and once more then. A disk
// that takes nothing stops no work: the list is tried again, and what a crash
// would lose is noted again from the older height.
func (w *List) Keep(ctx context.Context) error {
	const heightOnly = 30 * time.Second // a height without tasks costs only a second look
	pause, last, failing := time.Second, time.Now(), false
	for {
		end := wait.For(ctx, pause) != nil
		w.mu.Lock()
		due := w.changed || (w.height != w.saved && (end || time.Since(last) > heightOnly))
		w.mu.Unlock()
		if due {
			start := time.Now()
			err := w.save()
			last = time.Now()
			if err != nil && !failing {
				w.log.ErrorContext(ctx, "work list not saved", slog.Any("error", err))
			}
			failing = err != nil
			// A long list takes its time; most of the disk's time is not ours.
			pause = max(time.Second, min(20*last.Sub(start), time.Minute))
		}
		if end {
			return ctx.Err()
		}
	}
}

// save writes the list beside the old one and puts it in its place.
func (w *List) save() error {
	w.mu.Lock()
	s := workState{Height: w.height, Tasks: make([]Task, 0, len(w.tasks))}
	for _, t := range w.tasks {
		s.Tasks = append(s.Tasks, *t)
	}
	w.changed = false
	w.mu.Unlock()
	slices.SortFunc(s.Tasks, func(a, b Task) int { return int(a.ID - b.ID) })
	b, err := json.Marshal(s)
	if err != nil {
		return provenance.Wrap(provenance.Internal, err, "save work list")
	}
	if err := statefile.Replace(w.path, b); err != nil {
		w.mu.Lock()
		w.changed = true
		w.mu.Unlock()
		return provenance.Wrap(provenance.Internal, err, "save work list")
	}
	w.mu.Lock()
	w.saved = s.Height
	w.mu.Unlock()
	return nil
}
