package bench

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/waybill-dev/waybill/gateway/queue"
	"github.com/waybill-dev/waybill/test/lab"
)

// part is one of the equal parts in which a run records its events.
type part struct {
	Number int            `json:"part"`
	Images int            `json:"images"` // recorded at its end
	Events int            `json:"events"` // likewise, pulls among them
	Phases map[kind]phase `json:"phases"`
	// Disk is what the owner's peer, orderer and gateway take at its end, in bytes, by what it is for.
	Disk map[string]int64 `json:"disk"`
	// Installation is what all organisations take together.
	Installation int64   `json:"installation"`
	Seconds      float64 `json:"seconds"` // of everything, filling the queue too
}

// phase is the recording of a part's events of one kind.
type phase struct {
	Events       int              `json:"events"`
	Final        float64          `json:"final"`              // all events per second, from the moment the gateway took questions: rates.wholeFinal
	Visible      float64          `json:"visible"`            // likewise
	LaterFinal   float64          `json:"from_first_final"`   // from the first block on, without its events: rates.final
	LaterVisible float64          `json:"from_first_visible"` // likewise
	Behind       float64          `json:"behind"`             // seconds from final to visible, of the last event
	Stale        bool             `json:"stale"`
	InFirst      float64          `json:"in_first_block"` // share of the events, which do not count
	Starting     float64          `json:"starting"`       // seconds until that block
	DiskBytes    float64          `json:"disk_bytes"`     // of the whole installation, an event
	SegmentBytes float64          `json:"segment_bytes"`  // on the ledger, an event
	Used         map[string]taken `json:"used"`           // by kind of process
	Filling      float64          `json:"filling"`        // seconds, no part of the rates
}

// taken is what the processes of a kind took for a phase.
type taken struct {
	CPU       float64 `json:"cpu"`       // seconds an event
	Share     float64 `json:"share"`     // of one processor, on the average
	Written   float64 `json:"written"`   // bytes an event, of one process
	Resident  int64   `json:"resident"`  // bytes at its end, of one process
	Peak      int64   `json:"peak"`      // bytes; since the process began
	Processes int     `json:"processes"` // of the kind
}

// cpu is what all processes but the bench took for an event, in seconds.
func (f phase) cpu() (sum float64) {
	for name, u := range f.Used {
		if name != "bench" {
			sum += u.CPU
		}
	}
	return sum
}

func kinds() []kind { return []kind{newTag, movedTag, pulled} }

func (g *growth) measure(ctx context.Context, l *lab.Lab, w *watcher, events *load, number int) (part, error) {
	p := part{Number: number + 1, Phases: map[kind]phase{}}
	began := time.Now()
	for _, k := range kinds() {
		n := g.Plan.of(k, number)
		fmt.Fprintf(os.Stderr, "growth: part %d of %d: %d events of kind %s\n", p.Number, g.Plan.Parts, n, k)
		f, err := record(ctx, l, w, events, k, n)
		if err != nil {
			return p, fmt.Errorf("%s: %w\n%s", k, err, l.Log("gateway-"+lab.Owner))
		}
		p.Phases[k] = f
	}
	p.Images, p.Events = events.images(), events.serial
	var err error
	if p.Disk, err = l.Disk(lab.Owner); err != nil {
		return p, err
	}
	p.Installation, err = lab.DiskUsage(l.Dir)
	p.Seconds = time.Since(began).Seconds()
	return p, err
}

func record(ctx context.Context, l *lab.Lab, w *watcher, events *load, k kind, n int) (phase, error) {
	f := phase{Events: n, Used: map[string]taken{}}
	began, bytes := time.Now(), w.bytes.Load()
	disk, err := lab.DiskUsage(l.Dir)
	if err != nil {
		return f, err
	}
	var before map[string]lab.Usage
	r, err := drain(ctx, l, w, &meter{l: l}, func(q *queue.Queue) (err error) {
		if err := events.fill(ctx, q, k, n); err != nil {
			return err
		}
		f.Filling = time.Since(began).Seconds()
		before, err = l.Usage(ctx)
		began = time.Now()
		return err
	}, n)
	if err != nil {
		return f, err
	}
	wall := time.Since(began).Seconds()
	after, err := l.Usage(ctx)
	if err != nil {
		return f, err
	}
	larger, err := lab.DiskUsage(l.Dir)
	if err != nil {
		return f, err
	}
	f.DiskBytes = float64(larger-disk) / float64(n)
	f.Final, f.Visible, f.Behind, f.Stale = r.wholeFinal, r.wholeVisible, r.behind.Seconds(), r.stale
	f.LaterFinal, f.LaterVisible = r.final, r.visible
	f.InFirst, f.Starting = r.inFirst, r.starting.Seconds()
	f.SegmentBytes = float64(w.bytes.Load()-bytes) / float64(n)
	for name, u := range after {
		if u.Processes == 0 {
			continue
		}
		was := before[name]
		if name == "gateway" { // it was down: this one began with the phase
			was = lab.Usage{}
		}
		cpu := (u.CPU - was.CPU).Seconds()
		f.Used[name] = taken{
			CPU: cpu / float64(n), Share: cpu / wall, Written: float64(u.Written-was.Written) / float64(n) / float64(u.Processes),
			Resident: u.Resident / int64(u.Processes), Peak: u.Peak, Processes: u.Processes,
		}
	}
	return f, nil
}
