package sweep

import (
	"context"
	"encoding/json"
	"log/slog"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/findings"
	"github.com/waybill-dev/waybill/gateway/statefile"
)

// File holds where each registry's sweep is, and what the last ones found.
// It is disposable: without it a sweep that was under way is not gone on with,
// and the alerts of earlier ones are in the log only.
const File = "sweep.json"

// suspect is a finding that may yet turn out to be a notification under way.
type suspect struct {
	findings.Finding
	Seen  time.Time `json:"seen"`
	Tries int       `json:"tries,omitempty"` // times it was another difference when it was looked at again
}

// position is how far a sweep is: what comes before it is done.
type position struct {
	Repository provenance.Repository `json:"repository,omitempty"`
	Phase      string                `json:"phase,omitempty"` // "", then phaseImages, then phaseDone
	After      string                `json:"after,omitempty"` // the last tag or digest that is done
}

const (
	phaseImages = "images"
	phaseDone   = "done"
)

// run is a sweep, under way or finished.
type run struct {
	ID           string             `json:"id"`
	DryRun       bool               `json:"dryRun,omitempty"`
	Scheduled    bool               `json:"scheduled,omitempty"` // nobody waits for it
	Started      time.Time          `json:"started"`
	Finished     time.Time          `json:"finished,omitzero"`
	Error        string             `json:"error,omitempty"`
	Place        position           `json:"place,omitzero"`
	Doing        string             `json:"-"` // what it waits for
	Done         int                `json:"done"`
	Total        int                `json:"total"` // repositories
	Tags, Images int64              `json:",omitempty"`
	Requests     int64              `json:"requests"`
	Counts       map[string]int64   `json:"counts"` // of findings, by kind
	Findings     []findings.Finding `json:"findings,omitempty"`
	Notes        []string           `json:"notes,omitempty"` // what was not looked at, and why
	Suspects     []suspect          `json:"suspects,omitempty"`
}

// progress is what is known of one registry's sweeps.
type progress struct {
	Run       *run               `json:"run,omitempty"`
	Last      *run               `json:"last,omitempty"`
	Alerts    []findings.Finding `json:"alerts,omitempty"` // of all sweeps but dry ones, the newest last
	LastStart time.Time          `json:"lastStart,omitzero"`
}

// Load reads the file. A sweep that was under way is gone on with; what it
// suspected is given its grace anew, since notifications could not come in
// while nobody listened.
func (s *Sweeper) Load() error {
	if err := statefile.Read(s.Path, &s.states); err != nil {
		return err
	}
	if s.states == nil { // no file, or one that says null
		s.states = map[provenance.Host]*progress{}
	}
	now := time.Now()
	for host, at := range s.states {
		switch {
		case at == nil:
			delete(s.states, host)
			continue
		case at.Run == nil:
			continue
		}
		if at.Run.Counts == nil {
			at.Run.Counts = map[string]int64{}
		}
		for i := range at.Run.Suspects {
			at.Run.Suspects[i].Seen = now
		}
	}
	return nil
}

// save writes the file: now, or when the last time is a while ago. A disk that
// takes nothing stops no sweep: it only could not be gone on with.
func (s *Sweeper) save(ctx context.Context, now bool) {
	s.saving.Lock()
	defer s.saving.Unlock()
	s.mu.Lock()
	if !s.dirty || !now && time.Since(s.saved) < s.Limits.save {
		s.mu.Unlock()
		return
	}
	s.dirty, s.saved = false, time.Now()
	b, err := json.Marshal(s.states)
	s.mu.Unlock()
	if err == nil {
		err = statefile.Replace(s.Path, b)
	}
	if err != nil {
		s.mu.Lock()
		s.dirty = true
		s.mu.Unlock()
		s.Log.WarnContext(ctx, "where the sweeps are is not saved", slog.Any("error", err))
	}
}
