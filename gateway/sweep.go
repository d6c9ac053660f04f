package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/delivery"
	"github.com/waybill-dev/waybill/gateway/index"
	"github.com/waybill-dev/waybill/gateway/queue"
	"github.com/waybill-dev/waybill/gateway/readmodel"
	"github.com/waybill-dev/waybill/gateway/record"
	"github.com/waybill-dev/waybill/gateway/registry"
	"github.com/waybill-dev/waybill/gateway/wait"
)

// sweepSource is the source of the events a sweep makes.
const sweepSource = "sweep"

// sweepLister lists what a registry holds.
type sweepLister interface {
	Catalogue(ctx context.Context, pace registry.Pace) (registry.Listing[provenance.Repository], error)
	Tags(ctx context.Context, repo provenance.Repository, pace registry.Pace) (registry.Listing[provenance.Tag], error)
}

// sweepRegistry is a registry as a sweep sees it.
type sweepRegistry interface {
	sweepLister
	record.Registry
	Named(ctx context.Context, repo provenance.Repository, tag provenance.Tag) (provenance.Digest, error)
	Served(ctx context.Context, repo provenance.Repository, d provenance.Digest) (provenance.Digest, error)
	ListedReferrers(ctx context.Context, repo provenance.Repository, subject provenance.Digest, pace registry.Pace) (registry.Referrers, error)
}

// sweepReads is the index as a sweep sees it.
type sweepReads interface {
	state.Scanner
	History(f readmodel.HistoryFilter, p readmodel.Page) ([]readmodel.Record, string, error)
}

// sweepQueue is the queue as a sweep sees it.
type sweepQueue interface {
	Accept(ctx context.Context, deliveries []delivery.Delivery) (delivery.Accepted, error)
	Stats(ctx context.Context) (delivery.Stats, error)
}

var (
	_ sweepRegistry = (*registry.Client)(nil)
	_ sweepReads    = (*index.Snapshot)(nil)
	_ sweepQueue    = (*queue.Queue)(nil)
)

// swept is a configured registry.
type swept struct {
	reader       sweepRegistry
	unread       bool                    // registries[].read_back is false: nothing of it is proven
	repositories []provenance.Repository // instead of the catalogue
	watched      func(repo provenance.Repository) bool
	woken        chan struct{} // of size 1
}

// sweepLimits are the numbers of a sweep.
type sweepLimits struct {
	suspects, findings, alerts, recorded int           // kept at most
	tries                                int           // of a request, before it is left out
	backoff, backoffMax                  time.Duration // between them; doubles
	patience                             time.Duration // with a registry that does not answer at all
	queuePatience                        time.Duration // with a queue that does not empty
	poll, save                           time.Duration
}

func defaultSweepLimits() sweepLimits {
	return sweepLimits{
		suspects: 5000, findings: 1000, alerts: 200, recorded: 200_000, tries: 4, backoff: time.Second, backoffMax: 5 * time.Minute,
		patience: time.Hour, queuePatience: 10 * time.Minute, poll: 250 * time.Millisecond, save: 2 * time.Second,
	}
}

// sweeper compares the registries of its organisation with the ledger: a
// notification may be lost, and somebody may hope that it is. What it finds
// goes the way of a notification, with the source "sweep"; it never writes a
// record itself. Where it is stands in a file, so that a restart goes on.
type sweeper struct {
	msp   string
	hosts map[provenance.Host]*swept
	view  func(ctx context.Context, read func(sweepReads) error) error
	queue sweepQueue
	// level tells whether the index was level with the peer at some moment after since.
	level    func(since time.Time) bool
	config   SweepConfig
	limits   sweepLimits
	log      *slog.Logger
	count    func(host provenance.Host, kind string)
	finished func(host provenance.Host)
	prove    func(host provenance.Host, repo provenance.Repository, d provenance.Digest) // nil: nothing is proven
	path     string

	mu     sync.Mutex
	states map[provenance.Host]*sweepState
	dirty  bool
	saved  time.Time
	saving sync.Mutex
}

// run sweeps until ctx ends. No registry, and no failure of a sweep, ends it.
func (s *sweeper) run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for host := range s.hosts {
		group.Go(func() error { return s.loop(ctx, host) })
	}
	<-ctx.Done()
	return group.Wait()
}

// loop carries out the sweeps of one registry: those asked for, one that an
// earlier process began, and those of the schedule.
func (s *sweeper) loop(ctx context.Context, host provenance.Host) error {
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
		case <-s.hosts[host].woken:
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
func (s *sweeper) due(host provenance.Host) time.Time {
	if s.config.Off || s.config.Every <= 0 || s.hosts[host].unread {
		return time.Time{}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.state(host)
	if at.LastStart.IsZero() {
		at.LastStart = time.Now().UTC().Add(s.config.Every/firstSweep - s.config.Every)
		s.dirty = true
	}
	return at.LastStart.Add(s.config.Every)
}

func (s *sweeper) running(host provenance.Host) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state(host).Run != nil
}

// state is a registry's; the lock is held.
func (s *sweeper) state(host provenance.Host) *sweepState {
	if s.states[host] == nil {
		s.states[host] = &sweepState{}
	}
	return s.states[host]
}

// begin starts a sweep of a registry, or joins the one that runs. Errors:
// NotFound for a registry that is not configured or not on the ledger,
// Forbidden for another organisation's, Conflict where a sweep of the other
// sort (dry or not) runs.
func (s *sweeper) begin(ctx context.Context, host provenance.Host, dry bool) (joined bool, err error) {
	return s.start(ctx, host, dry, false)
}

// start is begin for people and for the schedule, whose sweeps go slower. One
// that somebody waits for, having joined it, goes on as fast as their own would.
func (s *sweeper) start(ctx context.Context, host provenance.Host, dry, scheduled bool) (joined bool, err error) {
	if s.hosts[host] == nil {
		return false, provenance.Errorf(provenance.NotFound, "registry %s is not configured in this gateway", host)
	}
	err = s.view(ctx, func(r sweepReads) error {
		var record state.Registry
		found, err := state.Read(r, state.RegistryKey(host), &record)
		switch {
		case err != nil:
			return err
		case !found:
			return provenance.Errorf(provenance.NotFound, "registry %s is not on the ledger", host)
		case !record.Owns(s.msp):
			return provenance.Errorf(provenance.Forbidden, "no part of registry %s belongs to %s; the gateways of its owners sweep it", host, s.msp)
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
	at.Run = &sweepRun{ID: now.Format("20060102T150405.000Z"), DryRun: dry, Scheduled: scheduled, Started: now, Counts: map[string]int64{}}
	if !dry {
		at.LastStart = now
	}
	s.dirty = true
	select {
	case s.hosts[host].woken <- struct{}{}:
	default:
	}
	return false, nil
}

// sweep carries out the sweep that stands in a registry's state, and puts its
// result there. When ctx ends first the sweep stays, to be gone on with.
func (s *sweeper) sweep(ctx context.Context, host provenance.Host) {
	p := &sweepPass{sweeper: s, host: host, reg: s.hosts[host]}
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
	about := []any{slog.String("registry", string(host)), slog.Bool("dry_run", dry), slog.String("findings", sweepCounts(counts))}
	if err != nil {
		s.log.WarnContext(ctx, "sweep not finished", append(about, slog.Any("error", err))...)
		return
	}
	s.log.InfoContext(ctx, "sweep finished", about...)
	if !dry {
		s.finished(host)
	}
}

// sweepCounts writes counts for people.
func sweepCounts(counts map[string]int64) string {
	var out []string
	for _, kind := range slices.Sorted(maps.Keys(counts)) {
		out = append(out, fmt.Sprintf("%s %d", kind, counts[kind]))
	}
	if len(out) == 0 {
		return "none"
	}
	return strings.Join(out, ", ")
}
