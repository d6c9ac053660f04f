package gateway

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/findings"
	"github.com/waybill-dev/waybill/gateway/index"
)

// SweepConfig says how this organisation's registries are compared with the
// ledger. Of replicas that share a queue one needs a schedule; where more have
// one, what they find is still recorded once.
type SweepConfig struct {
	// Off leaves sweeps to people (waybill sweep). Default false: what nobody
	// notified is found within a day.
	Off bool `mapstructure:"off"`
	// Every is the time from the start of one sweep to the next of the schedule,
	// which sweeps the registries that are read back. Default 24h. The first one
	// of a new gateway begins after a twenty-fourth of it.
	Every time.Duration `mapstructure:"every"`
	// Rate bounds the requests to each registry, per second, where somebody asked
	// for the sweep. One of the schedule makes a quarter of them. Default 20.
	Rate int `mapstructure:"rate"`
	// Grace is how long a difference must last before it is believed: a
	// notification may be under way. Default 2m.
	Grace time.Duration `mapstructure:"grace"`
}

func (c SweepConfig) withDefaults() SweepConfig {
	if c.Every == 0 {
		c.Every = 24 * time.Hour
	}
	if c.Rate == 0 {
		c.Rate = 20
	}
	if c.Grace == 0 {
		c.Grace = 2 * time.Minute
	}
	return c
}

// check returns what is wrong with the settings of sweeps.
func (c Config) checkSweeps() (wrong []error) {
	if c.Sweep.Every < time.Minute {
		wrong = append(wrong, fmt.Errorf("sweep.every %s: want at least 1m; sweep.off leaves sweeps to people", c.Sweep.Every))
	}
	if c.Sweep.Rate < 1 || c.Sweep.Rate > 1000 {
		wrong = append(wrong, fmt.Errorf("sweep.rate %d: want 1 to 1000", c.Sweep.Rate))
	}
	if c.Sweep.Grace < time.Second || c.Sweep.Grace > time.Hour {
		wrong = append(wrong, fmt.Errorf("sweep.grace %s: want 1s to 1h", c.Sweep.Grace))
	}
	for i, r := range c.Registries {
		for _, repo := range r.Repositories {
			if _, err := provenance.ParseRepository(repo); err != nil {
				wrong = append(wrong, fmt.Errorf("registries[%d].repositories: %w", i, err))
			}
		}
	}
	return wrong
}

// newSweeper makes the loop that compares registries with the ledger.
func (g *rooms) newSweeper(clients registries) (*sweeper, error) {
	s := &sweeper{
		msp: g.cfg.MSPID, hosts: map[provenance.Host]*swept{}, queue: g.queue, level: g.follower.levelSince, config: g.cfg.Sweep, limits: defaultSweepLimits(),
		log: g.cfg.Log, path: filepath.Join(g.cfg.DataDir, sweepFile),
		view: func(ctx context.Context, read func(sweepReads) error) error {
			return g.index.View(ctx, func(s *index.Snapshot) error { return read(s) })
		},
		count:    func(host provenance.Host, kind string) { g.metrics.findings.WithLabelValues(string(host), kind).Inc() },
		prove:    func(t task) { g.work.more([]task{t}) },
		finished: func(host provenance.Host) { g.metrics.swept.WithLabelValues(string(host)).SetToCurrentTime() },
	}
	for _, r := range g.cfg.Registries {
		host, err := provenance.ParseHost(r.Host)
		if err != nil {
			return nil, err
		}
		one := &swept{reader: clients[host].client, unread: !clients[host].readBack, watched: watchedBy(host, g.cfg.Connectors), woken: make(chan struct{}, 1)}
		for _, repo := range r.Repositories {
			one.repositories = append(one.repositories, provenance.Repository(repo))
		}
		s.hosts[host] = one
	}
	return s, s.load()
}

// watchedBy tells which repositories of a host some connector speaks for: what
// a connector would refuse is not missed when it is not recorded.
func watchedBy(host provenance.Host, connectors []ConnectorConfig) func(provenance.Repository) bool {
	var patterns []string
	for _, c := range connectors {
		if h, err := provenance.ParseHost(c.Host); err != nil || h != host {
			continue
		}
		if len(c.Repositories) == 0 {
			return func(provenance.Repository) bool { return true }
		}
		patterns = append(patterns, c.Repositories...)
	}
	return func(repo provenance.Repository) bool {
		return len(patterns) == 0 || slices.ContainsFunc(patterns, func(pattern string) bool {
			return policy.Match(string(host)+"/"+pattern, host, repo) >= 0
		})
	}
}

// levelSince tells whether the index was level with the peer after a moment.
func (f *follower) levelSince(t time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.level.After(t)
}

// Start implements api.Sweeps.
func (s *sweeper) Start(ctx context.Context, host provenance.Host, dry bool) ([]findings.Started, error) {
	hosts := []provenance.Host{host}
	if host == "" {
		hosts = s.sorted()
	}
	var out []findings.Started
	for _, h := range hosts {
		joined, err := s.begin(ctx, h, dry)
		code := provenance.CodeOf(err)
		if host == "" && (code == provenance.Forbidden || code == provenance.NotFound) {
			continue // another organisation's, which this gateway witnesses
		}
		if err != nil {
			return out, err
		}
		s.mu.Lock()
		one := findings.Started{Host: h, Joined: joined}
		// It may have ended already.
		if at := s.state(h); at.Run != nil {
			one.ID = at.Run.ID
		} else if at.Last != nil {
			one.ID = at.Last.ID
		}
		s.mu.Unlock()
		out = append(out, one)
	}
	if len(out) == 0 {
		return nil, provenance.Errorf(provenance.NotFound, "no registry of %s is configured in this gateway and on the ledger", s.msp)
	}
	s.save(ctx, true)
	return out, nil
}

func (s *sweeper) sorted() []provenance.Host {
	var out []provenance.Host
	for h := range s.hosts {
		out = append(out, h)
	}
	slices.Sort(out)
	return out
}

// List implements api.Sweeps.
func (s *sweeper) List(_ context.Context) []findings.Registry {
	var out []findings.Registry
	for _, h := range s.sorted() {
		next := s.due(h)
		s.mu.Lock()
		at := s.state(h)
		one := findings.Registry{Host: h, Running: reportSweep(at.Run), Last: reportSweep(at.Last), Alerts: slices.Clone(at.Alerts), Next: next}
		s.mu.Unlock()
		if one.Running != nil || one.Last != nil || !next.IsZero() {
			out = append(out, one)
		}
	}
	return out
}

func reportSweep(r *sweepRun) *findings.Sweep {
	if r == nil {
		return nil
	}
	counts := make(map[string]int64, len(r.Counts))
	for kind, n := range r.Counts {
		counts[kind] = n
	}
	return &findings.Sweep{
		ID: r.ID, DryRun: r.DryRun, Started: r.Started, Finished: r.Finished, Error: r.Error, Repository: r.Place.Repository, Doing: r.Doing,
		Done: r.Done, Total: r.Total, Tags: r.Tags, Images: r.Images, Requests: r.Requests, Waiting: len(r.Suspects),
		Counts: counts, Findings: slices.Clone(r.Findings), Notes: slices.Clone(r.Notes),
	}
}
