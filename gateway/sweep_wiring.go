package gateway

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/index"
	"github.com/waybill-dev/waybill/gateway/sweep"
	"github.com/waybill-dev/waybill/gateway/tasks"
)

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
func (g *service) newSweeper(clients registries) (*sweep.Sweeper, error) {
	s := &sweep.Sweeper{
		MSP: g.cfg.MSPID, Hosts: map[provenance.Host]*sweep.Registry{}, Queue: g.queue, Level: g.follower.LevelSince, Config: g.cfg.Sweep, Limits: sweep.DefaultLimits(),
		Log: g.cfg.Log, Path: filepath.Join(g.cfg.DataDir, sweep.File),
		View: func(ctx context.Context, read func(sweep.Index) error) error {
			return g.index.View(ctx, func(s *index.Snapshot) error { return read(s) })
		},
		Count: func(host provenance.Host, kind string) { g.metrics.Findings.WithLabelValues(string(host), kind).Inc() },
		Prove: func(ctx context.Context, host provenance.Host, repo provenance.Repository, d provenance.Digest) {
			g.addTasks(ctx, []tasks.Task{tasks.Proof(host, repo, d)})
		},
		Finished: func(host provenance.Host) { g.metrics.Swept.WithLabelValues(string(host)).SetToCurrentTime() },
	}
	for _, r := range g.cfg.Registries {
		host, err := provenance.ParseHost(r.Host)
		if err != nil {
			return nil, err
		}
		one := &sweep.Registry{Reader: clients[host].client, Unread: !clients[host].readBack, Watched: watchedBy(host, g.cfg.Connectors), Woken: make(chan struct{}, 1)}
		for _, repo := range r.Repositories {
			one.Repositories = append(one.Repositories, provenance.Repository(repo))
		}
		s.Hosts[host] = one
	}
	return s, s.Load()
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
