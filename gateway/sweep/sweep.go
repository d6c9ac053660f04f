package sweep

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"golang.org/x/sync/errgroup"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/delivery"
	"github.com/waybill-dev/waybill/gateway/index"
	"github.com/waybill-dev/waybill/gateway/queue"
	"github.com/waybill-dev/waybill/gateway/readmodel"
	"github.com/waybill-dev/waybill/gateway/registry"
	"github.com/waybill-dev/waybill/gateway/wait"
)

// Source is the source of the events a sweep makes.
const Source = "sweep"

// lister lists what a registry holds.
type lister interface {
	Catalogue(ctx context.Context, pace registry.Pace) (registry.Listing[provenance.Repository], error)
	Tags(ctx context.Context, repo provenance.Repository, pace registry.Pace) (registry.Listing[provenance.Tag], error)
}

// manifests reads what a registry serves.
type manifests interface {
	Manifest(ctx context.Context, repo provenance.Repository, d provenance.Digest) (registry.Facts, error)
	Resolve(ctx context.Context, repo provenance.Repository, tag provenance.Tag) (provenance.Digest, error)
}

// Client is a registry as a sweep sees it.
type Client interface {
	lister
	manifests
	Named(ctx context.Context, repo provenance.Repository, tag provenance.Tag) (provenance.Digest, error)
	Served(ctx context.Context, repo provenance.Repository, d provenance.Digest) (provenance.Digest, error)
	ListedReferrers(ctx context.Context, repo provenance.Repository, subject provenance.Digest, pace registry.Pace) (registry.Referrers, error)
}

// Index is the index as a sweep sees it.
type Index interface {
	state.Scanner
	History(f readmodel.HistoryFilter, p readmodel.Page) ([]readmodel.Record, string, error)
}

// Queue is the queue as a sweep sees it.
type Queue interface {
	Accept(ctx context.Context, deliveries []delivery.Delivery) (delivery.Accepted, error)
	Stats(ctx context.Context) (delivery.Stats, error)
}

var (
	_ Client = (*registry.Client)(nil)
	_ Index  = (*index.Snapshot)(nil)
	_ Queue  = (*queue.Queue)(nil)
)

// Registry is a configured registry.
type Registry struct {
	Reader       Client
	Unread       bool                    // registries[].read_back is false: nothing of it is proven
	Repositories []provenance.Repository // instead of the catalogue
	Watched      func(repo provenance.Repository) bool
	Woken        chan struct{} // of size 1
}

// Limits are the numbers of a sweep.
type Limits struct {
	suspects, findings, alerts, recorded int           // kept at most
	tries                                int           // of a request, before it is left out
	backoff, backoffMax                  time.Duration // between them; doubles
	patience                             time.Duration // with a registry that does not answer at all
	queuePatience                        time.Duration // with a queue that does not empty
	poll, save                           time.Duration
}

// DefaultLimits are the numbers of a gateway.
func DefaultLimits() Limits {
	return Limits{
		suspects: 5000, findings: 1000, alerts: 200, recorded: 200_000, tries: 4, backoff: time.Second, backoffMax: 5 * time.Minute,
		patience: time.Hour, queuePatience: 10 * time.Minute, poll: 250 * time.Millisecond, save: 2 * time.Second,
	}
}

// Sweeper compares the registries of its organisation with the ledger: a
// notification may be lost, and somebody may hope that it is. What it finds
// goes the way of a notification, with the source "sweep"; it never writes a
// record itself. Where it is stands in a file, so that a restart goes on.
type Sweeper struct {
	MSP   string
	Hosts map[provenance.Host]*Registry
	View  func(ctx context.Context, read func(Index) error) error
	Queue Queue
	// Level tells whether the index was level with the peer at some moment after since.
	Level    func(since time.Time) bool
	Config   Config
	Limits   Limits
	Log      *slog.Logger
	Count    func(host provenance.Host, kind string)
	Finished func(host provenance.Host)
	Prove    func(ctx context.Context, host provenance.Host, repo provenance.Repository, d provenance.Digest) // nil: nothing is proven
	Path     string

	mu     sync.Mutex
	states map[provenance.Host]*progress
	dirty  bool
	saved  time.Time
	saving sync.Mutex
}

// Run sweeps until ctx ends. No registry, and no failure of a sweep, ends it.
func (s *Sweeper) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for host := range s.Hosts {
		group.Go(func() error { return s.loop(ctx, host) })
	}
	<-ctx.Done()
	return group.Wait()
}

// loop carries out the sweeps of one registry: those asked for, one that an
// earlier process began, and those of the schedule.
func (s *Sweeper) loop(ctx context.Context, host provenance.Host) error {
	s.due(host)
	s.save(ctx, true) // when the first sweep is due survives a restart
	for ctx.Err() == nil {
		if s.running(host) {
			s.sweep(ctx, host)
			continue
		}
		wait := time.Minute
		if due := s.due(host); !due.IsZero() {
			if wait = min(wait, time.Until(due)); wait <= 0 {
				if _, err := s.start(ctx, host, false, true); err == nil {
					continue
				}
				wait = time.Minute // not ours, or not on the ledger yet
			}
		}
		timer := time.NewTimer(wait)
		select {
		case <-s.Hosts[host].Woken:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
	return ctx.Err()
}

// firstSweep is the part of the time between two sweeps, one in so many, after
// which a new gateway makes its first: its queue has settled by then.
const firstSweep = 24

// due is when the schedule wants the next sweep; zero without a schedule.
func (s *Sweeper) due(host provenance.Host) time.Time {
	if s.Config.Off || s.Config.Every <= 0 || s.Hosts[host].Unread {
		return time.Time{}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.state(host)
	if at.LastStart.IsZero() {
		at.LastStart = time.Now().UTC().Add(s.Config.Every/firstSweep - s.Config.Every)
		s.dirty = true
	}
	return at.LastStart.Add(s.Config.Every)
}

func (s *Sweeper) running(host provenance.Host) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state(host).Run != nil
}

// state is a registry's; the lock is held.
func (s *Sweeper) state(host provenance.Host) *progress {
	if s.states[host] == nil {
		s.states[host] = &progress{}
	}
	return s.states[host]
}

// begin starts a sweep of a registry, or joins the one that runs. Errors:
// NotFound for a registry that is not configured or not on the ledger,
// Forbidden for another organisation's, Conflict where a sweep of the other
// sort (dry or not) runs.
func (s *Sweeper) begin(ctx context.Context, host provenance.Host, dry bool) (joined bool, err error) {
	return s.start(ctx, host, dry, false)
}

// start is begin for people and for the schedule, whose sweeps go slower. One
// that somebody waits for, having joined it, goes on as fast as their own would.
func (s *Sweeper) start(ctx context.Context, host provenance.Host, dry, scheduled bool) (joined bool, err error) {
	if s.Hosts[host] == nil {
		return false, provenance.Errorf(provenance.NotFound, "registry %s is not configured in this gateway", host)
	}
	err = s.View(ctx, func(r Index) error {
		var record state.Registry
		found, err := state.Read(r, state.RegistryKey(host), &record)
		switch {
		case err != nil:
			return err
		case !found:
			return provenance.Errorf(provenance.NotFound, "registry %s is not on the ledger", host)
		case !record.Owns(s.MSP):
			return provenance.Errorf(provenance.Forbidden, "no part of registry %s belongs to %s; the gateways of its owners sweep it", host, s.MSP)
		}
		return nil
	})
	if err != nil {
		return false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.state(host)
	if at.Run != nil {
		if at.Run.DryRun != dry {
			return false, provenance.Errorf(provenance.Conflict, "a sweep of %s runs since %s and is not of this sort; wait for it", host, at.Run.Started.Format(time.DateTime))
		}
		at.Run.Scheduled = at.Run.Scheduled && scheduled
		return true, nil
	}
	now := time.Now().UTC().Truncate(time.Millisecond)
	at.Run = &run{ID: now.Format("20060102T150405.000Z"), DryRun: dry, Scheduled: scheduled, Started: now, Counts: map[string]int64{}}
	if !dry {
		at.LastStart = now
	}
	s.dirty = true
	select {
	case s.Hosts[host].Woken <- struct{}{}:
	default:
	}
	return false, nil
}

// sweep carries out the sweep that stands in a registry's state, and puts its
// result there. When ctx ends first the sweep stays, to be gone on with.
func (s *Sweeper) sweep(ctx context.Context, host provenance.Host) {
	p := &pass{Sweeper: s, host: host, reg: s.Hosts[host], pace: rate.NewLimiter(rate.Inf, 1)}
	err := p.pass(ctx)
	if ctx.Err() != nil {
		s.save(ctx, true)
		return
	}
	s.mu.Lock()
	at := s.state(host)
	run := at.Run
	at.Run, at.Last = nil, run
	run.Finished, run.Doing, run.Suspects = time.Now().UTC(), "", nil
	if err != nil {
		run.Error = wait.Explain(err)
	}
	counts, dry := maps.Clone(run.Counts), run.DryRun
	s.dirty = true
	s.mu.Unlock()
	s.save(ctx, true)
	about := []any{slog.String("registry", string(host)), slog.Bool("dry_run", dry), slog.String("findings", countsText(counts))}
	if err != nil {
		s.Log.WarnContext(ctx, "sweep not finished", append(about, slog.Any("error", err))...)
		return
	}
	s.Log.InfoContext(ctx, "sweep finished", about...)
	if !dry {
		s.Finished(host)
	}
}

// countsText writes counts for people.
func countsText(counts map[string]int64) string {
	var out []string
	for _, kind := range slices.Sorted(maps.Keys(counts)) {
		out = append(out, fmt.Sprintf("%s %d", kind, counts[kind]))
	}
	if len(out) == 0 {
		return "none"
	}
	return strings.Join(out, ", ")
}
